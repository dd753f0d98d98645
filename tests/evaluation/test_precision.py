"""P@1 and Avg P@20 equal ranx's precision and a sum by hand; several labels, the query itself, reachable maxima."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.retrieval import mean_precision_by_loops, mean_precision_by_ranx
from scipy.sparse import csr_array

from shoplens.evaluation.precision import (
    NOTHING,
    count_matches,
    label_matrix,
    mean_precision,
    precision_of,
    relevant_results,
)

DISTRACTOR = -1


def matrix(labels: list[set[int]], width: int = 12) -> csr_array:
    """The label matrix of rows with these labels."""
    pairs = [(row, label) for row, found in enumerate(labels) for label in found]
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    return label_matrix(rows, columns, (len(labels), width))


def single(labels: np.ndarray) -> csr_array:
    """The label matrix of rows with one label each; DISTRACTOR: none."""
    return matrix([{int(label)} - {DISTRACTOR} for label in labels])


def nowhere(queries: int) -> np.ndarray:
    """No query is in the corpus itself."""
    return np.full(queries, NOTHING)


@st.composite
def results(draw: st.DrawFn) -> tuple[np.ndarray, list[set[int]], list[set[int]], np.ndarray]:
    """Neighbours of up to 8 queries with one to three labels in up to 60 rows with none to three, and which row is the
    query itself."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corpus, count, depth = draw(st.integers(1, 60)), draw(st.integers(0, 8)), draw(st.sampled_from([20, 33]))
    own = np.where(rng.random(count) < 0.5, rng.integers(0, corpus, count), NOTHING)
    order = rng.permuted(np.tile(np.arange(corpus), (count, 1)), axis=1)
    later = np.argsort(order == own[:, None], axis=1, kind="stable")
    order = np.take_along_axis(order, later, axis=1)
    order[order == own[:, None]] = NOTHING
    few = draw(st.integers(1, 7))

    def sets(rows: int, least: int) -> list[set[int]]:
        return [set(rng.integers(0, few, rng.integers(least, 4)).tolist()) for _ in range(rows)]

    return order[:, :depth], sets(count, 1), sets(corpus, 0), own


@given(results())
@settings(deadline=None)
def test_scores_equal_sums_by_hand_and_stay_below_what_is_reachable(
    case: tuple[np.ndarray, list[set[int]], list[set[int]], np.ndarray],
) -> None:
    neighbours, queries, labels, own = case
    sides = matrix(queries), matrix(labels), own
    found, matches = relevant_results(neighbours, *sides), count_matches(*sides)
    hits = [
        [row != NOTHING and bool(labels[row] & query) for row in rows]
        for rows, query in zip(neighbours, queries, strict=True)
    ]
    relevant = [
        sum(bool(row & query) for place, row in enumerate(labels) if place != mine)
        for query, mine in zip(queries, own, strict=True)
    ]
    assert found.tolist() == hits
    for metric, depth in (("p_at_1", 1), ("avg_p_at_20", 20)):
        scores = precision_of(found, metric)
        assert scores == pytest.approx([mean_precision_by_loops(row, depth) for row in hits])
        best = [mean_precision_by_loops([True] * count, depth) for count in relevant]
        assert matches.best(metric) == pytest.approx(best)
        assert (scores <= matches.best(metric) + 1e-12).all()
        assert (matches.chance(metric) <= matches.best(metric) + 1e-12).all()
    assert matches.relevant.tolist() == relevant
    assert matches.searched.tolist() == [len(labels) - (mine != NOTHING) for mine in own]
    assert matches.unmatched == relevant.count(0)


def test_scores_equal_ranx() -> None:
    rng = np.random.default_rng(0)
    labels, queries = rng.integers(DISTRACTOR, 12, 500), rng.integers(0, 12, 200)
    neighbours = rng.permuted(np.tile(np.arange(500), (200, 1)), axis=1)[:, :25]
    relevant = [np.flatnonzero(labels == query).tolist() for query in queries]
    found = relevant_results(neighbours, single(queries), single(labels), nowhere(200))
    assert precision_of(found, "p_at_1") == pytest.approx(mean_precision_by_ranx(neighbours, relevant, 1), abs=1e-12)
    scores = precision_of(found, "avg_p_at_20")
    assert scores == pytest.approx(mean_precision_by_ranx(neighbours, relevant, 20), abs=1e-12)
    assert scores.mean() > 0.05


@pytest.mark.parametrize("corpus", [1, 3, 5])
def test_chance_is_the_mean_over_all_orders(corpus: int) -> None:
    labels = matrix([{1}, {2}, {1, 2}, set(), {3}][:corpus])
    orders = np.array(list(itertools.permutations(range(corpus))))
    queries = matrix([{1}] * len(orders))
    found = relevant_results(orders, queries, labels, nowhere(len(orders)))
    chance = count_matches(matrix([{1}]), labels, nowhere(1))
    for metric in ("p_at_1", "avg_p_at_20"):
        assert chance.chance(metric) == pytest.approx(precision_of(found, metric).mean())


def test_chance_leaves_the_query_itself_out() -> None:
    found = count_matches(matrix([{1}]), matrix([{1}, {1}, set()]), np.array([0]))
    assert found.chance("p_at_1").tolist() == [0.5]


def test_a_corpus_of_nothing_but_the_query_itself_has_no_chance() -> None:
    found = count_matches(matrix([{1}]), matrix([{1}]), np.array([0]))
    assert found.chance("avg_p_at_20").tolist() == found.best("avg_p_at_20").tolist() == [0.0]
    assert found.unmatched == 1
    assert relevant_results(np.array([[NOTHING]]), matrix([{1}]), matrix([{1}]), np.array([0])).tolist() == [[False]]


def test_an_earlier_hit_counts_for_more() -> None:
    hits = np.eye(20, dtype=bool)
    found = mean_precision(hits)
    assert found[0] == pytest.approx(sum(1 / k for k in range(1, 21)) / 20)
    assert found[19] == pytest.approx(1 / 20 / 20)
    assert (np.diff(found) < 0).all()
    assert mean_precision(np.ones((1, 20), bool)).tolist() == [1.0]


def test_a_query_without_a_match_scores_0_stays_and_is_counted() -> None:
    sides = single(np.array([0, 2, 9])), single(np.array([0, 0, DISTRACTOR, 3])), nowhere(3)
    found, matches = relevant_results(np.tile(np.arange(4), (3, 1)), *sides), count_matches(*sides)
    assert precision_of(found, "p_at_1").tolist() == [1.0, 0.0, 0.0]
    assert matches.best("p_at_1").tolist() == [1.0, 0.0, 0.0]
    assert matches.best("avg_p_at_20")[1:].tolist() == [0.0, 0.0]
    assert matches.relevant.tolist() == [2, 0, 0]
    assert matches.unmatched == 2


def test_a_photo_with_two_labels_is_one_relevant_row() -> None:
    sides = matrix([{4, 5}]), matrix([{4, 5}, {5}, {6}]), nowhere(1)
    assert relevant_results(np.array([[0, 1, 2]]), *sides).tolist() == [[True, True, False]]
    assert count_matches(*sides).relevant.tolist() == [2]


def test_the_first_results_of_a_small_corpus_are_divided_by_20_all_the_same() -> None:
    sides = matrix([{5}]), matrix([{5}, {5}, {5}]), nowhere(1)
    scores = precision_of(relevant_results(np.array([[1, 0, 2]]), *sides), "avg_p_at_20")
    assert scores == pytest.approx([(3 + sum(3 / k for k in range(4, 21))) / 20])
    assert scores.tolist() == count_matches(*sides).best("avg_p_at_20").tolist()


@pytest.mark.parametrize(
    ("neighbours", "queries", "own", "said"),
    [
        (np.zeros((2, 19), int), [{0}, {0}], [NOTHING] * 2, "results of shape"),
        (np.zeros((1, 20), int), [{0}, {0}], [NOTHING] * 2, "results of shape"),
        (np.full((2, 20), 30), [{0}, {0}], [NOTHING] * 2, "not corpus rows"),
        (np.zeros((2, 20), int), [{0}, set()], [NOTHING] * 2, "without a label"),
        (np.zeros((2, 20), int), [{0}, {0}], [NOTHING, 0], "among its own results"),
    ],
)
def test_results_that_do_not_fit_are_refused(
    neighbours: np.ndarray, queries: list[set[int]], own: list[int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        relevant_results(neighbours, matrix(queries), single(np.zeros(30, int)), np.array(own))
