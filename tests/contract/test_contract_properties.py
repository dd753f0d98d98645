"""Properties of the checks: valid folders stay valid, and the order of rows does not matter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.builder import SPEC, build_data, rows, write_rows, write_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.contract.checks import check_folder

CELLS: list[tuple[str, str, str, int, Any]] = [
    ("target-not-finite", "listings.parquet", "price", 3, float("nan")),
    ("level-unknown", "listings.parquet", "stars", 6, "nine"),
    ("title-empty", "listings.parquet", "title", 9, ""),
    ("value-null", "listings.parquet", "shop_id", 10, None),
    ("photo-missing", "images.parquet", "path", 4, "images/000.tar::gone.jpg"),
    ("path-outside", "images.parquet", "path", 7, "../gone.jpg"),
    ("size-wrong", "images.parquet", "width", 8, 5),
    ("listing-unknown", "search_log.parquet", "listing_id", 11, "gone"),
    ("dwell-invalid", "search_log.parquet", "dwell_s", 5, -2.0),
    ("box-partial", "labels.parquet", "y0", 5, None),
    ("role-unknown", "labels.parquet", "role", 6, "gallery"),
    ("image-unknown", "labels.parquet", "image_id", 7, "gone"),
]


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    listings=st.integers(30, 60),
    side=st.integers(6, 40),
    optional=st.sets(st.sampled_from(["search_log.parquet", "labels.parquet"])),
    ordinal=st.booleans(),
    tasks=st.sets(st.sampled_from([0, 1, 2]), min_size=1),
)
def test_any_valid_folder_has_no_errors(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    listings: int,
    side: int,
    optional: set[str],
    ordinal: bool,
    tasks: set[int],
) -> None:
    data = build_data(tmp_path_factory.mktemp("valid") / "data", listings=listings, side=side, seed=seed)
    for file in optional:
        (data / file).unlink()
    holdout = SPEC["holdout"] if ordinal else {"name": "stars", "kind": "multiclass"}
    write_spec(data, tasks=[SPEC["tasks"][index] for index in sorted(tasks)], holdout=holdout)
    assert [finding for finding in check_folder(data) if finding.level == "error"] == []


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), chosen=st.sets(st.sampled_from(range(len(CELLS))), min_size=1))
def test_the_order_of_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, seed: int, chosen: set[int]
) -> None:
    data = build_data(tmp_path_factory.mktemp("order") / "data", side=8)
    rng = np.random.default_rng(seed)
    broken = [CELLS[index] for index in sorted(chosen)]
    order = {}
    for file in ("listings.parquet", "images.parquet", "search_log.parquet", "labels.parquet"):
        table = rows(data, file)
        for _, _, column, row, value in (cell for cell in broken if cell[1] == file):
            table[row][column] = value
        write_rows(data, file, table)
        order[file] = rng.permutation(len(table))
    straight = {(f.check, f.file, f.column, f.row) for f in check_folder(data)}
    for file, places in order.items():
        table = rows(data, file)
        write_rows(data, file, [table[place] for place in places])
    shuffled = {
        (f.check, f.file, f.column, None if f.row is None else int(order[f.file][f.row])) for f in check_folder(data)
    }
    assert shuffled == straight
    assert {(check, file, row) for check, file, _, row, _ in broken} <= {(c, f, r) for c, f, _, r in straight}


def test_checking_leaves_the_folder_as_it_was(tiny_data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_data.rglob("*")}
    check_folder(tiny_data)
    assert {path: path.stat().st_mtime_ns for path in tiny_data.rglob("*")} == before
