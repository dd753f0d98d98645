"""Checks of listings.parquet: titles, targets, classes and the split."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract import columns as c
from shoplens.contract.checks.folder import Folder, codes, has, rows_where
from shoplens.contract.findings import Finding, found, found_rows
from shoplens.contract.split import SPLITS, splits_of

FILE = c.LISTINGS_FILE
ENOUGH_LABELS = 10


def listing_splits(listings: pa.Table) -> np.ndarray:
    """Each listing's split as an index into SPLITS; -1 where the id is null."""
    ids = listings[c.LISTING_ID]
    number = {name: index for index, name in enumerate(SPLITS)}
    values = np.array([number[split] for split in splits_of(pc.fill_null(ids, "").to_pylist())], dtype=np.int8)
    values[rows_where(ids.is_null())] = -1
    return values


def check_listings(folder: Folder) -> list[Finding]:
    """All checks that need listings.parquet alone."""
    table, spec = folder.listings, folder.spec
    findings: list[Finding] = []
    if has(table, c.TITLE):
        rows = rows_where(pc.equal(pc.utf8_trim_whitespace(table[c.TITLE]), ""))
        findings += found_rows("title-empty", FILE, c.TITLE, rows, lambda _: "the title is empty")
    if has(table, c.TAGS):
        parents = pc.list_parent_indices(table[c.TAGS].combine_chunks()).to_numpy()
        rows = np.unique(parents[rows_where(pc.list_flatten(table[c.TAGS].combine_chunks()).is_null())])
        findings += found_rows("value-null", FILE, c.TAGS, rows, lambda _: "a tag is null")
    splits = listing_splits(table) if has(table, c.LISTING_ID) else None
    if splits is not None:
        for index, split in enumerate(SPLITS):
            if not (splits == index).any():
                message = f"none of the {len(splits):,} listings falls into {split}"
                findings.append(found("split-empty", FILE, message, column=c.LISTING_ID))
    if spec is None:
        return findings
    for name in (*(task.name for task in spec.tasks), spec.holdout.name):
        if has(table, name) and table[name].null_count < table.num_rows:
            findings += _check_target(name, table[name])
            if splits is not None:
                findings += _check_labels(name, table[name], splits)
    levels = spec.holdout.levels
    if levels is not None and has(table, spec.holdout.name):
        column = table[spec.holdout.name]
        rows = rows_where(pc.and_(column.is_valid(), pc.invert(pc.is_in(column, pa.array(levels, pa.string())))))
        findings += found_rows(
            "level-unknown",
            FILE,
            spec.holdout.name,
            rows,
            lambda row: f"{column[row].as_py()!r} is none of {', '.join(levels)}",
        )
    return findings


def _check_target(name: str, column: pa.ChunkedArray) -> list[Finding]:
    findings: list[Finding] = []
    if pa.types.is_floating(column.type):
        rows = rows_where(pc.invert(pc.is_finite(column)))
        findings += found_rows(
            "target-not-finite", FILE, name, rows, lambda row: f"the value is {column[row].as_py()}, which is no number"
        )
    if len(pc.unique(column.drop_null())) == 1:
        message = f"every known value is {column.drop_null()[0].as_py()!r}"
        findings.append(found("target-constant", FILE, message, column=name))
    return findings


def _check_labels(name: str, column: pa.ChunkedArray, splits: np.ndarray) -> list[Finding]:
    findings: list[Finding] = []
    labelled = column.is_valid().to_numpy()
    train, validation, test = (int((labelled & (splits == index)).sum()) for index in range(len(SPLITS)))
    if train < ENOUGH_LABELS or not validation or not test:
        message = f"labelled listings: {train} training, {validation} validation, {test} test"
        findings.append(found("labels-few", FILE, message, column=name))
    if not pa.types.is_floating(column.type) and train:
        code = codes(column)
        unseen = labelled & (splits > 0) & ~np.isin(code, code[splits == 0])
        _, first = np.unique(code[unseen], return_index=True)
        findings += found_rows(
            "class-unseen",
            FILE,
            name,
            np.flatnonzero(unseen)[first],
            lambda row: f"class {column[row].as_py()!r} of a {SPLITS[splits[row]]} listing is on no training listing",
        )
    return findings
