"""Training photos are mirrored, cropped and jittered (Pinterest, section 4.1), each by its own seed alone."""

import numpy as np
import pytest
import torch

from shoplens.training.augment import CHANGES, JITTER, Draw, augment, draw


def photos(count: int, side: int) -> torch.Tensor:
    """Photos with flat parts and all values, so that factors clamp at both ends."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return torch.from_numpy(np.clip(coarse + rng.integers(-20, 20, (count, side, side, 3)), 0, 255).astype(np.uint8))


def seeds(count: int, epoch: int = 0) -> list[tuple[int, ...]]:
    return [(7, epoch, row) for row in range(count)]


def by_hand(photo: np.ndarray, size: int, drawn: Draw) -> np.ndarray:
    """One photo (R, R, 3): each change blends it with black, its mean grey or its grey, in floating point."""
    values = photo[drawn.top : drawn.top + size, drawn.left : drawn.left + size].astype(float)
    values = values[:, ::-1] if drawn.mirrored else values
    for at in drawn.order:
        grey = values @ np.array([0.2989, 0.587, 0.114])
        other = {"brightness": 0.0, "contrast": grey.mean(), "saturation": grey[:, :, None]}[CHANGES[at]]
        values = np.clip(drawn.factors[at] * values + (1 - drawn.factors[at]) * other, 0, 255)
    return values


def test_each_photo_is_cropped_mirrored_and_blended_as_drawn() -> None:
    pixels, drawn = photos(24, 32), [draw(seed, 4) for seed in seeds(24)]
    found = augment(pixels, 28, seeds(24))
    expected = np.stack([by_hand(photo, 28, d) for photo, d in zip(pixels.numpy(), drawn, strict=True)])
    assert found.shape == (24, 28, 28, 3) and found.dtype == torch.uint8
    # grey levels are cut off after each of three changes, and a later one may enlarge the difference
    assert np.abs(found.numpy() - expected).max() < 5
    assert len({d.order for d in drawn}) == 6


def test_a_photo_depends_on_its_seed_alone() -> None:
    pixels = photos(6, 16)
    together = augment(pixels, 12, seeds(6))
    apart = torch.cat([augment(pixels[at : at + 1], 12, seeds(6)[at : at + 1]) for at in (5, 4, 3, 2, 1, 0)])
    assert torch.equal(together, apart.flip(0))
    assert not torch.equal(together, augment(pixels, 12, seeds(6, epoch=1)))


def test_every_crop_mirror_factor_and_order_is_equally_likely() -> None:
    drawn = [draw(seed, 3) for seed in seeds(4000)]
    corners = np.array([(d.top, d.left) for d in drawn])
    assert np.bincount(corners @ [4, 1], minlength=16) / 4000 == pytest.approx(1 / 16, abs=0.02)
    assert np.mean([d.mirrored for d in drawn]) == pytest.approx(0.5, abs=0.03)
    factors = np.array([d.factors for d in drawn])
    assert factors.min() >= 1 - JITTER and factors.max() <= 1 + JITTER
    assert factors.mean(0) == pytest.approx(1, abs=0.02)
    assert factors.std(0) == pytest.approx(2 * JITTER / 12**0.5, abs=0.01)
    orders, times = np.unique([d.order for d in drawn], axis=0, return_counts=True)
    assert len(orders) == 6 and times / 4000 == pytest.approx(1 / 6, abs=0.03)


def test_a_crop_may_be_the_whole_photo_and_a_batch_empty() -> None:
    pixels = photos(2, 8)
    assert augment(pixels, 8, seeds(2)).shape == (2, 8, 8, 3)
    assert augment(pixels[:0], 8, []).shape == (0, 8, 8, 3)


def test_photos_that_are_too_small_and_missing_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="crops of 9 pixels for photos of shape"):
        augment(photos(2, 8), 9, seeds(2))
    with pytest.raises(ValueError, match="1 seeds"):
        augment(photos(2, 8), 8, seeds(1))
