"""Task heads: a shallow network per task on the gallery embedding (Booking, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoplens.data.tasks import Task


class TaskHeads(nn.Module):
    """One fully connected layer with ReLU and an output layer per task; logits, or values in natural units."""

    def __init__(self, tasks: Sequence[Task], dim: int, width: int) -> None:
        """`dim` is the embedding's width, `width` the hidden layer's (Booking's 5.7M parameters imply about 315)."""
        super().__init__()
        self.tasks = tuple(tasks)
        # ModuleDict forbids dots in names and clashes with its own attributes, task names may hold either
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, task.outputs)) for task in tasks
        )

    def forward(self, galleries: Tensor) -> dict[str, Tensor]:
        """Gallery embeddings (G, dim) -> {task: (G, classes) logits | (G,) logit | (G,) value}.

        A regression head works in standard units and is scaled back, so that squared error times 1/variance (section
        3.3) starts at a sensible size whatever the unit; this changes neither the loss nor its minimum.
        """
        outputs = {}
        for task, layer in zip(self.tasks, self.layers, strict=True):
            raw = layer(galleries)
            if task.kind == "regression":
                raw = raw * task.variance**0.5 + task.mean
            outputs[task.name] = raw if task.kind == "multiclass" else raw.squeeze(1)
        return outputs


def probabilities(task: Task, outputs: Tensor) -> Tensor:
    """Class probabilities (G, classes) of a multiclass task or (G, 2) of a binary one, from its head's logits."""
    if task.kind == "multiclass":
        return outputs.softmax(dim=1)
    positive = outputs.sigmoid()
    return torch.stack([1 - positive, positive], dim=1)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
