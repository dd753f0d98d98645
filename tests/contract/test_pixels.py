"""A photo's pixels: orientation, grey, alpha, depth, resize; every unreadable file is one kind of error."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoplens.contract.pixels import BadPhoto, decode, to_pixels


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def left_red(width: int = 64, height: int = 32) -> Image.Image:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_reads_the_three_formats_as_rgb(kind: str) -> None:
    image = decode(saved(left_red(), kind))
    assert (image.mode, image.size) == ("RGB", (64, 32))
    assert np.asarray(image)[16, 8, 0] > 200
    assert np.asarray(image)[16, 56, 2] > 200


def test_applies_exif_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left of the file is the top of the photo
    image = decode(saved(left_red(), "JPEG", exif=exif))
    assert image.size == (32, 64)
    assert np.asarray(image)[8, 16, 0] > 200
    assert np.asarray(image)[56, 16, 2] > 200


def test_repeats_grey() -> None:
    pixels = np.asarray(decode(saved(Image.new("L", (8, 8), 77), "PNG")))
    assert (pixels == 77).all()


def test_sixteen_bit_grey_keeps_its_range() -> None:
    deep = Image.fromarray(np.full((8, 8), 0x4D00, np.uint16))
    assert (np.asarray(decode(saved(deep, "PNG"))) == 0x4D).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_lays_alpha_on_white(mode: str) -> None:
    clear = Image.new(mode, (8, 8), (0,) * len(Image.new(mode, (1, 1)).getbands()))
    assert (np.asarray(decode(saved(clear, "PNG"))) == 255).all()


def test_a_palette_with_a_transparent_colour_lies_on_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    assert (np.asarray(decode(saved(image, "PNG", transparency=0))) == 255).all()


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", saved(left_red(), "JPEG")[:-200], saved(left_red(), "PNG")[:60], saved(left_red(), "GIF")],
    ids=["empty", "html", "truncated JPEG", "truncated PNG", "GIF"],
)
def test_anything_else_is_a_bad_photo(content: bytes) -> None:
    with pytest.raises(BadPhoto):
        decode(content)


@pytest.mark.parametrize("size", [(10_000, 5_001), (20_000, 10_000)])
def test_more_than_fifty_megapixels_is_a_bad_photo(size: tuple[int, int]) -> None:
    with pytest.raises(BadPhoto):
        decode(saved(Image.new("1", size), "PNG"))


def test_squashes_to_the_square() -> None:
    pixels = to_pixels(saved(left_red(), "PNG"), 24)
    assert (pixels.shape, pixels.dtype) == ((24, 24, 3), np.uint8)
    assert pixels[12, 2, 0] == 255
    assert pixels[12, 21, 2] == 255


def test_a_photo_of_the_wanted_size_is_left_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    assert (to_pixels(saved(Image.fromarray(noise), "PNG"), 24) == noise).all()


@pytest.mark.parametrize("shape", [(64, 32), (32, 64), (33, 47)])
def test_short_side_scales_then_crops_the_centre(shape: tuple[int, int]) -> None:
    pixels = to_pixels(saved(Image.new("RGB", shape, (9, 99, 199)), "PNG"), 24, short_side=28)
    assert (pixels == (9, 99, 199)).all()
    assert pixels.shape == (24, 24, 3)
    centre = to_pixels(saved(left_red(), "PNG"), 24, short_side=24)
    assert centre[12, 0, 0] == 255
    assert centre[12, 23, 2] == 255


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    """Pillow's bilinear filter antialiases: a fine checkerboard becomes grey."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = to_pixels(saved(Image.fromarray(board), "PNG"), 8)
    assert abs(pixels.astype(int) - 127).max() < 12


def numbered(width: int, height: int) -> tuple[bytes, np.ndarray]:
    """A PNG whose every pixel is unlike the others, and its pixels."""
    rows, columns = np.indices((height, width), dtype=np.uint8)
    pixels = np.stack([rows, columns, rows ^ columns], axis=2)
    return saved(Image.fromarray(pixels), "PNG"), pixels


@given(st.tuples(*[st.floats(0, 1)] * 4), st.integers(2, 40), st.integers(2, 40))
def test_a_crop_is_the_rounded_box_cut_out_before_anything_else(
    corners: tuple[float, float, float, float], width: int, height: int
) -> None:
    content, pixels = numbered(width, height)
    (x0, x1), (y0, y1) = sorted(corners[:2]), sorted(corners[2:])
    left, right = np.rint(np.array([x0, x1]) * width).astype(int)
    top, bottom = np.rint(np.array([y0, y1]) * height).astype(int)
    if left < right and top < bottom:
        alone = saved(Image.fromarray(pixels[top:bottom, left:right]), "PNG")
        for short_side in (None, 11):
            assert (to_pixels(content, 8, short_side, (x0, y0, x1, y1)) == to_pixels(alone, 8, short_side)).all()
    else:
        with pytest.raises(BadPhoto, match="has no pixel"):
            to_pixels(content, 8, None, (x0, y0, x1, y1))


def test_a_square_box_of_the_wanted_size_is_left_as_it_is() -> None:
    content, pixels = numbered(40, 30)
    assert (to_pixels(content, 10, None, (0.25, 0.5, 0.5, 5 / 6)) == pixels[15:25, 10:20]).all()


def test_the_box_of_everything_is_no_box() -> None:
    content, _ = numbered(40, 30)
    assert (to_pixels(content, 16, 20, (0.0, 0.0, 1.0, 1.0)) == to_pixels(content, 16, 20)).all()


def test_a_box_is_of_the_upright_photo() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the red left of the file is the top of the photo
    content = saved(left_red(), "JPEG", exif=exif)
    assert to_pixels(content, 8, None, (0.0, 0.0, 1.0, 0.45))[..., 0].min() > 200
    assert to_pixels(content, 8, None, (0.0, 0.55, 1.0, 1.0))[..., 2].min() > 200


@pytest.mark.parametrize(
    "box", [(0.5, 0.0, 0.5, 1.0), (0.9, 0.0, 0.1, 1.0), (-0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 2.0)]
)
def test_a_box_that_is_empty_or_leaves_the_photo_is_refused_with_its_numbers(
    box: tuple[float, float, float, float],
) -> None:
    """Also numbers of numpy's, whose own way to print themselves is not for readers."""
    content, _ = numbered(40, 30)
    said = ", ".join(f"{part:g}" for part in box)
    with pytest.raises(BadPhoto, match=rf"the box \({said}\) has no pixel of 40x30, or leaves them"):
        to_pixels(content, 8, None, tuple(np.array(box)))
