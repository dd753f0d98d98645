"""outcomes.parquet: the value of every metric for every model on every unit, from which all intervals are computed.

Columns: `metric`, `model`, `unit` (string), `value` (float64; NaN is allowed, so that a diverged model is judged and
refused instead of crashing the run), and one nullable string column for each slice column of dataset.yaml.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError
from shoplens.evaluation.statistics import Floats, mean_interval
from shoplens.files import write_bytes

if TYPE_CHECKING:
    import pyarrow as pa

Direction = Literal["lower", "higher"]
Model = Literal["candidate", "baseline", "reference", "chance"]
MODELS: tuple[Model, ...] = ("candidate", "baseline", "reference", "chance")
KEYS = ("metric", "model", "unit")
COLUMNS = (*KEYS, "value")


@dataclass(frozen=True)
class Scores:
    """One model's values of one metric, sorted by unit.

    Attributes:
        units: shape (n,), unique ids (str objects), ascending.
        values: shape (n,), float64; may hold NaN or infinities.
        slices: slice column -> shape (n,), str or None.
    """

    units: NDArray[np.object_]
    values: Floats
    slices: Mapping[str, NDArray[np.object_]]


Outcomes = Mapping[str, Mapping[str, Scores]]
"""metric -> model -> scores."""


def outcome_rows(
    metric: str,
    model: Model,
    units: Sequence[str] | NDArray[Any],
    values: Floats,
    slices: Mapping[str, Sequence[str | None] | NDArray[Any]] | None = None,
) -> pa.Table:
    """Rows of outcomes.parquet for one metric and model.

    Args:
        metric: name, such as `stars/rps`.
        model: whose values these are.
        units: shape (n,), listing or query ids.
        values: shape (n,).
        slices: slice column -> shape (n,), str or None.

    Raises:
        ValueError: if the lengths differ.
    """
    import pyarrow as pa

    texts = {name: pa.array(list(column), pa.string()) for name, column in (slices or {}).items()}
    count = len(values)
    return pa.table(
        {
            "metric": pa.array([metric] * count, pa.string()),
            "model": pa.array([model] * count, pa.string()),
            "unit": pa.array(list(units), pa.string()),
            "value": pa.array(np.asarray(values, dtype=np.float64), pa.float64()),
            **texts,
        }
    )


def write_outcomes(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write outcomes.parquet from the tables of `outcome_rows`, sorted, so that equal outcomes give equal bytes.

    Raises:
        ShoplensError: if the rows are not valid outcomes (see `read_outcomes`).
        ValueError: if the tables have different slice columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables(list(tables))
    _check(table, path)
    table = table.sort_by([(key, "ascending") for key in KEYS])
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue())


def read_outcomes(path: Path) -> Outcomes:
    """Read and check outcomes.parquet.

    Raises:
        ShoplensError: if it is missing, not Parquet, lacks a column, holds a null, names an unknown model, has a
            (metric, model, unit) twice, or gives one unit two slices.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ShoplensError(f"{path} is missing: run the stage that writes it first") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise ShoplensError(f"{path}: not a Parquet file ({error}); run its stage again") from None
    table = _check(table, path).sort_by([(key, "ascending") for key in KEYS])
    if not table.num_rows:
        return {}
    texts = {name: _objects(table[name]) for name in table.column_names if name != "value"}
    values = table["value"].to_numpy()
    changes = (texts["metric"][1:] != texts["metric"][:-1]) | (texts["model"][1:] != texts["model"][:-1])
    starts = [0, *(np.flatnonzero(changes) + 1), table.num_rows]
    slices = [name for name in texts if name not in KEYS]
    outcomes: dict[str, dict[str, Scores]] = {}
    for start, stop in itertools.pairwise(starts):
        part = slice(int(start), int(stop))
        scores = Scores(texts["unit"][part], values[part], {name: texts[name][part] for name in slices})
        outcomes.setdefault(str(texts["metric"][start]), {})[str(texts["model"][start])] = scores
    return outcomes


def merge(parts: Iterable[Outcomes]) -> Outcomes:
    """Outcomes of several stages as one.

    Raises:
        ShoplensError: if two stages report the same metric.
    """
    merged: dict[str, Mapping[str, Scores]] = {}
    for outcomes in parts:
        for metric, models in outcomes.items():
            if metric in merged:
                raise ShoplensError(f"metric {metric!r} comes from two stages: rename one of them")
            merged[metric] = models
    return merged


def summarise(
    outcomes: Outcomes,
    directions: Mapping[str, Direction],
    split: str,
    *,
    unit: str = "listing",
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of metrics.json: every model's mean with its two-sided 1 - alpha interval and n.

    Args:
        outcomes: as read or built.
        directions: metric -> which way is better; must name every metric of `outcomes`.
        split: the split's hash.
        unit: what a unit is, for the reader.

    A mean or bound that is not finite becomes null (JSON has no NaN).

    Raises:
        ValueError: if a metric has no direction.
    """
    unnamed = sorted(set(outcomes) - set(directions))
    if unnamed:
        raise ValueError(f"no direction for {', '.join(unnamed)}")
    metrics: dict[str, Any] = {}
    for metric, models in sorted(outcomes.items()):
        block: dict[str, Any] = {"direction": directions[metric], "unit": unit}
        for model, scores in sorted(models.items()):
            block[model] = _summary(scores.values, alpha, resamples, seed)
        metrics[metric] = block
    return {"split": split, "metrics": metrics}


def _summary(values: Floats, alpha: float, resamples: int, seed: int) -> dict[str, float | int | None]:
    if not np.isfinite(values).all():
        return {"value": None, "low": None, "high": None, "n": len(values)}
    found = mean_interval(values, alpha=alpha, resamples=resamples, seed=seed)
    bounded = found.n > 1
    return {
        "value": found.value,
        "low": found.low if bounded else None,
        "high": found.high if bounded else None,
        "n": found.n,
    }


def _objects(column: Any) -> NDArray[np.object_]:
    return np.asarray(column.to_pylist(), dtype=object)


def _check(table: pa.Table, path: Path) -> pa.Table:
    """`table` with plain types, or an error that names what is wrong."""
    import pyarrow as pa
    import pyarrow.compute as pc

    absent = [name for name in COLUMNS if name not in table.column_names]
    if absent:
        raise ShoplensError(f"{path}: column {absent[0]!r} is missing; outcomes have {', '.join(COLUMNS)}")
    slices = [name for name in table.column_names if name not in COLUMNS]
    try:
        table = table.select([*COLUMNS, *slices]).cast(
            pa.schema([(name, pa.float64() if name == "value" else pa.string()) for name in (*COLUMNS, *slices)])
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ShoplensError(f"{path}: a column has the wrong type ({error})") from None
    for name in COLUMNS:
        if table[name].null_count:
            row = pc.index(pc.is_null(table[name]), True).as_py()
            raise ShoplensError(f"{path}: row {row}, column {name!r} is null; leave the row out instead")
    unknown = sorted(set(pc.unique(table["model"]).to_pylist()) - set(MODELS))
    if unknown:
        raise ShoplensError(f"{path}: unknown model {unknown[0]!r}; known: {', '.join(MODELS)}")
    counts = table.group_by(list(KEYS)).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if twice.num_rows:
        first = twice.slice(0, 1).to_pylist()[0]
        raise ShoplensError(
            f"{path}: {first['count_all']} rows for metric {first['metric']!r}, model {first['model']!r}, "
            f"unit {first['unit']!r}; a unit has one value"
        )
    for name in slices:
        kinds = table.group_by(["metric", "unit"]).aggregate([(name, "count_distinct", pc.CountOptions(mode="all"))])
        mixed = kinds.filter(pc.greater(kinds[f"{name}_count_distinct"], 1))
        if mixed.num_rows:
            raise ShoplensError(f"{path}: unit {mixed['unit'][0].as_py()!r} has two values in slice column {name!r}")
    return table
