"""The measurement of dependence sees a task that is the hold-out by another name, and clears one that is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from shoplens.importers.open_icons_dependence import GALLERY, TOGETHER, Dependence, dependences, majority


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dependence]:
    """200 listings of two groups: `twin` is the group, `coin` is not, `partly` is known for the first group only."""
    data: Path = tmp_path_factory.mktemp("data")
    group = np.repeat(["a", "b"], [120, 80])
    ids = [f"listing-{i}" for i in range(200)]
    coin = np.random.default_rng(0).random(200) < 0.5
    tasks = {"twin": "binary", "coin": "binary", "partly": "multiclass", "number": "regression"}
    columns = {
        "listing_id": ids,
        "twin": group == "a",
        "coin": coin,
        "partly": [str(c) if g == "a" else None for c, g in zip(coin, group, strict=True)],
        "number": np.where(group == "a", 1.0, 2.0),
        "group": group,
    }
    pq.write_table(pa.table(columns), data / "listings.parquet")
    images = {"listing_id": ids, "domain": ["camera"] * 200}
    pq.write_table(pa.table(images), data / "images.parquet")
    spec = {
        "name": "x",
        "contract": 1,
        "tasks": [{"name": name, "kind": kind} for name, kind in tasks.items()],
        "holdout": {"name": "group", "kind": "multiclass"},
        "gallery": {"min": 1, "max": 1},
        "licence": "CC0-1.0",
    }
    (data / "dataset.yaml").write_text(yaml.safe_dump(spec))
    assert majority(data) == 0.6
    return {row.target: row for row in dependences(data)}


def test_a_twin_of_the_group_is_seen(rows: dict[str, Dependence]) -> None:
    assert rows["twin"] == Dependence("twin", 120, 1.0, 1.0, 1.0)
    assert rows["number"] == Dependence("number", 200, None, None, 1.0)
    assert rows[TOGETHER].accuracy == 1.0


def test_where_a_label_is_missing_counts_as_what_it_says(rows: dict[str, Dependence]) -> None:
    assert rows["partly"] == Dependence("partly", 120, 1.0, 1.0, 1.0)


def test_a_coin_and_equal_galleries_say_nothing(rows: dict[str, Dependence]) -> None:
    assert rows["coin"].accuracy <= 0.65 and rows[GALLERY].accuracy == 0.6
