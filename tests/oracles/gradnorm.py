"""GradNorm on a linear model with gradients derived by hand, in numpy, a task at a time.

Photos x (n, f), shared layer W (f, d), heads a_i (d,), targets y_i (n,), of which some are known:
L_i = mean over the known of (x W a_i - y_i)^2, and dL_i/dW = 2 / known * x' r a_i' with the residual r.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def loss_and_gradient(
    x: Floats, shared: Floats, head: Floats, target: Floats, known: NDArray[np.bool_]
) -> tuple[float, Floats]:
    """One task's loss and its gradient with respect to the shared layer; 0 and zeros without a known target."""
    count = max(int(known.sum()), 1)
    residual = np.where(known, x @ shared @ head - target, 0.0)
    return float((residual**2).sum() / count), 2 / count * np.outer(x.T @ residual, head)


class GradNormOracle:
    """Algorithm 1 of arXiv:1711.02257, with an Adam of its own for each weight."""

    def __init__(self, tasks: int, asymmetry: float, learning_rate: float) -> None:
        self.asymmetry, self.learning_rate = asymmetry, learning_rate
        self.weights = [1.0] * tasks
        self.first: dict[int, float] = {}
        self.adam = [(0, 0.0, 0.0)] * tasks

    def balance(self, losses: Sequence[float], gradients: Sequence[Floats]) -> None:
        """Move the weights of the tasks whose loss is not 0."""
        present = [i for i, loss in enumerate(losses) if loss != 0]
        if not present:
            return
        for i in present:
            self.first.setdefault(i, losses[i])
        norm = {i: float(np.sqrt((gradients[i] ** 2).sum())) for i in present}
        own = {i: self.weights[i] * norm[i] for i in present}
        ratio = {i: losses[i] / self.first[i] for i in present}
        mean_own, mean_ratio = sum(own.values()) / len(present), sum(ratio.values()) / len(present)
        before = sum(self.weights[i] for i in present)
        for i in present:
            target = mean_own * (ratio[i] / mean_ratio) ** self.asymmetry
            slope = np.sign(own[i] - target) * norm[i]  # of |w_i norm_i - target| with respect to w_i
            step, momentum, square = self.adam[i]
            step, momentum, square = step + 1, 0.9 * momentum + 0.1 * slope, 0.999 * square + 0.001 * slope**2
            self.adam[i] = (step, momentum, square)
            moved = momentum / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            self.weights[i] = max(self.weights[i] - self.learning_rate * moved, 1e-3)
        after = sum(self.weights[i] for i in present)
        for i in present:
            self.weights[i] *= before / after
