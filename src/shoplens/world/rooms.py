"""Scenes within four walls of one's own: bedroom, bathroom, kitchen."""

from shoplens.world.backdrop import any_accent, hour, window
from shoplens.world.chance import Rng
from shoplens.world.cues import Box, count, crooked, flaws, pattern, wear
from shoplens.world.look import Look
from shoplens.world.pen import SIZE, WHITE, Pen, dark, hsv, light, mix
from shoplens.world.tables import BRANDS, Colour

LINEN: Colour = (244, 240, 232)
LAMP: Colour = (252, 230, 170)


def walls(pen: Pen, rng: Rng, look: Look, base: float) -> None:
    """Wall, paper, floor by country's fashion, skirting; cracks and stains by care."""
    wall, floor = look.wall, look.floor
    pen.fade(0, 0, SIZE, base, light(wall, 0.14), dark(wall, 0.05))
    pattern(pen, rng, look.paper, (0, 0, SIZE, base), wall)
    wear(pen, rng, look.care, (6, 8, SIZE - 6, base * 0.7), wall)
    pen.fade(0, base, SIZE, SIZE, dark(floor, 0.1), light(floor, 0.1))
    kind = look.facts.country.floor
    if kind == "planks":
        for i in range(-4, 15):
            pen.line([(80 + (i - 5) * 13, base), (80 + (i - 5) * 24, SIZE)], dark(floor, 0.2))
    elif kind == "tiles":
        for i in range(-4, 15):
            pen.line([(80 + (i - 5) * 16, base), (80 + (i - 5) * 30, SIZE)], light(floor, 0.3))
        for y in (base + 10, base + 24, base + 42):
            pen.rect(0, y, SIZE, y + 1, light(floor, 0.3))
    pen.rect(0, base - 3, SIZE, base, light(wall, 0.5))


def pictures(pen: Pen, rng: Rng, look: Look, x0: float, x1: float, y: float, most: int) -> None:
    """A row of pictures: how many, how straight, frames that match."""
    n = count(rng, look.furnish, 0, most)
    gap = (x1 - x0) / max(n, 1)
    for i in range(n):
        cx, cy = x0 + gap * (i + 0.5) + crooked(rng, look.order, 2), y + crooked(rng, look.order, 4)
        lean = crooked(rng, look.order, 11)
        pen.turned(cx, cy, 17, 21, lean, look.match(rng))
        inner = light(any_accent(rng), 0.45)
        pen.turned(cx, cy, 12, 16, lean, inner)
        pen.turned(cx, cy + 3, 8, 5, lean, dark(inner, 0.3))


def _lamp(pen: Pen, x: float, y: float, tone: Colour, modern: bool) -> None:
    if modern:
        pen.rect(x, 0, x + 1, y - 26, (40, 40, 44))
        pen.oval(x - 5, y - 30, x + 6, y - 19, LAMP)
        return
    pen.rect(x - 1, y - 10, x + 1, y, (110, 100, 90))
    pen.poly([(x - 4, y - 18), (x + 4, y - 18), (x + 7, y - 9), (x - 7, y - 9)], tone)


def bedroom(pen: Pen, rng: Rng, look: Look) -> None:
    """A bed between night stands: pillows, lamps and pictures are counted, aligned and matched; linen creases."""
    facts, time, base = look.facts, hour(rng, look.drift), 102.0
    walls(pen, rng, look, base)
    side = 1 if rng.random() < 0.5 else -1
    bed = 80 - side * (14 + rng.random() * 8)
    wx = 118 if side > 0 else 12
    brand = BRANDS[facts.brand][1] if facts.brand is not None and rng.random() < 0.6 else None
    window(pen, rng, look, time, (wx, 24 + rng.random() * 8, 30, 46), look.match(rng))
    pictures(pen, rng, look, bed - 38, bed + 38, 34, 3)
    if facts.kind.name == "hostel" and rng.random() < 0.75:
        _bunks(pen, rng, look, bed)
        return
    half = 30 + rng.random() * 5
    for edge in (-1, 1):
        if rng.random() < 0.25 + 0.72 * look.furnish:
            x = bed + edge * (half + 11) + crooked(rng, look.order, 3)
            y = 92 + crooked(rng, look.order, 4)
            pen.rect(x - 8, y, x + 8, y + 22, look.wood)
            pen.rect(x - 6, y + 4, x + 6, y + 5, dark(look.wood))
            if rng.random() < 0.2 + 0.75 * look.furnish:
                _lamp(pen, x, y, LAMP if time.lit else look.match(rng), look.modern)
    if look.modern:
        pen.oval(bed - half, 60, bed + half, 120, mix(look.wall, look.accent, 0.3))
    else:
        pen.round(bed - half, 66, bed + half, 112, 5, look.wood)
        pen.round(bed - half + 4, 70, bed + half - 4, 96, 3, light(look.wood, 0.12))
    low = 150.0
    linen = mix(LINEN, hsv(rng.random(), 0.2, 0.95), 0.5)
    pen.poly([(bed - half, 92), (bed + half, 92), (bed + half + 12, low), (bed - half - 12, low)], linen)
    pen.poly(
        [(bed - half - 12, low), (bed + half + 12, low), (bed + half + 10, low + 6), (bed - half - 10, low + 6)],
        dark(linen, 0.25),
    )
    pillows = count(rng, look.furnish, 1, 5)
    width = min(22.0, (2 * half - 4) / pillows)
    for i in range(pillows):
        x = bed + (i - (pillows - 1) / 2) * width + crooked(rng, look.order, 2)
        y = 92 + crooked(rng, look.order, 2.5)
        tone = WHITE if i % 2 == 0 else look.match(rng)
        pen.round(x - width / 2 + 1, y - 8, x + width / 2 - 1, y + 5, 4, dark(tone, 0.14))
        pen.round(x - width / 2 + 1, y - 8, x + width / 2 - 1, y + 3, 4, tone)
    throw = brand if brand is not None else look.match(rng)
    lean = crooked(rng, look.order, 5)
    pen.poly(
        [
            (bed - half - 7, 126 - lean),
            (bed + half + 7, 126 + lean),
            (bed + half + 10, 140 + lean),
            (bed - half - 10, 140 - lean),
        ],
        throw,
    )
    for _ in range(flaws(rng, look.care, 8)):
        x, y = bed - half + rng.random() * 2 * half, 104 + rng.random() * 40
        pen.line([(x, y), (x + 4 + rng.random() * 5, y + rng.standard_normal() * 4)], dark(linen, 0.35))
    if facts.has("vacation_rental") and rng.random() < 0.5:
        x = 146 if side < 0 else 14
        pen.round(x - 8, 120, x + 8, 152, 3, any_accent(rng))
        pen.rect(x - 4, 114, x + 4, 120, (70, 70, 76))


def _bunks(pen: Pen, rng: Rng, look: Look, x: float) -> None:
    for column in (-1, 1):
        cx = x + column * 26
        for y in (78, 112):
            tone = look.match(rng)
            shift = crooked(rng, look.order, 2)
            pen.round(cx - 21, y + shift, cx + 21, y + 11 + shift, 3, LINEN)
            pen.rect(cx - 4, y + shift, cx + 21, y + 11 + shift, tone)
            pen.rect(cx - 22, y + 11 + shift, cx + 22, y + 15 + shift, look.metal)
            for _ in range(flaws(rng, look.care, 2)):
                fx = cx - 18 + rng.random() * 34
                pen.line([(fx, y + 2), (fx + 4, y + 8)], dark(tone, 0.4))
        for edge in (-22, 20):
            pen.rect(cx + edge, 64, cx + edge + 3, 142, dark(look.metal, 0.2))
    for rung in range(count(rng, look.furnish, 2, 6)):
        step = 74 + rung * 12 + crooked(rng, look.order, 1.5)
        pen.rect(x - 5, step, x + 6, step + 2, look.metal)


def tiled(pen: Pen, rng: Rng, look: Look, box: Box, tone: Colour, step: int) -> None:
    """Tiles with joints; the careless lack a few, the disorderly laid them unevenly."""
    x0, y0, x1, y1 = box
    pen.fade(x0, y0, x1, y1, light(tone, 0.15), tone)
    joint = dark(tone, 0.16)
    for across in range(int(x0), int(x1), step):
        pen.line([(across, y0), (across + crooked(rng, look.order, 2.2), y1 - 1)], joint)
    for down in range(int(y0), int(y1), step):
        pen.line([(x0, down), (x1 - 1, down + crooked(rng, look.order, 1.6))], joint)
    for _ in range(flaws(rng, look.care, 6)):
        x = x0 + int(rng.random() * (x1 - x0) / step) * step
        y = y0 + int(rng.random() * (y1 - y0) / step) * step
        pen.rect(x + 1, y + 1, min(x + step, x1), min(y + step, y1), mix(tone, (120, 108, 92), 0.5))


def bathroom(pen: Pen, rng: Rng, look: Look) -> None:
    """Basin, mirror, shower or bath; towels are counted and matched, tiles and mirror straight or not."""
    tone = hsv(rng.random(), 0.05 + 0.15 * rng.random(), 0.82 + 0.12 * rng.random())
    tiled(pen, rng, look, (0, 0, SIZE, 112), tone, 12)
    floor = mix(look.floor, (160, 160, 164), 0.4)
    pen.fade(0, 112, SIZE, SIZE, dark(floor, 0.1), light(floor, 0.12))
    flip = rng.random() < 0.5

    def at(x: float) -> float:
        return SIZE - x if flip else x

    lean = crooked(rng, look.order, 7)
    pen.turned(at(36), 46, 32, 36, lean, look.wood if not look.modern else (40, 40, 44))
    pen.turned(at(36), 46, 27, 31, lean, (196, 220, 228))
    pen.turned(at(32), 40, 3, 16, lean + 35, (232, 244, 248))
    pen.rect(min(at(14), at(58)), 84, max(at(14), at(58)), 90, WHITE)
    pen.rect(min(at(18), at(54)), 90, max(at(18), at(54)), 122, look.wood)
    pen.rect(at(36) - 1, 76, at(36) + 2, 84, look.metal)
    for i in range(count(rng, look.furnish, 0, 5)):
        x = at(18 + i * 5 if i < 3 else 44 + (i - 3) * 6) + crooked(rng, look.order, 1)
        pen.rect(x - 2, 77, x + 2, 84, look.match(rng))
    if rng.random() < 0.5:
        x0, x1 = sorted((at(104), at(150)))
        pen.rect(x0, 16, x1, 132, mix(tone, (190, 220, 232), 0.6), look.metal)
        pen.line([(x0 + 8, 30), (x1 - 12, 90)], (236, 246, 250), 2)
        pen.rect(x0 + 20, 24, x0 + 28, 28, look.metal)
    else:
        x0, x1 = sorted((at(88), at(156)))
        pen.round(x0, 104, x1, 140, 12, WHITE)
        pen.round(x0 + 4, 104, x1 - 4, 114, 5, (206, 226, 232))
        pen.rect(x1 - 14, 94, x1 - 11, 104, look.metal)
    x = at(82)
    pen.rect(x - 14, 50, x + 14, 52, look.metal)
    towels = count(rng, look.furnish, 1, 4)
    for i in range(towels):
        tx = x - 13 + i * 7 + crooked(rng, look.order, 1)
        length = 20 + crooked(rng, look.order, 5)
        pen.rect(tx, 51, tx + 6, 51 + max(8, length), look.match(rng))
    if rng.random() < 0.4:
        pen.round(50, 140, 106, 154, 4, any_accent(rng))


def kitchen(pen: Pen, rng: Rng, look: Look) -> None:
    """Counter and cupboards: handles in line, utensils counted, doors and pans that match, chipped tiles."""
    time = hour(rng, look.drift)
    walls(pen, rng, look, 126)
    front = light(look.wood, 0.25) if rng.random() < 0.5 else hsv(rng.random(), 0.2, 0.8)
    tiled(pen, rng, look, (0, 56, SIZE, 88), light(look.wall, 0.4), 8)
    window(pen, rng, look, time, (66, 16, 28, 30), look.match(rng))
    for x0, x1 in ((4, 56), (106, 156)):
        pen.rect(x0, 14, x1, 48, front, dark(front))
        doors = 3
        for i in range(doors):
            x = x0 + (x1 - x0) * i / doors
            pen.rect(x, 14, x + 1, 48, dark(front))
            pen.turned(x + 12, 40 + crooked(rng, look.order, 3), 2, 7, crooked(rng, look.order, 14), (60, 60, 66))
    pen.rect(0, 86, SIZE, 92, mix(look.floor, (70, 70, 76), 0.4))
    pen.rect(0, 92, SIZE, 134, front)
    for x in range(0, SIZE, 27):
        pen.rect(x, 92, x + 1, 134, dark(front))
        pen.turned(x + 13, 100 + crooked(rng, look.order, 2), 10, 2, crooked(rng, look.order, 10), (60, 60, 66))
    wear(pen, rng, look.care, (4, 106, SIZE - 4, 130), front)
    stove = 14 + rng.random() * 20
    pen.rect(stove, 92, stove + 27, 134, (54, 56, 62))
    pen.rect(stove + 4, 102, stove + 23, 124, (24, 24, 30))
    for i in range(count(rng, look.furnish, 0, 2)):
        pen.round(stove + 2 + i * 13, 78, stove + 12 + i * 13, 87, 2, look.match(rng))
    pen.rect(98, 62, 156, 63, look.metal)
    for i in range(count(rng, look.furnish, 1, 6)):
        x = 102 + i * 9 + crooked(rng, look.order, 2)
        tone = look.match(rng)
        pen.rect(x, 63, x + 2, 74 + crooked(rng, look.order, 2), tone)
        pen.oval(x - 2, 72, x + 4, 79, tone)
    if look.facts.has("vacation_rental") and rng.random() < 0.6:
        pen.rect(128, 94, 150, 134, WHITE)
        pen.oval(131, 104, 147, 120, (120, 150, 170), (70, 70, 80))
    if rng.random() < 0.5:
        x = 100 + rng.random() * 20
        pen.oval(x, 80, x + 16, 88, any_accent(rng))
