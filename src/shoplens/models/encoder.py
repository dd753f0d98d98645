"""The encoder: photo -> activation -> embedding, and the mean over a gallery's photos.

Booking, section 3.2: an image encoder shared by all photos, then mean pooling, so that the result does not depend on
the photos' order. Galleries are ragged: a batch is the photos of all its galleries, one after the other, and a count
for each gallery; nothing is padded.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from shoplens.errors import ShoplensError
from shoplens.models.backbones import build_backbone
from shoplens.models.embedding import EmbeddingModule, Ending, Projection, Standardised
from shoplens.strict import StrictModel


class Transform(StrictModel):
    """How a photo becomes pixels (see contract.pixels.to_pixels)."""

    size: int
    short_side: int | None = None


class EncoderConfig(StrictModel):
    """Everything needed to rebuild an encoder without its weights."""

    backbone: str
    frozen_blocks: int
    transform: Transform
    embedding_dim: int | None = None
    module: Literal["projection", "binarisation", "layer_norm"] = "projection"
    groups: int = 256
    dropout: float = Field(0.5, ge=0, lt=1)


class SpatialMean(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Mean over height and width."""
        return maps.mean(dim=(2, 3))


class PhotoEncoder(nn.Module):
    """Photo -> embedding, in three parts.

    `prefix` (frozen blocks) and `tail` (trainable blocks and pooling) are the backbone; `ending` makes activation and
    embedding. The first cut lets training cache the prefix's activations; `forward` runs all.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig, pretrained: str = "none") -> None:
        """Build the network; weights are pretrained or random (torch's global generator).

        Raises:
            ShoplensError: if the backbone is unknown, has fewer blocks than are to be frozen, or the groups do not fit.
        """
        super().__init__()
        backbone = build_backbone(config.backbone, pretrained)
        if config.frozen_blocks > len(backbone.blocks):
            raise ShoplensError(
                f"train.frozen_blocks: {config.backbone} has {len(backbone.blocks)} blocks, "
                f"cannot freeze {config.frozen_blocks}"
            )
        self.config = config
        self.register_buffer("mean", torch.tensor(backbone.mean).mul(255).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).mul(255).view(1, 3, 1, 1), persistent=False)
        self.prefix = nn.Sequential(*backbone.blocks[: config.frozen_blocks]).requires_grad_(False)
        self.prefix.eval()  # from the start: what is cached before training must not move its statistics
        self.tail = nn.Sequential(*backbone.blocks[config.frozen_blocks :], SpatialMean())
        self.ending = _build_ending(config, backbone.features)
        self.dim = self.ending.width
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> PhotoEncoder:
        """As nn.Module.train, but the frozen prefix stays in evaluation mode: its batch-norm statistics are frozen."""
        super().train(mode)
        self.prefix.eval()
        return self

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (N, S, S, 3) RGB -> float32 (N, 3, S, S), channels last in memory."""
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def frozen(self, pixels: Tensor) -> Tensor:
        """What training may cache of a photo: the prefix's activations as float16, or the pixels if nothing is frozen.

        Args:
            pixels: uint8 (N, S, S, 3).

        Returns:
            (N, H, W, C), contiguous.
        """
        if len(self.prefix) == 0:
            return pixels
        with torch.no_grad():
            activations: Tensor = self.prefix(self.normalise(pixels))
        return activations.half().permute(0, 2, 3, 1).contiguous()

    def activate(self, frozen: Tensor) -> Tensor:
        """From what `frozen` gave, (N, H, W, C), to activations, which codes are the sign of: (N, dim)."""
        inputs = self.normalise(frozen) if len(self.prefix) == 0 else frozen.permute(0, 3, 1, 2).float()
        return self.ending.activation(self.tail(inputs))

    def rectify(self, activations: Tensor) -> Tensor:
        """From activations (N, dim) to embeddings, float32 (N, dim)."""
        return self.ending.embedding(activations).float()

    def finish(self, frozen: Tensor) -> Tensor:
        """From what `frozen` gave, (N, H, W, C), to embeddings, float32 (N, dim)."""
        return self.rectify(self.activate(frozen))

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (N, S, S, 3) -> photo embeddings, float32 (N, dim)."""
        inputs = self.normalise(pixels)
        features = self.tail(self.prefix(inputs) if len(self.prefix) else inputs)
        embeddings: Tensor = self.ending(features)
        return embeddings


def _build_ending(config: EncoderConfig, features: int) -> Ending:
    if config.module == "binarisation":
        return EmbeddingModule(features, width=config.embedding_dim, groups=config.groups, dropout=config.dropout)
    return (Projection if config.module == "projection" else Standardised)(features, config.embedding_dim)


def pool_galleries(photos: Tensor, counts: Tensor) -> Tensor:
    """Mean of each gallery's photo embeddings.

    Args:
        photos: (N, D), the galleries' photos one gallery after the other.
        counts: int64 (G,), photos a gallery, each at least 1, summing to N.

    Returns:
        (G, D)

    Raises:
        ValueError: if a gallery is empty or the counts do not add up.
    """
    if int(counts.sum()) != len(photos) or (len(counts) and int(counts.min()) < 1):
        raise ValueError(f"gallery counts sum to {int(counts.sum())} for {len(photos)} photos, or one is empty")
    return torch.segment_reduce(photos, "mean", lengths=counts)
