"""Stage evaluate-stars: the hold-out task, which no encoder was trained on (Booking, section 4.1 and Table 2).

The same shallow head is fitted on each model's gallery embeddings at 20 to 100% of the labelled training listings,
tuned on validation and reported on test. The gate uses the outcomes at 100%.
"""

from __future__ import annotations

import csv
import io
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
from shoplens.files import read_json, write_json, write_text
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
    embeddings = {
        name: np.load(embed / f"{name}.npy")[labels.known]
        for name in ("candidate", "baseline", "reference")
        if (embed / f"{name}.npy").is_file()
    }
    inputs = {"data": data, "prepare": prepare, "embed": embed}
    with write_artifact(out, "evaluate-stars", inputs, params.model_dump(mode="json")) as folder:
        tested = part == "test"
        truth = labels.truth[tested]
        forecasts, rows = _fit_all(labels, part, embeddings, params)
        forecasts["chance"] = chance_forecast(labels, part == "train", int(tested.sum()))
        metric = METRIC[labels.kind]
        units = listings["listing_id"].filter(pa.array(labels.known)).filter(pa.array(tested)).to_pylist()
        known_test = np.flatnonzero(labels.known)[tested]
        slices = slice_columns(listings.take(known_test), spec.slices)
        tables = []
        for name, forecast in sorted(forecasts.items()):
            model: Model = name  # type: ignore[assignment]
            tables.append(outcome_rows(f"stars/{metric}", model, units, score(labels.kind, forecast, truth), slices))
            if labels.kind != "regression":
                hits = correct(forecast, truth.astype(np.int64))
                tables.append(outcome_rows("stars/accuracy", model, units, hits, slices))
        write_outcomes(folder / "outcomes.parquet", tables)
        directions: dict[str, Direction] = {f"stars/{metric}": "lower", "stars/accuracy": "higher"}
        split_hash = read_json(prepare / "split.json")["hash"]
        outcomes = read_outcomes(folder / "outcomes.parquet")
        summary = summarise(outcomes, directions, split_hash, resamples=params.resamples, seed=params.seed)
        write_json(folder / "metrics.json", summary)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "stars.csv", text.getvalue())


def _fit_all(
    labels: HoldoutLabels,
    part: NDArray[Any],
    embeddings: dict[str, NDArray[np.float32]],
    params: EvaluateStarsParams,
) -> tuple[dict[str, NDArray[np.float64]], list[dict[str, Any]]]:
    """Forecasts on test at the largest size, and a row for each size and model; smaller sizes nest in larger ones.

    A row's gain is the reference's score minus the model's, paired by listing: above 0 beats ImageNet transfer.
    """
    train = np.flatnonzero(part == "train")
    order = np.random.default_rng(params.seed).permutation(train)
    checked, tested = part == "validation", part == "test"
    truth = labels.truth[tested]
    rows: list[dict[str, Any]] = []
    forecasts: dict[str, NDArray[np.float64]] = {}
    options = {"resamples": params.resamples, "seed": params.seed}
    sizes = sorted(set(params.fractions) | {1.0})
    with counter("Hold-out task", len(sizes) * len(embeddings), "fit") as bar:
        for fraction in sizes:
            chosen = order[: max(1, round(fraction * len(order)))]
            fits = {}
            for name, features in embeddings.items():
                fits[name] = fit_shallow(
                    labels.kind,
                    len(labels.classes),
                    Hold(features[chosen], labels.truth[chosen]),
                    Hold(features[checked], labels.truth[checked]),
                    features[tested],
                )
                bar.update(1)
            reference = score(labels.kind, fits["reference"].forecast, truth)
            for name, fit in fits.items():
                forecasts[name] = fit.forecast
                scores = score(labels.kind, fit.forecast, truth)
                row = {"share": fraction, "training_listings": len(chosen), "model": name, "n": len(truth)}
                row |= _cells(METRIC[labels.kind], interval_of(scores, **options))
                if labels.kind != "regression":
                    row |= _cells("accuracy", interval_of(correct(fit.forecast, truth.astype(np.int64)), **options))
                row |= _cells("gain", interval_of(reference - scores, **options))
                rows.append(row | {"penalty": fit.penalty})
    return forecasts, rows


def _cells(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
