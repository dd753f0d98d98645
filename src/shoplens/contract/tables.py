"""Reading the contract's tables: only its columns, in canonical Arrow types, whatever encoding they were written in.

Canonical types: string, bool, float64, list<string>, int32 (width, height), int64 (position, fair_pair),
timestamp[us, UTC]. Extra columns are ignored. An Arrow null means unknown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplens.contract import columns as c
from shoplens.contract.findings import Finding, found, found_rows, raise_errors
from shoplens.contract.spec import DatasetSpec

STRING, BOOL, FLOAT, TEXTS = pa.string(), pa.bool_(), pa.float64(), pa.list_(pa.string())
INT32, INT64, TIME = pa.int32(), pa.int64(), pa.timestamp("us", tz="UTC")
EITHER = "string or bool"
"""The type of a slice column: it keeps the one that it has."""

Columns = Mapping[str, "pa.DataType | str"]

IMAGES: Columns = {
    c.IMAGE_ID: STRING,
    c.LISTING_ID: STRING,
    c.PATH: STRING,
    c.WIDTH: INT32,
    c.HEIGHT: INT32,
    c.DOMAIN: STRING,
}
SEARCH_LOG: Columns = {
    c.SESSION_ID: STRING,
    c.QUERY: STRING,
    c.SHOWN_AT: TIME,
    c.POSITION: INT64,
    c.LISTING_ID: STRING,
    c.CLICKED: BOOL,
    c.DWELL_S: FLOAT,
    c.CARTED: BOOL,
    c.PURCHASED: BOOL,
    c.FAIR_PAIR: INT64,
}
LABELS: Columns = {
    c.SOURCE: STRING,
    c.TASK: STRING,
    c.LABEL: STRING,
    c.IMAGE_ID: STRING,
    c.ROLE: STRING,
    **dict.fromkeys(c.BOX, FLOAT),
}
KINDS = {"binary": BOOL, "multiclass": STRING, "regression": FLOAT}


def listing_columns(spec: DatasetSpec | None) -> Columns:
    """The columns of listings.parquet; without a spec, those that every data folder has."""
    wanted: dict[str, pa.DataType | str] = {c.LISTING_ID: STRING, c.SHOP_ID: STRING, c.TITLE: STRING, c.TAGS: TEXTS}
    if spec is not None:
        wanted |= {task.name: KINDS[task.kind] for task in spec.tasks}
        wanted[spec.holdout.name] = KINDS[spec.holdout.kind]
        wanted |= {name: EITHER for name in spec.slices if name not in wanted}
    return wanted


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _is_list(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_binary(kind.value_type)
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


ACCEPTS: dict[pa.DataType, Callable[[pa.DataType], bool]] = {
    STRING: _is_text,
    BOOL: pa.types.is_boolean,
    FLOAT: _is_number,
    INT32: _is_number,
    INT64: _is_number,
    TIME: pa.types.is_timestamp,
    TEXTS: lambda kind: _is_list(kind) and (_is_text(kind.value_type) or pa.types.is_null(kind.value_type)),
}


def _raw_text(column: pa.ChunkedArray) -> list[Any]:
    """The undecoded bytes of a text column, for the slow path where decoding has failed."""
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array([chunk.dictionary.take(chunk.indices) for chunk in column.chunks])
    raw = pa.list_(pa.binary()) if _is_list(column.type) else pa.binary()
    values: list[Any] = column.cast(raw).to_pylist()
    return values


def _is_utf8(value: bytes | list[bytes] | None) -> bool:
    if isinstance(value, list):
        return all(map(_is_utf8, value))
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _without_views(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A list_view column as lists. (pyarrow 25 casts them to lists whose offsets buffer is one entry short.)"""
    chunks = []
    for chunk in column.chunks:
        offsets = np.append(0, np.cumsum(pc.fill_null(pc.list_value_length(chunk), 0).to_numpy()))
        values = pc.list_flatten(chunk)
        chunks.append(pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, mask=chunk.is_null()))
    return pa.chunked_array(chunks, pa.large_list(column.type.value_type))


def _canonical(column: pa.ChunkedArray, wanted: pa.DataType | str) -> pa.ChunkedArray | None:
    """The column in its canonical type, or None where it has another type or a value does not fit.

    Raises:
        pa.ArrowInvalid: if text is not UTF-8.
    """
    kind = column.type
    if wanted == EITHER:
        wanted = BOOL if pa.types.is_boolean(kind) else STRING
    if pa.types.is_null(kind):
        return column.cast(wanted)
    if not ACCEPTS[wanted](kind):
        return None
    if wanted in (STRING, TEXTS):
        if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
            column = _without_views(column)
        column = column.cast(wanted)
        column.validate(full=True)
        return column
    try:
        if wanted == TIME:
            column = column.cast(pa.timestamp("us", tz=kind.tz), safe=kind.unit != "ns")
            return column.cast(TIME) if kind.tz else pc.assume_timezone(column, "UTC")
        return column.cast(wanted, safe=wanted != FLOAT)
    except pa.ArrowInvalid:
        return None


def _read_column(
    table: pq.ParquetFile, file: str, name: str, wanted: pa.DataType | str
) -> tuple[pa.ChunkedArray | None, list[Finding]]:
    indices = table.schema_arrow.get_all_field_indices(name)
    if not indices:
        return None, [found("column-missing", file, f"there is no column {name} ({wanted})", column=name)]
    if len(indices) > 1:
        return None, [found("column-repeated", file, f"{len(indices)} columns are called {name}", column=name)]
    try:
        raw = table.read(columns=[name]).column(name)
    except (pa.ArrowException, OSError) as error:
        return None, [found("table-unreadable", file, f"the column cannot be read: {error}", column=name)]
    try:
        column = _canonical(raw, wanted)
        is_text = column is not None or not _is_binary(raw.type)
    except pa.ArrowInvalid:
        column, is_text = None, False
    if not is_text and wanted in (STRING, TEXTS, EITHER):
        content = _raw_text(raw)
        rows = np.flatnonzero([not _is_utf8(value) for value in content])
        if len(rows):
            message = "the bytes are no UTF-8: "
            return None, found_rows("not-utf8", file, name, rows, lambda row: f"{message}{content[row]!r}")
    if column is None:
        return None, [
            found(
                "column-type",
                file,
                f"the column is {raw.type}, which does not convert to {wanted} without loss",
                column=name,
            )
        ]
    return column, []


def has_table(data: Path, file: str) -> bool:
    """Whether a data folder means to have an optional table: also a link whose target is gone, which is an error."""
    return os.path.lexists(data / file)


def load_table(data: Path, file: str, wanted: Columns) -> tuple[pa.Table | None, list[Finding]]:
    """Read what can be read of a table, with the problems met.

    Args:
        data: the contract folder.
        file: the table's file name.
        wanted: column name -> canonical type.

    Returns:
        The table with the columns that are in order (None if the file cannot be read at all), and findings.
    """
    try:
        table = pq.ParquetFile(data / file)
    except FileNotFoundError:
        return None, [found("table-missing", file, f"{data / file} is missing")]
    except (pa.ArrowException, OSError) as error:
        return None, [found("table-unreadable", file, f"not a readable Parquet file: {error}")]
    with table:
        good: dict[str, pa.ChunkedArray] = {}
        findings: list[Finding] = []
        if table.metadata.num_rows == 0:
            findings.append(found("table-empty", file, "the table has no rows"))
        for name, kind in wanted.items():
            column, problems = _read_column(table, file, name, kind)
            findings += problems
            if column is not None:
                good[name] = column
    return pa.table(good), findings


def _read(data: Path, file: str, wanted: Columns) -> pa.Table:
    table, findings = load_table(data, file, wanted)
    raise_errors(findings)
    return table


def read_listings(data: Path, spec: DatasetSpec) -> pa.Table:
    """listings.parquet: id, shop, title, tags, and the task, hold-out and slice columns of `spec`.

    Raises:
        ShoplensError: naming each missing file or column and each wrong type.
    """
    return _read(data, c.LISTINGS_FILE, listing_columns(spec))


def read_images(data: Path) -> pa.Table:
    """images.parquet, a row a photo.

    Raises:
        ShoplensError: naming each missing file or column and each wrong type.
    """
    return _read(data, c.IMAGES_FILE, IMAGES)


def read_search_log(data: Path, columns: Sequence[str] = tuple(SEARCH_LOG)) -> pa.Table | None:
    """Some or all columns of search_log.parquet, a row an impression; None if the data has none.

    Raises:
        ShoplensError: naming each missing column and each wrong type.
    """
    wanted = {name: SEARCH_LOG[name] for name in columns}
    return _read(data, c.SEARCH_LOG_FILE, wanted) if has_table(data, c.SEARCH_LOG_FILE) else None


def read_labels(data: Path) -> pa.Table | None:
    """labels.parquet, a row a labelled photo or crop; None if the data has none.

    Raises:
        ShoplensError: naming each missing column and each wrong type.
    """
    return _read(data, c.LABELS_FILE, LABELS) if has_table(data, c.LABELS_FILE) else None
