"""Checks of single columns: nulls, empty strings, repeated ids, columns without any value."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract import columns as c
from shoplens.contract.checks.folder import Folder, codes, rows_where
from shoplens.contract.findings import Finding, found, found_rows

REQUIRED = {
    c.LISTINGS_FILE: {c.LISTING_ID, c.SHOP_ID, c.TITLE, c.TAGS},
    c.IMAGES_FILE: {c.IMAGE_ID, c.PATH, c.WIDTH, c.HEIGHT, c.DOMAIN},
    c.SEARCH_LOG_FILE: {
        c.SESSION_ID,
        c.QUERY,
        c.SHOWN_AT,
        c.POSITION,
        c.LISTING_ID,
        c.CLICKED,
        c.CARTED,
        c.PURCHASED,
    },
    c.LABELS_FILE: {c.SOURCE, c.TASK, c.IMAGE_ID, c.ROLE},
}
"""Columns without nulls; in all others null means unknown."""

SELDOM_FILLED = {c.DWELL_S, c.FAIR_PAIR, *c.BOX}
"""Nullable columns that may be null throughout."""

MAY_BE_EMPTY = {c.TITLE, c.QUERY}
"""Text columns in which an empty string is a value."""

IDS = {c.LISTINGS_FILE: c.LISTING_ID, c.IMAGES_FILE: c.IMAGE_ID}


def check_values(folder: Folder) -> list[Finding]:
    """All checks of single columns, over all tables."""
    findings: list[Finding] = []
    for file, table in folder.tables().items():
        if table.num_rows:
            for name in table.column_names:
                findings += _check_column(file, name, table[name])
            if IDS.get(file) in table.column_names:
                findings += _check_unique(file, IDS[file], table[IDS[file]])
    return findings


def _check_column(file: str, name: str, column: pa.ChunkedArray) -> list[Finding]:
    findings: list[Finding] = []
    if name in REQUIRED[file]:
        findings += found_rows("value-null", file, name, rows_where(column.is_null()), lambda _: f"{name} is null")
    elif name not in SELDOM_FILLED and column.null_count == len(column):
        findings.append(found("column-all-null", file, f"{name} is null in all rows", column=name))
    if pa.types.is_string(column.type) and name not in MAY_BE_EMPTY:
        rows = rows_where(pc.equal(column, ""))
        findings += found_rows("value-empty", file, name, rows, lambda _: f"{name} is an empty string")
    return findings


def _check_unique(file: str, name: str, column: pa.ChunkedArray) -> list[Finding]:
    code = codes(column)
    _, first = np.unique(code, return_index=True)
    later = np.ones(len(code), dtype=bool)
    later[first] = False
    first_of = {int(code[row]): int(row) for row in first} if later.any() else {}
    return found_rows(
        "id-duplicate",
        file,
        name,
        np.flatnonzero(later & (code >= 0)),
        lambda row: f"{name} {column[row].as_py()!r} stands in row {first_of[int(code[row])]} already",
    )
