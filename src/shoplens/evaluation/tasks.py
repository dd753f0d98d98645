"""Stage evaluate-tasks: every training task on the test listings, against the majority class or the mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.spec import read_spec
from shoplens.contract.tables import read_listings
from shoplens.data.galleries import rows_of
from shoplens.data.tasks import Task, read_labels_of
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Direction, Model, outcome_rows, read_outcomes, summarise, write_outcomes
from shoplens.evaluation.scores import auc, brier_score, correct, interval_of
from shoplens.evaluation.stars import slice_columns
from shoplens.files import read_json, write_csv, write_json
from shoplens.models.bundle import load_bundle
from shoplens.models.heads import TaskHeads, probabilities
from shoplens.params import EvaluateTasksParams
from shoplens.progress import counter, say

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """One model's forecasts of one task on the test galleries: (G, classes) probabilities, or (G,) numbers."""

    classes: tuple[str, ...]
    values: Floats


def forecasts_of(heads: TaskHeads, embeddings: NDArray[np.float32]) -> dict[str, Forecast]:
    """Run the heads on gallery embeddings (G, D)."""
    with torch.inference_mode():
        outputs = heads(torch.from_numpy(embeddings))
    return {
        task.name: Forecast(
            task.classes,
            (outputs[task.name] if task.kind == "regression" else probabilities(task, outputs[task.name]))
            .double()
            .numpy(),
        )
        for task in heads.tasks
    }


def prior_forecast(task: Task, count: int) -> Forecast:
    """What the training labels alone say: class shares, or the mean."""
    if task.kind == "regression":
        return Forecast((), np.full(count, task.mean))
    return Forecast(task.classes, np.tile(np.array(task.prior), (count, 1)))


def aligned(forecast: Forecast, classes: tuple[str, ...]) -> Floats:
    """Probabilities in another model's class order, 0 for classes that the model does not know; numbers as they are."""
    if forecast.classes == classes:
        return forecast.values
    place = {name: i for i, name in enumerate(forecast.classes)}
    known = np.array([place.get(name, -1) for name in classes])
    return np.where(known >= 0, forecast.values[:, known], 0.0)


def normalised_loss(task: Task, forecast: Floats, truth: NDArray[Any]) -> Floats:
    """A loss that is about 1 for the prior in every task, lower is better, (n,).

    Brier score over the prior's expected Brier score (bounded, so one confident miss cannot drown the other tasks), or
    squared error over the training variance.
    """
    if task.kind == "regression":
        squares: Floats = np.square(forecast - truth) / task.variance
        return squares
    scale = 1 - float(np.square(np.array(task.prior)).sum())
    return brier_score(forecast, truth.astype(np.int64)) / scale


def evaluate_tasks(
    *, data: Path, prepare: Path, train: Path, champion: Path, embed: Path, out: Path, params: EvaluateTasksParams
) -> None:
    """Write per-listing outcomes, a table with a row for each task and model, and the metrics with intervals.

    For an encoder that learned from image sources alone, only why there are none.

    Raises:
        ShoplensError: if an input was made from other data, another split or another candidate, or no test listing
            has a label.
    """
    read_artifact(prepare, "prepare", {"data": data})
    read_artifact(train, "train", {"data": data, "prepare": prepare})
    inputs = {"data": data, "prepare": prepare, "train": train, "champion": champion, "embed": embed}
    read_artifact(embed, "embed", {k: inputs[k] for k in ("data", "prepare", "train", "champion")})
    index = pq.read_table(embed / "listings.parquet")
    tested = index["split"].to_numpy() == "test"
    ids = index["listing_id"].to_numpy()[tested]
    spec = read_spec(data)
    listings = rows_of(read_listings(data, spec), ids)
    bundle = load_bundle(train / "encoder")
    split = read_json(prepare / "split.json")["hash"]
    if not bundle.heads.tasks:
        reason = "the encoder learned no task of listings"
        say(f"tasks not evaluated: {reason}")
        with write_artifact(out, "evaluate-tasks", inputs, params.model_dump(mode="json")) as folder:
            write_json(folder / "metrics.json", {"split": split, "skipped": reason, "metrics": {}})
        return
    forecasts: dict[Model, dict[str, Forecast]] = {
        "candidate": forecasts_of(bundle.heads, np.load(embed / "candidate.npy")[tested])
    }
    if (embed / "baseline.npy").is_file():
        heads = load_bundle(champion / "encoder").heads
        forecasts["baseline"] = forecasts_of(heads, np.load(embed / "baseline.npy")[tested])
    forecasts["chance"] = {task.name: prior_forecast(task, len(ids)) for task in bundle.heads.tasks}
    slices = slice_columns(listings, spec.slices)

    sums = {model: np.zeros(len(ids)) for model in forecasts}
    counts = {model: np.zeros(len(ids)) for model in forecasts}
    tables, rows = [], []
    directions: dict[str, Direction] = {"tasks/score": "lower"}
    with counter("Tasks", len(bundle.heads.tasks), "task") as bar:
        for task in bundle.heads.tasks:
            labels = read_labels_of(task, listings)
            known, truth = labels.known, labels.values[labels.known]
            metric = f"tasks/{task.name}"
            directions[metric] = "lower" if task.kind == "regression" else "higher"
            units = ids[known]
            for model, found in forecasts.items():
                if task.name not in found or not known.any():
                    continue
                values = (
                    found[task.name].values if task.kind == "regression" else aligned(found[task.name], task.classes)
                )
                values = values[known]
                loss = normalised_loss(task, values, truth)
                sums[model][known] += loss
                counts[model][known] += 1
                each = np.square(values - truth) if task.kind == "regression" else correct(values, truth)
                tables.append(outcome_rows(metric, model, units, each, _take(slices, known)))
                rows.append(_row(task, model, values, truth, each, float(loss.mean()), params))
            bar.update(1)
    if not rows:
        raise ShoplensError("listings.parquet: no test listing has a label of any training task; label some")
    for model in forecasts:
        scored = counts[model] > 0
        score = sums[model][scored] / counts[model][scored]
        tables.append(outcome_rows("tasks/score", model, ids[scored], score, _take(slices, scored)))
    with write_artifact(out, "evaluate-tasks", inputs, params.model_dump(mode="json")) as folder:
        write_outcomes(folder / "outcomes.parquet", tables)
        outcomes = read_outcomes(folder / "outcomes.parquet")
        summary = summarise(outcomes, directions, split, resamples=params.resamples, seed=params.seed)
        write_json(folder / "metrics.json", summary)
        write_csv(folder / "tasks.csv", rows)


def _take(slices: dict[str, list[str | None]], chosen: NDArray[np.bool_]) -> dict[str, list[str | None]]:
    return {
        name: [v for v, keep in zip(values, chosen.tolist(), strict=True) if keep] for name, values in slices.items()
    }


def _row(
    task: Task,
    model: Model,
    values: Floats,
    truth: NDArray[Any],
    each: Floats,
    loss: float,
    params: EvaluateTasksParams,
) -> dict[str, Any]:
    """A line of tasks.csv: accuracy or root mean squared error with its interval, normalised loss, AUC if binary."""
    interval = interval_of(each, params.resamples, params.seed)
    root = np.sqrt if task.kind == "regression" else float
    row: dict[str, Any] = {
        "task": task.name,
        "kind": task.kind,
        "metric": "rmse" if task.kind == "regression" else "accuracy",
        "model": model,
        "n": interval.n,
        "value": float(root(interval.value)),
        "low": float(root(np.maximum(interval.low, 0.0))),
        "high": float(root(interval.high)),
        "normalised_loss": loss,
        "auc": "",
        "auc_low": "",
        "auc_high": "",
    }
    if task.kind == "binary" and model != "chance":
        area, error = auc(values[:, 1], truth == 1)
        if np.isfinite(area):
            row |= {"auc": area, "auc_low": max(0.0, area - 1.96 * error), "auc_high": min(1.0, area + 1.96 * error)}
    return row
