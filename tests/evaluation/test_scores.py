"""Scores equal their definitions, computed by loops and by scikit-learn; NaN stays NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.evaluation import bootstrap_auc_error, ranked_probability_score_by_loops
from sklearn import metrics

from shoplens.evaluation.scores import auc, brier_score, correct, interval_of, log_loss, ranked_probability_score
from shoplens.evaluation.statistics import mean_interval


@st.composite
def forecasts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of 2 to 7 classes for 1 to 20 listings, and their true classes."""
    n, classes = draw(st.integers(1, 20)), draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sharpness = draw(st.sampled_from([0.1, 1.0, 10.0]))
    return rng.dirichlet(np.full(classes, sharpness), n), rng.integers(0, classes, n)


@given(forecasts())
def test_rps_equals_the_double_loop(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = case
    assert ranked_probability_score(probabilities, truth) == pytest.approx(
        ranked_probability_score_by_loops(probabilities, truth), abs=1e-12
    )


@given(forecasts())
def test_rps_is_the_mean_brier_score_of_its_thresholds(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = case
    thresholds = range(probabilities.shape[1] - 1)
    each = [
        metrics.brier_score_loss(truth <= k, probabilities[:, : k + 1].sum(axis=1).clip(0, 1), labels=[False, True])
        for k in thresholds
    ]
    assert ranked_probability_score(probabilities, truth).mean() == pytest.approx(np.mean(each), abs=1e-12)


@given(forecasts())
def test_rps_is_a_proper_score(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, _ = case
    honest, other = probabilities[0], probabilities[-1]
    classes = np.arange(len(honest))

    def expected(forecast: np.ndarray) -> float:
        return float(honest @ ranked_probability_score(np.tile(forecast, (len(honest), 1)), classes))

    assert expected(honest) <= expected(other) + 1e-12


def test_rps_knows_that_a_near_miss_is_better_than_a_far_one() -> None:
    certain = np.eye(5)[[0, 1, 4]]
    assert ranked_probability_score(certain, np.zeros(3, np.int64)).tolist() == [0.0, 0.25, 1.0]


@given(forecasts())
def test_brier_and_log_loss_equal_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, truth = case
    labels = list(range(probabilities.shape[1]))
    brier = metrics.brier_score_loss(truth, probabilities, labels=labels, scale_by_half=False)
    assert brier_score(probabilities, truth).mean() == pytest.approx(brier, abs=1e-12)
    floored = np.maximum(probabilities, 1e-6)
    chosen = -np.log(floored[np.arange(len(truth)), truth])
    assert log_loss(probabilities, truth) == pytest.approx(chosen)
    if probabilities.min() > 1e-6:
        assert log_loss(probabilities, truth).mean() == pytest.approx(
            metrics.log_loss(truth, probabilities, labels=labels)
        )


def test_a_certain_miss_costs_a_bounded_log_loss() -> None:
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])).tolist() == pytest.approx([-np.log(1e-6)])


def test_a_class_that_the_model_does_not_know_is_a_miss_of_every_class() -> None:
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert brier_score(probabilities, np.array([-1, 0])).tolist() == [1.5, 0.5]
    assert correct(probabilities, np.array([-1, 0])).tolist() == [0.0, 1.0]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.integers(2, 30))
def test_auc_equals_scikit_learns_also_with_ties(seed: int, n: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(n) < rng.integers(2, n - 1))
    scores = rng.integers(0, values, n) / values
    area, error = auc(scores, positive)
    assert area == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert error >= 0


def test_delongs_standard_error_is_the_bootstraps() -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(250) < 0.3
    scores = np.round(rng.normal(size=250) + 0.8 * positive, 1)  # rounded: with ties
    area, error = auc(scores, positive)
    assert area == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert error == pytest.approx(bootstrap_auc_error(scores, positive, 1500, seed=0), rel=0.08)


@pytest.mark.parametrize("positives", [0, 1, 9, 10])
def test_auc_of_fewer_than_two_of_a_kind_is_not_a_number(positives: int) -> None:
    assert np.isnan(auc(np.arange(10.0), np.arange(10) < positives)).all()


def test_nan_forecasts_are_nan_scores_and_never_hits() -> None:
    probabilities = np.array([[np.nan, np.nan, np.nan], [0.2, 0.5, 0.3]])
    truth = np.array([0, 1])
    for score in (ranked_probability_score, log_loss, brier_score, correct):
        found = score(probabilities, truth)
        assert np.isnan(found).tolist() == [True, False], score.__name__


def test_the_interval_of_values_that_are_not_finite_is_nan_and_keeps_n() -> None:
    values = np.array([0.0, 1.0, 1.0])
    assert interval_of(values, 500, 1) == mean_interval(values, resamples=500, seed=1)
    broken = interval_of(np.array([0.0, np.nan, 1.0]), 500, 1)
    assert np.isnan([broken.value, broken.low, broken.high]).all()
    assert broken.n == 3
