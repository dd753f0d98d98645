"""A tiny encoder and photos of several sizes and formats."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from shoplens.contract.pixels import to_pixels
from shoplens.retrieval.codes import pack_codes

SIZE = 96


class TinyEncoder(torch.nn.Module):
    """uint8 [n, S, S, 3] -> float32 [n, 16], in the parts of the real encoder: frozen, activation, embedding."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2, 1))

    def frozen(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def activate(self, frozen: torch.Tensor) -> torch.Tensor:
        pixels = frozen.permute(0, 3, 1, 2).float()
        # Against the photo's mean, by its darkest spots: the signs differ from photo to photo.
        return self.net((pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)) / 64).amin(dim=(2, 3)) + 0.5

    def rectify(self, activations: torch.Tensor) -> torch.Tensor:
        return activations.relu()


def make_photo(seed: int, width: int = 200, height: int = 150, form: str = "JPEG", mode: str = "RGB") -> bytes:
    """A photo file of coarse random colours."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 20), max(2, width // 20), 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).convert(mode).save(stream, form)
    return stream.getvalue()


def activations_of(
    encoder: torch.nn.Module,
    photos: list[bytes],
    size: int,
    short_side: int | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> torch.Tensor:
    """What training makes of each photo, or of a crop of it: decode, activate."""
    pixels = np.stack([to_pixels(photo, size, short_side, box) for photo in photos])
    with torch.inference_mode():
        return encoder.activate(encoder.frozen(torch.from_numpy(pixels)))


def training_path(
    encoder: torch.nn.Module, photos: list[bytes], size: int, short_side: int | None = None
) -> np.ndarray:
    """What training makes of a gallery: the mean embedding."""
    with torch.inference_mode():
        return encoder.rectify(activations_of(encoder, photos, size, short_side)).mean(dim=0).numpy()


def training_code(
    encoder: torch.nn.Module,
    photos: list[bytes],
    size: int,
    short_side: int | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """The code that training gives a gallery, or a crop of one photo: the signs of the mean activation."""
    activations = activations_of(encoder, photos, size, short_side, box)
    return pack_codes(activations.mean(dim=0, keepdim=True).numpy())[0]
