"""Stage evaluate-stars: the hold-out task, which no encoder was trained on (Booking, section 4.1 and Table 2).

The same shallow head is fitted on each model's gallery embeddings at 20 to 100% of the labelled training listings,
tuned on validation and reported on test. The gate uses the outcomes at 100%; sizes.parquet holds those of every size,
as metrics `stars/rps@0.2` and so on, for whoever pools several runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.spec import DatasetSpec, read_spec
from shoplens.contract.tables import read_listings
from shoplens.data.galleries import rows_of
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Direction, Model, outcome_rows, read_outcomes, summarise, write_outcomes
from shoplens.evaluation.scores import correct, interval_of
from shoplens.evaluation.shallow import Hold, Kind, fit_shallow, score
from shoplens.evaluation.statistics import Interval
from shoplens.files import read_json, write_csv, write_json
from shoplens.params import EvaluateStarsParams
from shoplens.progress import counter

METRIC: dict[Kind, str] = {"ordinal": "rps", "nominal": "log_loss", "regression": "squared_error"}


@dataclass(frozen=True)
class HoldoutLabels:
    """The hold-out's truth for the listings that have one.

    `known` (G,) marks them; `truth` (known only) are class indices or numbers; `classes` lowest first.
    """

    kind: Kind
    classes: tuple[str, ...]
    known: NDArray[np.bool_]
    truth: NDArray[np.int64] | NDArray[np.float64]


def holdout_labels(spec: DatasetSpec, listings: pa.Table) -> HoldoutLabels:
    """Read the hold-out column; a nominal one's classes are all that occur, sorted.

    A test listing of a class that no training listing has stays in: every model gives it probability 0.
    """
    column = listings[spec.holdout.name]
    known = ~np.asarray(column.is_null())
    values = column.filter(pa.array(known))
    if spec.holdout.kind == "regression":
        return HoldoutLabels("regression", (), known, np.asarray(values.to_numpy(), np.float64))
    classes = spec.holdout.levels or tuple(sorted(set(values.to_pylist())))
    index = pc.index_in(values, value_set=pa.array(classes, pa.string()))
    kind: Kind = "ordinal" if spec.holdout.levels else "nominal"
    return HoldoutLabels(kind, tuple(classes), known, np.asarray(index.to_numpy(), np.int64))


def chance_forecast(labels: HoldoutLabels, train: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    """The training prior for each of `count` listings: class shares, or the mean."""
    truth = labels.truth[train]
    if labels.kind == "regression":
        return np.full(count, truth.mean())
    shares = np.bincount(truth.astype(np.int64), minlength=len(labels.classes)) / len(truth)
    return np.tile(shares, (count, 1))


def slice_columns(listings: pa.Table, names: Sequence[str]) -> dict[str, list[str | None]]:
    """The slice columns of the listings as the outcomes want them: text, or None where unknown."""
    return {name: [None if v is None else str(v) for v in listings[name].to_pylist()] for name in names}


def evaluate_stars(*, data: Path, prepare: Path, embed: Path, out: Path, params: EvaluateStarsParams) -> None:
    """Write outcomes at 100% of the labelled listings, the table over all sizes and the metrics with intervals.

    Raises:
        ShoplensError: if an input was made from other data, or a part of the split has no listing with such a label.
    """
    read_artifact(prepare, "prepare", {"data": data})
    read_artifact(embed, "embed", {"data": data, "prepare": prepare})
    spec = read_spec(data)
    index = pq.read_table(embed / "listings.parquet")
    split = index["split"].to_numpy()
    listings = rows_of(read_listings(data, spec), index["listing_id"].to_numpy())
    labels = holdout_labels(spec, listings)
    part = split[labels.known]
    for name in ("train", "validation", "test"):
        if not (part == name).any():
            raise ShoplensError(f"listings.parquet: no {name} listing has a {spec.holdout.name}; label some")
    models: tuple[Model, ...] = ("candidate", "baseline", "reference")
    embeddings = {
        model: np.load(embed / f"{model}.npy")[labels.known] for model in models if (embed / f"{model}.npy").is_file()
    }
    inputs = {"data": data, "prepare": prepare, "embed": embed}
    with write_artifact(out, "evaluate-stars", inputs, params.model_dump(mode="json")) as folder:
        tested = part == "test"
        units = listings["listing_id"].filter(pa.array(labels.known)).filter(pa.array(tested)).to_pylist()
        known_test = np.flatnonzero(labels.known)[tested]
        slices = slice_columns(listings.take(known_test), spec.slices)
        fitted = _fit_all(labels, part, embeddings, params)
        scores, rows = fitted.scores, fitted.rows
        chance = chance_forecast(labels, part == "train", len(units))
        scores[1.0]["chance"] = _scores(labels.kind, chance, labels.truth[tested])

        def tables(share: float, suffix: str = "") -> list[pa.Table]:
            return [
                outcome_rows(f"stars/{metric}{suffix}", model, units, values, slices)
                for model, found in scores[share].items()
                for metric, values in found.items()
            ]

        write_outcomes(folder / "outcomes.parquet", tables(1.0))
        write_outcomes(folder / "sizes.parquet", [t for share in scores for t in tables(share, f"@{share:g}")])
        directions: dict[str, Direction] = {f"stars/{METRIC[labels.kind]}": "lower", "stars/accuracy": "higher"}
        split_hash = read_json(prepare / "split.json")["hash"]
        outcomes = read_outcomes(folder / "outcomes.parquet")
        summary = summarise(outcomes, directions, split_hash, resamples=params.resamples, seed=params.seed)
        write_json(folder / "metrics.json", summary)
        write_csv(folder / "stars.csv", rows)
        if labels.classes and np.isfinite(fitted.forecast).all():  # a diverged model takes nothing for anything
            chosen = fitted.forecast.argmax(axis=1)
            counts = confusion(labels.truth[tested].astype(np.int64), chosen, len(labels.classes))
            write_json(folder / "confusion.json", {"classes": labels.classes, "counts": counts.tolist()})


def confusion(truth: NDArray[np.int64], chosen: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How often each class (row) was taken for each class (column): int64 (classes, classes)."""
    return np.bincount(truth * classes + chosen, minlength=classes**2).reshape(classes, classes)


Metrics = dict[str, NDArray[np.float64]]
"""Metric (`rps`, `accuracy`) -> its value on each test listing."""


@dataclass(frozen=True)
class _Fitted:
    """Scores by share of the training listings and model, a row for each, and the candidate's forecast on test.

    The forecast is of the largest share: (n, classes), or (n,) for a regression.
    """

    scores: dict[float, dict[Model, Metrics]]
    rows: list[dict[str, Any]]
    forecast: NDArray[np.float64]


def _scores(kind: Kind, forecast: NDArray[np.float64], truth: NDArray[Any]) -> Metrics:
    found = {METRIC[kind]: score(kind, forecast, truth)}
    return found if kind == "regression" else found | {"accuracy": correct(forecast, truth.astype(np.int64))}


def _fit_all(
    labels: HoldoutLabels,
    part: NDArray[Any],
    embeddings: dict[Model, NDArray[np.float32]],
    params: EvaluateStarsParams,
) -> _Fitted:
    """Every model's scores on test at each size, and a row for each of them; smaller sizes nest in larger ones.

    A row's gain is the reference's score minus the model's, paired by listing: above 0 beats ImageNet transfer.
    """
    train = np.flatnonzero(part == "train")
    order = np.random.default_rng(params.seed).permutation(train)
    checked, tested = part == "validation", part == "test"
    truth = labels.truth[tested]
    rows: list[dict[str, Any]] = []
    scores: dict[float, dict[Model, Metrics]] = {}
    options = {"resamples": params.resamples, "seed": params.seed}
    sizes = sorted(set(params.fractions) | {1.0})
    metric = METRIC[labels.kind]
    with counter("Hold-out task", len(sizes) * len(embeddings), "fit") as bar:
        for share in sizes:
            chosen = order[: max(1, round(share * len(order)))]
            scores[share], penalties, forecasts = {}, {}, {}
            for model, features in embeddings.items():
                fit = fit_shallow(
                    labels.kind,
                    len(labels.classes),
                    Hold(features[chosen], labels.truth[chosen]),
                    Hold(features[checked], labels.truth[checked]),
                    features[tested],
                )
                scores[share][model], penalties[model] = _scores(labels.kind, fit.forecast, truth), fit.penalty
                forecasts[model] = fit.forecast
                bar.update(1)
            reference = scores[share]["reference"][metric]
            for model, found in scores[share].items():
                row = {"share": share, "training_listings": len(chosen), "model": model, "n": len(truth)}
                for name, values in found.items():
                    row |= _cells(name, interval_of(values, **options))
                row |= _cells("gain", interval_of(reference - found[metric], **options))
                rows.append(row | {"penalty": penalties[model]})
    return _Fitted(scores, rows, forecasts["candidate"])


def _cells(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
