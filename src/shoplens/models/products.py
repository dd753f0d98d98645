"""Dot products of a batch with many rows, by the faster of the two libraries that torch brings for a CPU.

torch's own products of float32 are MKL's, which takes twice as long on an AMD processor with AVX-512 as oneDNN, torch's
library of convolutions (docs/speed.md). Both round alike, to within float32.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def dot_products(embeddings: Tensor, rows: Tensor) -> Tensor:
    """`embeddings @ rows.T`, (N, D) and (S, D) -> (N, S), with gradients for both."""
    if _takes(embeddings) and _takes(rows):
        product: Tensor = _Products.apply(embeddings, rows)
        return product
    return functional.linear(embeddings, rows)


def _takes(tensor: Tensor) -> bool:
    plain = tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.numel() > 0
    return plain and not torch.is_autocast_enabled("cpu") and _has_onednn()


@functools.cache
def _has_onednn() -> bool:
    """Whether this build of torch has the operation, and as it is called here.

    It has no public name: torch's compiler uses it, and another version may do without it or change its arguments.
    """
    try:
        one = _linear(torch.ones(1, 1), torch.ones(1, 1))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return one.tolist() == [[1.0]]


def _linear(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right.T` by oneDNN."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return product


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(embeddings, rows)
        return _linear(embeddings, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        embeddings, rows = ctx.saved_tensors
        wanted, also = ctx.needs_input_grad
        return (
            _linear(gradient, rows.T) if wanted else None,
            _linear(gradient.T, embeddings.T) if also else None,
        )
