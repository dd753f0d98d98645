"""Distinct crops of labelled photos: their order, what tells them apart, and which one each example is of."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.data.examples import BOX, Crops, crops_of, read_examples

Box = tuple[float, float, float, float] | None
Unit = tuple[str, Box]
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)

fractions = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1))
boxes = st.one_of(st.none(), st.tuples(fractions, fractions, fractions, fractions))
# ids whose order differs between bytes, code points, UTF-16 units and numbers
ids = st.one_of(st.sampled_from(["a", "b", "B", "a10", "a9", "\xe9", "\U0001f600", "\uffee"]), st.text(max_size=3))


def table(units: list[Unit], shas: dict[str, str] | None = None) -> pa.Table:
    """Examples as stage prepare writes them; a photo's bytes are its own unless `shas` says else."""
    columns = {
        "source": ["shop"] * len(units),
        "task": ["product"] * len(units),
        "label": [None] * len(units),
        "role": ["corpus"] * len(units),
        "image_id": [image_id for image_id, _ in units],
        "path": [f"images/{image_id}.jpg" for image_id, _ in units],
        "sha256": [(shas or {}).get(i, hashlib.sha256(i.encode()).hexdigest()) for i, _ in units],
    }
    corners = {name: pa.array([box and box[at] for _, box in units], pa.float64()) for at, name in enumerate(BOX)}
    return pa.table({**{name: pa.array(values, pa.string()) for name, values in columns.items()}, **corners})


def unit(crops: Crops, row: int) -> Unit:
    x0, y0, x1, y1 = crops.boxes[row].tolist()
    return str(crops.image_ids[row]), None if math.isnan(x0) else (x0, y0, x1, y1)


@settings(deadline=None)
@given(st.lists(st.tuples(ids, boxes), max_size=30))
def test_crops_are_distinct_and_in_order_and_each_example_has_its_own(units: list[Unit]) -> None:
    examples = table(units)
    crops, rows = crops_of(examples)
    in_order = sorted(set(units), key=lambda found: (found[0], found[1] or ()))  # an empty tuple sorts first
    assert [unit(crops, row) for row in range(len(crops))] == in_order
    assert [unit(crops, row) for row in rows] == units
    assert [crops.paths[row] for row in rows] == examples["path"].to_pylist()
    assert (rows.shape, crops.boxes.shape) == ((len(units),), (len(in_order), 4))


@settings(deadline=None)
@given(st.lists(st.tuples(ids, boxes), min_size=2, max_size=12), st.data())
def test_digests_tell_bytes_and_boxes_apart_and_nothing_else(units: list[Unit], data: st.DataObject) -> None:
    """So that what is made of a crop can be kept under its digest: photos with equal bytes share theirs."""
    photos = sorted({image_id for image_id, _ in units})
    shas = {image_id: data.draw(st.sampled_from(["aa", "bb", "cc"])) for image_id in photos}
    crops, _ = crops_of(table(units, shas))
    meant = [(shas[image_id], box) for image_id, box in (unit(crops, row) for row in range(len(crops)))]
    assert len(crops.digests) == len(crops)
    for one, its_meaning in zip(crops.digests, meant, strict=True):
        for other, other_meaning in zip(crops.digests, meant, strict=True):
            assert (one == other) == (its_meaning == other_meaning)


def test_a_whole_photo_has_the_digest_of_its_bytes_and_comes_before_its_crops() -> None:
    crops, rows = crops_of(table([("b", None), ("a", RIGHT), ("a", LEFT), ("a", None), ("a", RIGHT)]))
    assert crops.image_ids.tolist() == ["a", "a", "a", "b"]
    assert np.array_equal(crops.boxes, [[np.nan] * 4, LEFT, RIGHT, [np.nan] * 4], equal_nan=True)
    assert rows.tolist() == [3, 2, 1, 0, 2]
    assert [crops.digests[0], crops.digests[3]] == [hashlib.sha256(name).hexdigest() for name in (b"a", b"b")]


def test_a_table_in_pieces_gives_the_same_crops_as_in_one() -> None:
    units: list[Unit] = [("b", LEFT), ("a", None), ("c", RIGHT), ("b", None), ("a", None)]
    whole, rows = crops_of(table(units))
    parts, rows_of_parts = crops_of(pa.concat_tables([table(units[:2]), table([]), table(units[2:])]))
    assert rows.tolist() == rows_of_parts.tolist()
    assert whole.image_ids.tolist() == parts.image_ids.tolist()
    assert (whole.paths, whole.digests) == (parts.paths, parts.digests)
    assert np.array_equal(whole.boxes, parts.boxes, equal_nan=True)


def test_of_no_examples_there_are_no_crops() -> None:
    crops, rows = crops_of(table([]))
    assert (len(crops), len(rows), crops.boxes.shape) == (0, 0, (0, 4))


def test_examples_are_read_back_and_absent_where_the_data_has_no_labels(tmp_path: Path) -> None:
    assert read_examples(tmp_path) is None
    written = table([("a", LEFT), ("a", None)])
    pq.write_table(written, tmp_path / "examples.parquet")
    found = read_examples(tmp_path)
    assert found is not None
    assert found.equals(written)
