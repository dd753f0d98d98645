"""A tiny encoder and photos of several sizes and formats."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from shoplens.contract.pixels import to_pixels

SIZE = 96


class TinyEncoder(torch.nn.Module):
    """uint8 [n, S, S, 3] -> float32 [n, 16], as the real encoder takes and gives."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2, 1), torch.nn.ReLU()
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.net((pixels.permute(0, 3, 1, 2).float() - 127) / 128).mean(dim=(2, 3))


def make_photo(seed: int, width: int = 200, height: int = 150, form: str = "JPEG", mode: str = "RGB") -> bytes:
    """A photo file of coarse random colours."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 20), max(2, width // 20), 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).convert(mode).save(stream, form)
    return stream.getvalue()


def training_path(
    encoder: torch.nn.Module, photos: list[bytes], size: int, short_side: int | None = None
) -> np.ndarray:
    """What training makes of a gallery: decode, embed, mean."""
    pixels = np.stack([to_pixels(photo, size, short_side) for photo in photos])
    with torch.inference_mode():
        return encoder(torch.from_numpy(pixels)).mean(dim=0).numpy()
