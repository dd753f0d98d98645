"""P@1 and Avg P@20 equal ranx's precision and a sum by hand; queries without a match and reachable maxima."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.retrieval import mean_precision_by_loops, mean_precision_by_ranx

from shoplens.evaluation.precision import DISTRACTOR, mean_precision, retrieval_precision


@st.composite
def results(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours of up to 8 queries, their labels, those of a corpus of up to 60 rows: few classes, and distractors."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corpus, count, depth = draw(st.integers(1, 60)), draw(st.integers(0, 8)), draw(st.sampled_from([20, 33]))
    order = rng.permuted(np.tile(np.arange(corpus), (count, 1)), axis=1)
    return order[:, :depth], rng.integers(0, 7, count), rng.integers(DISTRACTOR, draw(st.integers(0, 6)), corpus)


@given(results())
@settings(deadline=None)
def test_scores_equal_sums_by_hand_and_stay_below_what_is_reachable(
    case: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    neighbours, queries, labels = case
    found = retrieval_precision(neighbours, queries, labels)
    hits = [[labels[row] == query for row in rows] for rows, query in zip(neighbours, queries, strict=True)]
    relevant = [int((labels == query).sum()) for query in queries]
    assert found.p_at_1 == pytest.approx([mean_precision_by_loops(row, 1) for row in hits])
    assert found.avg_p_at_20 == pytest.approx([mean_precision_by_loops(row, 20) for row in hits])
    assert found.relevant.tolist() == relevant
    assert found.unmatched == relevant.count(0)
    assert found.best_p_at_1.tolist() == [float(count > 0) for count in relevant]
    assert found.best_avg_p_at_20 == pytest.approx([mean_precision_by_loops([True] * count, 20) for count in relevant])
    assert (found.p_at_1 <= found.best_p_at_1).all()
    assert (found.avg_p_at_20 <= found.best_avg_p_at_20).all()


def test_scores_equal_ranx() -> None:
    rng = np.random.default_rng(0)
    labels, queries = rng.integers(DISTRACTOR, 12, 500), rng.integers(0, 12, 200)
    neighbours = rng.permuted(np.tile(np.arange(500), (200, 1)), axis=1)[:, :25]
    relevant = [np.flatnonzero(labels == query).tolist() for query in queries]
    found = retrieval_precision(neighbours, queries, labels)
    assert found.p_at_1 == pytest.approx(mean_precision_by_ranx(neighbours, relevant, 1), abs=1e-12)
    assert found.avg_p_at_20 == pytest.approx(mean_precision_by_ranx(neighbours, relevant, 20), abs=1e-12)
    assert found.avg_p_at_20.mean() > 0.05


def test_an_earlier_hit_counts_for_more() -> None:
    hits = np.eye(20, dtype=bool)
    found = mean_precision(hits)
    assert found[0] == pytest.approx(sum(1 / k for k in range(1, 21)) / 20)
    assert found[19] == pytest.approx(1 / 20 / 20)
    assert (np.diff(found) < 0).all()
    assert mean_precision(np.ones((1, 20), bool)).tolist() == [1.0]


def test_a_query_without_a_match_scores_0_stays_and_is_counted() -> None:
    labels = np.array([0, 0, DISTRACTOR, 3])
    neighbours = np.tile(np.arange(4), (3, 1))
    found = retrieval_precision(neighbours, np.array([0, 2, 9]), labels)
    assert found.p_at_1.tolist() == [1.0, 0.0, 0.0]
    assert found.best_p_at_1.tolist() == [1.0, 0.0, 0.0]
    assert found.best_avg_p_at_20[1:].tolist() == [0.0, 0.0]
    assert found.relevant.tolist() == [2, 0, 0]
    assert found.unmatched == 2


def test_the_first_results_of_a_small_corpus_are_divided_by_20_all_the_same() -> None:
    found = retrieval_precision(np.array([[1, 0, 2]]), np.array([5]), np.array([5, 5, 5]))
    assert found.avg_p_at_20 == pytest.approx([(3 + sum(3 / k for k in range(4, 21))) / 20])
    assert found.avg_p_at_20.tolist() == found.best_avg_p_at_20.tolist()


@pytest.mark.parametrize(
    ("neighbours", "queries", "said"),
    [
        (np.zeros((2, 19), int), [0, 0], "results of shape"),
        (np.zeros((1, 20), int), [0, 0], "results of shape"),
        (np.full((2, 20), -1), [0, 0], "not corpus rows"),
        (np.zeros((2, 20), int), [0, DISTRACTOR], "without a label"),
    ],
)
def test_results_that_do_not_fit_are_refused(neighbours: np.ndarray, queries: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        retrieval_precision(neighbours, np.array(queries), np.zeros(30, int))
