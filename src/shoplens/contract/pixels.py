"""From a photo's bytes to the pixels an encoder sees: the one implementation, shared by training and serving.

This file imports nothing but numpy and Pillow: the model repository carries a copy of it, so that the server decodes
and resizes exactly as training does (PIL's bilinear filter antialiases, others' does not, and embeddings drift).
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000


class BadPhoto(ValueError):
    """The bytes are not a photo that can be used; the message says why."""


def decode(content: bytes) -> Image.Image:
    """Decode a JPEG, PNG or WebP to an upright RGB image: EXIF orientation applied, grey repeated, alpha on white.

    Raises:
        BadPhoto: if the bytes are empty, truncated, of another format or over 50 megapixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadPhoto(f"{image.width}x{image.height} pixels, more than {MAX_PIXELS:,}")
            image.load()
            upright = ImageOps.exif_transpose(image)
    except BadPhoto:
        raise
    except UnidentifiedImageError:
        raise BadPhoto("not a readable JPEG, PNG or WebP") from None
    except Exception as error:  # Pillow raises a dozen types on hostile bytes, and serving must survive each of them
        raise BadPhoto(f"not a readable JPEG, PNG or WebP ({error})") from None
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    elif upright.mode.startswith("I;16"):
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return upright.convert("RGB")


def cut(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """A crop, its edges rounded to whole pixels.

    Args:
        image: upright.
        box: x0, y0, x1, y1 as fractions of the image from its top left.

    Raises:
        BadPhoto: if the box has no pixel, or leaves the image.
    """
    x0, y0, x1, y1 = (round(part * side) for part, side in zip(box, (*image.size, *image.size), strict=True))
    if not (0 <= x0 < x1 <= image.width and 0 <= y0 < y1 <= image.height):
        said = ", ".join(f"{part:g}" for part in box)
        raise BadPhoto(f"the box ({said}) has no pixel of {image.width}x{image.height}, or leaves them")
    return image.crop((x0, y0, x1, y1))


def to_pixels(
    content: bytes, size: int, short_side: int | None = None, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Decode a photo, cut out a crop if one is meant, and bring it to `size` x `size`.

    Args:
        content: the file's bytes.
        size: side of the result.
        short_side: None squashes the whole photo to the square (Booking, section 3.2: "resized using bilinear
            interpolation to 224 x 224"); a number scales the shorter side to it and crops the centre.
        box: x0, y0, x1, y1 of the crop as fractions of the upright photo from its top left; None: all of it.

    Returns:
        uint8 array of shape (size, size, 3), RGB.

    Raises:
        BadPhoto: if the photo cannot be decoded, or the box has no pixel.
    """
    image = decode(content)
    if box is not None:
        image = cut(image, box)
    if short_side is not None:
        scale = short_side / min(image.size)
        image = image.resize(
            (max(size, round(image.width * scale)), max(size, round(image.height * scale))), Image.Resampling.BILINEAR
        )
        left, top = (image.width - size) // 2, (image.height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    elif image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)
