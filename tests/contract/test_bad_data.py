"""Each kind of bad data, put into a valid folder: which check says so, at which level, in which file and row."""

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract.bad_data import CASES, IMAGES, LABELS, LISTINGS, LOG, TOGETHER, Case, drop, photo, put, put_all, turned
from contract.builder import SCHEMAS, jpeg, rows, write_rows

from shoplens.contract.checks import Finding, check_folder, format_findings
from shoplens.contract.registry import CHECKS
from shoplens.errors import ShoplensError


def findings_of(findings: list[Finding], case: Case) -> list[Finding]:
    return [f for f in findings if (f.check, f.file, f.row) == (case.check, case.file, case.row)]


def test_the_unbroken_folder_has_no_findings(tiny_data: Path) -> None:
    assert check_folder(tiny_data) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_kind_of_bad_data_is_found(tiny_data: Path, case: Case) -> None:
    case.breaks(tiny_data)
    findings = check_folder(tiny_data)
    hits = findings_of(findings, case)
    assert hits, f"found instead: {[(f.check, f.file, f.row, f.message) for f in findings]}"
    assert hits[0].level == CHECKS[case.check].level
    assert len(hits[0].message) > 5
    assert hits[0].remedy == CHECKS[case.check].remedy


def test_every_check_has_a_case() -> None:
    own_test = {"role-shared-bytes"}
    assert {case.check for case in CASES} | own_test == set(CHECKS)
    assert len(CHECKS) >= 25


def test_equal_bytes_of_a_train_and_a_query_photo_are_a_warning(tiny_data: Path) -> None:
    images = {row["image_id"]: row for row in rows(tiny_data, IMAGES)}
    content = jpeg(np.random.default_rng(9), (9, 99, 200), 32, 24)
    for image_id in ("product-0", "product-2"):
        path = f"images/{image_id}-copy.jpg"
        (tiny_data / path).write_bytes(content)
        images[image_id]["path"] = path
    write_rows(tiny_data, IMAGES, list(images.values()))
    assert [(f.check, f.level, f.row) for f in check_folder(tiny_data)] == [("role-shared-bytes", "warning", 0)]


WARNINGS = {
    "gallery-empty", "position-gap", "class-unseen", "title-empty", "column-all-null", "target-constant", "labels-few",
    "image-unused", "path-repeated", "photo-across-splits", "time-ancient", "sources-without-labels",
    "role-shared-bytes", "query-unmatched", "class-single", "source-incomplete",
}  # fmt: skip


def test_only_these_checks_are_warnings() -> None:
    assert {check for check, entry in CHECKS.items() if entry.level == "warning"} == WARNINGS


def test_one_pass_finds_all_problems(tiny_data: Path) -> None:
    for case in TOGETHER:
        case.breaks(tiny_data)
    drop(LISTINGS, "shop_id")(tiny_data)
    findings = check_folder(tiny_data)
    assert any((f.check, f.column) == ("column-missing", "shop_id") for f in findings)
    assert [case.name for case in TOGETHER if not findings_of(findings, case)] == []


def test_a_broken_spec_and_table_leave_the_other_checks_running(tiny_data: Path) -> None:
    (tiny_data / "dataset.yaml").write_text("name: [", encoding="utf-8")
    (tiny_data / LISTINGS).write_bytes(b"no table")
    put(IMAGES, 3, width=33)(tiny_data)
    put(LOG, 4, position=4)(tiny_data)
    put(LABELS, 1, x1=1.2)(tiny_data)
    checks = {finding.check for finding in check_folder(tiny_data)}
    assert {"spec-invalid", "table-unreadable", "size-wrong", "position-duplicate", "box-range"} <= checks


def test_many_problems_of_one_kind_are_counted_not_listed(tiny_data: Path) -> None:
    put_all(LISTINGS, price=float("nan"))(tiny_data)
    findings = [f for f in check_folder(tiny_data) if f.check == "target-not-finite"]
    assert [f.row for f in findings] == [0, 1, 2, 3, 4, None]
    assert "25 more rows" in findings[-1].message


def test_headers_find_a_photo_that_is_none_but_not_a_truncated_one(tiny_data: Path) -> None:
    photo(2, lambda content: content[: len(content) - 40])(tiny_data)
    photo(4, lambda _: b"<html>")(tiny_data)
    assert [(f.check, f.row) for f in check_folder(tiny_data, decode="headers")] == [("photo-unreadable", 4)]
    assert [f.row for f in check_folder(tiny_data)] == [2, 4]


@pytest.mark.parametrize("depth", ["all", "headers"])
def test_stated_sizes_are_those_of_the_upright_photo(tiny_data: Path, depth: Literal["all", "headers"]) -> None:
    photo(2, turned)(tiny_data)
    assert [(f.check, f.row) for f in check_folder(tiny_data, depth)] == [("size-wrong", 2)]
    put(IMAGES, 2, width=24, height=32)(tiny_data)
    assert check_folder(tiny_data, depth) == []


def test_the_text_names_file_row_column_and_remedy_errors_first(tiny_data: Path) -> None:
    put(LISTINGS, 7, title="", price=float("nan"))(tiny_data)
    assert format_findings(check_folder(tiny_data)).splitlines() == [
        "error [target-not-finite] listings.parquet, row 7, column price: the value is nan, which is no number",
        "  remedy: write null where the value is unknown",
        "warning [title-empty] listings.parquet, row 7, column title: the title is empty",
        "  remedy: the run goes on, and no query's words find it by its title: write one",
        "1 error, 1 warning; warnings stop no run",
    ]


def test_something_else_than_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="is not a folder"):
        check_folder(tmp_path / "gone")


def test_unknown_columns_are_ignored(tiny_data: Path) -> None:
    for file in SCHEMAS:
        table = pq.read_table(tiny_data / file)
        pq.write_table(table.append_column("extra", pa.array([{"a": 1}] * table.num_rows)), tiny_data / file)
    assert check_folder(tiny_data) == []
