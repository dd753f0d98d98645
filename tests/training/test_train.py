"""Stage train on settings and data that do not fit: what is wrong, and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from contract.builder import rows, write_rows
from training.small import go, prepared

from shoplens.errors import ShoplensError
from shoplens.files import read_json


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sources": ["galleries", "lens"]},
            r"train.sources: the data has no source 'lens'; it has galleries, shop, camera",
        ),
        (
            {"sampled": {"shop/set": 9}},
            r"train.sampled: there is no task 'shop/set' to train; tasks: shop/product, shop/instance, camera/set",
        ),
        (
            {"sampled": {"camera/set": 9}, "sources": ["shop"]},
            r"no task 'camera/set' to train; tasks: shop/pro",
        ),
        (
            {"sampled": {"camera/set": 9}, "module": "layer_norm"},
            r"train.sampled: NormSoftmax .* has no sampled pro",
        ),
        ({"balance": "gradnorm", "loss": "kendall"}, r"train.balance: gradnorm .* set train.loss to pseudo_uniform"),
        ({"groups": 3}, r"8 dimensions cannot be normalised in 3 groups.*closest number of groups that fits is"),
        ({"groups": 8}, r"a group of one dimension normalises to 0 for every photo"),
        ({"frozen_blocks": 10}, r"train.frozen_blocks: efficientnet_lite0 has 9 blocks, cannot freeze 10"),
        ({"learning_rate": 1e30}, r"training loss is (nan|inf) in epoch 1, batch \d: lower train.learning_rate"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_settings_that_do_not_fit_are_named(root: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ShoplensError, match=message):
        go(root, **changes)
    assert not (root / "artifacts/train").exists()


def relabelled(root: Path, **roles: str) -> Path:
    """The marketplace with every training row of some sources in another role, prepared again."""
    labels = rows(root / "data", "labels.parquet")
    for row in labels:
        row["role"] = roles.get(row["source"], row["role"]) if row["role"] == "train" else row["role"]
    write_rows(root / "data", "labels.parquet", labels)
    shutil.rmtree(root / "artifacts")
    return prepared(root)


def test_a_source_whose_training_rows_are_gone_is_an_error_that_says_what_to_do(root: Path) -> None:
    with pytest.raises(ShoplensError, match=r"source 'camera' has two classes among its training rows: label some, or"):
        go(relabelled(root, camera="corpus"))


def test_other_sources_train_without_it(root: Path) -> None:
    out = go(relabelled(root, camera="corpus"), sources=["galleries", "shop"])
    assert set(read_json(out / "metrics.json")["classes"]) == {"shop/product", "shop/instance"}


def test_metrics_count_what_was_learned_from(root: Path) -> None:
    found = read_json(go(root) / "metrics.json")
    assert found["classes"] == {"shop/product": 2, "shop/instance": 7, "camera/set": 10}
    assert found["units"]["camera"] == {"train": 16, "validation": 4}
    assert found["epochs"] == found["best_epoch"] == 2
    assert found["photos_learned_from"] > 2 * found["units"]["shop"]["train"]
