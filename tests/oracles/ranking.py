"""Independent reimplementations of ranking's scores and of its SVM: sorting, loops, the paper's Algorithm 2."""

import math

import numpy as np
import scipy.sparse


def ndcg_by_sorting(scores: np.ndarray, grades: np.ndarray, order: np.ndarray, depth: int | None = None) -> float:
    """One session's nDCG: sort by score, ties by order, then add up gain times discount by hand; NaN scores last."""
    keys = [-math.inf if math.isnan(score) else score for score in scores.tolist()]
    ranked = sorted(range(len(keys)), key=lambda row: (-keys[row], order[row], row))[:depth]
    ideal = sorted(grades.tolist(), reverse=True)[:depth]

    def dcg(relevance: list[int]) -> float:
        return sum((2**rel - 1) / math.log2(place + 1) for place, rel in enumerate(relevance, start=1))

    best = dcg(ideal)
    return dcg([int(grades[row]) for row in ranked]) / best if best else math.nan


def pair_differences(features: np.ndarray, better: np.ndarray, worse: np.ndarray, coins: np.ndarray):
    """Algorithm 2: for heads (better - worse, +1), for tails (worse - better, -1)."""
    instances, labels = [], []
    for first, second, heads in zip(better.tolist(), worse.tolist(), coins.tolist(), strict=True):
        instances.append(features[first] - features[second] if heads else features[second] - features[first])
        labels.append(1 if heads else -1)
    return np.array(instances), np.array(labels)


def hinge_objective(instances: np.ndarray, labels: np.ndarray, weights: np.ndarray, l1: float, l2: float) -> float:
    """Section 2.2's loss with a loop over instances."""
    total = l1 * float(np.abs(weights).sum()) + l2 * float((weights**2).sum())
    for instance, label in zip(instances, labels.tolist(), strict=True):
        total += max(1 - label * float(weights @ instance), 0.0)
    return total


def sgd_ranking_svm(
    instances: np.ndarray, labels: np.ndarray, l1: float, l2: float, rate: float, epochs: int, seed: int
) -> np.ndarray:
    """Stochastic subgradient descent on the summed loss, as the paper says; the best weights of all epochs.

    A step on one of m instances takes the m-th part of the penalty; the step length falls as rate / sqrt(step).
    """
    rng = np.random.default_rng(seed)
    weights = np.zeros(instances.shape[1])
    best, lowest, step = weights.copy(), hinge_objective(instances, labels, weights, l1, l2), 0
    for _ in range(epochs):
        for row in rng.permutation(len(labels)):
            step += 1
            slope = (l1 * np.sign(weights) + 2 * l2 * weights) / len(labels)
            if labels[row] * (weights @ instances[row]) < 1:
                slope = slope - labels[row] * instances[row]
            weights = weights - rate / math.sqrt(step) * slope
        value = hinge_objective(instances, labels, weights, l1, l2)
        if value < lowest:
            best, lowest = weights.copy(), value
    return best


def sklearn_sgd(differences: scipy.sparse.csr_array | np.ndarray, l1: float, l2: float, eta0: float) -> np.ndarray:
    """scikit-learn's SGDClassifier on pair differences, half of them turned round.

    It minimises mean hinge + alpha (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2): our sum, divided by the pairs.
    """
    from sklearn.linear_model import SGDClassifier

    signs = np.where(np.arange(differences.shape[0]) % 2, 1, -1)
    turned = scipy.sparse.csr_array(differences).multiply(signs[:, None]).tocsr()
    total = l1 + 2 * l2
    model = SGDClassifier(
        loss="hinge",
        penalty="elasticnet",
        alpha=total / len(signs),
        l1_ratio=l1 / total,
        fit_intercept=False,
        learning_rate="adaptive",
        eta0=eta0,
        random_state=0,
    )
    return model.fit(turned, signs).coef_[0]


def linear_svc(differences: np.ndarray, l2: float) -> np.ndarray:
    """scikit-learn's LinearSVC: |w|^2 / 2 + C summed hinge, so C = 1 / (2 l2); solved almost exactly."""
    from sklearn.svm import LinearSVC

    signs = np.where(np.arange(len(differences)) % 2, 1, -1)
    model = LinearSVC(loss="hinge", C=1 / (2 * l2), fit_intercept=False, tol=1e-6, max_iter=100_000, random_state=0)
    return model.fit(differences * signs[:, None], signs).coef_[0]
