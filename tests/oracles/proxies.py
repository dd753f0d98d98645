"""Dense reimplementations of sampled proxies: one weight matrix, torch's own SGD, the paper's Algorithm 1."""

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


def algorithm_1(targets: Sequence[int], classes: int, samples: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """Algorithm 1 as printed, but for `<` in the place of its `<=`, which samples one class too many."""
    sampled = set(targets)
    while len(sampled) < samples:
        candidate = rng.randrange(classes)
        if candidate not in sampled:
            sampled.add(candidate)
    listed = list(sampled)
    remapped = [index for target in targets for index, label in enumerate(listed) if label == target]
    return listed, remapped


class DenseProxies:
    """Proxies whose every row has a gradient, a velocity and weight decay at every step."""

    def __init__(self, rows: torch.Tensor, momentum: float, weight_decay: float) -> None:
        self.rows = rows.clone().requires_grad_()
        self._optimiser = torch.optim.SGD([self.rows], lr=1.0, momentum=momentum, weight_decay=weight_decay)

    def step(self, embeddings: torch.Tensor, targets: Sequence[int], sample: np.ndarray, rate: float) -> None:
        """Descend on the mean cross-entropy over the sampled classes."""
        logits = embeddings @ self.rows.T
        left_out = torch.ones(len(self.rows), dtype=torch.bool)
        left_out[torch.from_numpy(sample)] = False
        loss = functional.cross_entropy(logits.masked_fill(left_out, -torch.inf), torch.tensor(targets))
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
