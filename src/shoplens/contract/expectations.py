"""The contract as Great Expectations sees it: one frame a table, with columns derived from the photos, and its suite.

A column that is missing or has a wrong type was not loaded, so here it does not exist. The row-level messages for
people come from `checks`; these expectations are an independent statement of the same contract, kept as Data Docs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract import columns as c
from shoplens.contract import tables
from shoplens.contract.checks import Inspection
from shoplens.contract.checks.folder import has, places
from shoplens.contract.checks.galleries import gallery_lengths
from shoplens.contract.checks.values import REQUIRED
from shoplens.contract.pixels import MAX_PIXELS
from shoplens.contract.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

GALLERY_LENGTH = "gallery_length"
READABLE, BYTES, PIXELS, SIZE_AS_STATED = "photo_readable", "photo_bytes", "photo_pixels", "size_as_stated"
LISTING_KNOWN, IMAGE_KNOWN = "listing_known", "image_known"


@dataclass(frozen=True)
class Expectation:
    """One expectation: its class name in great_expectations.expectations, its arguments, how bad a failure is."""

    kind: str
    arguments: Mapping[str, Any]
    severity: Literal["critical", "warning"] = "critical"


@dataclass(frozen=True)
class Suite:
    """A table's frame (one row a row of the table) and what is expected of it."""

    file: str
    frame: pd.DataFrame
    expectations: list[Expectation] = field(default_factory=list)


def _between(column: str, low: float | None, high: float | None, mostly: float = 1.0) -> Expectation:
    bounds = {"column": column, "min_value": low, "max_value": high, "mostly": mostly}
    return Expectation("ExpectColumnValuesToBeBetween", bounds)


def _all_true(column: str) -> Expectation:
    return Expectation("ExpectColumnValuesToBeInSet", {"column": column, "value_set": [True]})


def _one_of(column: str, values: tuple[str, ...]) -> Expectation:
    return Expectation("ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)})


def _unique(column: str) -> Expectation:
    return Expectation("ExpectColumnValuesToBeUnique", {"column": column})


def _known(needles: pa.Table, haystack: pa.Table | None, column: str) -> np.ndarray | None:
    """Whether each id of `needles` is in `haystack` or null; None where the haystack cannot be read."""
    if not has(haystack, column):
        return None
    return np.asarray((places(needles[column], haystack[column]) >= 0) | needles[column].is_null().to_numpy())


def _finite(column: str) -> str:
    return f"{column}_is_finite"


def _derive(inspection: Inspection, file: str, table: pa.Table) -> dict[str, np.ndarray]:
    """The columns that photos and other tables give to a table."""
    folder, photos = inspection.folder, inspection.photos
    derived: dict[str, np.ndarray | None] = {}
    if file == c.LISTINGS_FILE and has(table, c.LISTING_ID) and has(folder.images, c.LISTING_ID):
        derived[GALLERY_LENGTH] = gallery_lengths(table, folder.images)
    if file in (c.IMAGES_FILE, c.SEARCH_LOG_FILE) and has(table, c.LISTING_ID):
        derived[LISTING_KNOWN] = _known(table, folder.listings, c.LISTING_ID)
    if file == c.LABELS_FILE and has(table, c.IMAGE_ID):
        derived[IMAGE_KNOWN] = _known(table, folder.images, c.IMAGE_ID)
    if file == c.IMAGES_FILE and photos is not None:
        readable = derived[READABLE] = photos.width > 0
        derived[BYTES] = photos.size
        derived[PIXELS] = photos.width.astype(np.int64) * photos.height * readable
        if has(table, c.WIDTH, c.HEIGHT):
            stated = [np.asarray(pc.fill_null(table[name], 0)) for name in (c.WIDTH, c.HEIGHT)]
            same = (photos.width == stated[0]) & (photos.height == stated[1])
            derived[SIZE_AS_STATED] = same | ~readable
    for name in table.column_names:
        if file == c.LISTINGS_FILE and pa.types.is_floating(table[name].type):
            derived[_finite(name)] = np.asarray(pc.fill_null(pc.is_finite(table[name]), True))
    return {name: values for name, values in derived.items() if values is not None}


def _rules(file: str, spec: DatasetSpec | None) -> list[Expectation]:
    """The expectations of one table beyond existence, nulls and row count."""
    if file == c.LISTINGS_FILE:
        rules = [
            _unique(c.LISTING_ID),
            Expectation(
                "ExpectColumnValueLengthsToBeBetween", {"column": c.TITLE, "min_value": 1, "max_value": None}, "warning"
            ),
        ]
        if spec is not None:
            numbers = [task.name for task in spec.tasks if task.kind == "regression"]
            numbers += [spec.holdout.name] if spec.holdout.kind == "regression" else []
            rules += [_all_true(_finite(name)) for name in numbers]
            rules += [_one_of(spec.holdout.name, spec.holdout.levels)] if spec.holdout.levels else []
            rules.append(_between(GALLERY_LENGTH, 0, spec.gallery.max))
            rules.append(
                Expectation(
                    "ExpectColumnValuesToBeBetween",
                    {"column": GALLERY_LENGTH, "min_value": spec.gallery.min},
                    "warning",
                )
            )
        return rules
    if file == c.IMAGES_FILE:
        rules = [_unique(c.IMAGE_ID), _between(c.WIDTH, 1, None), _between(c.HEIGHT, 1, None), _between(BYTES, 1, None)]
        rules += [_between(PIXELS, 0, MAX_PIXELS), *map(_all_true, (LISTING_KNOWN, READABLE, SIZE_AS_STATED))]
        return rules
    if file == c.SEARCH_LOG_FILE:
        together = {"column_list": [c.SESSION_ID, c.POSITION], "ignore_row_if": "any_value_is_missing"}
        rules = [Expectation("ExpectCompoundColumnsToBeUnique", together)]
        return [*rules, _all_true(LISTING_KNOWN), _between(c.POSITION, 1, None), _between(c.DWELL_S, 0, None)]
    rules = [_all_true(IMAGE_KNOWN), _one_of(c.ROLE, c.ROLES), *(_between(side, 0, 1) for side in c.BOX)]
    return rules + ([_one_of(c.SOURCE, tuple(source.name for source in spec.sources))] if spec is not None else [])


def build_suites(inspection: Inspection) -> list[Suite]:
    """The suites of all tables that the folder has or must have."""
    folder = inspection.folder
    wanted: dict[str, tables.Columns] = {
        c.LISTINGS_FILE: tables.listing_columns(folder.spec),
        c.IMAGES_FILE: tables.IMAGES,
        c.SEARCH_LOG_FILE: tables.SEARCH_LOG,
        c.LABELS_FILE: tables.LABELS,
    }
    loaded = folder.tables()
    suites: list[Suite] = []
    for file, table_columns in wanted.items():
        if file not in loaded and not (file in (c.LISTINGS_FILE, c.IMAGES_FILE) or tables.has_table(folder.data, file)):
            continue
        table = loaded.get(file, pa.table({}))
        frame = table.drop_columns([name for name in (c.TAGS,) if name in table.column_names]).to_pandas()
        for name, values in _derive(inspection, file, table).items():
            frame[name] = values
        present = set(frame.columns)
        expectations = [Expectation("ExpectTableRowCountToBeBetween", {"min_value": 1})]
        expectations += [
            Expectation("ExpectColumnToExist", {"column": name}) for name in table_columns if name != c.TAGS
        ]
        expectations += [
            Expectation("ExpectColumnValuesToNotBeNull", {"column": name})
            for name in table_columns
            if name in REQUIRED[file] & present
        ]
        for rule in _rules(file, folder.spec):
            if {rule.arguments.get("column"), *rule.arguments.get("column_list", ())} - {None} <= present:
                expectations.append(rule)
        suites.append(Suite(file, frame, expectations))
    return suites
