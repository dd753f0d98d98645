"""Loading a folder as far as it can be loaded: a broken file is a finding, and the others are still read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import ValidationError

from shoplens.contract import columns as c
from shoplens.contract import tables
from shoplens.contract.findings import Finding, found
from shoplens.contract.spec import DatasetSpec, read_spec
from shoplens.errors import ShoplensError


@dataclass(frozen=True)
class Folder:
    """What could be read of a data folder. Tables lack the columns that are not in order; None: no table at all."""

    data: Path
    spec: DatasetSpec | None
    listings: pa.Table | None
    images: pa.Table | None
    search_log: pa.Table | None
    labels: pa.Table | None

    def tables(self) -> dict[str, pa.Table]:
        """File name -> table, of those that could be read."""
        every = {
            c.LISTINGS_FILE: self.listings,
            c.IMAGES_FILE: self.images,
            c.SEARCH_LOG_FILE: self.search_log,
            c.LABELS_FILE: self.labels,
        }
        return {file: table for file, table in every.items() if table is not None}


def has(table: pa.Table | None, *names: str) -> TypeGuard[pa.Table]:
    """Whether the table is there with all these columns in order and at least one row."""
    return table is not None and table.num_rows > 0 and set(names) <= set(table.column_names)


def rows_where(mask: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """The rows where an Arrow bool column is true (null counts as false)."""
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))


def codes(column: pa.ChunkedArray) -> np.ndarray:
    """A number per row, equal where the values are equal, in order of appearance; -1 for null."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, -1))


def places(needles: pa.ChunkedArray, haystack: pa.ChunkedArray) -> np.ndarray:
    """For each needle the first row of the haystack with the same value; -1 where there is none or it is null."""
    found_at = pc.index_in(needles, value_set=haystack.combine_chunks(), skip_nulls=True)
    return np.asarray(pc.fill_null(found_at, -1))


def _without_unknown_keys(path: Path) -> DatasetSpec | None:
    """What dataset.yaml says when its unknown keys are left out, so that the tables can be checked; None: nothing."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        try:
            return DatasetSpec.model_validate(value)
        except ValidationError as error:
            for *parents, key in (item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"):
                holder = value
                for parent in parents:
                    holder = holder[parent]
                del holder[key]
        return DatasetSpec.model_validate(value)
    except (yaml.YAMLError, ValidationError):
        return None


def _load_spec(data: Path) -> tuple[DatasetSpec | None, list[Finding]]:
    path = data / c.SPEC_FILE
    if not path.is_file():
        return None, [found("spec-missing", c.SPEC_FILE, f"{path} is missing")]
    try:
        path.read_text(encoding="utf-8")
        return read_spec(data), []
    except UnicodeDecodeError as error:
        return None, [found("not-utf8", c.SPEC_FILE, f"byte {error.start} is not UTF-8")]
    except ShoplensError as error:
        prefix = f"{path}: "
        problems = ("\n" + str(error)).split("\n" + prefix)
        findings = [found("spec-invalid", c.SPEC_FILE, problem.strip()) for problem in problems if problem.strip()]
        return _without_unknown_keys(path), findings


def load_folder(data: Path) -> tuple[Folder, list[Finding]]:
    """Read dataset.yaml and all tables.

    Raises:
        ShoplensError: only if `data` is no folder.
    """
    if not data.is_dir():
        raise ShoplensError(f"{data} is not a folder; name the folder that holds {c.SPEC_FILE}")
    spec, findings = _load_spec(data)
    wanted = {
        c.LISTINGS_FILE: tables.listing_columns(spec),
        c.IMAGES_FILE: tables.IMAGES,
        c.SEARCH_LOG_FILE: tables.SEARCH_LOG,
        c.LABELS_FILE: tables.LABELS,
    }
    loaded: dict[str, pa.Table | None] = {}
    for file, table_columns in wanted.items():
        if file in (c.SEARCH_LOG_FILE, c.LABELS_FILE) and not tables.has_table(data, file):
            loaded[file] = None
            continue
        loaded[file], problems = tables.load_table(data, file, table_columns)
        findings += problems
    return Folder(data, spec, *loaded.values()), findings
