"""Sampled proxies: a softmax over the batch's classes and a random sample of the others (Pinterest, section 3.3.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoplens.errors import ShoplensError
from shoplens.models.products import dot_products
from shoplens.models.proxy_bank import ProxyBank


def sample_classes(targets: np.ndarray, classes: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """The targets' classes and a uniform sample, without replacement, of the others: sorted int64 (S,).

    Algorithm 1 in one draw. S = min(samples, classes) exactly (the algorithm's `<=` gives one more). The others are
    drawn by their ranks among the classes that are no targets, in time and memory of S, whatever `classes` is.

    Args:
        targets: classes of the batch, (N,) in 0..classes - 1, repeats allowed.
        classes: how many there are (M).
        samples: how many to sample.
        rng: decides.

    Raises:
        ShoplensError: if the batch alone has more classes than `samples`.
    """
    own = np.unique(targets)
    if len(own) > samples:
        raise ShoplensError(
            f"a batch has photos of {len(own)} classes, and only {samples} are sampled: sample more, or make it smaller"
        )
    ranks = rng.choice(classes - len(own), min(samples, classes) - len(own), replace=False, shuffle=False)
    # own[i] - i classes that are no targets come before own[i]: as many targets are below a rank as have no more
    others = ranks + np.searchsorted(own - np.arange(len(own)), ranks, side="right")
    sample = np.concatenate([own, others])
    sample.sort()
    return sample


def positions_in(sample: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Where targets (N,) stand in a sample that holds them, Algorithm 1's remapped targets: (N,)."""
    return np.searchsorted(sample, targets)


class SampledSoftmax:
    """Cross-entropy of a task over sampled proxies.

    A training step is `draw`, `loss`, `backward()` and `update`. What is drawn depends on the seed and the number of
    the step alone, so a resumed bank draws on as if nothing had happened.
    """

    def __init__(self, bank: ProxyBank, samples: int, seed: int) -> None:
        """`samples` classes a step, never fewer than a batch can have."""
        self.bank = bank
        self.samples, self.seed = samples, seed
        self._sample = np.empty(0, np.int64)
        self._rows = torch.empty(0)
        self._labelled = 0

    def draw(self, targets: Tensor, device: torch.device) -> Tensor:
        """Sample classes for a batch and fetch their proxies, (S, dim) on the device; (0,) if nothing is labelled.

        Args:
            targets: classes (N,) on the CPU, -1 where a photo has none. With several processes those of all of them,
                so that all draw the same; add up the result's `grad` before `update`, and banks stay equal.
            device: where the embeddings are. Call this after launching the network (`ProxyBank.gather`).

        Raises:
            ShoplensError: if the batch has more classes than are sampled.
        """
        known = targets[targets >= 0].numpy()
        self._labelled = len(known)
        if not self._labelled:
            self._rows = torch.empty(0, device=device)
            return self._rows
        rng = np.random.default_rng([self.seed, self.bank.steps])
        self._sample = sample_classes(known, len(self.bank), self.samples, rng)
        self._rows = self.bank.gather(self._sample, device)
        return self._rows

    def loss(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the labelled photos of the drawn batch; 0 if there are none.

        Args:
            embeddings: (N, dim) of the photos of this process.
            targets: their classes (N,) on the CPU, -1 where a photo has none. Losses of processes add up to the mean.
        """
        if not self._labelled:
            return embeddings[:0].sum()
        places = torch.nonzero(targets >= 0).squeeze(1)
        positions = torch.from_numpy(positions_in(self._sample, targets[places].numpy()))
        device = embeddings.device
        logits = dot_products(embeddings[places.to(device, non_blocking=True)], self._rows)
        total = functional.cross_entropy(logits, positions.to(device, non_blocking=True), reduction="sum")
        return total / self._labelled

    def average_gradient(self, average: Callable[[Tensor], None], scale: float = 1.0) -> None:
        """Make the drawn proxies' gradient that of the whole batch, before `update`.

        Args:
            average: replaces a tensor by its mean over processes, in place.
            scale: by which the loss was multiplied (torch.amp.GradScaler); a gradient that overflowed is dropped.
        """
        gradient = self._rows.grad if len(self._rows) else None
        if gradient is None:
            return
        average(gradient)
        gradient.div_(scale)
        if scale != 1.0 and not bool(gradient.isfinite().all()):
            gradient.zero_()

    def update(self, rate: float) -> None:
        """Move the drawn proxies by an SGD step at learning rate `rate`."""
        self._rows = torch.empty(0)
        self.bank.update(rate)


@torch.no_grad()
def validation_loss(sampler: SampledSoftmax, embeddings: Tensor, targets: Tensor, batch: int) -> Tensor:
    """Mean cross-entropy over the labelled photos of a validation batch; changes nothing.

    The sample depends on the number of the batch alone, so the losses of several epochs can be compared.

    Args:
        sampler: whose proxies count, as of now.
        embeddings: (N, dim).
        targets: classes (N,) on the CPU, -1 where a photo has none; at least one is labelled.
        batch: its number.
    """
    known = targets >= 0
    own = targets[known].numpy()
    samples = max(sampler.samples, len(np.unique(own)))
    rng = np.random.default_rng([sampler.seed, batch])
    sample = sample_classes(own, len(sampler.bank), samples, rng)
    logits = functional.linear(embeddings[known.to(embeddings.device)], sampler.bank.read(sample).to(embeddings))
    return functional.cross_entropy(logits.float(), torch.from_numpy(positions_in(sample, own)).to(logits.device))
