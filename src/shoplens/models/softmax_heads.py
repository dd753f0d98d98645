"""Softmax heads of image-set tasks: one fully connected layer whose rows are the proxies (Pinterest, section 3.3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 0.05
"""Of NormSoftmax, in Zhai and Wu's *Making Classification Competitive for Deep Metric Learning* ([33] in the paper)."""


class SoftmaxHead(nn.Linear):
    """Logits of a task: dot products of embeddings and proxies, "softmax (no bias)" (section 3.3).

    Proxies start uniform within 1/sqrt(dim) of zero: nn.Linear's own rule, and that of [33].
    """

    def __init__(self, dim: int, classes: int) -> None:
        """`dim` is the embedding's width; `weight` holds the proxies, (classes, dim)."""
        super().__init__(dim, classes, bias=False)


class NormSoftmaxHead(SoftmaxHead):
    """The head of Table 1's baseline [33]: cosines of standardised embeddings and proxies over a temperature."""

    def forward(self, input: Tensor) -> Tensor:
        """Pooled features (N, dim) -> logits (N, classes)."""
        embeddings = functional.normalize(standardised(input), dim=1)
        return functional.linear(embeddings, functional.normalize(self.weight, dim=1)) / TEMPERATURE


def standardised(pooled: Tensor) -> Tensor:
    """The baseline's embedding: LayerNorm without affine parameters, (N, dim) -> (N, dim).

    It centres every embedding at zero, which is what makes the threshold at zero of the baseline's codes balanced.
    """
    return functional.layer_norm(pooled, pooled.shape[-1:])
