"""What stage evaluate-retrieval writes down: outcomes, a row a source and model, categories, queries and results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shoplens.contract import columns as c
from shoplens.data.examples import Crops
from shoplens.evaluation.outcomes import Model, outcome_rows
from shoplens.evaluation.precision import NOTHING, Floats, Ints, precision_of
from shoplens.evaluation.retrieval_search import ENCODERS, KINDS, Embedded, Found, Kind
from shoplens.evaluation.retrieval_sources import Source
from shoplens.evaluation.statistics import Interval, mean_interval, paired_interval

Results = Mapping[str, Mapping[Model, Mapping[Kind, Found]]]
"""Source -> model -> its results; a model that has diverged has none."""
SCORES: dict[Kind, str] = {"float": "retrieval/score", "binary": "retrieval/binary_score"}
BITS = ("bit_density", "least_bit", "greatest_bit", "dead_bits")
SUFFIX: dict[Kind, str] = {"float": "", "binary": "_binary"}


def values_of(source: Source, results: Results, model: Model, kind: Kind) -> Floats:
    """The source's metric of every query, (Q,); NaN for a model that has diverged."""
    found = results[source.name].get(model)
    return np.full(len(source.units), np.nan) if found is None else precision_of(found[kind].hits, source.metric)


def outcomes_of(sources: Sequence[Source], results: Results, models: Sequence[Model]) -> list[pa.Table]:
    """Rows for every metric and model, a query each: each source's own metric, and the same over all sources.

    Args:
        sources: those that are evaluated, at least one.
        results: of the models that have not diverged.
        models: all of them.
    """
    tables = []
    for source in sources:
        columns = {"source": [source.name] * len(source.units)}
        for kind in KINDS:
            values = {model: values_of(source, results, model, kind) for model in models}
            values["chance"] = source.matches.chance(source.metric)
            for metric in (f"retrieval/{source.name}_{source.metric}{SUFFIX[kind]}", SCORES[kind]):
                tables += [outcome_rows(metric, model, source.units, each, columns) for model, each in values.items()]
    return tables


def counts(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """What each source's evaluation consists of, for metrics.json.

    `in_training` is the share of queries one of whose labels occurs in training: 1 where known classes are searched
    for, 0 where all are new.
    """
    return {
        source.name: {
            "task": source.task,
            "metric": source.metric,
            "queries": len(source.units),
            "unmatched": source.matches.unmatched,
            "classes": len(set(source.labels.tolist())),
            "in_training": float(source.in_training.mean()),
            "corpus": len(source.corpus),
            "distractors": source.distractors,
            "best_reachable": float(source.matches.best(source.metric).mean()),
        }
        for source in sources
    }


def retrieval_rows(
    sources: Sequence[Source],
    results: Results,
    models: Sequence[Model],
    embedded: Mapping[Model, Embedded],
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each source, model and kind, for retrieval.csv; a model that has diverged has empty cells.

    Args:
        sources: those that are evaluated.
        results: of the models in `embedded`.
        models: all models.
        embedded: those that have not diverged.
        resamples: bootstrap samples of the intervals.
        seed: of the draws.
    """
    rows = []
    facts = counts(sources)
    for source in sources:
        shared = {name: value for name, value in facts[source.name].items() if name != "queries"}
        for model in models:
            each = embedded.get(model)
            for kind in KINDS:
                row: dict[str, Any] = {"source": source.name, "model": model, "kind": kind}
                row |= dict.fromkeys(("value", "low", "high"), "") | {"n": len(source.units)} | shared
                row |= dict.fromkeys(("bytes_per_item", *BITS), "")
                if each is not None:
                    values = values_of(source, results, model, kind)
                    row |= _cells(mean_interval(values, resamples=resamples, seed=seed))
                    row["bytes_per_item"] = each.bytes_of(kind)
                if each is not None and kind == "binary":
                    row |= _bits(each.density(source.corpus))
                rows.append(row)
    return rows


def _bits(density: Floats) -> dict[str, float | int]:
    """Mean, least and greatest share of ones among the bits, and how many bits are the same in all codes."""
    dead = int(((density == 0) | (density == 1)).sum())
    return dict(zip(BITS, (float(density.mean()), float(density.min()), float(density.max()), dead), strict=True))


def _cells(found: Interval, names: tuple[str, str, str] = ("value", "low", "high")) -> dict[str, Any]:
    """A mean with its bounds for a CSV; bounds are empty where a single unit has none."""
    numbers = zip(names, (found.value, found.low, found.high), strict=True)
    return {name: number if math.isfinite(number) else "" for name, number in numbers} | {"n": found.n}


def compared_model(models: Sequence[Model]) -> Model:
    """Whom the candidate's results are shown beside: the baseline, in a first run the reference."""
    return "baseline" if "baseline" in models else "reference"


def category_rows(
    sources: Sequence[Source], results: Results, models: Sequence[Model], *, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each source and category, in the form of Pinterest's Table 6, for categories.csv.

    `delta` is the relative change in percent, as there, empty where the other model finds nothing; `gain` the absolute
    one, paired by query, with its interval. Values are NaN, so all cells empty, where a model has diverged.
    """
    other = compared_model(models)
    rows = []
    for source in sources:
        for category in sorted({name for name in source.categories.tolist() if name is not None}):
            chosen = source.categories == category
            own, others = (values_of(source, results, model, "float")[chosen] for model in ("candidate", other))
            row: dict[str, Any] = {"source": source.name, "category": category, "n": int(chosen.sum())}
            row |= {"metric": source.metric, "model": other}
            row |= dict.fromkeys(("candidate", "other", "delta", "gain", "gain_low", "gain_high"), "")
            if np.isfinite(own).all():
                row["candidate"] = float(own.mean())
            if np.isfinite(others).all():
                row["other"] = float(others.mean())
            if row["candidate"] != "" and row["other"] != "":
                gain = paired_interval(own, others, resamples=resamples, seed=seed)
                row |= _cells(gain, ("gain", "gain_low", "gain_high"))
                row["delta"] = 100 * (row["candidate"] / row["other"] - 1) if row["other"] else ""
            rows.append(row)
    return rows


def bits_table(embedded: Mapping[Model, Embedded], sources: Sequence[Source]) -> pa.Table:
    """How often each bit of each model is 1 over all corpora, for bits.parquet: `model`, `bit`, `density`."""
    rows = np.unique(np.concatenate([source.corpus for source in sources]))
    parts = [
        pa.table({"model": [model] * each.width, "bit": np.arange(each.width), "density": each.density(rows)})
        for model, each in embedded.items()
    ]
    empty = pa.schema([("model", pa.string()), ("bit", pa.int64()), ("density", pa.float64())]).empty_table()
    return pa.concat_tables([empty, *parts])


def queries_table(sources: Sequence[Source], crops: Crops) -> pa.Table:
    """A row a query, for queries.parquet."""
    return pa.concat_tables(
        pa.table(
            {
                "source": pa.array([source.name] * len(source.units), pa.string()),
                "task": pa.array([source.task] * len(source.units), pa.string()),
                "query": pa.array(source.units.tolist(), pa.string()),
                **_places(crops, source.queries),
                "label": pa.array(source.labels.tolist(), pa.string()),
                "category": pa.array(source.categories.tolist(), pa.string()),
                "in_training": pa.array(source.in_training),
            }
        )
        for source in sources
    )


def results_table(sources: Sequence[Source], results: Results, crops: Crops) -> pa.Table:
    """A row a result, nearest first, for results.parquet; a model that has diverged has none."""
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("source", "task", "model", "kind", "query")),
            ("rank", pa.int64()),
            (c.IMAGE_ID, pa.string()),
            *((name, pa.float64()) for name in c.BOX),
            ("distance", pa.float64()),
            ("relevant", pa.bool_()),
        ]
    )
    return pa.concat_tables([schema.empty_table(), *_results(sources, results, crops, schema)])


def _results(sources: Sequence[Source], results: Results, crops: Crops, schema: pa.Schema) -> Iterator[pa.Table]:
    for source in sources:
        for model in ENCODERS:
            for kind, found in results[source.name].get(model, {}).items():
                query, rank = np.nonzero(found.rows != NOTHING)
                same = {"source": source.name, "task": source.task, "model": model, "kind": kind}
                yield pa.table(
                    {
                        **{name: pa.repeat(pa.scalar(value, pa.string()), len(query)) for name, value in same.items()},
                        "query": pa.array(source.units.tolist(), pa.string()).take(pa.array(query)),
                        "rank": rank + 1,
                        **_places(crops, found.rows[query, rank]),
                        "distance": found.distances[query, rank],
                        "relevant": found.hits[query, rank],
                    },
                    schema,
                )


def _places(crops: Crops, rows: Ints) -> dict[str, pa.Array]:
    """Photo and box of crops, a null box for a whole photo."""
    boxes = {name: pa.array(crops.boxes[rows, side], from_pandas=True) for side, name in enumerate(c.BOX)}
    return {c.IMAGE_ID: pa.array(crops.image_ids[rows], pa.string()), **boxes}
