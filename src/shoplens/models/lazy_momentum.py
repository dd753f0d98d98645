"""What SGD with momentum and weight decay does to a row while its gradient is zero, in one step.

Dense SGD moves every proxy at every step: velocities fade and proxies decay although nearly all gradients are zero.
That motion is linear in (proxy, velocity) and the same for every coordinate. One step at learning rate `lr`,

    velocity' = momentum * velocity + decay * proxy
    proxy'    = proxy - lr * velocity'

is a 2 x 2 matrix, k steps are its k-th power: a row that was left alone for k steps is caught up when it is touched.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
import torch

BASE = 64
"""Of the digits of exponents: two digits cover 4,096 steps."""


class IdleSteps:
    """The learning rate of every step so far, and what those steps do to a row without gradient."""

    def __init__(self, momentum: float, decay: float) -> None:
        """`decay` is the weight decay, as torch.optim.SGD adds it to the gradient."""
        self._momentum, self._decay = momentum, decay
        self.count = 0
        self._starts: list[int] = []
        self._rates: list[float] = []

    def append(self, rate: float) -> None:
        """Count one more step, at this learning rate."""
        if not self._rates or rate != self._rates[-1]:
            self._starts.append(self.count)
            self._rates.append(rate)
        self.count += 1

    def matrices(self, done: np.ndarray) -> np.ndarray:
        """What is missing for rows that have seen the first `done` steps (n,): float64 (n, 2, 2).

        They multiply the column (proxy, velocity). The loop is over changes of the rate, not over steps or rows.
        """
        found = np.broadcast_to(np.eye(2), (len(done), 2, 2)).copy()
        oldest = int(done.min(initial=self.count))
        first = max(bisect_right(self._starts, oldest) - 1, 0)
        spans = pairwise([*self._starts[first:], self.count])
        for (start, end), rate in zip(spans, self._rates[first:], strict=True):
            span = powers(self._step(rate), np.maximum(end - np.maximum(done, start), 0))
            found = _products(span, found)
        return found

    def _step(self, rate: float) -> np.ndarray:
        velocity = np.array([self._decay, self._momentum])
        return np.array([np.array([1.0, 0.0]) - rate * velocity, velocity])

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs."""
        return {"count": self.count, "starts": list(self._starts), "rates": list(self._rates)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.count, self._starts, self._rates = state["count"], list(state["starts"]), list(state["rates"])


def powers(matrix: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """`matrix` (d, d) to the power of each exponent (n,) >= 0, digit by digit of the exponents: (n, d, d).

    Products need no eigenvalues, which coincide near momentum = (1 - sqrt(lr * decay))^2 and are complex beyond.
    """
    ladder = _ladder(matrix)
    found: np.ndarray = ladder[exponents % BASE]
    exponents = exponents // BASE
    while exponents.any():
        ladder = _ladder(ladder[-1] @ matrix)
        matrix = ladder[1]
        found = _products(ladder[exponents % BASE], found)
        exponents = exponents // BASE
    return found


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrices times matrices, (n, d, d); torch multiplies many small ones in a quarter of NumPy's time."""
    return torch.bmm(torch.from_numpy(left), torch.from_numpy(right)).numpy()


def _ladder(matrix: np.ndarray) -> np.ndarray:
    """Powers 0..BASE - 1 of a matrix (d, d), each doubling one product: (BASE, d, d)."""
    ladder = np.eye(len(matrix))[None]
    while len(ladder) < BASE:
        ladder = np.concatenate([ladder, ladder @ matrix])
        matrix = matrix @ matrix
    return ladder
