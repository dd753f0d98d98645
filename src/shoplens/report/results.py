"""The measurements as tables and figures: hold-out over training size, every task, the training curve."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.artifacts import Artifact
from shoplens.evaluation.outcomes import Scores, read_outcomes
from shoplens.evaluation.statistics import paired_interval
from shoplens.files import read_json
from shoplens.report.figures import Dot, Series, curves, dots
from shoplens.report.numbers import Estimate, finite, or_nan

FITTED = ("candidate", "baseline", "reference")
LABELS = {"candidate": "candidate", "baseline": "baseline", "reference": "ImageNet", "chance": "training shares"}
SCORES = {
    "rps": "ranked probability score",
    "log_loss": "log loss",
    "squared_error": "squared error",
    "accuracy": "accuracy",
}


@dataclass(frozen=True)
class HoldoutRow:
    """One model at one training size; `gain` is how much better than ImageNet it is, paired by listing."""

    model: str
    share: float
    training_listings: int
    score: Estimate
    accuracy: Estimate | None
    gain: Estimate
    n: int


@dataclass(frozen=True)
class Holdout:
    """The hold-out section: the score's name, a figure for each score, and the table."""

    score: str
    figures: tuple[str, ...]
    rows: tuple[HoldoutRow, ...]
    has_baseline: bool


@dataclass(frozen=True)
class TaskRow:
    """One task: each model's accuracy or error, the candidate's AUC, and the share of chance's error removed."""

    task: str
    kind: str
    measure: str
    candidate: Estimate | None
    baseline: Estimate | None
    chance: Estimate | None
    auc: Estimate | None
    removed: Estimate | None
    n: int


@dataclass(frozen=True)
class Tasks:
    """The task section, best task first."""

    figure: str | None
    rows: tuple[TaskRow, ...]
    has_baseline: bool


@dataclass(frozen=True)
class Training:
    """The training section: figure and facts."""

    figure: str
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]


def read_holdout(folder: Path) -> Holdout:
    """The hold-out task, from stars.csv and metrics.json of stage evaluate-stars."""
    found = read_json(folder / "metrics.json")["metrics"]
    score = next(name for name in SCORES if f"stars/{name}" in found)
    table = _read_csv(folder / "stars.csv")
    rows = [
        HoldoutRow(
            row["model"],
            float(row["share"]),
            int(row["training_listings"]),
            _cells(row, score),
            _cells(row, "accuracy") if "accuracy" in row else None,
            _cells(row, "gain"),
            int(row["n"]),
        )
        for row in table
    ]
    rows.sort(key=lambda row: (row.training_listings, FITTED.index(row.model)))
    names = [name for name in (score, "accuracy") if f"stars/{name}" in found]
    figures = tuple(_holdout_figure(rows, name, found[f"stars/{name}"]) for name in names)
    return Holdout(SCORES[score], figures, tuple(rows), any(row.model == "baseline" for row in rows))


def _holdout_figure(rows: Sequence[HoldoutRow], name: str, block: Mapping[str, Any]) -> str:
    series = []
    for model in FITTED:
        points = [row for row in rows if row.model == model]
        cells = [row.accuracy if name == "accuracy" else row.score for row in points]
        parts = {part: [or_nan(getattr(cell, part)) for cell in cells] for part in ("value", "low", "high")}
        if points:
            sizes = [row.training_listings for row in points]
            series.append(Series(LABELS[model], model, sizes, parts["value"], parts["low"], parts["high"]))
    chance = finite(block["chance"]["value"]) if "chance" in block else None
    return curves(
        series,
        title=f"Hold-out {SCORES[name]} over the number of training listings",
        x_label="labelled training listings",
        y_label=f"{SCORES[name]} ({block['direction']} is better)",
        level=None if chance is None else (LABELS["chance"], chance),
    )


def read_tasks(evaluated: Artifact) -> Tasks | str:
    """All training tasks, from tasks.csv and the outcomes of stage evaluate-tasks, or why none was evaluated."""
    measured = read_json(evaluated.path / "metrics.json")
    if "skipped" in measured:
        return str(measured["skipped"])
    table = _read_csv(evaluated.path / "tasks.csv")
    outcomes = read_outcomes(evaluated.path / "outcomes.parquet")
    rows, marks = [], []
    for task in dict.fromkeys(row["task"] for row in table):
        by_model = {row["model"]: row for row in table if row["task"] == task}
        first = next(iter(by_model.values()))
        values = {model: _cells(row, "value") for model, row in by_model.items()}
        area = _cells(by_model["candidate"], "auc") if "candidate" in by_model else Estimate(None)
        scores = outcomes.get(f"tasks/{task}", {})
        removed = {
            model: _removed(scores, model, first["kind"], evaluated.params) for model in ("candidate", "baseline")
        }
        own = removed["candidate"]
        rows.append(
            TaskRow(
                task,
                first["kind"],
                "error (RMSE)" if first["metric"] == "rmse" else first["metric"],
                values.get("candidate"),
                values.get("baseline"),
                values.get("chance"),
                None if area.value is None else area,
                own,
                int(first["n"]),
            )
        )
        if own and own.value is not None and own.low is not None and own.high is not None:
            other = removed["baseline"]
            marks.append(Dot(task, own.value, own.low, own.high, other.value if other else None))
    rows.sort(key=lambda row: (-or_nan(row.removed.value) if row.removed else math.inf, row.task))
    marks.sort(key=lambda dot: (-dot.value, dot.label))
    figure = None
    if marks:
        figure = dots(
            marks,
            title="Share of the majority's or mean's error that the candidate removes, task by task",
            x_label="share of the majority's (mean's) error removed",
        )
    return Tasks(figure, tuple(rows), any(row.baseline for row in rows))


def _removed(scores: Mapping[str, Scores], model: str, kind: str, params: Mapping[str, Any]) -> Estimate | None:
    """1 - error / error of chance: misses for classes, squared error for numbers; None where it is not defined."""
    if model not in scores or "chance" not in scores:
        return None
    own, chance = scores[model], scores["chance"]
    if not np.array_equal(own.units, chance.units) or len(own.units) < 2:
        return None
    errors = [part.values if kind == "regression" else 1 - part.values for part in (chance, own)]
    scale = float(errors[0].mean())
    if not np.isfinite(errors).all() or scale <= 0:
        return None
    found = paired_interval(*errors, resamples=params["resamples"], seed=params["seed"])
    return Estimate(found.value / scale, found.low / scale, found.high / scale, found.n)


def read_training(trained: Artifact) -> Training:
    """The loss curve and what training counted."""
    history = _read_csv(trained.path / "history.csv")
    metrics = read_json(trained.path / "metrics.json")
    epochs = [int(row["epoch"]) for row in history]
    # Kendall's training loss is on a scale of its own (learned variances), so only the yardstick that stops is drawn.
    columns = {"validation": "val_loss"}
    if trained.params.get("loss") != "kendall":
        columns = {"training": "train_loss"} | columns
    roles = {"training": "reference", "validation": "candidate"}
    series = [
        Series(name, roles[name], epochs, [or_nan(finite(row[column])) for row in history])
        for name, column in columns.items()
    ]
    figure = curves(
        series,
        title="Loss by epoch",
        x_label="epoch",
        y_label="total loss (lower is better)",
        mark=("best epoch", metrics["best_epoch"]),
    )
    return Training(figure, metrics, trained.params)


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def _cells(row: Mapping[str, str], name: str) -> Estimate:
    """The columns `name`, `name_low`, `name_high`; the column `value` has plain `low` and `high` beside it."""
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    return Estimate(finite(row[name]), finite(row[low]), finite(row[high]), int(row["n"]))
