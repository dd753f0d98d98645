"""What the training labels fix: classes, priors, means and variances; and label arrays with masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract.spec import DatasetSpec
from shoplens.errors import ShoplensError
from shoplens.strict import StrictModel


class Task(StrictModel):
    """A training task with what its training labels fixed.

    `classes` are the values seen in training, sorted (multiclass only); `mean` and `variance` are those of the
    training labels (regression: sample variance, the constant of pseudo-uniform scaling); `prior` are the class
    shares (binary: of False and True).
    """

    name: str
    kind: Literal["binary", "multiclass", "regression"]
    n: int
    classes: tuple[str, ...] = ()
    prior: tuple[float, ...] = ()
    mean: float = 0.0
    variance: float = 1.0

    @property
    def outputs(self) -> int:
        """Numbers a head gives: classes of a multiclass task, else one (logit or value)."""
        return len(self.classes) if self.kind == "multiclass" else 1


def _known(column: pa.ChunkedArray) -> np.ndarray:
    return ~np.asarray(column.is_null())


def describe_tasks(spec: DatasetSpec, listings: pa.Table, split: np.ndarray) -> dict[str, Any]:
    """The tasks with what their training labels fix, and the hold-out's levels, as JSON values.

    A task without two different training labels cannot be learned: it is left out and named under "skipped"; so is one
    whose labels differ by so little that their variance is 0 to training, which divides by it in float32.

    Raises:
        ShoplensError: if a part of the split is empty, or no task can be learned and there is no image source.
    """
    for part in ("train", "validation", "test"):
        if not (split == part).any():
            raise ShoplensError(
                f"listings.parquet: no {part} listing among {len(split)}; the split needs more listings"
            )
    tasks, skipped = [], []
    for item in spec.tasks:
        column = listings[item.name]
        values = np.array(column.filter(pa.array((split == "train") & _known(column))).to_pylist())
        if len(np.unique(values)) < 2 or (item.kind == "regression" and values.var(ddof=1) < np.finfo(np.float32).tiny):
            skipped.append(item.name)
            continue
        facts: dict[str, Any] = {"name": item.name, "kind": item.kind, "n": len(values)}
        if item.kind == "regression":
            facts |= {"mean": float(values.mean()), "variance": float(values.var(ddof=1))}
        elif item.kind == "binary":
            facts["prior"] = (float(1 - values.mean()), float(values.mean()))
        else:
            classes, counts = np.unique(values, return_counts=True)
            facts |= {"classes": tuple(classes.tolist()), "prior": tuple((counts / len(values)).tolist())}
        tasks.append(Task.model_validate(facts).model_dump(mode="json"))
    if not tasks and not spec.sources:
        raise ShoplensError("listings.parquet: no task has two different labels among the training listings")
    return {"tasks": tasks, "skipped": skipped}


@dataclass(frozen=True)
class Labels:
    """Labels of one task, a row a listing.

    `values`: int64 class index (binary: 0/1; -1 for a class unseen in training) or float32; `known`: bool mask.
    """

    values: np.ndarray
    known: np.ndarray


def read_labels_of(task: Task, listings: pa.Table) -> Labels:
    """A task's labels in the order of `listings`; unknown ones are masked, a class unseen in training is -1."""
    column = listings[task.name]
    known = _known(column)
    if task.kind == "regression":
        return Labels(np.array(column.fill_null(0.0).to_numpy(), np.float32), known)
    if task.kind == "binary":
        return Labels(np.array(column.fill_null(False).to_numpy(), np.int64), known)
    index = pc.index_in(column, value_set=pa.array(task.classes, pa.string()))
    return Labels(np.array(index.fill_null(-1).to_numpy(), np.int64), known)
