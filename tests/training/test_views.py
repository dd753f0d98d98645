"""Crops that train are seen in views too: parts of the same crop, half of them mirrored, the same for every seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training import small

from shoplens.data.examples import Crops
from shoplens.data.photos import read_pixels
from shoplens.models.activations import FrozenRows
from shoplens.params import TrainParams
from shoplens.training.batches import BatchReader, Material
from shoplens.training.processes import Processes
from shoplens.training.train import build_model, read_material
from shoplens.training.views import AREA, RATIO, views_of

ALONE = Processes(0, 1, "cpu")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("SHOPLENS_HOME", str(folder))
        yield folder


def crops(count: int, seed: int = 0) -> Crops:
    """Every second one a whole photo."""
    corners = np.sort(np.random.default_rng(seed).random((count, 2, 2)), axis=1).reshape(count, 4)
    corners[::2] = np.nan
    names = [f"{seed}-{number}" for number in range(count)]
    return Crops(np.array(names), [f"{name}.jpg" for name in names], names, corners)


def material_of(marketplace: Path, views: int) -> Material:
    return read_material(marketplace / "data", marketplace / "artifacts/prepare", None, views)


@given(count=st.integers(1, 40), views=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_view_shows_a_large_part_of_its_crop(count: int, views: int, seed: int) -> None:
    all_crops = crops(count, seed)
    chosen = np.arange(0, count, 3)
    found = views_of(all_crops, chosen, views)
    assert len(found.paths) == len(found.digests) == len(found.boxes) == len(found.mirrored) == views * len(chosen)
    assert len(set(found.digests)) == len(found.digests) and not set(found.digests) & set(all_crops.digests)
    for number in range(views):
        rows = found.rows(chosen, np.full(len(chosen), number))
        assert [found.paths[row] for row in rows] == [all_crops.paths[crop] for crop in chosen]
        outer = np.where(np.isnan(all_crops.boxes[chosen]), [0, 0, 1, 1], all_crops.boxes[chosen])
        inner = found.boxes[rows]
        assert (inner[:, :2] >= outer[:, :2]).all() and (inner[:, 2:] <= outer[:, 2:]).all()
        shares = (inner[:, 2:] - inner[:, :2]) / (outer[:, 2:] - outer[:, :2])
        area, ratio = shares.prod(axis=1), shares[:, 0] / shares[:, 1]
        cut = (shares > 1 - 1e-9).any(axis=1)  # where the photo ends first
        assert (area <= AREA[1] + 1e-9).all() and (area[~cut] >= AREA[0] - 1e-9).all() and (area > 0.5).all()
        assert (ratio >= RATIO[0] - 1e-9).all() and (ratio <= RATIO[1] + 1e-9).all()


def test_views_are_spread_evenly_and_half_of_them_mirrored() -> None:
    found = views_of(crops(4000), np.arange(0, 4000, 2), 2)
    assert found.mirrored.mean() == pytest.approx(0.5, abs=0.03)
    size = found.boxes[:, 2:] - found.boxes[:, :2]
    spare = (size < 0.99).all(axis=1)
    corners = (found.boxes[:, :2] / np.maximum(1 - size, 1e-9))[spare]
    assert corners.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)
    assert np.corrcoef(corners.T)[0, 1] == pytest.approx(0, abs=0.05)
    assert size.prod(axis=1).mean() == pytest.approx(np.mean(AREA), abs=0.02)


def test_a_views_pixels_depend_on_its_own_photo_alone() -> None:
    first = crops(6)
    turned = Crops(first.image_ids[::-1], first.paths[::-1], first.digests[::-1], first.boxes[::-1])
    one, other = views_of(first, np.arange(6), 2), views_of(turned, np.array([0, 3]), 2)
    for crop in (0, 3):
        for view in range(2):
            a, b = (
                one.rows(np.array([5 - crop]), np.array([view]))[0],
                other.rows(np.array([crop]), np.array([view]))[0],
            )
            assert one.digests[a] == other.digests[b] and one.mirrored[a] == other.mirrored[b]
            assert np.array_equal(one.boxes[a], other.boxes[b])


def test_a_views_digest_tells_which_part_it_is_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the cache would give the rows of the parts that were cut before another rule of cutting."""
    before = views_of(crops(6), np.arange(6), 2)
    monkeypatch.setattr("shoplens.training.views.AREA", (0.5, 0.9))
    after = views_of(crops(6), np.arange(6), 2)
    assert (before.boxes != after.boxes).any(axis=1).all() and np.array_equal(before.mirrored, after.mirrored)
    assert not set(before.digests) & set(after.digests)


def test_only_crops_that_train_have_views(marketplace: Path) -> None:
    material = material_of(marketplace, 3)
    for source in material.sources:
        assert (material.views.place[source.crops[source.trains]] >= 0).all()
        assert (material.views.place[source.crops[~source.trains]] == -1).all()
    assert material_of(marketplace, 0).views.count == 0


def test_what_is_cached_of_a_view_is_the_part_mirrored(marketplace: Path) -> None:
    """Nothing is frozen here, so that the rows are the pixels themselves."""
    material = material_of(marketplace, 2)
    params = TrainParams.model_validate(small.PARAMS.model_dump() | {"frozen_blocks": 0})
    encoder, _ = build_model(params, material.tasks)
    store, boxes, mirrored = material.store, material.boxes, material.mirrored
    rows = FrozenRows(encoder, store, material.paths, material.digests, 1.0, boxes, mirrored)
    rows.warm()
    first = len(material.galleries.paths) + len(material.crops)
    chosen = np.arange(first, len(material.paths))
    cut = read_pixels(store, [material.paths[row] for row in chosen], 32, None, boxes[chosen])
    by_hand = np.where(mirrored[chosen, None, None, None], cut[:, :, ::-1], cut)
    assert np.array_equal(rows[chosen].numpy(), by_hand)
    assert mirrored[chosen].any() and not mirrored[chosen].all() and not mirrored[:first].any()
    whole = FrozenRows(encoder, store, material.paths, material.digests, 0.0, boxes, mirrored)
    assert torch.equal(whole[chosen], rows[chosen])


class Numbers(FrozenRows):
    """Rows that are their own numbers."""

    def __init__(self) -> None:
        pass

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(rows)


def test_a_batch_takes_the_photo_or_any_view_by_seed_and_step_whatever_the_processes(marketplace: Path) -> None:
    material = material_of(marketplace, 3)
    members = (np.array([0]), *(np.flatnonzero(source.trains) for source in material.sources))
    batches = [members] * 60
    reader = BatchReader(Numbers(), material, batches, ALONE, (1, 0))
    seen = np.stack([reader[number][0].numpy() for number in range(60)])
    galleries = len(material.galleries.photo_rows(members[0]))
    crops, plain = seen[:, galleries:], material.photo_rows(members)
    assert np.array_equal(seen[:, :galleries], np.tile(plain[:galleries], (60, 1)))
    paths = np.array(material.paths)
    assert (paths[crops] == paths[plain[galleries:]]).all()
    assert (crops == plain[galleries:]).mean() == pytest.approx(1 / 4, abs=0.05)
    assert all(len(np.unique(crops[:, place])) == 4 for place in range(crops.shape[1]))
    assert np.array_equal(BatchReader(Numbers(), material, batches, ALONE, (1, 0))[7][0].numpy(), seen[7])
    assert not np.array_equal(BatchReader(Numbers(), material, batches, ALONE, (2, 0))[7][0].numpy(), seen[7])
    parts = [BatchReader(Numbers(), material, batches, Processes(rank, 2, "cpu"), (1, 0))[7][0] for rank in range(2)]
    assert sorted(np.concatenate(parts)) == sorted(seen[7])
    assert np.array_equal(BatchReader(Numbers(), material, batches, ALONE)[7][0].numpy(), plain)
