"""Learning to rank: a query's SVM against scikit-learn's SGD on pair differences, nDCG against scikit-learn and ranx.

The alternative to the SVM is what a user would write: a CSR matrix of pair differences (text and image side by side)
and SGDClassifier with its default stopping rule. Its learning rate is tuned before anything is timed: of all settings
within 1% of the lowest objective that any of them reaches, the fastest. Ours takes the fewest of STEPS that end at or
below that setting's objective. Objectives are printed beside the times.

One thread for all. nDCG is of sessions with 48 results; scikit-learn gets gains made beforehand, in batches; ranx gets
finished Qrels and Run objects, of fewer sessions, as it makes them from dictionaries at 6 ms a session, and its time is
scaled up. The limit is the time numpy takes to read the same arrays once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.ranking_data import DIMENSIONS, RESULTS, GeneratedQuery, generate_query
from benchmarks.timing import Row, compare, show
from shoplens.progress import say
from shoplens.ranking.ndcg import session_ndcg
from shoplens.ranking.svm import Documents, fit_ranking_svm, objective

L1, L2 = 0.1, 1.0
SESSIONS = 1_000_000
RANX_SESSIONS = 10_000
STEPS = (25, 50, 75, 100, 150, 200, 300, 500)


def differences(query: GeneratedQuery) -> scipy.sparse.csr_array:
    """Every other pair turned round, as Algorithm 2's coin does."""
    features = scipy.sparse.hstack([query.text, scipy.sparse.csr_array(query.image)], format="csr")
    pairs = features[query.better] - features[query.worse]
    pairs.data *= np.repeat(labels(query), np.diff(pairs.indptr))
    return pairs


def labels(query: GeneratedQuery) -> NDArray[np.int64]:
    """1, -1, 1, ..."""
    return np.where(np.arange(len(query.better)) % 2, -1, 1)


def tuned_sgd(
    query: GeneratedQuery, built: scipy.sparse.csr_array
) -> tuple[Callable[[scipy.sparse.csr_array], NDArray[np.float64]], str, float]:
    """The fastest setting within 1% of the lowest objective, its name, and its objective."""
    from sklearn.linear_model import SGDClassifier

    penalty = L1 + 2 * L2  # it divides the sum by the number of pairs, and halves the square
    settings = [{"learning_rate": "optimal"}] + [
        {"learning_rate": schedule, "eta0": eta0}
        for schedule in ("adaptive", "invscaling", "constant")
        for eta0 in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    ]
    tried = []
    for setting in settings:

        def fit(pairs: scipy.sparse.csr_array, setting: dict[str, object] = setting) -> NDArray[np.float64]:
            model = SGDClassifier(
                loss="hinge",
                penalty="elasticnet",
                alpha=penalty / pairs.shape[0],
                l1_ratio=L1 / penalty,
                fit_intercept=False,
                random_state=0,
                **setting,
            )
            weights: NDArray[np.float64] = model.fit(pairs, labels(query)).coef_[0]
            return weights

        start = time.perf_counter()
        weights = fit(built)
        seconds = time.perf_counter() - start
        text, image = weights[: query.text.shape[1]], weights[query.text.shape[1] :]
        reached = objective(Documents(query.text, query.image), query.better, query.worse, text, image, l1=L1, l2=L2)
        tried.append((seconds, reached, fit, " ".join(str(value) for value in setting.values())))
    lowest = min(reached for _, reached, _, _ in tried)
    _, reached, fit, name = min((entry for entry in tried if entry[1] <= 1.01 * lowest), key=lambda entry: entry[0])
    return fit, name, reached


def svm_rows(documents: int, pairs: int) -> list[Row]:
    """One query, with the matrix of differences at hand, and with making it."""
    query = generate_query(np.random.default_rng(0), documents, pairs)
    features = Documents(query.text, query.image)
    built = differences(query)
    say(f"Tuning SGDClassifier on {pairs} pairs")
    sgd, name, reached = tuned_sgd(query, built)

    def fit(most: int) -> float:
        return fit_ranking_svm(features, query.better, query.worse, l1=L1, l2=L2, steps=most).objective

    steps = next(most for most in STEPS if fit(most) <= reached)
    ours = partial(fit, steps)
    claim = (
        f"ranking SVM: {pairs:,} pairs of {documents:,} documents, {DIMENSIONS}-d image, "
        f"{steps} steps, objective {ours():,.1f}"
    )
    instead = f"SGDClassifier ({name}), objective {reached:,.1f}"
    return [
        compare(claim, f"{instead}, differences at hand", ours, lambda: sgd(built), repeats=3),
        compare(claim, f"{instead}, differences made", ours, lambda: sgd(differences(query)), repeats=3),
    ]


def ndcg_rows() -> list[Row]:
    """A million sessions."""
    import numba
    from ranx import Qrels, Run, evaluate
    from sklearn.metrics import ndcg_score

    numba.set_num_threads(1)
    rng = np.random.default_rng(0)
    shape = (SESSIONS, RESULTS)
    scores = rng.random(shape, np.float32)
    grades = (rng.random(shape, np.float32) < 1 / RESULTS).astype(np.int8)
    grades[np.arange(SESSIONS), rng.integers(0, RESULTS, SESSIONS)] = 1
    order = rng.integers(0, 1_400_000, shape, np.int32)
    starts = np.arange(SESSIONS + 1) * RESULTS
    gains = (2.0**grades - 1).astype(np.float32)

    def read() -> None:
        for array in (scores, grades, order, starts):
            array.max()

    read()
    start = time.perf_counter()
    read()
    limit = time.perf_counter() - start
    size = sum(array.nbytes for array in (scores, grades, order, starts))

    def ours(count: int = SESSIONS) -> NDArray[np.float64]:
        return session_ndcg(scores[:count].ravel(), grades[:count].ravel(), order[:count].ravel(), starts[: count + 1])

    def sklearn(batch: int = 5_000) -> float:
        parts = range(0, SESSIONS, batch)
        return float(
            np.mean([ndcg_score(gains[p : p + batch], scores[p : p + batch], ignore_ties=True) for p in parts])
        )

    names = [f"d{place:02d}" for place in range(RESULTS)]
    judged = Qrels(
        {
            f"s{session:07d}": {name: int(grade) for name, grade in zip(names, row, strict=True) if grade}
            for session, row in enumerate(grades[:RANX_SESSIONS])
        }
    )
    ranked = Run(
        {
            f"s{session:07d}": dict(zip(names, row.tolist(), strict=True))
            for session, row in enumerate(scores[:RANX_SESSIONS])
        }
    )

    def ranx() -> NDArray[np.float64]:
        return evaluate(judged, ranked, "ndcg_burges", return_mean=False)

    np.testing.assert_allclose(sklearn(), ours().mean(), rtol=1e-6)
    np.testing.assert_allclose(ranx(), ours(RANX_SESSIONS), atol=1e-12)
    claim = f"nDCG of {SESSIONS:,} sessions; reading their {size / 1e9:.2f} GB alone: {limit:.3f} s"
    against = compare(claim, "scikit-learn ndcg_score in batches of 5,000", ours, sklearn, repeats=3)
    few = compare("", "", lambda: ours(RANX_SESSIONS), ranx, repeats=3)
    scaled = few.instead_s * SESSIONS / RANX_SESSIONS
    name = f"ranx ndcg_burges, {SESSIONS // RANX_SESSIONS} times its {RANX_SESSIONS:,} sessions"
    return [against, Row(claim, name, against.ours_s, scaled)]


def run() -> list[Row]:
    """A query of the paper's mean size (8.8 million pairs, 1,394 queries), one of its long tail, and nDCG."""
    with threadpool_limits(1):
        return svm_rows(1_000, 6_300) + svm_rows(150, 300) + ndcg_rows()


if __name__ == "__main__":
    show(run())
