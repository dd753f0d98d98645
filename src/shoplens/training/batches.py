"""Batches of ragged galleries, the same for the same seed and epoch, wherever training was interrupted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shoplens.data.galleries import Galleries
from shoplens.data.tasks import Labels, Task
from shoplens.models.activations import FrozenRows
from shoplens.training.losses import Target


def epoch_order(galleries: np.ndarray, seed: int, epoch: int, size: int) -> list[np.ndarray]:
    """Gallery indices of each batch of an epoch, shuffled by (seed, epoch)."""
    order = np.random.default_rng([seed, epoch]).permutation(galleries)
    return [order[start : start + size] for start in range(0, len(order), size)]


class BatchReader(torch.utils.data.Dataset[tuple[Tensor, Tensor, np.ndarray]]):
    """Batch number -> (frozen rows (N, H, W, C), photo counts (G,), gallery indices (G,)); safe in worker processes."""

    def __init__(self, rows: FrozenRows, galleries: Galleries, batches: Sequence[np.ndarray]) -> None:
        """`batches` are gallery indices."""
        self._rows, self._galleries, self._batches = rows, galleries, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, np.ndarray]:
        chosen = self._batches[number]
        return (
            self._rows[self._galleries.photo_rows(chosen)],
            torch.from_numpy(self._galleries.counts[chosen]),
            chosen,
        )


def targets_of(tasks: Sequence[Task], labels: dict[str, Labels], chosen: np.ndarray, device: str) -> dict[str, Target]:
    """Labels and masks of the chosen galleries, on the device."""
    return {
        task.name: Target(
            torch.from_numpy(labels[task.name].values[chosen]).to(device, non_blocking=True),
            torch.from_numpy(labels[task.name].known[chosen]).to(device, non_blocking=True),
        )
        for task in tasks
    }
