"""Stage prepare on the tiny marketplace: roles, near duplicates, emptied galleries, training facts, examples."""

import hashlib
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract.builder import rows, write_rows, write_spec
from PIL import Image

from shoplens.contract.spec import read_spec
from shoplens.contract.split import bucket, split_of
from shoplens.contract.store import PhotoStore
from shoplens.contract.validate import validate
from shoplens.data.examples import read_examples
from shoplens.data.galleries import read_galleries
from shoplens.data.prepare import prepare
from shoplens.errors import ShoplensError
from shoplens.files import digest_json, read_json
from shoplens.params import PrepareParams, ValidateParams

BOX = ("x0", "y0", "x1", "y1")
# what the builder writes of the source "shop": a photo of each has the number n
TRAIN, QUERY, CORPUS = ([n for n in range(24) if n // 2 % 3 == role] for role in range(3))


def prepared(data: Path) -> Path:
    folder = data.parent / "artifacts"
    validate(data=data, out=folder / "validate", params=ValidateParams())
    prepare(data=data, validate=folder / "validate", out=folder / "prepare", params=PrepareParams())
    return folder / "prepare"


def by_split(data: Path, wanted: str) -> list[str]:
    return [r["listing_id"] for r in rows(data, "listings.parquet") if split_of(bucket(r["listing_id"])) == wanted]


def gallery_length(images: list[dict[str, object]], listing_id: str) -> int:
    return sum(r["listing_id"] == listing_id for r in images)


def examples(out: Path) -> list[dict[str, Any]]:
    found = read_examples(out)
    assert found is not None
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def roles(out: Path) -> dict[str, str]:
    """Photo -> its role in the examples."""
    return {row["image_id"]: row["role"] for row in examples(out)}


def left_out(out: Path) -> dict[str, tuple[str, str | None]]:
    """Photo -> why it is left out, and like which other."""
    return {r["image_id"]: (r["reason"], r["like"]) for r in pq.read_table(out / "left_out.parquet").to_pylist()}


def name_of(split: str, number: int = 0) -> str:
    """An image id whose own hash falls into a split."""
    names = (f"solo-{n}" for n in itertools.count())
    return next(itertools.islice((name for name in names if split_of(bucket(name)) == split), number, None))


def rename(data: Path, old: str, new: str) -> str:
    for file in ("images.parquet", "labels.parquet"):
        write_rows(data, file, [r | ({"image_id": new} if r["image_id"] == old else {}) for r in rows(data, file)])
    return new


def put_into(data: Path, image_id: str, split: str) -> str:
    """Give a photo to the first listing of a split that has room for it."""
    images = rows(data, "images.parquet")
    listing_id = next(i for i in by_split(data, split) if gallery_length(images, i) < 4)
    write_rows(
        data, "images.parquet", [r | ({"listing_id": listing_id} if r["image_id"] == image_id else {}) for r in images]
    )
    return listing_id


def photo_of(data: Path, split: str) -> str:
    """A photo of a listing of a split."""
    first = by_split(data, split)[0]
    return next(str(r["image_id"]) for r in rows(data, "images.parquet") if r["listing_id"] == first)


def content_of(data: Path, image_id: str) -> bytes:
    return PhotoStore(data).read(next(r["path"] for r in rows(data, "images.parquet") if r["image_id"] == image_id))


def as_png(content: bytes) -> bytes:
    """Nearly the same pixels, in other bytes."""
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.array(image)
    pixels[0, 0] ^= 1
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def replace_photo(data: Path, image_id: str, content: bytes) -> None:
    path = f"images/{image_id}-replaced"
    (data / path).write_bytes(content)
    images = rows(data, "images.parquet")
    write_rows(data, "images.parquet", [r | ({"path": path} if r["image_id"] == image_id else {}) for r in images])


def test_the_split_follows_the_hash_of_the_id(tiny_data: Path) -> None:
    out = prepared(tiny_data)
    table = pq.read_table(out / "listings.parquet").to_pylist()
    assert {r["listing_id"]: r["split"] for r in table} == {
        r["listing_id"]: split_of(bucket(r["listing_id"])) for r in rows(tiny_data, "listings.parquet")
    }
    assert read_json(out / "split.json")["dataset"] == read_spec(tiny_data).name
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


def test_data_whose_tasks_teach_nothing_is_prepared_for_its_image_sources_and_refused_without_any(
    tiny_data: Path,
) -> None:
    write_spec(tiny_data, tasks=[])
    assert read_json(prepared(tiny_data) / "tasks.json") == {"tasks": [], "skipped": []}
    table = rows(tiny_data, "listings.parquet")
    write_rows(tiny_data, "listings.parquet", [{**row, "has_pool": True} for row in table])
    write_spec(tiny_data, tasks=[{"name": "has_pool", "kind": "binary"}])
    assert read_json(prepared(tiny_data) / "tasks.json") == {"tasks": [], "skipped": ["has_pool"]}
    almost_equal = [{**row, "price": 1e-25 * place} for place, row in enumerate(table)]
    write_rows(tiny_data, "listings.parquet", almost_equal)
    write_spec(tiny_data, tasks=[{"name": "price", "kind": "regression"}])
    assert read_json(prepared(tiny_data) / "tasks.json") == {"tasks": [], "skipped": ["price"]}
    write_rows(tiny_data, "listings.parquet", [{**row, "has_pool": True} for row in table])
    (tiny_data / "labels.parquet").unlink()
    write_spec(tiny_data, tasks=[{"name": "has_pool", "kind": "binary"}], sources=[])
    with pytest.raises(ShoplensError, match="no task has two different labels"):
        prepared(tiny_data)


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


def test_examples_are_the_rows_of_the_labels_with_where_the_photos_are_and_what_they_are(tiny_data: Path) -> None:
    labels = rows(tiny_data, "labels.parquet")
    distractor = next(r for r in labels if r["image_id"] == f"product-{CORPUS[0]}")
    distractor["label"] = None
    write_rows(tiny_data, "labels.parquet", labels)
    paths = {r["image_id"]: r["path"] for r in rows(tiny_data, "images.parquet")}
    out = prepared(tiny_data)
    shas = {r["image_id"]: hashlib.sha256(content_of(tiny_data, r["image_id"])).hexdigest() for r in labels}
    expected = [r | {"path": paths[r["image_id"]], "sha256": shas[r["image_id"]]} for r in labels]
    role_of = {n: "validation" for n in TRAIN if split_of(bucket(f"product-{n}")) == "validation"}
    for row in expected:
        row["role"] = role_of.get(int(row["image_id"].removeprefix("product-")), row["role"])
    found = examples(out)
    assert sorted(found, key=lambda r: r["image_id"]) == sorted(expected, key=lambda r: r["image_id"])
    assert pq.read_schema(out / "examples.parquet").equals(
        pa.schema(
            [(name, pa.string()) for name in ("source", "task", "label", "role", "image_id", "path", "sha256")]
            + [(name, pa.float64()) for name in BOX]
        )
    )
    assert read_json(out / "split.json")["examples"] == {
        "shop": {role: [r["role"] for r in expected].count(role) for role in sorted({r["role"] for r in expected})}
    }


def test_a_photo_without_a_listing_is_split_by_its_own_hash_and_one_with_a_listing_by_that(tiny_data: Path) -> None:
    # what tests is said by the role, so the hash's test photos train as well
    role_by_hash = {"validation": "validation", "train": "train", "test": "train"}
    alone = {
        rename(tiny_data, f"product-{n}", name_of(split)): role
        for n, (split, role) in zip(TRAIN[:3], role_by_hash.items(), strict=True)
    }
    query = rename(tiny_data, f"product-{QUERY[0]}", name_of("validation", 1))
    listed = rename(tiny_data, f"product-{TRAIN[3]}", name_of("validation", 2))
    home = put_into(tiny_data, listed, "train")
    dropped = [photo_of(tiny_data, split) for split in ("validation", "test")]
    write_rows(
        tiny_data,
        "labels.parquet",
        rows(tiny_data, "labels.parquet")
        + [{"source": "shop", "task": "product", "label": "lamp", "image_id": i, "role": "train"} for i in dropped],
    )
    out = prepared(tiny_data)

    found = roles(out)
    assert {image_id: found[image_id] for image_id in alone} == alone
    assert found[query] == "query", "the role says what tests"
    assert found[listed] == "train", "its listing trains"
    assert not set(dropped) & set(found)
    assert left_out(out) == dict.fromkeys(dropped, ("train-role photo of a validation or test listing", None))
    photos = {r["image_id"]: r["listing_id"] for r in pq.read_table(out / "photos.parquet").to_pylist()}
    assert photos[listed] == home
    assert None not in photos.values()
    assert not set(alone) & set(photos), "a photo without a listing is in no gallery"
    assert not set(dropped) & set(photos)
    assert read_json(out / "split.json")["examples"] == {
        "shop": {role: list(found.values()).count(role) for role in ("corpus", "query", "train", "validation")}
    }


def test_query_and_corpus_photos_of_a_training_listing_still_test(tiny_data: Path) -> None:
    photos = {role: f"product-{numbers[0]}" for role, numbers in (("query", QUERY), ("corpus", CORPUS))}
    for image_id in photos.values():
        put_into(tiny_data, image_id, "train")
    out = prepared(tiny_data)
    assert left_out(out) == dict.fromkeys(photos.values(), ("query or corpus photo of a training listing", None))
    assert {role: roles(out)[image_id] for role, image_id in photos.items()} == {role: role for role in photos}


def test_a_training_photo_like_one_that_tests_is_left_out_whichever_is_of_a_source_or_a_listing(
    tiny_data: Path,
) -> None:
    product = "product-{}".format
    in_test, in_train = photo_of(tiny_data, "test"), photo_of(tiny_data, "train")
    of_training_listing = product(QUERY[2])
    put_into(tiny_data, of_training_listing, "train")
    equal = {
        product(TRAIN[0]): product(QUERY[0]),
        product(TRAIN[1]): product(CORPUS[0]),
        product(TRAIN[2]): in_test,
        product(TRAIN[3]): of_training_listing,
    }
    near = {product(TRAIN[4]): product(CORPUS[1]), product(TRAIN[5]): in_test, in_train: product(QUERY[1])}
    of_another_training_photo = product(TRAIN[6])
    contents = {copy: content_of(tiny_data, model) for copy, model in equal.items()}
    contents |= {copy: as_png(content_of(tiny_data, model)) for copy, model in near.items()}
    contents[of_another_training_photo] = content_of(tiny_data, product(TRAIN[7]))
    for image_id, content in contents.items():
        replace_photo(tiny_data, image_id, content)
    out = prepared(tiny_data)

    assert left_out(out) == {
        **{copy: ("equal in bytes to a test photo", model) for copy, model in equal.items()},
        **{copy: ("nearly equal to a test photo", model) for copy, model in near.items()},
        of_training_listing: ("query or corpus photo of a training listing", None),
    }
    found = roles(out)
    assert {i for i, role in found.items() if role in ("train", "validation")} == {product(n) for n in TRAIN[6:]}
    assert {i for i, role in found.items() if role in ("query", "corpus")} == {product(n) for n in QUERY + CORPUS}
    assert in_train not in pq.read_table(out / "photos.parquet")["image_id"].to_pylist()
    counts = read_json(out / "split.json")
    assert counts["left_out"] == {
        "equal in bytes to a test photo": 4,
        "nearly equal to a test photo": 3,
        "query or corpus photo of a training listing": 1,
    }
    assert sum(counts["examples"]["shop"].values()) == 2 + len(QUERY) + len(CORPUS)


def test_the_split_of_data_without_labels_is_hashed_over_listings_and_photos_left_out(tiny_data: Path) -> None:
    (tiny_data / "labels.parquet").unlink()
    write_spec(tiny_data, sources=[])
    images = rows(tiny_data, "images.parquet")
    write_rows(tiny_data, "images.parquet", [r for r in images if r["listing_id"] is not None])
    copy = photo_of(tiny_data, "train")
    replace_photo(tiny_data, copy, content_of(tiny_data, photo_of(tiny_data, "test")))
    out = prepared(tiny_data)
    split = read_json(out / "split.json")
    ids = sorted(r["listing_id"] for r in rows(tiny_data, "listings.parquet"))
    assert split["hash"] == digest_json({"listings": [[i, split_of(bucket(i))] for i in ids], "left_out": [copy]})
    assert "examples" not in split
    assert not (out / "examples.parquet").exists()
    assert read_examples(out) is None


def test_the_hash_of_the_split_follows_the_examples_and_not_their_order_or_place(tiny_data: Path) -> None:
    def split_hash() -> str:
        return str(read_json(prepared(tiny_data) / "split.json")["hash"])

    def change(image_id: str, **values: object) -> None:
        labels = rows(tiny_data, "labels.parquet")
        write_rows(tiny_data, "labels.parquet", [r | (values if r["image_id"] == image_id else {}) for r in labels])

    first = split_hash()
    write_rows(tiny_data, "labels.parquet", rows(tiny_data, "labels.parquet")[::-1])
    replace_photo(tiny_data, f"product-{CORPUS[0]}", content_of(tiny_data, f"product-{CORPUS[0]}"))  # elsewhere
    assert split_hash() == first
    hashes = [first]
    change(f"product-{TRAIN[0]}", label="vase")
    hashes.append(split_hash())
    change(f"product-{QUERY[2]}", **dict(zip(BOX, (0.0, 0.0, 0.5, 0.5), strict=True)))
    hashes.append(split_hash())
    replace_photo(tiny_data, f"product-{CORPUS[0]}", as_png(content_of(tiny_data, f"product-{CORPUS[0]}")))
    hashes.append(split_hash())
    assert len(set(hashes)) == len(hashes)


def test_a_photo_that_no_listing_and_no_label_uses_is_not_read(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = rows(tiny_data, "images.parquet"), rows(tiny_data, "labels.parquet")
    unused = f"product-{TRAIN[0]}"
    write_rows(tiny_data, "labels.parquet", [r for r in labels if r["image_id"] != unused])
    folder = tiny_data.parent / "artifacts"
    validate(data=tiny_data, out=folder / "validate", params=ValidateParams())
    read, paths = PhotoStore.read, []

    def noted(store: PhotoStore, path: str) -> bytes:
        paths.append(path)
        return read(store, path)

    monkeypatch.setattr(PhotoStore, "read", noted)
    prepare(data=tiny_data, validate=folder / "validate", out=folder / "prepare", params=PrepareParams())
    assert sorted(paths) == sorted(r["path"] for r in images if r["image_id"] != unused), "each other one once"
    assert unused not in roles(folder / "prepare")
