"""The multi-task losses of Booking, section 3.3: pseudo-uniform scaling and learned homoscedastic uncertainty.

A task's loss is the mean over the labelled galleries of the batch (0 if there are none); tasks are summed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoplens.data.tasks import Task


@dataclass(frozen=True)
class Target:
    """Labels of one task for a batch: values (G,) int64 or float32, and the mask of known ones (G,)."""

    values: Tensor
    known: Tensor


def usable(task: Task, target: Target) -> Tensor:
    """Which galleries a task learns from, (G,): a class that was not seen in training (value -1) is no label."""
    return target.known & (target.values >= 0) if task.kind == "multiclass" else target.known


def task_losses(
    tasks: Sequence[Task], outputs: Mapping[str, Tensor], targets: Mapping[str, Target], labelled: Tensor
) -> Tensor:
    """Each task's own loss, unweighted: cross-entropy, or mean squared error in squared natural units; (T,).

    Args:
        tasks: T tasks.
        outputs: what their heads give.
        targets: labels of the same galleries.
        labelled: (T,), galleries of the whole batch that a task learns from, those of other processes included: the
            sum is divided by it, so that the losses of all processes add up to the mean.
    """
    losses = []
    for task, count in zip(tasks, labelled, strict=True):
        output, target = outputs[task.name], targets[task.name]
        if task.kind == "multiclass":
            each = functional.cross_entropy(output, target.values.clamp(min=0), reduction="none")
        elif task.kind == "binary":
            each = functional.binary_cross_entropy_with_logits(output, target.values.float(), reduction="none")
        else:
            each = (output - target.values).square()
        # where() and not a product: an unlabelled row's infinity must not become 0 * inf = NaN
        total = torch.where(usable(task, target), each, torch.zeros_like(each)).sum()
        losses.append(total / count.clamp(min=1))
    return torch.stack(losses) if losses else torch.zeros(0)


class PseudoUniform(nn.Module):
    """Weight 1 for cross-entropies and 1/sample variance for squared errors (section 3.3, first method)."""

    weights: Tensor

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Variances are those of the training labels."""
        super().__init__()
        weights = [1 / task.variance if task.kind == "regression" else 1.0 for task in tasks]
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, losses: Tensor) -> Tensor:
        """Task losses (T,) -> total (scalar)."""
        return (self.weights * losses).sum()


class Kendall(nn.Module):
    """Learned scales (section 3.3, second method): L / (2 s^2) for regression, L / s^2 for classification, + log s.

    The parameters are log s. A regression starts at s = its labels' standard deviation, where the method's own minimum
    is near; from s = 1 a price in euros would swamp the other tasks for the first epochs.
    """

    factors: Tensor

    def __init__(self, tasks: Sequence[Task]) -> None:
        """One learned scale a task."""
        super().__init__()
        regression = torch.tensor([task.kind == "regression" for task in tasks])
        start = torch.tensor([0.5 * torch.tensor(task.variance).log() for task in tasks])
        self.log_scales = nn.Parameter(torch.where(regression, start, torch.zeros(len(tasks))))
        self.register_buffer("factors", torch.where(regression, 0.5, 1.0))

    def forward(self, losses: Tensor) -> Tensor:
        """Task losses (T,) -> total (scalar)."""
        return (self.factors * torch.exp(-2 * self.log_scales) * losses + self.log_scales).sum()


def build_loss(name: Literal["pseudo_uniform", "kendall"], tasks: Sequence[Task]) -> PseudoUniform | Kendall:
    """The loss by its name in params.yaml."""
    return PseudoUniform(tasks) if name == "pseudo_uniform" else Kendall(tasks)
