"""Permutation tests of whole clusters: right distances, valid p-values, false alarms at the stated rate."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from shoplens.drift.permutation import (
    Design,
    Outcome,
    compare_counts,
    compare_embeddings,
    counts_of,
    design_of,
    holm,
    permutations_for,
)

REPETITIONS = 400


def singles(reference: int, incoming: int) -> Design:
    """Every unit is a cluster of its own."""
    return design_of(np.arange(reference), np.arange(incoming))


def shares(design: Design, classes: np.ndarray, ordered: bool = False, permutations: int = 199) -> Outcome:
    (outcome,) = compare_counts(design, [counts_of(design, classes, ordered)], permutations, 1)
    return outcome


def test_the_distance_of_shares_is_cohens_w() -> None:
    classes = np.array([0] * 50 + [1] * 50 + [0] * 55 + [1] * 45)  # 50 % and then 55 %
    found = shares(singles(100, 100), classes)
    assert math.sqrt(found.distance) == pytest.approx(0.1, abs=0.001)
    assert found.effect < 0.02  # two hundred listings show that by chance
    assert found.p > 0.3


def test_the_distance_of_numbers_is_kolmogorov_and_smirnovs() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(0, 1, 300), rng.normal(0.5, 1, 200)
    ranks = np.searchsorted(np.sort(np.concatenate([old, new])), np.concatenate([old, new]))
    found = shares(singles(300, 200), ranks, ordered=True, permutations=4999)
    theirs = stats.ks_2samp(old, new)
    assert math.sqrt(found.distance) == pytest.approx(theirs.statistic, abs=1e-6)
    assert found.p == pytest.approx(max(theirs.pvalue, 1 / 5000), abs=0.0002)


def test_unknown_values_belong_to_no_class() -> None:
    classes = np.array([0] * 30 + [1] * 30 + [-1] * 40 + [0] * 30 + [1] * 30)
    assert shares(singles(100, 60), classes).distance == 0


def test_the_distance_of_clouds_is_the_energy_distance() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(50, 7)).astype(np.float32)
    points[30:] += 0.4
    old, new = points[:30], points[30:]
    across = cdist(old, new).mean()
    energy = 2 * across - cdist(old, old).mean() - cdist(new, new).mean()
    found = compare_embeddings(singles(30, 20), points, 999, 1)
    assert found.distance == pytest.approx(4 * energy / (2 * across), rel=1e-4)


def test_a_cloud_that_moves_by_a_fifth_of_its_spread_has_an_effect_of_a_fifth() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(1600, 32)).astype(np.float32)
    points[800:] += 0.2
    assert compare_embeddings(singles(800, 800), points, 99, 1).effect == pytest.approx(0.2, abs=0.03)
    assert compare_embeddings(singles(800, 800), 50 * points + 7, 99, 1).effect == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("what", ["shares", "numbers", "embeddings"])
def test_the_p_value_is_that_of_all_permutations(what: str) -> None:
    """Three clusters against two have ten divisions; the naive test goes through them all."""
    cluster, incoming = np.array([0, 0, 1, 2, 2, 3, 3, 4]), np.array([False, False, False, True, True])
    points = np.array([[0.0, 1], [0.5, 1], [3, 1], [1, 2], [2, 2], [5, 1], [4, 3], [3, 3]], np.float32)
    classes = np.array([0, 0, 1, 1, 1, 2, 2, 1])
    design = Design(cluster, incoming)

    def distance(chosen: tuple[int, ...]) -> float:
        new = np.isin(cluster, chosen)
        if what == "embeddings":
            between = cdist(points, points)
            return float(2 * between[new][:, ~new].mean() - between[new][:, new].mean() - between[~new][:, ~new].mean())
        old_share, new_share = (np.bincount(classes[side], minlength=3) / side.sum() for side in (~new, new))
        if what == "numbers":
            return float(np.abs(np.cumsum(new_share - old_share)).max() ** 2)
        return float(np.sum((new_share - old_share) ** 2 / ((new_share + old_share) / 2)))

    seen = distance((3, 4))
    exact = np.mean([distance(chosen) >= seen - 1e-9 for chosen in itertools.combinations(range(5), 2)])
    if what == "embeddings":
        found = compare_embeddings(design, points, 20_000, 1)
    else:
        found = shares(design, classes, what == "numbers", permutations=20_000)
    assert found.p == pytest.approx(exact, abs=0.02)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_holm_rejects_as_its_definition_says(p: list[float]) -> None:
    adjusted = holm(p)
    alpha = 0.05
    rejected: set[int] = set()
    for step, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[at] > alpha / (len(p) - step):
            break
        rejected.add(at)
    assert {at for at, value in enumerate(adjusted) if value <= alpha + 1e-12} == rejected
    assert all(mine >= given for mine, given in zip(adjusted, p, strict=True))


def test_a_family_of_any_size_can_be_rejected() -> None:
    for tests in (1, 7, 100):
        smallest = 1 / (permutations_for(tests, 0.01) + 1)
        assert holm([smallest] * tests)[0] <= 0.01 / 4 + 1e-12


def alarms(rng: np.random.Generator, alpha: float, keep_shops: bool, repetitions: int = REPETITIONS) -> int:
    """In how many of the repetitions a family of six tests alarms, though all listings come from one marketplace.

    Listings come in shops of one to eight that agree in all they have.
    """
    found = 0
    for seed in range(repetitions):
        shop = np.repeat(np.arange(40), rng.integers(1, 9, 40))
        old = shop < 20
        design = design_of(shop[old], shop[~old]) if keep_shops else singles(int(old.sum()), int((~old).sum()))
        liking = rng.normal(size=(40, 6))
        own = np.where(rng.random((len(shop), 6)) < 0.2, rng.normal(size=(len(shop), 6)), liking[shop])
        permutations = permutations_for(6, alpha)
        columns = [
            counts_of(design, np.floor(3 * stats.norm.cdf(own[:, at])).astype(int), ordered=at > 2) for at in range(5)
        ]
        outcomes = compare_counts(design, columns, permutations, seed)
        outcomes.append(compare_embeddings(design, own.astype(np.float32), permutations, seed + 1))
        found += min(holm([outcome.p for outcome in outcomes])) <= alpha
    return found


def test_false_alarms_are_as_rare_as_stated() -> None:
    """Of the whole family; were they rarer than a fraction of the rate, the tests would be blunt."""
    found = alarms(np.random.default_rng(3), 0.1, keep_shops=True)
    assert found <= stats.binom.ppf(0.999, REPETITIONS, 0.1)
    assert found >= stats.binom.ppf(0.001, REPETITIONS, 0.1 / 4)


def test_taking_every_listing_by_itself_would_alarm_much_more_often() -> None:
    assert alarms(np.random.default_rng(3), 0.1, keep_shops=False, repetitions=50) > 4 * 0.1 * 50


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_stated_by_default() -> None:
    assert alarms(np.random.default_rng(4), 0.01, keep_shops=True) <= stats.binom.ppf(0.999, REPETITIONS, 0.01)


def test_shops_that_both_sides_have_make_it_cautious_not_bold() -> None:
    """New listings of shops that were there before: more alike than two samples of shops would be."""
    rng, found = np.random.default_rng(5), 0
    for seed in range(100):
        shop = np.tile(np.arange(20), 4)
        liking = rng.integers(0, 3, 20)
        classes = np.where(rng.random(80) < 0.3, rng.integers(0, 3, 80), liking[shop])
        found += shares(design_of(shop[:40], shop[40:]), classes, permutations=199 + seed % 2).p <= 0.1
    assert found <= stats.binom.ppf(0.999, 100, 0.1)
