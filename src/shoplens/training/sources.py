"""Image sources as training sees them: units (a photo or crop with its classes), and which of them train or validate.

Pinterest, section 3.4.1: "Each dataset has its own independent tasks", and an image takes part in those that it has a
label for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract.spec import SourceSpec
from shoplens.errors import ShoplensError

UNLABELLED = -1


@dataclass(frozen=True)
class SoftmaxTask:
    """A softmax task of a source, with the classes that its training rows have, sorted."""

    source: str
    name: str
    classes: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """`source/task`, unique in the data."""
        return f"{self.source}/{self.name}"


@dataclass(frozen=True)
class ImageSource:
    """A source's units. A crop with several labels of one task makes several units.

    Attributes:
        name: as in dataset.yaml.
        tasks: those with two classes or more.
        crops: int64 (U,), the crop of each unit (data.examples.crops_of).
        targets: int64 (U, tasks), class or UNLABELLED: no label, or one that no training row has.
        trains: bool (U,); the others validate.
        searches, searched: bool (U,), may the photo stand for a query, and for what a query finds (see sides_of)?
        searched_by: the place among `tasks` of the one by which the source is judged; None if it is not among them.
    """

    name: str
    tasks: tuple[SoftmaxTask, ...]
    crops: np.ndarray
    targets: np.ndarray
    trains: np.ndarray
    searches: np.ndarray
    searched: np.ndarray
    searched_by: int | None


def sides_of(examples: pa.Table, domains: np.ndarray) -> np.ndarray:
    """Of each row, may its photo stand for a query of its source, and for what a query finds? bool (n, 2).

    That is: is it of a domain (column `domain` of images.parquet) that the source's queries have, and its corpus? Where
    no training photo is, as where the domains are unknown, all may. Of queries and corpora nothing else is looked at.

    Args:
        examples: rows of all roles.
        domains: str (n,), of each row's photo; "" if unknown.
    """
    source, role = (examples[name].to_numpy(zero_copy_only=False).astype(str) for name in ("source", "role"))
    sides = np.zeros((len(source), 2), bool)
    for name in np.unique(source):
        own = source == name
        for side, evaluated in enumerate(("query", "corpus")):
            fits = own & np.isin(domains, domains[own & (role == evaluated)])
            sides[fits if (fits & (role == "train")).any() else own, side] = True
    return sides


def image_sources(
    wanted: Sequence[SourceSpec], examples: pa.Table, crops: np.ndarray, sides: np.ndarray
) -> list[ImageSource]:
    """The sources with their training and validation units.

    Args:
        wanted: sources of dataset.yaml.
        examples: n rows with the role train or validation.
        crops: int64 (n,), each row's crop.
        sides: bool (n, 2), see sides_of.

    Raises:
        ShoplensError: if no task of a source has two classes to tell apart.
    """
    return [_source(item, examples, crops, sides) for item in wanted]


def _source(spec: SourceSpec, examples: pa.Table, crops: np.ndarray, sides: np.ndarray) -> ImageSource:
    name = spec.name
    own = pc.equal(examples["source"], name).to_numpy().astype(bool)
    table, crops, sides = examples.filter(pa.array(own)), crops[own], sides[own]
    trains = pc.equal(table["role"], "train").to_numpy().astype(bool)
    tasks: list[SoftmaxTask] = []
    columns, task_of, rows_of = [], [], []
    for task_name in spec.tasks:
        rows = np.flatnonzero(pc.equal(table["task"], task_name).to_numpy())
        labels = table["label"].take(pa.array(rows))
        classes = pc.unique(labels.filter(pa.array(trains[rows]))).sort()
        if len(classes) < 2:
            continue
        columns.append(pc.fill_null(pc.index_in(labels, value_set=classes), UNLABELLED).to_numpy().astype(np.int64))
        task_of.append(np.full(len(rows), len(tasks)))
        rows_of.append(rows)
        tasks.append(SoftmaxTask(name, task_name, tuple(classes.to_pylist())))
    if not tasks:
        raise ShoplensError(
            f"labels.parquet: no task of source {name!r} has two classes among its training rows: label some, or leave "
            "the source out of dataset.yaml"
        )
    task, row, value = np.concatenate(task_of), np.concatenate(rows_of), np.concatenate(columns)
    # the j-th label that a crop has in a task goes to its j-th unit
    order = np.lexsort((row, task, crops[row]))
    task, row, value = task[order], row[order], value[order]
    crop = crops[row]
    starts = np.r_[True, (crop[1:] != crop[:-1]) | (task[1:] != task[:-1])]
    turn = np.arange(len(row)) - np.maximum.accumulate(np.where(starts, np.arange(len(row)), 0))
    units, unit = np.unique(np.column_stack([crop, turn]), axis=0, return_inverse=True)
    targets = np.full((len(units), len(tasks)), UNLABELLED, np.int64)
    targets[unit.reshape(-1), task] = value
    training = np.zeros(len(units), bool)
    training[unit.reshape(-1)] = trains[row]  # all rows of a photo have one role
    searches, searched = np.zeros((2, len(units)), bool)
    searches[unit.reshape(-1)], searched[unit.reshape(-1)] = sides[row].T  # and one domain
    names = [item.name for item in tasks]
    judged = names.index(spec.eval.task) if spec.eval.task in names else None
    return ImageSource(name, tuple(tasks), units[:, 0], targets, training, searches, searched, judged)
