"""Intervals of means over units (listings, queries): seeded percentile bootstrap, paired to compare two models.

The bootstrap draws positions in the *sorted* values, so an interval depends on the values alone and not on the order
of the units, and with one seed it is monotone: values that are nowhere larger give bounds that are nowhere larger.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 (percentile interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tails = Literal[1, 2]

BOOTSTRAP_LIMIT = 10_000
"""Above this many units the mean's distribution is taken as normal: drawing resamples would cost seconds to minutes,
and the two intervals differ by less than the Monte Carlo error of the bootstrap."""

_DRAWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Interval:
    """A mean over `n` units and its confidence bounds, in the metric's own unit. One unit alone has infinite bounds."""

    value: float
    low: float
    high: float
    n: int


def checked(values: Floats) -> Floats:
    """`values` as a flat float64 array.

    Raises:
        ValueError: if it is empty, not one-dimensional, or holds NaN or an infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected one value a unit, got an array of shape {array.shape}")
    if array.size == 0:
        raise ValueError("no values: the mean of nothing has no interval")
    if not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} of {array.size} values are NaN or infinite")
    return array


def resampled_means(values: Floats, resamples: int, seed: int) -> Floats:
    """Means of `resamples` bootstrap samples, shape (resamples,), in bounded memory (8 MiB of positions at a time)."""
    ordered = np.sort(values)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _DRAWS_AT_ONCE // ordered.size)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        means[start : start + count] = ordered[generator.integers(0, ordered.size, (count, ordered.size))].mean(axis=1)
    return means


def mean_interval(
    values: Floats, *, alpha: float = 0.05, resamples: int = 10_000, seed: int = 0, tails: Tails = 2
) -> Interval:
    """Interval of the mean over units.

    Args:
        values: shape (n,), one finite value a unit.
        alpha: error probability. With two tails `[low, high]` covers the mean with 1 - alpha; with one tail each
            bound on its own does (what a gate needs, which asks about one side only).
        resamples: bootstrap samples; unused above `BOOTSTRAP_LIMIT` units (normal approximation).
        seed: of the resampling.
        tails: 1 or 2.

    Raises:
        ValueError: if there is no value, one is not finite, or alpha is not between 0 and 0.5.
    """
    array = checked(values)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must be between 0 and 0.5, not {alpha}")
    mean = float(np.sort(array).mean())
    if array.size == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    tail = alpha / tails
    if array.size > BOOTSTRAP_LIMIT:
        reach = NormalDist().inv_cdf(1 - tail) * float(array.std(ddof=1)) / math.sqrt(array.size)
        return Interval(mean, mean - reach, mean + reach, array.size)
    means = resampled_means(array, resamples, seed)
    low = float(np.quantile(means, tail, method="lower"))
    high = float(np.quantile(means, 1 - tail, method="higher"))
    return Interval(mean, low, high, array.size)


def paired_interval(
    candidate: Floats,
    baseline: Floats,
    *,
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
    tails: Tails = 2,
) -> Interval:
    """Interval of the mean of `candidate - baseline` over the same units in the same order (see `mean_interval`).

    Raises:
        ValueError: if the shapes differ, and as `mean_interval`.
    """
    first, second = checked(candidate), checked(baseline)
    if first.shape != second.shape:
        raise ValueError(f"not paired: {first.size} candidate values, {second.size} baseline values")
    return mean_interval(first - second, alpha=alpha, resamples=resamples, seed=seed, tails=tails)


def lift_interval(
    values: Floats, other: Floats, *, resamples: int, seed: int, alpha: float = 0.05
) -> tuple[float, float, float]:
    """Relative lift of the mean over units, in percent, with its percentile bootstrap bounds (units are drawn).

    Args:
        values: (n,) a metric of each unit.
        other: (n,) the same of what it is compared with.
        resamples: bootstrap samples.
        seed: of the draws.
        alpha: two-sided error probability.

    Returns:
        Lift, low, high; NaN where undefined (no unit; bounds of a single one; values that are not finite).
    """
    if not len(values) or not np.isfinite(values).all():
        return np.nan, np.nan, np.nan
    lift = 100 * (values.mean() / other.mean() - 1)
    if len(values) == 1:
        return float(lift), np.nan, np.nan
    generator = np.random.default_rng(seed)
    lifts = np.empty(resamples)
    step = max(1, _DRAWS_AT_ONCE // len(values))
    for start in range(0, resamples, step):
        drawn = generator.integers(0, len(values), (min(step, resamples - start), len(values)))
        lifts[start : start + len(drawn)] = 100 * (values[drawn].mean(axis=1) / other[drawn].mean(axis=1) - 1)
    low, high = np.quantile(lifts, [alpha / 2, 1 - alpha / 2])
    return float(lift), float(low), float(high)


def units_to_decide(values: Floats, threshold: float, *, alpha: float) -> int | None:
    """How many units would put the mean's one-sided bound on one side of `threshold`, at the observed mean and spread.

    Normal theory: n = (z * sd / |mean - threshold|)^2. None if no number would (the mean is on the threshold, or the
    answer is beyond a billion).
    """
    array = checked(values)
    distance = abs(float(array.mean()) - threshold)
    spread = float(array.std(ddof=1)) if array.size > 1 else 0.0
    reach = NormalDist().inv_cdf(1 - alpha) * spread
    if not (distance > 0 and reach / distance < 31_000):
        return None
    return max(2, math.ceil((reach / distance) ** 2))
