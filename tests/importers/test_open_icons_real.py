"""The real packages: what docs/open-icons.md says of them. Needs an npm registry."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from shoplens.contract.checks import check_folder
from shoplens.contract.split import splits_of
from shoplens.importers.open_icons import import_open_icons
from shoplens.importers.open_icons_dependence import GALLERY, TOGETHER, dependences, majority
from shoplens.importers.open_icons_tasks import TASKS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open-icons")
    import_open_icons(folder / "data", folder / "cache")
    return folder / "data"


def test_size_and_contract(data: Path) -> None:
    listings = pq.read_table(data / "listings.parquet")
    images = pq.read_table(data / "images.parquet")
    assert (listings.num_rows, images.num_rows) == (1914, 7333)
    assert {finding.check for finding in check_folder(data)} <= {"photo-across-splits"}
    assert all(finding.level == "warning" for finding in check_folder(data))
    splits = list(splits_of(listings["listing_id"].to_pylist()))
    assert splits.count("test") > 150 and splits.count("validation") > 150


def test_searches(data: Path) -> None:
    log = pq.read_table(data / "search_log.parquet")
    assert len(set(log["query"].to_pylist())) == 39
    assert len(set(log["session_id"].to_pylist())) == 6 * 1914


def test_no_task_determines_the_holdout(data: Path) -> None:
    rows = {row.target: row for row in dependences(data)}
    assert set(rows) == {*TASKS, TOGETHER, GALLERY}
    for task in TASKS:
        row = rows[task]
        assert row.n >= 30, task
        assert row.largest is None or row.largest <= 0.6, task
        assert row.accuracy <= majority(data) + 0.06, task
    assert rows[TOGETHER].accuracy <= 0.45
