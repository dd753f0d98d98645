"""Photos of products: clean ones for the catalogue, hasty ones by phone, and rooms with several products in them.

As with the galleries, tone goes through integer tables and grain is made of integers.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from shoplens.world.camera import PHOTO, QUALITY
from shoplens.world.chance import Rng
from shoplens.world.pen import SIZE, Pen, dark, hsv, light
from shoplens.world.product_sprites import draw_sprite
from shoplens.world.products import CATEGORIES, Product, draw_prop

ROOM, SCENE = (320, 240), (256, 192)
"""Width and height of a room in units, and of its photo in pixels."""
PLACES = (56.0, 160.0, 264.0)
"""Middles of the three places of a room; a product's sprite is reduced to at most 104 units, so none hides another."""
HUNG = tuple(name in ("picture", "mirror") for name in CATEGORIES)
CLUTTER = 7
OCCLUDED = 0.3
_NEUTRAL = 128


@dataclass(frozen=True)
class Light:
    """How a photo is taken: tilt in degrees, zoom, shift in shares of the side, blur in pixels, tone, grain."""

    tilt: float
    zoom: float
    shift: tuple[float, float]
    blur: float
    gain: float
    gamma: float
    warmth: float
    grain: int


def catalogue_light(rng: Rng) -> Light:
    """A tripod and lamps."""
    return Light(
        tilt=float(rng.standard_normal()) * 1.2,
        zoom=0.94 + 0.06 * rng.random(),
        shift=(0.02 * (2 * rng.random() - 1), 0.02 * (2 * rng.random() - 1)),
        blur=0.0,
        gain=0.97 + 0.10 * rng.random(),
        gamma=1.0,
        warmth=0.02 * (2 * rng.random() - 1),
        grain=2,
    )


def camera_light(rng: Rng) -> Light:
    """A phone in somebody's hand, in whatever light there is."""
    return Light(
        tilt=float(rng.standard_normal()) * 8.0,
        zoom=0.86 + 0.22 * rng.random(),
        shift=(0.08 * (2 * rng.random() - 1), 0.08 * (2 * rng.random() - 1)),
        blur=1.1 * rng.random() ** 2,
        gain=0.62 + 0.66 * rng.random(),
        gamma=math.exp(0.22 * float(rng.standard_normal())),
        warmth=0.14 * (2 * rng.random() - 1),
        grain=5 + int(rng.integers(8)),
    )


def _turn(image: Image.Image, light: Light, way: Image.Resampling) -> Image.Image:
    """Tilt, zoom and shift around the middle, by `way` of resampling; what comes in from outside is the border's."""
    width, height = image.size
    angle = math.radians(light.tilt)
    c, s = math.cos(angle) * light.zoom, math.sin(angle) * light.zoom
    x, y = width / 2, height / 2
    dx, dy = light.shift[0] * width, light.shift[1] * height
    matrix = (c, -s, x + dx - c * x + s * y, s, c, y + dy - s * x - c * y)
    fill = image.getpixel((2, 2)) if image.mode == "RGB" else 0
    return image.transform(image.size, Image.Transform.AFFINE, matrix, way, fillcolor=fill)


def _tone(light: Light) -> list[int]:
    table: list[int] = []
    for channel in (1 + light.warmth, 1.0, 1 - light.warmth):
        table.extend(
            max(0, min(255, int(255 * (value / 255) ** light.gamma * light.gain * channel + 0.5)))
            for value in range(256)
        )
    return table


def expose(rng: Rng, picture: Image.Image, light: Light, size: tuple[int, int]) -> Image.Image:
    """Photograph a picture; returns RGB of `size`, width and height in pixels."""
    photo = _turn(picture, light, Image.Resampling.BILINEAR).resize(size, Image.Resampling.BOX)
    if light.blur:
        photo = photo.filter(ImageFilter.BoxBlur(light.blur))
    photo = photo.point(_tone(light))
    grain = rng.integers(-light.grain, light.grain + 1, (size[1], size[0], 3)) + _NEUTRAL
    return ImageChops.add(photo, Image.fromarray(grain.astype(np.uint8)), 1, -_NEUTRAL)


def _place(pen: Pen, product: Product, middle: tuple[float, float], size: float) -> Image.Image:
    """Put the product into the picture, `size` pixels for its sprite's 160, and return the mask of where it is."""
    sprite, side = draw_sprite(product), max(8, int(size))
    at = (int(middle[0]) - side // 2, int(middle[1]) - side // 2)
    mask = Image.new("L", pen.image.size)
    small = sprite.mask.resize((side, side), Image.Resampling.NEAREST)
    mask.paste(small, at)
    pen.image.paste(sprite.image.resize((side, side), Image.Resampling.NEAREST), at, small)
    return mask


def catalogue_photo(rng: Rng, product: Product) -> Image.Image:
    """The product alone on a pale ground; two in five stand before a tinted wall."""
    pen = Pen()
    tinted = rng.random() < 0.4
    wall = hsv(rng.random(), 0.10 + 0.25 * rng.random() if tinted else 0.03, 0.88 + 0.10 * rng.random())
    horizon = 100 + 40 * rng.random()
    pen.fade(0, 0, SIZE, horizon, light(wall, 0.2), wall)
    pen.fade(0, horizon, SIZE, SIZE, dark(wall, 0.16 if tinted else 0.04), wall)
    middle = (80 + 6 * (2 * rng.random() - 1), 80 + 5 * (2 * rng.random() - 1))
    _place(pen, product, middle, SIZE * (0.84 + 0.16 * rng.random()))
    return expose(rng, pen.image, catalogue_light(rng), (PHOTO, PHOTO))


def camera_photo(rng: Rng, product: Product) -> Image.Image:
    """The product among other things, smaller, tilted, in bad light; in three of ten something stands before it."""
    pen = Pen()
    wall, floor = (hsv(rng.random(), 0.2 + 0.6 * rng.random(), 0.3 + 0.6 * rng.random()) for _ in range(2))
    horizon = 80 + 60 * rng.random()
    pen.fade(0, 0, SIZE, horizon, wall, dark(wall, 0.2))
    pen.fade(0, horizon, SIZE, SIZE, dark(floor, 0.15), floor)
    for _ in range(int(rng.integers(3, CLUTTER + 1))):
        x, y = rng.random() * SIZE, rng.random() * SIZE
        tone = hsv(rng.random(), 0.2 + 0.7 * rng.random(), 0.3 + 0.6 * rng.random())
        pen.turned(x, y, 14 + 24 * rng.random(), 14 + 24 * rng.random(), 40 * rng.random() - 20, tone)
    middle = (80 + 16 * (2 * rng.random() - 1), 82 + 12 * (2 * rng.random() - 1))
    size = SIZE * (0.60 + 0.32 * rng.random())
    _place(pen, product, middle, size)
    if rng.random() < OCCLUDED:
        tone = hsv(rng.random(), 0.3 + 0.5 * rng.random(), 0.3 + 0.6 * rng.random())
        edge = middle[0] + (1 if rng.random() < 0.5 else -1) * size * 0.42
        pen.turned(edge, middle[1] + size * 0.3, 26, 40, 30 * rng.random() - 15, tone)
    return expose(rng, pen.image, camera_light(rng), (PHOTO, PHOTO))


@dataclass(frozen=True)
class Crop:
    """A product in a scene: `box` is x0, y0, x1, y1 as fractions from the top left, x1 and y1 exclusive."""

    product: Product
    box: tuple[float, float, float, float]


def _box(mask: Image.Image, light: Light) -> tuple[float, float, float, float]:
    """Where the photo shows the mask's product, to four decimals."""
    found = _turn(mask, light, Image.Resampling.NEAREST).getbbox()
    assert found is not None, "a place of the room lies outside its photo"
    width, height = mask.size
    x0, y0, x1, y1 = (round(v / side, 4) for v, side in zip(found, (width, height) * 2, strict=True))
    return x0, y0, x1, y1


def scene_photo(rng: Rng, product: Product) -> tuple[Image.Image, list[Crop]]:
    """A room with the product and two props, in any order.

    Returns:
        RGB photo of 256 x 192 pixels, and the three crops, the product's first.
    """
    pen = Pen(*ROOM)
    width, height = ROOM
    wall, floor = (hsv(rng.random(), 0.08 + 0.24 * rng.random(), 0.70 + 0.26 * rng.random()) for _ in range(2))
    horizon = 146 + 24 * rng.random()
    pen.fade(0, 0, width, horizon, light(wall, 0.15), wall)
    pen.fade(0, horizon, width, height, dark(floor, 0.2), floor)
    window = 20 + 240 * rng.random()
    pen.rect(window, 10, window + 44, 44, (214, 230, 240))
    pen.rect(window + 20, 10, window + 24, 44, light(wall, 0.6))
    things = [product, draw_prop(rng, product.style), draw_prop(rng, product.style)]
    masks: list[Image.Image] = []
    for thing, place in zip(things, rng.permutation(len(PLACES)), strict=True):
        size = 88 + 16 * rng.random()
        x, y = PLACES[place], 74 + 16 * rng.random() if HUNG[thing.category] else 156 + 18 * rng.random()
        if not HUNG[thing.category]:
            pen.oval(x - 42, y + 36, x + 42, y + 52, dark(floor, 0.34))
        masks.append(_place(pen, thing, (x, y), size))
    shot = catalogue_light(rng)
    crops = [Crop(thing, _box(mask, shot)) for thing, mask in zip(things, masks, strict=True)]
    return expose(rng, pen.image, shot, SCENE), crops


def encode_scene(photo: Image.Image) -> tuple[str, bytes, int, int]:
    """As `camera.encode`, but always the whole photo and always JPEG, so that the boxes stay true."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=QUALITY)
    return "jpg", buffer.getvalue(), photo.width, photo.height
