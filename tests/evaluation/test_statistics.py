"""Intervals of means: coverage, agreement with scipy, invariances, and what they refuse."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from shoplens.evaluation.statistics import (
    BOOTSTRAP_LIMIT,
    lift_interval,
    mean_interval,
    paired_interval,
    units_to_decide,
)

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=40)


def test_agrees_with_scipy_bootstrap():
    values = np.random.default_rng(3).gamma(2.0, size=200)
    ours = mean_interval(values, resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert abs(ours.low - theirs.low) < 0.03 * width
    assert abs(ours.high - theirs.high) < 0.03 * width
    assert ours.value == pytest.approx(values.mean())


def test_two_sided_interval_covers_the_true_mean_about_95_times_in_100():
    generator = np.random.default_rng(7)
    samples = generator.exponential(1.0, size=(400, 120))
    hits = [i.low <= 1.0 <= i.high for i in (mean_interval(s, resamples=400) for s in samples)]
    assert 0.90 <= np.mean(hits) <= 0.98


def test_one_sided_bound_is_wrong_about_alpha_of_the_time():
    generator = np.random.default_rng(11)
    candidate = generator.normal(0, 1, size=(400, 150))
    baseline = candidate + generator.normal(0, 0.5, size=(400, 150))
    intervals = [
        paired_interval(a, b, resamples=400, alpha=0.1, tails=1) for a, b in zip(candidate, baseline, strict=True)
    ]
    assert 0.05 <= np.mean([i.low > 0 for i in intervals]) <= 0.15
    assert 0.05 <= np.mean([i.high < 0 for i in intervals]) <= 0.15


def test_pairing_removes_what_both_models_share():
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 5, 300)
    candidate, baseline = hard + generator.normal(0, 0.1, 300), hard + generator.normal(0, 0.1, 300)
    assert paired_interval(candidate, baseline).high < 0.05
    assert mean_interval(candidate).high - mean_interval(candidate).low > 1


@given(numbers, st.randoms())
def test_order_of_units_does_not_matter(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert mean_interval(np.array(values), resamples=50) == mean_interval(np.array(shuffled), resamples=50)


@given(numbers, st.data())
@settings(max_examples=200)
def test_lower_values_never_raise_a_bound(values, data):
    upper = np.array(values)
    lower = upper - np.array(data.draw(st.lists(st.floats(0, 50), min_size=len(values), max_size=len(values))))
    first, second = mean_interval(lower, resamples=60), mean_interval(upper, resamples=60)
    assert first.low <= second.low
    assert first.high <= second.high


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(0).normal(size=50)
    assert mean_interval(values, seed=4) == mean_interval(values, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)


def test_a_million_units_take_seconds_and_continue_the_bootstrap_smoothly():
    generator = np.random.default_rng(0)
    started = time.monotonic()
    huge = mean_interval(generator.gamma(2.0, size=1_000_000))
    assert time.monotonic() - started < 10
    assert huge.low < 2.0 < huge.high
    values = generator.gamma(2.0, size=BOOTSTRAP_LIMIT + 1)
    normal, bootstrap = mean_interval(values), mean_interval(values[:-1], resamples=2_000)
    assert (normal.high - normal.low) == pytest.approx(bootstrap.high - bootstrap.low, rel=0.08)


def test_one_unit_alone_says_nothing_about_the_mean():
    assert mean_interval(np.array([3.0])) == paired_interval(np.array([5.0]), np.array([2.0]))
    assert mean_interval(np.array([3.0])).low == -math.inf


def test_equal_values_have_an_interval_of_no_width():
    interval = paired_interval(np.full(30, 0.3), np.full(30, 0.3))
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 2.0]]])
def test_bad_values_are_refused(values):
    with pytest.raises(ValueError):
        mean_interval(np.array(values))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -1.0])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        mean_interval(np.array([1.0, 2.0]), alpha=alpha)


def test_unpaired_values_are_refused():
    with pytest.raises(ValueError, match="not paired"):
        paired_interval(np.zeros(3), np.zeros(4))


def test_units_to_decide_puts_the_bound_on_the_threshold():
    values = np.random.default_rng(2).normal(0.1, 1.0, 100)
    count = units_to_decide(values, 0.0, alpha=0.05)
    assert count is not None
    bound = values.mean() - stats.norm.ppf(0.95) * values.std(ddof=1) / np.sqrt(count)
    assert bound == pytest.approx(0.0, abs=1e-3)


def test_no_number_of_units_decides_a_mean_on_the_threshold():
    assert units_to_decide(np.array([-1.0, 1.0]), 0.0, alpha=0.05) is None


NDCG = arrays.arrays(np.float64, st.integers(2, 20), elements=st.floats(0.1, 1.0))
OPTIONS = {"resamples": 400, "seed": 3}


@given(NDCG, st.floats(0.5, 2.0))
def test_the_same_change_of_every_query_is_the_lift_without_doubt(text: np.ndarray, factor: float) -> None:
    assert lift_interval(factor * text, text, **OPTIONS) == pytest.approx([100 * (factor - 1)] * 3, abs=1e-9)


def test_the_bounds_are_those_of_all_resamples() -> None:
    """Three queries can be drawn in 27 ways, each as likely."""
    text, values = np.array([0.5, 0.6, 0.9]), np.array([0.6, 0.6, 0.85])
    ways = [list(way) for way in itertools.product(range(3), repeat=3)]
    lifts = np.sort([100 * (values[way].mean() / text[way].mean() - 1) for way in ways])
    lift, low, high = lift_interval(values, text, resamples=20_000, seed=0)
    assert lift == pytest.approx(100 * (values.mean() / text.mean() - 1))
    assert (low, high) == pytest.approx(tuple(np.quantile(lifts, [0.025, 0.975], method="inverted_cdf")), abs=0.05)


def test_queries_are_drawn_in_pairs() -> None:
    """Drawn apart, queries as different as these would drown a change that all of them have."""
    text = np.linspace(0.1, 0.9, 30)
    _, low, high = lift_interval(text + 0.01, text, **OPTIONS)
    assert 0 < low < high < 4


def test_a_lift_that_is_undefined_is_nan() -> None:
    nothing = np.empty(0)
    assert np.isnan(lift_interval(nothing, nothing, **OPTIONS)).all()
    assert np.isnan(lift_interval(np.array([np.nan, 0.5]), np.array([0.5, 0.5]), **OPTIONS)).all()
    lift, low, high = lift_interval(np.array([0.6]), np.array([0.5]), **OPTIONS)
    assert lift == pytest.approx(20)
    assert math.isnan(low)
    assert math.isnan(high)
