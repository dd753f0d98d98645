"""Drawing with few words: a canvas of 160 x 160 units, flat shapes, gradients, and integer colours."""

import colorsys
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from shoplens.world.tables import Colour

SIZE = 160
"""Side of a scene in units (and pixels) before the camera distorts and reduces it."""
WHITE: Colour = (250, 249, 246)
Point = tuple[float, float]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the way from `first` to `second`, in steps of 1/256 so that no platform rounds otherwise."""
    weight = int(share * 256)
    a, b = 256 - weight, weight
    return (
        (first[0] * a + second[0] * b) >> 8,
        (first[1] * a + second[1] * b) >> 8,
        (first[2] * a + second[2] * b) >> 8,
    )


def dark(colour: Colour, share: float = 0.25) -> Colour:
    """Towards a cool black."""
    return mix(colour, (24, 22, 34), share)


def light(colour: Colour, share: float = 0.3) -> Colour:
    """Towards a warm white."""
    return mix(colour, (255, 252, 244), share)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour from hue (turns), saturation and value (0..1)."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(r * 255), int(g * 255), int(b * 255)


class Pen:
    """An RGB image and the shapes used on it; coordinates in pixels from the top left."""

    def __init__(self, width: int = SIZE, height: int = SIZE) -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width, height))
        self._draw = ImageDraw.Draw(self.image)

    def fade(self, x0: float, y0: float, x1: float, y1: float, top: Colour, bottom: Colour) -> None:
        """A rectangle whose colour goes from `top` to `bottom`."""
        size = (max(1, int(x1) - int(x0)), max(1, int(y1) - int(y0)))
        ends = Image.frombytes("RGB", (1, 2), bytes((*top, *bottom)))
        self.image.paste(ends.resize(size, Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5)), (int(x0), int(y0)))

    def rect(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, edge: Colour | None = None) -> None:
        """A filled rectangle (nothing if it is empty)."""
        if int(x1) > int(x0) and int(y1) > int(y0):
            self._draw.rectangle((int(x0), int(y0), int(x1) - 1, int(y1) - 1), fill=fill, outline=edge)

    def oval(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, edge: Colour | None = None) -> None:
        """A filled ellipse in the given box (nothing if it is empty)."""
        if x1 > x0 and y1 > y0:
            self._draw.ellipse((int(x0), int(y0), int(x1), int(y1)), fill=fill, outline=edge)

    def poly(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([(int(x), int(y)) for x, y in points], fill=fill)

    def line(self, points: Sequence[Point], fill: Colour, width: int = 1) -> None:
        """Joined lines."""
        self._draw.line([(int(x), int(y)) for x, y in points], fill=fill, width=width)

    def round(self, x0: float, y0: float, x1: float, y1: float, radius: float, fill: Colour) -> None:
        """A rectangle with round corners (nothing if it is empty)."""
        if x1 - x0 >= 2 and y1 - y0 >= 2:
            self._draw.rounded_rectangle((int(x0), int(y0), int(x1) - 1, int(y1) - 1), radius=radius, fill=fill)

    def turned(self, cx: float, cy: float, width: float, height: float, degrees: float, fill: Colour) -> None:
        """A filled rectangle around (cx, cy), turned clockwise."""
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        w, h = width / 2, height / 2
        corners = ((-w, -h), (w, -h), (w, h), (-w, h))
        self.poly([(cx + x * c - y * s, cy + x * s + y * c) for x, y in corners], fill)

    def paste(self, other: "Pen", x: float, y: float) -> None:
        """Another canvas, its top left corner at (x, y)."""
        self.image.paste(other.image, (int(x), int(y)))
