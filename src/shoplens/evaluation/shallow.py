"""The shallow head of the hold-out task: the same one for every model's embeddings, with the same tuning.

Standardised features, multinomial logistic regression (classes) or ridge (numbers), the strength of the L2 penalty
chosen on validation by the metric that is reported.

Both are fitted on the features' principal axes: the penalty does not see a rotation, so the optimum is the same, with
never more coordinates than listings; ridge has a closed form there, and the logistic loss can be scaled by its own
curvature, which takes tens of steps where the plain one takes hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoplens.evaluation.scores import log_loss, ranked_probability_score

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Truth = NDArray[np.float64] | NDArray[np.int64]
Kind = Literal["ordinal", "nominal", "regression"]
PENALTIES = (1e1, 1e0, 1e-1, 1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Hold:
    """Features and truth of one part of the split: float32 (n, D) and class indices or numbers (n,)."""

    features: Singles
    truth: Truth


@dataclass(frozen=True)
class ShallowFit:
    """Forecasts on test: (m, K) probabilities, or (m,) numbers; and the penalty that validation chose."""

    forecast: Floats
    penalty: float


def score(kind: Kind, forecast: Floats, truth: Truth) -> Floats:
    """The gated score of each forecast, lower is better: RPS, log loss or squared error, (n,); NaN stays NaN."""
    if kind == "ordinal":
        return ranked_probability_score(forecast, truth.astype(np.int64))
    if kind == "nominal":
        return log_loss(forecast, truth.astype(np.int64))
    return np.square(forecast - truth)


def fit_shallow(kind: Kind, classes: int, train: Hold, validation: Hold, test: Singles) -> ShallowFit:
    """Fit one head per penalty (strongest first, each from the last one's solution), keep the best on validation.

    Embeddings that are not finite (a diverged model) give NaN forecasts: for every listing if training or validation
    has one, else for the test listings concerned.

    Args:
        kind: what the hold-out is.
        classes: number of classes K (ignored for regression).
        train: at least one listing.
        validation: chooses the penalty.
        test: float32 (m, D), only forecast.
    """
    shape = (len(test),) if kind == "regression" else (len(test), classes)
    if not (np.isfinite(train.features).all() and np.isfinite(validation.features).all()):
        return ShallowFit(np.full(shape, np.nan), float("nan"))
    usable = np.isfinite(test).all(axis=1)
    axes = principal_axes(train.features)
    parts = (axes.of(validation.features), axes.of(test[usable]))
    best: tuple[float, ShallowFit] | None = None
    for penalty, forecast in _path(kind, classes, axes, train.truth, parts):
        loss = float(score(kind, forecast[0], validation.truth).mean())
        if best is None or loss < best[0]:
            full = np.full(shape, np.nan)
            full[usable] = forecast[1]
            best = loss, ShallowFit(full, penalty)
    assert best is not None
    return best[1]


@dataclass(frozen=True)
class Axes:
    """Principal axes of standardised training features.

    Attributes:
        mean, spread: (D,), of the training features; a constant feature has spread 1.
        directions: (D, R), orthonormal, R at most min(n, D).
        variances: (R,), of the training features along each.
        training: float32 (n, R), the training features' coordinates.
    """

    mean: Floats
    spread: Floats
    directions: Floats
    variances: Floats
    training: Singles

    def of(self, features: Singles) -> Singles:
        """Coordinates (m, R) of features (m, D)."""
        found: Singles = (((features - self.mean) / self.spread) @ self.directions).astype(np.float32)
        return found


def principal_axes(features: Singles) -> Axes:
    """Standardise training features (n, D) and rotate them to their principal axes, from the smaller Gram matrix."""
    from scipy.linalg import eigh

    n, width = features.shape
    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    spread[spread < 1e-6] = 1.0
    standard = (features - mean) / spread
    tall = n > width
    values, vectors = eigh((standard.T @ standard if tall else standard @ standard.T) / n)
    kept = values > max(1e-9 * values[-1], 1e-12)
    variances, vectors = values[kept], vectors[:, kept]
    directions = vectors if tall else standard.T @ (vectors / np.sqrt(n * variances))
    return Axes(mean, spread, directions, variances, (standard @ directions).astype(np.float32))


def _path(
    kind: Kind, classes: int, axes: Axes, truth: Truth, parts: tuple[Singles, ...]
) -> Iterator[tuple[float, list[Floats]]]:
    """For each penalty the forecasts on each of `parts`."""
    from scipy.special import softmax

    if kind == "regression":
        offset = float(truth.mean())
        pull = axes.training.T @ (truth - offset) / len(truth)
        for penalty in PENALTIES:
            weights = pull / (axes.variances + penalty)
            yield penalty, [offset + x @ weights for x in parts]
        return
    # a class without a training listing is no part of the fit and gets probability 0
    seen, target = np.unique(truth.astype(np.int64), return_inverse=True)
    if len(seen) == 1:
        yield PENALTIES[0], [np.tile(np.eye(classes)[seen[0]], (len(x), 1)) for x in parts]
        return
    shares = np.bincount(target) / len(target)
    weights, bias = np.zeros((len(axes.variances), len(seen))), np.log(shares)
    for penalty in PENALTIES:
        weights, bias = fit_logistic(axes.training, axes.variances, target, penalty, weights, bias)
        forecasts = []
        for x in parts:
            full = np.zeros((len(x), classes))
            full[:, seen] = softmax(x @ weights + bias, axis=1)
            forecasts.append(full)
        yield penalty, forecasts


def fit_logistic(
    x: Singles, variances: Floats, target: NDArray[np.int64], penalty: float, weights: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """Minimise mean cross-entropy + penalty / 2 * |weights|^2 (the bias is free), from a start, by L-BFGS.

    Args:
        x: (n, R), features along uncorrelated axes.
        variances: (R,), of the axes.
        target: (n,), classes 0..K-1, each occurring.
        penalty: above 0.
        weights: (R, K), where to start.
        bias: (K,), where to start.

    Returns:
        weights and bias at the minimum.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    n, (rank, classes) = len(x), weights.shape
    rows = np.arange(n)
    shares = np.bincount(target, minlength=classes) / n
    # the loss's curvature where every listing is forecast with the classes' shares; steps are scaled by its root
    curvature = shares * (1 - shares)
    scale = 1 / np.sqrt(np.vstack([np.outer(variances, curvature) + penalty, curvature]))

    def loss(flat: Floats) -> tuple[float, Floats]:
        point = scale * flat.reshape(rank + 1, classes)
        logits = (x @ point[:-1].astype(np.float32)).astype(np.float64) + point[-1]
        total = logsumexp(logits, axis=1)
        value = float((total - logits[rows, target]).mean() + penalty / 2 * np.square(point[:-1]).sum())
        residual = np.exp(logits - total[:, None])
        residual[rows, target] -= 1
        residual /= n
        slope = np.vstack([x.T @ residual.astype(np.float32) + penalty * point[:-1], residual.sum(axis=0)])
        return value, (scale * slope).ravel()

    start = (np.vstack([weights, bias]) / scale).ravel()
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 2e-5, "ftol": 1e-10})
    solution = scale * found.x.reshape(rank + 1, classes)
    return solution[:-1], solution[-1]
