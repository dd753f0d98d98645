"""Stage embed in shards: ranges of listings and crops, put together to what the stage writes by itself."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract.builder import build_data
from evaluation.embed_run import Run
from hypothesis import given
from hypothesis import strategies as st

from shoplens.artifacts import PASSPORT, read_artifact, write_artifact
from shoplens.data.examples import Crops
from shoplens.data.galleries import Galleries
from shoplens.errors import ShoplensError
from shoplens.evaluation.embed_shards import crops_between, galleries_between, merge, partition, run_shard, shard_count
from shoplens.files import digest_folder, read_json, write_json
from shoplens.params import EmbedParams

PARAMS = EmbedParams()
SHARDS = 3


@st.composite
def divided(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Sizes, often one much larger than the others, and a number of shards that they can be divided into."""
    sizes = draw(st.lists(st.integers(1, 5) | st.just(1000), min_size=1, max_size=30))
    return np.array(sizes, np.int64), draw(st.integers(1, len(sizes)))


@given(divided())
def test_a_partition_has_each_thing_once_and_in_order_and_no_part_is_empty_or_too_large(
    case: tuple[np.ndarray, int],
) -> None:
    sizes, shards = case
    bounds = partition(sizes, shards)
    assert bounds[0] == 0 and bounds[-1] == len(sizes) and len(bounds) == shards + 1
    assert (np.diff(bounds) > 0).all()
    assert np.add.reduceat(sizes, bounds[:-1]).max() <= sizes.sum() / shards + sizes.max()


@given(divided())
def test_any_number_of_shards_has_the_photos_of_each_gallery_and_every_crop(case: tuple[np.ndarray, int]) -> None:
    counts, shards = case[0] % 7 + 1, case[1]
    names, photos = np.arange(len(counts)).astype(str).astype(object), [f"p{i}" for i in range(counts.sum())]
    galleries = Galleries(names, names, counts, photos, [f"d-{photo}" for photo in photos], missing=0)
    bounds = partition(counts, shards).tolist()
    parts = [galleries_between(galleries, *bounds[i : i + 2]) for i in range(shards)]
    for name in ("listing_ids", "split", "counts", "paths", "digests"):
        assert [x for part in parts for x in getattr(part, name)] == list(getattr(galleries, name))
    assert [part.starts[0] for part in parts] == [0] * shards
    assert all(part.counts.sum() == len(part.paths) for part in parts)
    crops = Crops(names, names.tolist(), names.tolist(), np.arange(4 * len(names)).reshape(-1, 4))
    cut = [crops_between(crops, a, b) for a, b in itertools.pairwise(bounds)]
    assert np.concatenate([part.boxes for part in cut]).tolist() == crops.boxes.tolist()
    assert [x for part in cut for x in part.digests] == crops.digests


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The stage by itself, and in the folders 0, 1, 2 beside it its three shards, all with one home folder."""
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(root / "home"))
        run = Run(build_data(root / "data"), baseline=True).go()
        for shard in range(SHARDS):
            run_shard(run.inputs, root / str(shard), PARAMS, shard, SHARDS)
        yield run


def shards_of(run: Run) -> list[Path]:
    return [run.out.parent / str(shard) for shard in range(SHARDS)]


def test_merged_shards_are_the_stage_s_artifact_to_the_byte(run: Run, tmp_path: Path) -> None:
    """All rows come from one cache, so that not even the size of a batch makes a difference."""
    merge(shards_of(run)[::-1], run.inputs, tmp_path / "embed", PARAMS)
    assert digest_folder(tmp_path / "embed") == digest_folder(run.out)
    read_artifact(tmp_path / "embed", "embed", run.inputs)


def test_each_shard_has_its_part_of_the_listings_and_of_the_crops(run: Run) -> None:
    galleries = [len(np.load(folder / "candidate.npy")) for folder in shards_of(run)]
    crops = [len(np.load(folder / "candidate_crops.npy")) for folder in shards_of(run)]
    assert sum(galleries) == 30 and min(galleries) >= 9
    assert sum(crops) == 16 and min(crops) >= 5


def test_shards_that_share_no_cache_differ_by_rounding_at_most(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a photo's network gives may depend, in its last bits, on how many photos go through it at once."""
    for shard in range(2):
        monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / f"home{shard}"))
        run_shard(run.inputs, tmp_path / str(shard), PARAMS, shard, 2)
    merge([tmp_path / "0", tmp_path / "1"], run.inputs, tmp_path / "embed", PARAMS)
    assert {p.name for p in (tmp_path / "embed").iterdir()} == {p.name for p in run.out.iterdir()}
    for path in run.out.iterdir():
        found = tmp_path / "embed" / path.name
        if path.name.endswith("codes.npy"):
            differ = np.unpackbits(np.load(found) ^ np.load(path))
            assert differ.mean() < 1e-3
        elif path.suffix == ".npy":
            expected = np.load(path)
            assert np.load(found).dtype == expected.dtype
            assert np.abs(np.load(found) - expected).max() < 1e-4 * np.abs(expected).max()
        elif path.name != PASSPORT:
            assert found.read_bytes() == path.read_bytes()
    ours, theirs = (read_json(out / PASSPORT) for out in (tmp_path / "embed", run.out))
    assert {k: v for k, v in ours.items() if k != "files"} == {k: v for k, v in theirs.items() if k != "files"}


def refused(run: Run, folders: list[Path], tmp_path: Path, match: str, params: EmbedParams = PARAMS) -> None:
    """Merging is refused and leaves what was there before."""
    (tmp_path / "embed").mkdir()
    (tmp_path / "embed" / "before").touch()
    with pytest.raises(ShoplensError, match=match):
        merge(folders, run.inputs, tmp_path / "embed", params)
    assert [path.name for path in (tmp_path / "embed").iterdir()] == ["before"]


def test_a_missing_shard_is_refused(run: Run, tmp_path: Path) -> None:
    refused(run, shards_of(run)[:1], tmp_path, "of 3 shards these are missing: 1, 2; run them first")


def test_no_shard_at_all_is_refused(run: Run, tmp_path: Path) -> None:
    refused(run, [], tmp_path, "there is no shard to merge")


def test_a_shard_that_comes_twice_is_refused(run: Run, tmp_path: Path) -> None:
    shutil.copytree(shards_of(run)[1], tmp_path / "again")
    refused(run, [*shards_of(run), tmp_path / "again"], tmp_path, "shard 1 of 3 comes 2 times")


def test_a_shard_of_another_division_is_refused(run: Run, tmp_path: Path) -> None:
    copy_as(shards_of(run)[2], run, tmp_path / "other", shard=1, shards=2)
    refused(run, [shards_of(run)[0], tmp_path / "other"], tmp_path, "one of 3 shards and .*other one of 2: merge")


def test_a_shard_made_with_other_parameters_is_refused(run: Run, tmp_path: Path) -> None:
    refused(run, shards_of(run), tmp_path, "made with another cache_gib", EmbedParams(cache_gib=1.0))


def test_a_shard_of_another_candidate_is_refused(run: Run, tmp_path: Path) -> None:
    with write_artifact(tmp_path / "train", "train", {"data": run.data, "prepare": run.prepare}, {}):
        pass
    copy_as(shards_of(run)[2], run, tmp_path / "other", train=tmp_path / "train", shard=2, shards=3)
    refused(run, [*shards_of(run)[:2], tmp_path / "other"], tmp_path, "other was made from another train than")


def test_a_shard_of_other_weights_is_refused(run: Run, tmp_path: Path) -> None:
    """As when a reference's weights were downloaded, and changed between two shards."""
    shutil.copytree(shards_of(run)[2], tmp_path / "changed")
    weights = read_json(tmp_path / "changed" / "embed.json")
    write_json(tmp_path / "changed" / "embed.json", weights | {"reference": "0"})
    copy_as(tmp_path / "changed", run, tmp_path / "other", shard=2, shards=3)
    refused(run, [*shards_of(run)[:2], tmp_path / "other"], tmp_path, "embedded with other weights than")


def test_a_damaged_shard_is_refused(run: Run, tmp_path: Path) -> None:
    shutil.copytree(shards_of(run)[2], tmp_path / "other")
    (tmp_path / "other" / "candidate.npy").write_bytes(b"")
    refused(run, [*shards_of(run)[:2], tmp_path / "other"], tmp_path, "candidate.npy is not what stage embed-shard")


def test_another_artifact_is_no_shard(run: Run, tmp_path: Path) -> None:
    refused(run, [run.out], tmp_path, "was written by stage embed, not embed-shard")


def copy_as(files: Path, run: Run, out: Path, train: Path | None = None, **numbers: int) -> None:
    """A shard's files with another passport."""
    inputs = run.inputs | ({"train": train} if train else {})
    with write_artifact(out, "embed-shard", inputs, PARAMS.model_dump() | numbers) as folder:
        shutil.copytree(files, folder, dirs_exist_ok=True, ignore=lambda *_: [PASSPORT])


@pytest.mark.parametrize("shards", [0, 31])
def test_there_are_at_most_as_many_shards_as_listings(run: Run, shards: int) -> None:
    with pytest.raises(ShoplensError, match=f"{shards} shards to embed, and 30 listings .* choose 1 to 30 shards"):
        shard_count(run.prepare, shards)


def test_a_number_of_shards_that_fits_is_taken(run: Run) -> None:
    assert [shard_count(run.prepare, shards) for shards in (1, 30)] == [1, 30]


def test_a_shard_that_there_is_not_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="no shard 3 among 3: they are numbered 0 to 2"):
        run_shard(run.inputs, tmp_path / "3", PARAMS, 3, 3)
    assert not (tmp_path / "3").exists()
