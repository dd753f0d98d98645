"""Stage prepare on the tiny marketplace: roles, near duplicates, emptied galleries, training facts."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from contract.builder import rows, write_rows

from shoplens.contract.split import bucket, split_of
from shoplens.contract.validate import validate
from shoplens.data.galleries import read_galleries
from shoplens.data.prepare import prepare
from shoplens.errors import ShoplensError
from shoplens.files import read_json
from shoplens.params import PrepareParams, ValidateParams


def prepared(data: Path) -> Path:
    folder = data.parent / "artifacts"
    validate(data=data, out=folder / "validate", params=ValidateParams())
    prepare(data=data, validate=folder / "validate", out=folder / "prepare", params=PrepareParams())
    return folder / "prepare"


def by_split(data: Path, wanted: str) -> list[str]:
    return [r["listing_id"] for r in rows(data, "listings.parquet") if split_of(bucket(r["listing_id"])) == wanted]


def gallery_length(images: list[dict[str, object]], listing_id: str) -> int:
    return sum(r["listing_id"] == listing_id for r in images)


def test_the_split_follows_the_hash_of_the_id(tiny_data: Path) -> None:
    out = prepared(tiny_data)
    table = pq.read_table(out / "listings.parquet").to_pylist()
    assert {r["listing_id"]: r["split"] for r in table} == {
        r["listing_id"]: split_of(bucket(r["listing_id"])) for r in rows(tiny_data, "listings.parquet")
    }
    counts = read_json(out / "split.json")["listings"]
    assert sum(counts.values()) == len(table)


def test_a_training_photo_that_equals_a_test_photo_is_left_out_and_listed(tiny_data: Path) -> None:
    images = rows(tiny_data, "images.parquet")
    victim = next(r for r in images if r["listing_id"] == by_split(tiny_data, "train")[0] and "::" not in r["path"])
    model = next(r for r in images if r["listing_id"] == by_split(tiny_data, "test")[0] and "::" not in r["path"])
    (tiny_data / victim["path"]).write_bytes((tiny_data / model["path"]).read_bytes())
    victim["width"], victim["height"] = model["width"], model["height"]
    write_rows(tiny_data, "images.parquet", images)
    out = prepared(tiny_data)
    left_out = {r["image_id"]: r for r in pq.read_table(out / "left_out.parquet").to_pylist()}
    assert left_out[victim["image_id"]]["reason"] == "equal in bytes to a test photo"
    assert left_out[victim["image_id"]]["like"] == model["image_id"]
    assert victim["image_id"] not in pq.read_table(out / "photos.parquet")["image_id"].to_pylist()


def test_query_and_corpus_photos_never_train(tiny_data: Path) -> None:
    labels = rows(tiny_data, "labels.parquet")
    evaluation = {r["image_id"] for r in labels if r["role"] != "train"}
    images = rows(tiny_data, "images.parquet")
    forbidden = next(r for r in images if r["image_id"] in evaluation)
    forbidden["listing_id"] = next(i for i in by_split(tiny_data, "train") if gallery_length(images, i) < 4)
    write_rows(tiny_data, "images.parquet", images)
    out = prepared(tiny_data)
    assert forbidden["image_id"] not in pq.read_table(out / "photos.parquet")["image_id"].to_pylist()
    left_out = {r["image_id"]: r["reason"] for r in pq.read_table(out / "left_out.parquet").to_pylist()}
    assert left_out[forbidden["image_id"]] == "query or corpus photo of a training listing"


def test_task_facts_come_from_training_listings_alone(tiny_data: Path) -> None:
    facts = {t["name"]: t for t in read_json(prepared(tiny_data) / "tasks.json")["tasks"]}
    training = set(by_split(tiny_data, "train"))
    listings = [r for r in rows(tiny_data, "listings.parquet") if r["listing_id"] in training]
    prices = np.array([r["price"] for r in listings if r["price"] is not None])
    assert facts["price"]["mean"] == pytest.approx(prices.mean())
    assert facts["price"]["variance"] == pytest.approx(prices.var(ddof=1))
    pools = [r["has_pool"] for r in listings if r["has_pool"] is not None]
    assert facts["has_pool"]["prior"][1] == pytest.approx(np.mean(pools))
    assert facts["scene"]["classes"] == sorted({r["scene"] for r in listings if r["scene"] is not None})


def test_same_data_same_bytes(tiny_data: Path) -> None:
    first = {p.name: p.read_bytes() for p in prepared(tiny_data).iterdir()}
    assert {p.name: p.read_bytes() for p in prepared(tiny_data).iterdir()} == first


def test_galleries_line_up_with_their_photos(tiny_data: Path) -> None:
    out = prepared(tiny_data)
    galleries = read_galleries(out)
    photos = {r["path"]: r["listing_id"] for r in pq.read_table(out / "photos.parquet").to_pylist()}
    chosen = np.array([4, 0, 7])
    owners = [photos[galleries.paths[row]] for row in galleries.photo_rows(chosen)]
    assert owners == [i for g in chosen for i in [str(galleries.listing_ids[g])] * galleries.counts[g]]


def test_data_that_was_not_validated_is_refused(tiny_data: Path) -> None:
    prepared(tiny_data)
    listings = rows(tiny_data, "listings.parquet")
    listings[0]["title"] = "changed after validation"
    write_rows(tiny_data, "listings.parquet", listings)
    folder = tiny_data.parent / "artifacts"
    with pytest.raises(ShoplensError, match="made from another data"):
        prepare(data=tiny_data, validate=folder / "validate", out=folder / "prepare", params=PrepareParams())
