"""Scores of one prediction for one listing; means over listings are what people read and the gate compares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoplens.evaluation.statistics import Interval, mean_interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranked_probability_score(probabilities: Floats, truth: Ints) -> Floats:
    """RPS of ordinal classes: squared distance of the cumulative forecasts, divided by the number of thresholds.

    0 is perfect, 1 is certain of the wrong end (Epstein 1969; normalised as in Murphy 1971).

    Args:
        probabilities: (n, K), classes lowest first, rows summing to 1.
        truth: (n,), class indices.
    """
    levels = np.arange(probabilities.shape[1] - 1)
    happened = (truth[:, None] <= levels).astype(np.float64)
    score: Floats = np.square(probabilities.cumsum(axis=1)[:, :-1] - happened).mean(axis=1)
    return score


def log_loss(probabilities: Floats, truth: Ints, floor: float = 1e-6) -> Floats:
    """Negative log of the probability given to the truth, (n,); probabilities below `floor` count as `floor`."""
    losses: Floats = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], floor))
    return losses


def brier_score(probabilities: Floats, truth: Ints) -> Floats:
    """Squared distance between forecast and truth, summed over classes, (n,): 0 perfect, 2 certain of the wrong class.

    A truth of -1 (a class that the model does not know) is a miss of every class.
    """
    hot = np.zeros_like(probabilities)
    known = truth >= 0
    hot[np.flatnonzero(known), truth[known]] = 1
    squares: Floats = np.square(probabilities - hot).sum(axis=1) + ~known
    return squares


def correct(probabilities: Floats, truth: Ints) -> Floats:
    """1.0 where the most likely class is the truth (ties: the first class), NaN where the forecast is NaN, (n,)."""
    hits: Floats = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    hits[np.isnan(probabilities).any(axis=1)] = np.nan
    return hits


def interval_of(values: Floats, resamples: int, seed: int) -> Interval:
    """Mean and 95% interval of (n,) values; all NaN if a value is not finite, as a diverged model's are."""
    if not np.isfinite(values).all():
        return Interval(np.nan, np.nan, np.nan, len(values))
    return mean_interval(values, resamples=resamples, seed=seed)


def auc(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Area under the ROC curve and its standard error (DeLong, DeLong and Clarke-Pearson 1988); ties count half.

    Args:
        scores: (n,), higher means more likely positive.
        positive: (n,).

    Returns:
        (nan, nan) if there are fewer than two positives or two negatives.
    """
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    if m < 2 or n < 2:
        return float("nan"), float("nan")
    ranks = rankdata(scores)
    above = (ranks[positive] - rankdata(scores[positive])) / n
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
    return float(above.mean()), float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
