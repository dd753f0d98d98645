"""docs/data.md says what the code does: its example runs, its tables are the code's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shoplens.contract import tables
from shoplens.contract.checks import check_folder
from shoplens.contract.checks.values import REQUIRED
from shoplens.contract.registry import CHECKS
from shoplens.contract.spec import DatasetSpec

PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")


def table_below(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = re.split(r"^#+ ", PAGE.split(heading, 1)[1], maxsplit=1, flags=re.M)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_example_makes_a_folder_without_findings(tmp_path: Path) -> None:
    example = PAGE.split("```python\n")[1].split("```")[0]
    assert len(example.splitlines()) <= 25
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, timeout=60)
    assert check_folder(tmp_path / "data") == []


def test_the_dataset_yaml_shown_is_valid() -> None:
    shown = PAGE.split("```yaml\n")[1].split("```")[0]
    spec = DatasetSpec.model_validate(yaml.safe_load(shown))
    assert set(yaml.safe_load(shown)) == set(DatasetSpec.model_fields)
    assert spec.sources[0].eval.metric == "p@1"


def test_the_table_of_checks_is_the_registry() -> None:
    shown = [
        (name.strip("`"), level, meaning, remedy) for name, level, meaning, remedy in table_below("## All checks\n")
    ]
    assert shown == [(name, check.level, check.meaning, check.remedy) for name, check in CHECKS.items()]


@pytest.mark.parametrize(
    ("heading", "file", "columns"),
    [
        ("### images.parquet", "images.parquet", tables.IMAGES),
        ("### search_log.parquet", "search_log.parquet", tables.SEARCH_LOG),
        ("### labels.parquet", "labels.parquet", tables.LABELS),
        ("### listings.parquet", "listings.parquet", tables.listing_columns(None)),
    ],
)
def test_the_columns_are_the_readers(heading: str, file: str, columns: tables.Columns) -> None:
    names = {str(tables.TEXTS): "list of strings", str(tables.TIME): "timestamp", "double": "float64"}
    shown = {
        name.strip("` "): (kind, null)
        for cell, kind, null, *_ in table_below(heading)
        if cell.startswith("`")
        for name in cell.split(",")
    }
    assert shown == {
        name: (names.get(str(kind), str(kind)), "no" if name in REQUIRED[file] else "yes")
        for name, kind in columns.items()
    }
