"""A sample of a contract folder is a contract folder: it validates, is the same everywhere, and says what it is."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shoplens.contract.checks import inspect_folder
from shoplens.contract.spec import read_spec
from shoplens.data.sample import chosen_listings, sample_folder
from shoplens.errors import ShoplensError


@pytest.fixture
def sampled(tiny_data: Path, tmp_path: Path) -> Path:
    out = tmp_path / "sample"
    sample_folder(tiny_data, out, 30)
    return out


def column(folder: Path, file: str, name: str) -> list[object]:
    found: list[object] = pq.read_table(folder / file, columns=[name])[name].to_pylist()
    return found


def test_the_choice_is_by_the_ids_alone_and_smaller_samples_are_part_of_larger_ones() -> None:
    ids = [f"listing-{number}" for number in range(100)]
    small, large = chosen_listings(ids, 10), chosen_listings(ids[::-1], 40)
    assert len(small) == 10 and len(large) == 40
    assert small < large
    assert chosen_listings(["a", "b", "c"], 1) == {"c"}  # sha256 of "sample:c" is the smallest of the three


def test_a_sample_keeps_what_belongs_to_its_listings_and_is_valid(sampled: Path, tiny_data: Path) -> None:
    chosen = chosen_listings(column(tiny_data, "listings.parquet", "listing_id"), 30)  # type: ignore[arg-type]
    assert set(column(sampled, "listings.parquet", "listing_id")) == chosen
    photos = pq.read_table(tiny_data / "images.parquet")
    kept = pc.or_(pc.is_null(photos["listing_id"]), pc.is_in(photos["listing_id"], pa.array(sorted(chosen))))
    assert column(sampled, "images.parquet", "image_id") == photos.filter(kept)["image_id"].to_pylist()
    assert set(column(sampled, "search_log.parquet", "listing_id")) <= chosen
    assert set(column(sampled, "labels.parquet", "image_id")) <= set(column(sampled, "images.parquet", "image_id"))
    assert not [found for found in inspect_folder(sampled, "all").findings if found.level == "error"]


def test_its_name_says_that_it_is_a_sample(sampled: Path, tiny_data: Path) -> None:
    whole = read_spec(tiny_data)
    assert read_spec(sampled) == whole.model_copy(update={"name": f"{whole.name} (sample of 30 listings)"})


def test_photos_are_linked_and_no_others_are_there(sampled: Path, tiny_data: Path) -> None:
    files = {path.split("::")[0] for path in column(sampled, "images.parquet", "path")}  # type: ignore[attr-defined]
    found = {path.relative_to(sampled).as_posix() for path in sampled.rglob("*") if path.is_file()}
    assert {name for name in found if name.startswith("images/")} == files
    assert all((sampled / name).samefile(tiny_data / name) for name in files)


def test_more_than_there_are_is_all(tiny_data: Path, tmp_path: Path) -> None:
    sample_folder(tiny_data, tmp_path / "all", 10_000)
    for file in ("listings.parquet", "images.parquet", "search_log.parquet", "labels.parquet"):
        assert pq.read_table(tmp_path / "all" / file).equals(pq.read_table(tiny_data / file))


def test_half_a_fair_pair_is_none(tiny_data: Path, tmp_path: Path) -> None:
    log = pq.read_table(tiny_data / "search_log.parquet").slice(0, 0)
    listings = column(tiny_data, "listings.parquet", "listing_id")
    [inside] = chosen_listings(listings, 1)  # type: ignore[arg-type]
    outside = next(listing for listing in listings if listing != inside)
    rows = {"session_id": ["s", "s", "t", "t", "t"], "listing_id": [inside, outside, inside, inside, inside]}
    rows |= {"fair_pair": [1, 1, 1, 1, None], "position": [1, 2, 1, 2, 3]}
    empty = {name: [None] * 5 for name in log.column_names if name not in rows}
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("dataset.yaml", "listings.parquet", "images"):
        (folder / name).symlink_to(tiny_data / name)
    pq.write_table(pa.table({**rows, **empty}, schema=log.schema), folder / "search_log.parquet")
    pq.write_table(pq.read_table(tiny_data / "images.parquet"), folder / "images.parquet")
    sample_folder(folder, tmp_path / "one", 1)
    assert column(tmp_path / "one", "search_log.parquet", "fair_pair") == [None, 1, 1, None]


def test_a_missing_photo_is_named(tiny_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("dataset.yaml", "listings.parquet", "images.parquet"):
        (folder / name).symlink_to(tiny_data / name)
    with pytest.raises(ShoplensError, match=r"images/.* is missing: images.parquet names it"):
        sample_folder(folder, tmp_path / "out", 5)
    assert not (tmp_path / "out").exists()
