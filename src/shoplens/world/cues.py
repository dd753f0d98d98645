"""How the four qualities of a listing leave small traces in a photo: counts, alignment, matching colours, wear.

Each trace is drawn anew for every photo, so one photo is a noisy reading and a gallery a better one. No trace changes
the brightness, the palette or the layout of a scene: a thing's colour, for instance, is equally distributed whatever
the harmony, and only its agreement with the other things carries information.
"""

import math

from shoplens.world.chance import Rng
from shoplens.world.pen import Pen, dark, light
from shoplens.world.tables import ACCENTS, Colour

Box = tuple[float, float, float, float]


def level(z: float) -> float:
    """A standard normal latent as its quantile in 0..1."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def count(rng: Rng, furnish: float, low: int, high: int) -> int:
    """How many of a thing there are: low..high, binomial, more of them when `furnish` (0..1) is high."""
    return low + int(rng.binomial(high - low, 0.08 + 0.84 * furnish))


def crooked(rng: Rng, order: float, degrees: float) -> float:
    """How far one thing hangs askew, in degrees (or whatever unit is given): its spread shrinks with `order` (0..1)."""
    return float(rng.standard_normal()) * degrees * (1.08 - order)


def matching(rng: Rng, harmony: float, accent: Colour) -> Colour:
    """The listing's accent colour with probability 0.08 + 0.88 `harmony` (0..1), else any accent colour."""
    if rng.random() < 0.08 + 0.88 * harmony:
        return accent
    return ACCENTS[int(rng.random() * len(ACCENTS))]


def flaws(rng: Rng, care: float, most: float) -> int:
    """How many flaws a thing of `most` expected flaws at worst shows: Poisson, fewer when `care` (0..1) is high."""
    return int(rng.poisson(most * (1.04 - care) ** 1.5))


def wear(pen: Pen, rng: Rng, care: float, box: Box, ground: Colour) -> None:
    """Cracks and stains on the surface `box` (x0, y0, x1, y1) of colour `ground`."""
    x0, y0, x1, y1 = box
    for _ in range(flaws(rng, care, 5.0)):
        x, y = x0 + rng.random() * (x1 - x0), y0 + rng.random() * (y1 - y0)
        if rng.random() < 0.6:
            points = [(x, y)]
            for _ in range(3):
                x, y = x + rng.standard_normal() * 4, y + 2 + rng.random() * 4
                points.append((x, min(y, y1)))
            pen.line(points, dark(ground, 0.45), 1)
        else:
            size = 2 + rng.random() * 3
            pen.oval(x - size, y - size * 0.7, x + size, y + size * 0.7, dark(ground, 0.22))


def pattern(pen: Pen, rng: Rng, kind: int, box: Box, ground: Colour) -> None:
    """Wallpaper: 0 plain, 1 stripes, 2 dots. It depends on nothing, so that ink alone does not betray wear."""
    x0, y0, x1, y1 = box
    tone = dark(ground, 0.10) if rng.random() < 0.5 else light(ground, 0.25)
    if kind == 1:
        for x in range(int(x0), int(x1), 12):
            pen.rect(x, y0, min(x + 5, x1), y1, tone)
    elif kind == 2:
        for row, y in enumerate(range(int(y0) + 4, int(y1) - 2, 12)):
            for x in range(int(x0) + 4 + 6 * (row % 2), int(x1) - 2, 12):
                pen.rect(x, y, x + 2, y + 2, tone)
