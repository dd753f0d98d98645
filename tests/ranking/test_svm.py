"""The ranking SVM reaches the optimum that LinearSVC and a linear programme find, and no SGD gets below it."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.ranking import hinge_objective, linear_svc, pair_differences, sgd_ranking_svm, sklearn_sgd

from shoplens.ranking.svm import Documents, Fit, fit_ranking_svm, objective


@dataclass(frozen=True)
class Case:
    """Documents with both kinds of features, and pairs that no weights order fully."""

    text: scipy.sparse.csr_array
    image: np.ndarray
    better: np.ndarray
    worse: np.ndarray

    @property
    def documents(self) -> Documents:
        return Documents(self.text, self.image)

    @property
    def dense(self) -> np.ndarray:
        return np.hstack([self.text.toarray(), self.image]).astype(np.float64)

    @property
    def differences(self) -> np.ndarray:
        return self.dense[self.better] - self.dense[self.worse]


def drawn(seed: int = 0, documents: int = 60, terms: int = 80, dimensions: int = 12, pairs: int = 300) -> Case:
    rng = np.random.default_rng(seed)
    share = np.minimum(1, 3 / np.arange(1, terms + 1))  # a few terms are everywhere, most are rare
    text = scipy.sparse.csr_array((rng.random((documents, terms)) < share).astype(np.float32))
    image = rng.normal(size=(documents, dimensions)).astype(np.float32)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    appeal = text @ rng.normal(size=terms) + 3 * image @ rng.normal(size=dimensions)
    chosen = rng.zipf(1.8, size=(2, pairs * 2)) * 7 % documents  # some documents are in many pairs
    first, second = chosen[:, chosen[0] != chosen[1]][:, :pairs]
    wins = rng.random(len(first)) < 1 / (1 + np.exp(appeal[second] - appeal[first]))
    return Case(text, image, np.where(wins, first, second), np.where(wins, second, first))


def flat(fit: Fit) -> np.ndarray:
    return np.concatenate([part for part in (fit.text, fit.image) if part is not None]).astype(np.float64)


@given(st.integers(0, 2**32 - 1), st.floats(0, 5), st.floats(0, 5))
@settings(deadline=None, max_examples=25)
def test_coin_flips_leave_the_loss_unchanged_so_the_objective_is_that_of_algorithm_2(
    seed: int, l1: float, l2: float
) -> None:
    case, rng = drawn(seed % 5, pairs=40), np.random.default_rng(seed)
    weights = rng.normal(size=case.dense.shape[1])
    text, image = weights[: case.text.shape[1]], weights[case.text.shape[1] :]
    found = objective(case.documents, case.better, case.worse, text, image, l1=l1, l2=l2)
    for coins in (rng.random(len(case.better)) > 0.5, np.ones(len(case.better), bool)):
        instances, labels = pair_differences(case.dense, case.better, case.worse, coins)
        assert found == pytest.approx(hinge_objective(instances, labels, weights, l1, l2), rel=1e-9)


@pytest.mark.parametrize("l2", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("modality", ["text", "image", "multimodal"])
def test_without_l1_the_objective_is_within_1_percent_of_linear_svc(l2: float, modality: str) -> None:
    case = drawn()
    width = case.text.shape[1]
    text, image = case.text if modality != "image" else None, case.image if modality != "text" else None
    columns = {"text": slice(width), "image": slice(width, None), "multimodal": slice(None)}[modality]
    differences = case.differences[:, columns]
    exact = hinge_objective(differences, np.ones(len(differences)), linear_svc(differences, l2), 0, l2)
    fit = fit_ranking_svm(Documents(text, image), case.better, case.worse, l1=0, l2=l2)
    assert exact * 0.9999 <= fit.objective <= exact * 1.01
    assert (fit.text is None, fit.image is None) == (text is None, image is None)


@pytest.mark.parametrize("l1", [0.3, 3.0])
def test_without_l2_the_objective_is_within_1_percent_of_the_linear_programme(l1: float) -> None:
    case = drawn(pairs=150)
    differences = case.differences
    pairs, width = differences.shape
    # hinge_p >= 1 - d_p (up - down), all variables >= 0, |w| = up + down
    exact = scipy.optimize.linprog(
        np.r_[np.full(2 * width, l1), np.ones(pairs)],
        A_ub=np.hstack([-differences, differences, -np.eye(pairs)]),
        b_ub=-np.ones(pairs),
    ).fun
    fit = fit_ranking_svm(case.documents, case.better, case.worse, l1=l1, l2=0, steps=3000)
    assert exact * 0.9999 <= fit.objective <= exact * 1.01
    assert (flat(fit) == 0).mean() > 0.4


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1.0), (0.1, 0.1), (0.5, 1.0)])
def test_no_tuned_sgd_classifier_gets_below_the_objective(l1: float, l2: float) -> None:
    case = drawn(1)
    labels = np.ones(len(case.better))
    tuned = min(
        hinge_objective(case.differences, labels, sklearn_sgd(case.differences, l1, l2, eta0), l1, l2)
        for eta0 in (0.001, 0.01, 0.1, 1.0)
    )
    assert fit_ranking_svm(case.documents, case.better, case.worse, l1=l1, l2=l2).objective <= tuned


def test_the_papers_own_sgd_approaches_the_objective_from_above() -> None:
    case = drawn(2, pairs=120)
    instances, labels = pair_differences(case.dense, case.better, case.worse, np.arange(len(case.better)) % 3 > 0)
    fit = fit_ranking_svm(case.documents, case.better, case.worse, l1=0.1, l2=1)
    found = [
        hinge_objective(instances, labels, sgd_ranking_svm(instances, labels, 0.1, 1, rate, 60, 0), 0.1, 1)
        for rate in (0.03, 0.1, 0.3)
    ]
    assert fit.objective <= min(found) <= fit.objective * 1.05


@given(st.integers(0, 10_000), st.sampled_from([0, 0.1, 5]), st.sampled_from([0, 0.1, 5]), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_the_stated_objective_is_that_of_the_weights_and_never_above_that_of_zero_weights(
    seed: int, l1: float, l2: float, steps: int
) -> None:
    case = drawn(seed, documents=8, terms=6, dimensions=3, pairs=1 + seed % 20)
    fit = fit_ranking_svm(case.documents, case.better, case.worse, l1=l1, l2=l2, steps=steps)
    labels = np.ones(len(case.better))
    assert fit.objective == pytest.approx(hinge_objective(case.differences, labels, flat(fit), l1, l2), rel=1e-5)
    assert fit.objective <= len(case.better)
    assert 0 <= fit.steps <= steps


def test_multimodal_is_the_concatenation_of_text_and_image() -> None:
    case = drawn(3)
    joined = Documents(scipy.sparse.csr_array(case.dense.astype(np.float32)), None)
    both = fit_ranking_svm(case.documents, case.better, case.worse, l1=0.1, l2=2)
    one = fit_ranking_svm(joined, case.better, case.worse, l1=0.1, l2=2)
    assert both.objective == pytest.approx(one.objective, rel=2e-3)
    assert flat(both) == pytest.approx(flat(one), abs=0.1)


def test_documents_and_terms_outside_the_pairs_change_nothing() -> None:
    case = drawn(4)
    far = 7
    wide = scipy.sparse.hstack([scipy.sparse.csr_array((60, far), dtype=np.float32), case.text], format="csr")
    extra = scipy.sparse.csr_array(np.ones((5, far + case.text.shape[1]), np.float32))
    text = scipy.sparse.csr_array(scipy.sparse.vstack([extra, wide], format="csr"))
    image = np.vstack([np.full((5, case.image.shape[1]), np.nan, np.float32), case.image])
    plain = fit_ranking_svm(case.documents, case.better, case.worse, l1=0.1, l2=1)
    padded = fit_ranking_svm(Documents(text, image), case.better + 5, case.worse + 5, l1=0.1, l2=1)
    assert padded.text is not None and plain.text is not None
    assert not padded.text[:far].any()
    assert np.array_equal(padded.text[far:], plain.text)
    assert padded.image is not None and np.array_equal(padded.image, plain.image)


def test_a_pair_that_occurs_three_times_counts_three_times() -> None:
    case = drawn(5)
    once = fit_ranking_svm(case.documents, case.better, case.worse, l1=0.1, l2=1)
    better, worse = np.tile(case.better, 3), np.tile(case.worse, 3)
    thrice = fit_ranking_svm(case.documents, better, worse, l1=0.3, l2=3)
    assert thrice.objective == pytest.approx(3 * once.objective, rel=2e-3)


def test_the_same_call_gives_the_same_bytes() -> None:
    case = drawn(6)
    first, second = (fit_ranking_svm(case.documents, case.better, case.worse, l1=0.1, l2=1) for _ in range(2))
    assert flat(first).tobytes() == flat(second).tobytes()


def test_a_smaller_rate_fits_less_in_as_many_steps_and_reaches_the_same_optimum_in_more() -> None:
    case = drawn(7)

    def reached(rate: float, steps: int) -> float:
        return fit_ranking_svm(case.documents, case.better, case.worse, l1=0, l2=1, rate=rate, steps=steps).objective

    assert reached(1.0, 20) < reached(0.1, 20) < reached(0.01, 20) < len(case.better)
    assert reached(0.1, 5000) == pytest.approx(reached(1.0, 1000), rel=2e-3)


def test_without_pairs_all_weights_are_zero() -> None:
    case = drawn(8)
    none = np.empty(0, np.int32)
    fit = fit_ranking_svm(case.documents, none, none, l1=0, l2=1)
    assert (fit.objective, fit.steps, flat(fit).any()) == (0.0, 0, False)
    assert len(flat(fit)) == case.dense.shape[1]


@pytest.mark.parametrize("image", [np.zeros((3, 2), np.float32), np.ones((3, 2), np.float32)])
def test_pairs_of_documents_that_look_alike_leave_the_weights_at_zero(image: np.ndarray) -> None:
    text = scipy.sparse.csr_array((3, 4), dtype=np.float32)
    for l1, l2 in ((0, 0), (0, 1), (1, 0)):
        fit = fit_ranking_svm(Documents(text, image), np.array([0, 1, 2]), np.array([1, 1, 0]), l1=l1, l2=l2)
        assert fit.objective == 3
        assert not flat(fit).any()


def test_arguments_that_do_not_fit_are_refused() -> None:
    case = drawn(9)
    broken = case.image.copy()
    broken[case.better[0]] = np.nan
    for documents, better, worse, settings_, said in (
        (Documents(None, None), case.better, case.worse, {}, "need text"),
        (Documents(case.text, case.image[:5]), case.better, case.worse, {}, "as many documents"),
        (Documents(case.text, broken), case.better, case.worse, {}, "NaN"),
        (case.documents, case.better[1:], case.worse, {}, "better"),
        (case.documents, case.better, case.worse + 60, {}, "outside 0 to 59"),
        (case.documents, case.better - 60, case.worse, {}, "outside 0 to 59"),
        (case.documents, case.better, case.worse, {"l1": -0.1}, "l1 -0.1"),
        (case.documents, case.better, case.worse, {"l2": float("nan")}, "l2 nan"),
        (case.documents, case.better, case.worse, {"l2": float("inf")}, "l2 inf"),
        (case.documents, case.better, case.worse, {"rate": 0.0}, "rate 0.0"),
        (case.documents, case.better, case.worse, {"rate": 1.5}, "rate 1.5"),
        (case.documents, case.better, case.worse, {"steps": 0}, "steps 0"),
    ):
        with pytest.raises(ValueError, match=said):
            fit_ranking_svm(documents, better, worse, **({"l1": 0.1, "l2": 1.0} | settings_))
    with pytest.raises(ValueError, match="weights"):
        objective(case.documents, case.better, case.worse, None, None, l1=0, l2=1)
