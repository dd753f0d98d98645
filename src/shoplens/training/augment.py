"""Augmentation of training photos: horizontal mirroring, a random crop and colour jitter.

Pinterest, section 4.1: "During training, we apply horizontal mirroring, random crops, and color jitter from resized
256x256 images while during testing we center crop to a 224x224 image from the resized image." The paper gives no
strength of the jitter; `JITTER` is the 0.4 for brightness, contrast and saturation, without hue, that is usual for
ImageNet training with torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

JITTER = 0.4
"""Brightness, contrast and saturation are each multiplied by a factor from 1 - JITTER to 1 + JITTER, all alike."""
CHANGES = ("brightness", "contrast", "saturation")


@dataclass(frozen=True)
class Draw:
    """What chance decides for one photo.

    Attributes:
        mirrored: left and right are exchanged.
        top, left: corner of the crop in pixels.
        factors: of each of CHANGES.
        order: in which CHANGES are applied, a permutation of their places.
    """

    mirrored: bool
    top: int
    left: int
    factors: tuple[float, ...]
    order: tuple[int, ...]


def draw(seed: tuple[int, ...], spare: int) -> Draw:
    """Draw for one photo from a generator of its own.

    The same seed gives the same, whatever the batch, the number of processes and the step at which a run resumes.

    Args:
        seed: whole numbers >= 0, such as (seed, epoch, row).
        spare: how many pixels the photo is larger than its crop.
    """
    rng = np.random.default_rng(seed)
    mirrored = bool(rng.random() < 0.5)
    top, left = rng.integers(0, spare, 2, endpoint=True).tolist()
    factors = rng.uniform(1 - JITTER, 1 + JITTER, len(CHANGES)).tolist()
    return Draw(mirrored, top, left, tuple(factors), tuple(rng.permutation(len(CHANGES)).tolist()))


def augment(pixels: Tensor, size: int, seeds: Sequence[tuple[int, ...]]) -> Tensor:
    """Mirror, crop and jitter photos, each by its own seed.

    One photo after the other: on a CPU that is four times as fast as blending a whole batch with factors a photo,
    which no cache holds.

    Args:
        pixels: uint8 (N, R, R, 3) RGB.
        size: side of the crops in pixels, at most R.
        seeds: N, see `draw`.

    Returns:
        uint8 (N, size, size, 3).

    Raises:
        ValueError: if the photos are smaller than their crops, or there is not one seed a photo.
    """
    photos, side = pixels.shape[:2]
    if side < size or pixels.shape[2] != side or len(seeds) != photos:
        raise ValueError(f"{len(seeds)} seeds and crops of {size} pixels for photos of shape {tuple(pixels.shape)}")
    done = pixels.new_empty((photos, size, size, 3))
    for photo, seed, out in zip(pixels, seeds, done, strict=True):
        out.copy_(_augmented(photo.permute(2, 0, 1), size, draw(seed, side - size)).permute(1, 2, 0))
    return done


def _augmented(image: Tensor, size: int, drawn: Draw) -> Tensor:
    """One photo, uint8 (3, R, R) -> (3, size, size)."""
    from torchvision.transforms.v2 import functional

    changes = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)
    image = functional.crop(image, drawn.top, drawn.left, size, size)
    if drawn.mirrored:
        image = functional.horizontal_flip(image)
    for at in drawn.order:
        image = changes[at](image, drawn.factors[at])
    return image
