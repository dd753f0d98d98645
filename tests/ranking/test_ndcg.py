"""nDCG equals scikit-learn's, ranx's and a sort by hand; ties, NaN scores and empty sessions end as stated."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.ranking import ndcg_by_sorting

from shoplens.ranking.ndcg import expected_ndcg, session_ndcg

Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def sessions(draw: st.DrawFn, ties: bool = True, highest: int = 4) -> Case:
    """Scores, grades, order and starts of up to 6 sessions of 0 to 12 results."""
    counts = draw(st.lists(st.integers(0, 12), max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    total = sum(counts)
    scores = rng.integers(0, 4, total) / 4 if ties else rng.permutation(total) - total / 2
    grades = rng.integers(0, draw(st.integers(0, highest)) + 1, total)
    order = rng.integers(0, 5, total).astype(np.int32) if ties else np.arange(total, dtype=np.int32)
    return scores.astype(np.float64), grades.astype(np.int8), order, np.append(0, np.cumsum(counts)).astype(np.int64)


def spans(starts: np.ndarray) -> list[slice]:
    return [slice(first, last) for first, last in itertools.pairwise(starts.tolist())]


@given(sessions(), st.sampled_from([None, 1, 3, 10]))
@settings(deadline=None)
def test_ndcg_equals_sorting_by_hand_with_ties_broken_by_order_then_row(case: Case, depth: int | None) -> None:
    scores, grades, order, starts = case
    expected = [ndcg_by_sorting(scores[span], grades[span], order[span], depth) for span in spans(starts)]
    assert session_ndcg(scores, grades, order, starts, depth) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(sessions(ties=False), st.sampled_from([None, 1, 3, 10]))
@settings(deadline=None)
def test_ndcg_equals_scikit_learn_with_the_exponential_gain(case: Case, depth: int | None) -> None:
    from sklearn.metrics import ndcg_score

    scores, grades, order, starts = case
    found = session_ndcg(scores, grades, order, starts, depth)
    for span, value in zip(spans(starts), found, strict=True):
        if (grades[span] > 0).any() and span.stop - span.start > 1:
            gains = 2.0 ** grades[span] - 1
            assert value == pytest.approx(ndcg_score([gains], [scores[span]], k=depth, ignore_ties=True), abs=1e-12)


@pytest.mark.parametrize("depth", [None, 10])
def test_ndcg_equals_ranx_burges(depth: int | None) -> None:
    from ranx.metrics import ndcg_burges

    rng = np.random.default_rng(0)
    shape = (200, 30)
    scores, grades = rng.permuted(np.tile(np.arange(30.0), (200, 1)), axis=1), rng.integers(0, 5, shape)
    ids = np.broadcast_to(np.arange(30.0), shape)
    judged, ranked = (
        np.take_along_axis(np.stack([ids, by], axis=-1), np.argsort(-by, axis=1)[..., None], axis=1)
        for by in (grades.astype(float), scores)
    )
    found = session_ndcg(scores.ravel(), grades.ravel(), np.tile(np.arange(30), 200), np.arange(0, 6001, 30), depth)
    assert found == pytest.approx(ndcg_burges(judged, ranked, depth or 0, 1), abs=1e-12)


@given(sessions(highest=2).filter(lambda case: len(case[0]) > 0 and np.diff(case[3]).max() <= 6))
@settings(max_examples=30, deadline=None)
def test_expected_ndcg_is_the_mean_over_all_orders(case: Case) -> None:
    _, grades, _, starts = case
    for depth in (None, 2):
        expected = []
        for span in spans(starts):
            own = grades[span]
            values = [
                ndcg_by_sorting(-np.array(places, float), own, np.arange(len(own)), depth)
                for places in itertools.permutations(range(len(own)))
            ]
            expected.append(np.mean(values))
        assert expected_ndcg(grades, starts, depth) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_session_without_a_relevant_result_has_no_ndcg() -> None:
    scores, grades, starts = np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1], np.int8), np.array([0, 2, 2, 3])
    assert session_ndcg(scores, grades, np.arange(3), starts) == pytest.approx([np.nan, np.nan, 1.0], nan_ok=True)
    assert expected_ndcg(grades, starts) == pytest.approx([np.nan, np.nan, 1.0], nan_ok=True)


def test_a_score_that_is_nan_ranks_last() -> None:
    scores = np.array([np.nan, -5.0, np.nan, 7.0], np.float32)
    for relevant, position in ((3, 1), (1, 2), (2, 3), (0, 4)):
        grades = (np.arange(4) == relevant).astype(np.int8)
        found = session_ndcg(scores, grades, np.array([9, 1, 2, 3]), np.array([0, 4]))
        assert found == pytest.approx([1 / np.log2(position + 1)])


@given(sessions())
@settings(deadline=None)
def test_ndcg_is_between_0_and_1_and_1_for_the_best_order(case: Case) -> None:
    scores, grades, order, starts = case
    found = session_ndcg(scores, grades, order, starts)
    assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()
    perfect = session_ndcg(grades.astype(np.float32), grades, order, starts)
    assert np.array_equal(np.isnan(perfect), np.isnan(found))
    assert perfect[~np.isnan(perfect)] == pytest.approx(1.0, abs=1e-12)


def test_scores_may_be_float32_and_strided() -> None:
    rng = np.random.default_rng(1)
    table, grades, starts = rng.random((40, 2), np.float32), rng.integers(0, 3, 40), np.array([0, 15, 40])
    plain = session_ndcg(table[:, 1].astype(np.float64), grades, np.arange(40), starts)
    assert np.array_equal(session_ndcg(table[:, 1], grades[:].astype(np.int64), np.arange(40), starts), plain)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"starts": np.array([0, 2])}, "starts"),
        ({"starts": np.array([0, 2, 1, 3])}, "starts"),
        ({"starts": np.array([], np.int64)}, "starts"),
        ({"grades": np.array([0, 1, -1])}, "grades"),
        ({"grades": np.array([0, 1, 31])}, "grades"),
        ({"scores": np.zeros(2)}, "2 scores"),
        ({"order": np.zeros(4, int)}, "4 tie breakers"),
        ({"depth": 0}, "depth 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, object], said: str) -> None:
    fitting = {"scores": np.zeros(3), "grades": np.zeros(3, int), "order": np.arange(3), "starts": np.array([0, 3])}
    with pytest.raises(ValueError, match=said):
        session_ndcg(**(fitting | change))  # type: ignore[arg-type]
