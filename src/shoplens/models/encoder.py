"""The gallery encoder: photo -> embedding, and the mean over a gallery's photos.

Booking, section 3.2: an image encoder shared by all photos, then mean pooling, so that the result does not depend on
the photos' order. Galleries are ragged: a batch is the photos of all its galleries, one after the other, and a count
for each gallery; nothing is padded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shoplens.errors import ShoplensError
from shoplens.models.backbones import build_backbone
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


class SpatialMean(nn.Module):
    """(N, C, H, W) -> (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Mean over height and width."""
        return maps.mean(dim=(2, 3))


class PhotoEncoder(nn.Module):
    """Photo -> embedding, in two parts: `prefix` (frozen blocks) and `tail` (trainable blocks, pooling, projection).

    The cut lets training cache the prefix's activations; `forward` runs both.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig, pretrained: str = "none") -> None:
        """Build the network; weights are pretrained or random (torch's global generator).

        Raises:
            ShoplensError: if the backbone is unknown or has fewer blocks than are to be frozen.
        """
        super().__init__()
        backbone = build_backbone(config.backbone, pretrained)
        if config.frozen_blocks > len(backbone.blocks):
            raise ShoplensError(
                f"train.frozen_blocks: {config.backbone} has {len(backbone.blocks)} blocks, "
                f"cannot freeze {config.frozen_blocks}"
            )
        self.config = config
        self.dim = config.embedding_dim or backbone.features
        self.register_buffer("mean", torch.tensor(backbone.mean).mul(255).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).mul(255).view(1, 3, 1, 1), persistent=False)
        self.prefix = nn.Sequential(*backbone.blocks[: config.frozen_blocks]).requires_grad_(False)
        self.prefix.eval()  # from the start: what is cached before training must not move its statistics
        tail: list[nn.Module] = [*backbone.blocks[config.frozen_blocks :], SpatialMean()]
        if config.embedding_dim is not None:
            tail += [nn.Linear(backbone.features, config.embedding_dim), nn.ReLU()]
        self.tail = nn.Sequential(*tail)
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

    def finish(self, frozen: Tensor) -> Tensor:
        """From what `frozen` gave, (N, H, W, C), to embeddings, float32 (N, dim)."""
        inputs = self.normalise(frozen) if len(self.prefix) == 0 else frozen.permute(0, 3, 1, 2).float()
        embeddings: Tensor = self.tail(inputs)
        return embeddings.float()

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 pixels (N, S, S, 3) -> photo embeddings, float32 (N, dim)."""
        inputs = self.normalise(pixels)
        embeddings: Tensor = self.tail(self.prefix(inputs) if len(self.prefix) else inputs)
        return embeddings


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
