"""How much the tasks of an imported folder give away of its hold-out: measured, not argued.

`python -m shoplens.importers.open_icons_dependence DIR` prints the table of docs/open-icons.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplens.contract import columns as c
from shoplens.contract.spec import read_spec

FOLDS = 5
TREES, MIN_LEAF = 100, 3

TOGETHER = "all tasks together"
GALLERY = "which vendors drew it"


@dataclass(frozen=True)
class Dependence:
    """What a target says about the hold-out.

    Attributes:
        target: the task, `TOGETHER`, or `GALLERY` (not a task: what the gallery's composition alone says).
        n: labelled listings; for a binary task those of which it is true.
        largest: the largest share that one group has of those; None for a target without a "true".
        densest: the largest share of one group's listings that they make up; None likewise.
        accuracy: of a random forest that predicts the group from the target, cross-validated over 5 folds; an unknown
            label counts as a value of its own.
    """

    target: str
    n: int
    largest: float | None
    densest: float | None
    accuracy: float


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A label column as numbers, one row a listing: classes as indicator columns, null as -1 or as no class."""
    if pa.types.is_string(column.type):
        classes = sorted(pc.unique(column).drop_null().to_pylist())
        return np.stack([np.asarray(pc.fill_null(pc.equal(column, name), False), float) for name in classes], axis=1)
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), -1.0))[:, None]


def _accuracy(features: np.ndarray, groups: np.ndarray) -> float:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    forest = RandomForestClassifier(TREES, min_samples_leaf=MIN_LEAF, random_state=0)
    return float(np.mean(cross_val_score(forest, features, groups, cv=folds)))


def _largest(groups: np.ndarray) -> float:
    """The share of the most frequent group."""
    return float(np.unique(groups, return_counts=True)[1].max() / len(groups))


def _densest(groups: np.ndarray, chosen: np.ndarray) -> float:
    """The largest share of one group that is chosen."""
    return max(float(chosen[groups == group].mean()) for group in np.unique(groups))


def dependences(data: Path) -> list[Dependence]:
    """One row a task, then all tasks together, then the gallery's composition.

    Args:
        data: a contract folder with a multiclass hold-out.

    Raises:
        ShoplensError: if dataset.yaml is missing or not valid.
    """
    spec = read_spec(data)
    table = pq.read_table(data / c.LISTINGS_FILE)
    groups = np.asarray(table[spec.holdout.name])
    rows, everything = [], []
    for task in spec.tasks:
        column = table[task.name]
        features = _numbers(column)
        everything.append(features)
        chosen = column if task.kind == "binary" else pc.is_valid(column)
        counted = np.asarray(pc.fill_null(chosen, False), bool)
        named = task.kind != "regression"
        largest = _largest(groups[counted]) if named else None
        densest = _densest(groups, counted) if named else None
        rows.append(Dependence(task.name, int(counted.sum()), largest, densest, _accuracy(features, groups)))
    rows.append(Dependence(TOGETHER, len(groups), None, None, _accuracy(np.concatenate(everything, axis=1), groups)))
    images = pq.read_table(data / c.IMAGES_FILE, columns=[c.LISTING_ID, c.DOMAIN])
    place = np.asarray(pc.index_in(images[c.LISTING_ID], table[c.LISTING_ID].combine_chunks()))
    domains, domain = np.unique(np.asarray(images[c.DOMAIN]), return_inverse=True)
    drawn = np.zeros((len(groups), len(domains)))
    drawn[place, domain] = 1.0
    rows.append(Dependence(GALLERY, len(groups), None, None, _accuracy(drawn, groups)))
    return rows


def majority(data: Path) -> float:
    """The largest group's share: the accuracy of predicting it always."""
    column = pq.read_table(data / c.LISTINGS_FILE, columns=[read_spec(data).holdout.name])[0]
    return _largest(np.asarray(column))


def main(data: Path) -> None:
    """Print the table as Markdown."""
    print("| target | n | largest group's share | densest in a group | accuracy on the group |")
    print("|---|---:|---:|---:|---:|")
    for row in dependences(data):
        shares = " | ".join("" if share is None else f"{share:.2f}" for share in (row.largest, row.densest))
        print(f"| {row.target} | {row.n} | {shares} | {row.accuracy:.2f} |")
    print(f"| (the largest group, always) | | | | {majority(data):.2f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
