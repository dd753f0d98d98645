"""A product drawn by itself: an RGB image of 160 x 160 pixels and the mask of where the product is.

The style shows in legs, corners and ornaments of every category, the material in the surface, so that both can be
learned on one category and recognised on another.
"""

from collections.abc import Callable

from PIL import Image, ImageDraw

from shoplens.world.pen import SIZE, Pen, Point, dark, light, mix
from shoplens.world.products import MATERIALS, STYLES, Product
from shoplens.world.tables import Colour

Box = tuple[float, float, float, float]
RADIUS = {"modern": 0, "classic": 9, "rustic": 3, "retro": 18}
"""Of corners."""
GLASS: Colour = (206, 222, 228)
CANVAS: Colour = (240, 234, 222)


def surface(product: Product) -> Image.Image:
    """The product's paint on its material, 160 x 160 pixels."""
    pen, paint, kind = Pen(), product.paint, MATERIALS[product.material]
    pen.fade(0, 0, SIZE, SIZE, light(paint, 0.12), dark(paint, 0.12))
    if kind == "wooden":
        for row, y in enumerate(range(4, SIZE, 9)):
            bend = 3 if row % 2 else -2
            pen.line([(0, y), (50, y + bend), (110, y - bend), (SIZE, y)], dark(paint, 0.34), 2)
    elif kind == "woven":
        for at in range(0, SIZE, 10):
            pen.rect(at, 0, at + 3, SIZE, dark(paint, 0.26))
            pen.rect(0, at, SIZE, at + 3, light(paint, 0.30))
    elif kind == "glossy":
        for at in range(14, SIZE, 44):
            pen.rect(at, 0, at + 9, SIZE, light(paint, 0.55))
            pen.rect(at + 9, 0, at + 13, SIZE, light(paint, 0.28))
    return pen.image


class Sprite:
    """A picture with a mask; parts are laid over each other. Coordinates in pixels from the top left."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.style = STYLES[product.style]
        self.surface = surface(product)
        self.image = Image.new("RGB", (SIZE, SIZE))
        self.mask = Image.new("L", (SIZE, SIZE))

    def _lay(self, part: Image.Image, fill: Colour | None) -> None:
        self.image.paste(self.surface if fill is None else fill, (0, 0, SIZE, SIZE), part)
        self.mask.paste(255, (0, 0, SIZE, SIZE), part)

    def block(self, box: Box, fill: Colour | None = None, radius: float | None = None) -> None:
        """A rectangle with corners of the style; `fill` None is the product's own surface."""
        part = Image.new("L", (SIZE, SIZE))
        x0, y0, x1, y1 = (int(v) for v in box)
        corner = min(RADIUS[self.style] if radius is None else radius, (x1 - x0) / 2, (y1 - y0) / 2)
        ImageDraw.Draw(part).rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=int(corner), fill=255)
        self._lay(part, fill)

    def oval(self, box: Box, fill: Colour | None = None) -> None:
        """An ellipse."""
        part = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(part).ellipse([int(v) for v in box], fill=255)
        self._lay(part, fill)

    def poly(self, points: list[Point], fill: Colour | None = None) -> None:
        """A polygon."""
        part = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(part).polygon([(int(x), int(y)) for x, y in points], fill=255)
        self._lay(part, fill)

    def stroke(self, points: list[Point], fill: Colour, width: int) -> None:
        """Joined lines."""
        part = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(part).line([(int(x), int(y)) for x, y in points], fill=255, width=width)
        self._lay(part, fill)

    def legs(self, x0: float, x1: float, y0: float, y1: float) -> None:
        """Two legs of the style from y0 down to y1."""
        tone = dark(self.product.trim, 0.30)
        for x, out in ((x0, -1), (x1, 1)):
            if self.style == "modern":
                self.block((x - 2, y0, x + 2, y1), tone, 0)
            elif self.style == "rustic":
                self.block((x - 6, y0, x + 6, y1), tone, 0)
            elif self.style == "retro":
                self.stroke([(x - 7 * out, y0), (x + 6 * out, y1)], tone, 5)
            else:
                self.block((x - 2, y0, x + 2, y1), tone, 0)
                self.oval((x - 5, (y0 + y1) / 2 - 5, x + 5, (y0 + y1) / 2 + 5), tone)
                self.oval((x - 5, y1 - 6, x + 5, y1), tone)

    def ornament(self, box: Box) -> None:
        """The style's mark within `box`, in the second colour; its count and place are the product's own."""
        (x0, y0, x1, y1), product = box, self.product
        place, count, tone = product.details[3], product.count, product.trim
        wide, high = x1 - x0, y1 - y0
        if self.style == "modern":
            y = y0 + high * (0.15 + 0.6 * place)
            self.block((x0, y, x0 + wide * 0.24 * count, y + max(4, high * 0.10)), tone, 0)
        elif self.style == "classic":
            self.block((x0, y0, x1, y0 + 4), tone, 0)
            self.block((x0, y1 - 4, x1, y1), tone, 0)
            step = wide / count
            for i in range(count):
                cx, half = x0 + step * (i + 0.5), min(step, high) * (0.16 + 0.16 * place)
                self.oval((cx - half, (y0 + y1) / 2 - half, cx + half, (y0 + y1) / 2 + half), tone)
        elif self.style == "rustic":
            step = wide / count
            for i in range(count):
                cx, cy, half = x0 + step * (i + 0.5), y0 + high * (0.3 + 0.4 * place), min(step, high) * 0.3
                self.stroke([(cx - half, cy - half), (cx + half, cy + half)], tone, 3)
                self.stroke([(cx - half, cy + half), (cx + half, cy - half)], tone, 3)
        else:
            cx, cy, most = x0 + wide * (0.3 + 0.4 * place), (y0 + y1) / 2, min(wide, high) * 0.48
            for ring in range(count):
                half = most * (1 - ring / count)
                fill = tone if ring % 2 == 0 else light(product.paint, 0.6)
                self.oval((cx - half, cy - half, cx + half, cy + half), fill)


def _chair(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, top, seat = 24 + 16 * a, 12 + 28 * b, 86 + 14 * c
    s.legs(80 - half + 6, 80 + half - 6, seat, 150)
    s.block((80 - half + 3, top, 80 + half - 3, seat + 4))
    s.ornament((80 - half + 9, top + 8, 80 + half - 9, seat - 12))
    s.block((80 - half - 3, seat, 80 + half + 3, seat + 11), dark(s.product.paint, 0.2))


def _sofa(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, top, arm = 54 + 16 * a, 48 + 18 * b, 10 + 9 * c
    s.legs(80 - half + 10, 80 + half - 10, 116, 136)
    s.block((80 - half + 5, top, 80 + half - 5, 104))
    s.ornament((80 - half + arm + 6, top + 5, 80 + half - arm - 6, 88))
    s.block((80 - half + 4, 90, 80 + half - 4, 120), dark(s.product.paint, 0.16))
    for x in (80 - half, 80 + half - arm):
        s.block((x, 74, x + arm, 122))


def _table(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, top, thick = 46 + 24 * a, 52 + 26 * b, 16 + 14 * c
    s.legs(80 - half + 12, 80 + half - 12, top + thick, 142)
    s.block((80 - half + 6, top, 80 + half - 6, top + thick))
    s.ornament((80 - half + 14, top + 5, 80 + half - 14, top + thick))
    s.block((80 - half, top - 5, 80 + half, top + 3), dark(s.product.paint, 0.2))


def _cabinet(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, top = 30 + 22 * a, 16 + 34 * b
    s.legs(80 - half + 9, 80 + half - 9, 132, 150)
    s.block((80 - half, top, 80 + half, 136))
    parts, first = s.product.count, top + 24 + 18 * c
    s.ornament((80 - half + 7, top + 6, 80 + half - 7, first - 3))
    for i in range(parts):
        y = first + (130 - first) * i / parts
        s.block((80 - half + 5, y, 80 + half - 5, y + 2), dark(s.product.paint, 0.45), 0)
        s.oval((77, y + 6, 83, y + 12), s.product.trim)


def _stool(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, top, thick = 24 + 18 * a, 44 + 36 * b, 20 + 14 * c
    s.legs(80 - half + 9, 80 + half - 9, top + thick - 4, 150)
    s.block((80 - half + 8, 126, 80 + half - 8, 130), dark(s.product.trim, 0.3), 0)
    s.block((80 - half, top, 80 + half, top + thick))
    s.ornament((80 - half + 5, top + 3, 80 + half - 5, top + thick - 3))


def _lamp(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, narrow, low = 26 + 16 * a, 10 + 16 * b, 56 + 22 * c
    tone = dark(s.product.trim, 0.3)
    s.block((77, low, 83, 146), tone, 0)
    s.block((80 - 20, 143, 80 + 20, 150), tone)
    s.poly([(80 - narrow, 12), (80 + narrow, 12), (80 + half, low), (80 - half, low)])
    s.ornament((80 - narrow - 4, 24, 80 + narrow + 4, low - 4))


def _vase(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    half, neck, shoulder = 26 + 20 * a, 8 + 12 * b, 50 + 22 * c
    s.block((80 - neck, 20, 80 + neck, shoulder + 20))
    s.block((80 - neck - 5, 16, 80 + neck + 5, 24), s.product.trim)
    if s.style in ("modern", "rustic"):
        right: list[Point] = [(80 + neck, shoulder), (80 + half, 90), (80 + half - 8, 148)]
        s.poly([(160 - x, y) for x, y in right] + right[::-1])
    else:
        s.oval((80 - half, shoulder, 80 + half, 148))
        s.block((80 - 16, 141, 80 + 16, 149), dark(s.product.paint, 0.2), 0)
    s.ornament((80 - half * 0.62, shoulder + 26, 80 + half * 0.62, 132))


def _picture(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    wide, high, edge = 38 + 28 * a, 34 + 30 * b, 9 + 8 * c
    s.block((80 - wide, 80 - high, 80 + wide, 80 + high))
    s.block((80 - wide + edge, 80 - high + edge, 80 + wide - edge, 80 + high - edge), CANVAS)
    s.ornament((80 - wide + edge + 7, 80 - high + edge + 7, 80 + wide - edge - 7, 80 + high - edge - 7))


def _mirror(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    wide, high, edge = 32 + 20 * a, 42 + 24 * b, 12 + 8 * c
    box, inner = (80 - wide, 74 - high, 80 + wide, 74 + high), (wide - edge, high - edge)
    glass = (80 - inner[0], 74 - inner[1], 80 + inner[0], 74 + inner[1])
    if s.style in ("classic", "retro"):
        s.oval(box)
        s.oval(glass, GLASS)
    else:
        s.block(box)
        s.block(glass, GLASS, 0)
    s.stroke(
        [(80 - inner[0] * 0.4, 84), (80 + inner[0] * 0.3, 74 - inner[1] * 0.5)], mix(GLASS, (255, 255, 255), 0.7), 5
    )
    s.ornament((80 - wide * 0.5, 74 + high - edge, 80 + wide * 0.5, 74 + high + 8))


def _pillow(s: Sprite) -> None:
    a, b, c, _ = s.product.details
    wide, high, pull = 46 + 18 * a, 36 + 20 * b, 4 + 8 * c
    top: list[Point] = [(80 - wide, 80 - high), (80, 80 - high + pull), (80 + wide, 80 - high), (80 + wide - pull, 80)]
    s.poly(top + [(160 - x, 160 - y) for x, y in top])
    s.ornament((80 - wide * 0.66, 80 - high * 0.62, 80 + wide * 0.66, 80 + high * 0.62))


SHAPES: tuple[Callable[[Sprite], None], ...] = (
    _chair,
    _sofa,
    _table,
    _cabinet,
    _stool,
    _lamp,
    _vase,
    _picture,
    _mirror,
    _pillow,
)


def draw_sprite(product: Product) -> Sprite:
    """The product as it is; no chance is involved."""
    sprite = Sprite(product)
    SHAPES[product.category](sprite)
    return sprite
