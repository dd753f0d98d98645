"""P@5 of two models over the same queries: wins, losses, draws and the relative delta (Pinterest, Tables 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoplens.evaluation.statistics import Floats, Interval, lift_interval, mean_interval, paired_interval
from shoplens.judgement.answers import Ints
from shoplens.judgement.results import RESULTS

RESAMPLES, SEED = 10_000, 0


@dataclass(frozen=True)
class Judged:
    """P@5 of both models on the queries whose questions are all answered.

    Attributes:
        queries: (J,) unit ids, ascending.
        categories: (J,) str or None.
        one, other: float64 (J,), 0 to 1.
        unanswered: queries that are left out, because a question of theirs has no answer that counts.
    """

    queries: Sequence[str]
    categories: NDArray[np.object_]
    one: Floats
    other: Floats
    unanswered: int


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; None where it is undefined (a mean's bounds with a single query)."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """One row of Table 6 (and Table 5's shares): P@5 of both models, their difference, `delta` in percent of `other`'s.

    `delta` is undefined where the other model has no relevant result.
    """

    n: int
    one: Estimate
    other: Estimate
    difference: Estimate
    delta: Estimate
    win: Estimate
    lose: Estimate
    draw: Estimate


def judged_queries(key: pa.Table, place: Ints, final: Ints, voters: Ints, one: str, other: str) -> Judged:
    """P@5 of each query: its relevant results among five. An even split is no majority, so it is not relevant.

    A query is left out if a result of either model has no answer that counts: to call that irrelevant would favour
    the model whose questions happened to be answered.

    Args:
        key: rows of key.parquet.
        place: (rows,) each row's question.
        final: (Q,) 1 where the majority says yes.
        voters: (Q,) workers who answered.
        one: model name.
        other: model name.
    """
    rows = np.flatnonzero(pc.is_valid(key["model"]).to_numpy())
    model = key["model"].take(rows).to_numpy(zero_copy_only=False)
    units, query = np.unique(key["query"].take(rows).to_numpy(zero_copy_only=False), return_inverse=True)
    answered = np.bincount(query, weights=voters[place[rows]] == 0, minlength=len(units)) == 0
    relevant = final[place[rows]] > 0
    scores = {
        name: np.bincount(query[model == name], weights=relevant[model == name], minlength=len(units)) / RESULTS
        for name in (one, other)
    }
    categories = np.empty(len(units), dtype=object)
    categories[query] = key["category"].take(rows).to_numpy(zero_copy_only=False)
    return Judged(
        units[answered].tolist(),
        categories[answered],
        scores[one][answered],
        scores[other][answered],
        int((~answered).sum()),
    )


def compare(one: Floats, other: Floats) -> Comparison:
    """Compare two models over the same queries, with 95% intervals: bootstrap over queries, for shares Wilson's.

    Args:
        one: (n,) P@5 of each query, n at least 1.
        other: (n,) the same of the model that it is compared with.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # no relevant result at all: undefined, said as None
        delta = lift_interval(one, other, resamples=RESAMPLES, seed=SEED)
    return Comparison(
        len(one),
        estimate_of(mean_interval(one)),
        estimate_of(mean_interval(other)),
        estimate_of(paired_interval(one, other)),
        Estimate(*map(_finite, delta)),
        *(share_of(hits) for hits in (one > other, one < other, one == other)),
    )


def share_of(hits: NDArray[np.bool_]) -> Estimate:
    """The share of true ones with its Wilson score interval, which does not shrink to a point at 0 or 1.

    Args:
        hits: (n,), n at least 1.
    """
    from scipy.stats import binomtest

    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(0.95, method="wilson")
    return Estimate(float(hits.mean()), float(found.low), float(found.high))


def estimate_of(interval: Interval) -> Estimate:
    """An interval whose infinite bounds are said as None, as JSON needs it."""
    return Estimate(interval.value, _finite(interval.low), _finite(interval.high))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
