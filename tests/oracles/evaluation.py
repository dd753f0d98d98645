"""Independent reimplementations of the evaluation's scores and of the shallow head: loops and scikit-learn."""

import numpy as np


def ranked_probability_score_by_loops(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """RPS with a loop over listings and thresholds, everything added up by hand."""
    scores = []
    for forecast, level in zip(probabilities.tolist(), truth.tolist(), strict=True):
        thresholds = len(forecast) - 1
        total = 0.0
        for threshold in range(thresholds):
            at_most = sum(forecast[: threshold + 1])
            happened = 1.0 if level <= threshold else 0.0
            total += (at_most - happened) ** 2
        scores.append(total / thresholds)
    return np.array(scores)


def bootstrap_auc_error(scores: np.ndarray, positive: np.ndarray, draws: int, seed: int) -> float:
    """Standard deviation of scikit-learn's AUC over resampled positives and resampled negatives."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    ups, downs = scores[positive], scores[~positive]
    truth = np.repeat([1, 0], [len(ups), len(downs)])
    found = [
        roc_auc_score(truth, np.concatenate([rng.choice(ups, len(ups)), rng.choice(downs, len(downs))]))
        for _ in range(draws)
    ]
    return float(np.std(found, ddof=1))


def standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """scikit-learn's StandardScaler fitted on the training features, applied to all."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(np.asarray(train, np.float64))
    return [scaler.transform(np.asarray(x, np.float64)) for x in (train, *others)]


def logistic_head(train: np.ndarray, truth: np.ndarray, penalty: float, features: np.ndarray) -> np.ndarray:
    """Class probabilities of scikit-learn's multinomial logistic regression, solved almost exactly."""
    from sklearn.linear_model import LogisticRegression

    fitted, asked = standardised(train, features)
    model = LogisticRegression(C=1 / (penalty * len(truth)), max_iter=50_000, tol=1e-9).fit(fitted, truth)
    return model.predict_proba(asked)


def ridge_head(train: np.ndarray, truth: np.ndarray, penalty: float, features: np.ndarray) -> np.ndarray:
    """Numbers of scikit-learn's ridge regression."""
    from sklearn.linear_model import Ridge

    fitted, asked = standardised(train, features)
    return Ridge(alpha=penalty * len(truth)).fit(fitted, truth).predict(asked)
