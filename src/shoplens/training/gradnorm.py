"""GradNorm: task weights that keep the tasks' gradients balanced (Chen et al. 2017, arXiv:1711.02257).

The Pinterest paper's ablation (Table 2, "+ GradNorm"): "Instead of assigning equal weights to all task losses, we
experiment with GradNorm [3] to learn the weighting" (4.2.2). It did worse there than equal weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's own."""
SMALLEST = 1e-3
"""No step takes a weight below it: Adam's momentum could carry one past 0, and the task would be unlearned."""


class GradNorm(nn.Module):
    """Learned weights of T tasks, which sum to T and start at 1.

    With G_i the norm of the gradient of w_i L_i with respect to the last shared layer, and r_i the task's relative
    inverse training rate L_i / L_i(0) over its mean, each step moves the weights down the gradient of

        sum_i | G_i - mean(G) * r_i ^ asymmetry |

    whose targets are held fixed (the paper's equation 2 and Algorithm 1). Weights and the state of their Adam are
    buffers: they are in state_dict, and no other optimiser takes them for its own.

    Attributes:
        weights: (T,), to read.
    """

    weights: Tensor
    first_losses: Tensor
    steps: Tensor
    momentum: Tensor
    square: Tensor

    def __init__(self, tasks: int, asymmetry: float = 1.5, learning_rate: float = 0.025) -> None:
        """Start with equal weights; `learning_rate` is Adam's."""
        super().__init__()
        self.asymmetry, self.learning_rate = asymmetry, learning_rate
        self.register_buffer("weights", torch.ones(tasks))
        self.register_buffer("first_losses", torch.full((tasks,), torch.nan))
        self.register_buffer("steps", torch.zeros(tasks, dtype=torch.int64))
        self.register_buffer("momentum", torch.zeros(tasks))
        self.register_buffer("square", torch.zeros(tasks))

    def forward(self, losses: Tensor) -> Tensor:
        """Task losses (T,) -> their weighted total; the weights have no gradient."""
        return (self.weights * losses).sum()

    def balance(self, losses: Tensor, shared: Tensor) -> None:
        """Update the weights after `forward` and before the backward pass of its total.

        A task whose loss is 0, because the batch has no label of it, takes no part: its weight, its first loss and its
        Adam stay as they are, and the others share what they had together.

        In a distributed run every process ends with the same weights, those of the losses' mean over the processes.

        Args:
            losses: (T,), not weighted, with their graph.
            shared: a parameter of the last layer that all tasks share.
        """
        values, gradients = losses.detach(), _gradients(losses, shared)
        if distributed.is_available() and distributed.is_initialized():
            joined = torch.cat([values[:, None], gradients], dim=1)
            distributed.all_reduce(joined)
            joined /= distributed.get_world_size()
            values, gradients = joined[:, 0], joined[:, 1:]
        present = values != 0
        self.first_losses = torch.where(present & self.first_losses.isnan(), values, self.first_losses)
        norms = torch.linalg.vector_norm(gradients, dim=1)
        own = self.weights * norms
        rates = torch.where(present, values / self.first_losses, 0)
        count = present.sum().clamp(min=1)
        rates = rates / (rates.sum() / count)
        target = torch.where(present, own, 0).sum() / count * rates**self.asymmetry
        self._descend((own - target).sign() * norms, present)

    def _descend(self, gradient: Tensor, present: Tensor) -> None:
        """One step of Adam on the weights of the present tasks, then back to the sum that they had.

        Buffers are replaced, not changed in place: the total's backward pass still needs the old weights.
        """
        self.steps = self.steps + present
        self.momentum = torch.where(present, torch.lerp(gradient, self.momentum, BETAS[0]), self.momentum)
        self.square = torch.where(present, torch.lerp(gradient.square(), self.square, BETAS[1]), self.square)
        steps = self.steps.clamp(min=1).to(self.weights.dtype)
        mean, spread = self.momentum / (1 - BETAS[0] ** steps), (self.square / (1 - BETAS[1] ** steps)).sqrt()
        moved = (self.weights - self.learning_rate * mean / (spread + EPSILON)).clamp(min=SMALLEST)
        moved = torch.where(present, moved, 0)
        before = torch.where(present, self.weights, 0).sum()
        self.weights = torch.where(present, moved * (before / moved.sum()), self.weights)


def _gradients(losses: Tensor, shared: Tensor) -> Tensor:
    """The gradient of each loss with respect to `shared`, flat: (T, size of shared)."""
    found = []
    for loss in losses.unbind():
        (gradient,) = torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)
        found.append(gradient.flatten())
    return torch.stack(found)
