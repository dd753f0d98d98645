"""From a drawn scene to the bytes a seller uploads: tilt, crop, light, noise, blur, reduction, file format.

Light and tone go through integer look-up tables and noise through a fixed bank of integers, so pixels do not depend
on a platform's floating point.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from shoplens.world.chance import Rng, pick
from shoplens.world.pen import SIZE

PHOTO = 96
"""Side of a delivered photo in pixels."""
QUALITY = 85
FORMATS = ("jpeg", "turned", "grey", "png", "webp")
FORMAT_WEIGHTS = (0.955, 0.012, 0.011, 0.011, 0.011)
"""JPEG; JPEG whose EXIF says that it lies on its side; grey JPEG; PNG with an alpha channel; WebP."""
SUFFIX = {"jpeg": "jpg", "turned": "jpg", "grey": "jpg", "png": "png", "webp": "webp"}
_ORIENTATION = 0x0112
CROPS = ((PHOTO, PHOTO), (PHOTO, 72), (72, PHOTO), (84, 84))
CROP_WEIGHTS = (0.97, 0.01, 0.01, 0.01)
"""Width and height of the middle part that is delivered."""


@lru_cache(maxsize=1)
def _noise_bank() -> tuple[Image.Image, ...]:
    """Two large tiles of fine grain around 128, from integer sums so that they are equal everywhere."""
    rng = np.random.Generator(np.random.PCG64(20240229))
    shape = (2 * PHOTO, 2 * PHOTO, 3)
    tiles = []
    for spread in (2, 4):
        grain = rng.integers(-spread, spread + 1, shape) + rng.integers(-spread, spread + 1, shape)
        tiles.append(Image.fromarray((grain + 128).astype(np.uint8)))
    return tuple(tiles)


def _tone(gain: float, gamma: float, warmth: float) -> list[int]:
    """One table of 256 integers a channel."""
    table: list[int] = []
    for channel in (1 + warmth, 1.0, 1 - warmth):
        table.extend(min(255, int(255 * (value / 255) ** gamma * gain * channel + 0.5)) for value in range(256))
    return table


def shoot(rng: Rng, scene: Image.Image, photographer: float, drift: float) -> Image.Image:
    """Photograph a scene of 160 x 160 pixels; a poor photographer (standard normal) tilts, blurs and misjudges light.

    Returns:
        RGB image of 96 x 96 pixels.
    """
    clumsy = 1 / (1 + math.exp(0.9 * photographer))
    angle = math.radians(rng.standard_normal() * (0.8 + 4.0 * clumsy))
    zoom = 0.90 + 0.08 * rng.random()
    dx, dy = ((rng.random() - 0.5) * SIZE * (1 - zoom) for _ in range(2))
    c, s, half = math.cos(angle) * zoom, math.sin(angle) * zoom, SIZE / 2
    turned = scene.transform(
        scene.size,
        Image.Transform.AFFINE,
        (c, -s, half + dx - c * half + s * half, s, c, half + dy - s * half - c * half),
        Image.Resampling.BILINEAR,
        fillcolor=scene.getpixel((2, 2)),
    )
    photo = turned.resize((PHOTO, PHOTO), Image.Resampling.BOX, reducing_gap=None)
    if rng.random() < 0.1 + 0.5 * clumsy:
        photo = photo.filter(ImageFilter.BoxBlur(0.15 + 0.55 * clumsy * rng.random()))
    if rng.random() < 0.5 * drift:
        photo = ImageOps.expand(photo.resize((PHOTO - 8, PHOTO - 8), Image.Resampling.BILINEAR), 4, (250, 250, 248))
    gain = 1.0 + rng.standard_normal() * (0.04 + 0.10 * clumsy)
    gamma = math.exp(rng.standard_normal() * (0.06 + 0.12 * clumsy) - 0.12 * drift)
    warmth = rng.standard_normal() * (0.02 + 0.05 * clumsy) + 0.07 * drift
    photo = photo.point(_tone(max(0.6, min(1.35, gain)), gamma, max(-0.2, min(0.2, warmth))))
    tile = _noise_bank()[int(rng.random() < clumsy)]
    x, y = int(rng.integers(PHOTO)), int(rng.integers(PHOTO))
    return ImageChops.add(photo, tile.crop((x, y, x + PHOTO, y + PHOTO)), 1, -128)


def encode(rng: Rng, photo: Image.Image) -> tuple[str, bytes, int, int]:
    """Crop and encode a photo; size and format are chosen by chance alone.

    Returns:
        file name suffix, bytes, and width and height of the upright photo (after EXIF orientation).
    """
    width, height = CROPS[pick(rng, CROP_WEIGHTS)]
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    photo = photo.crop((left, top, left + width, top + height))
    kind = FORMATS[pick(rng, FORMAT_WEIGHTS)]
    buffer = io.BytesIO()
    if kind == "png":
        corner = Image.new("L", photo.size, 255)
        corner.paste(0, (0, 0, 3, 3))
        photo.putalpha(corner)
        photo.save(buffer, "PNG", compress_level=6)
    elif kind == "webp":
        photo.save(buffer, "WEBP", quality=QUALITY, method=2)
    elif kind == "grey":
        photo.convert("L").save(buffer, "JPEG", quality=QUALITY)
    elif kind == "turned":
        exif = Image.Exif()
        exif[_ORIENTATION] = 6
        photo = photo.transpose(Image.Transpose.ROTATE_90)
        photo.save(buffer, "JPEG", quality=QUALITY, exif=exif)
    else:
        photo.save(buffer, "JPEG", quality=QUALITY)
    return SUFFIX[kind], buffer.getvalue(), width, height
