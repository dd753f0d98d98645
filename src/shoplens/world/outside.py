"""Scenes under the open sky: view, pool, garden, beach, picnic area."""

from shoplens.world.backdrop import hour, landscape, mountains, sea, sky, skyline, tree
from shoplens.world.chance import Rng
from shoplens.world.cues import count, crooked, flaws
from shoplens.world.look import Look
from shoplens.world.pen import SIZE, WHITE, Pen, dark, hsv, light, mix
from shoplens.world.tables import Colour


def view(pen: Pen, rng: Rng, look: Look) -> None:
    """What is seen from the terrace; its rail and two chairs tell a little about order and harmony."""
    time = hour(rng, look.drift)
    landscape(pen, rng, look, time, 70 + rng.random() * 20, 0.92)
    if look.facts.has("hiking") and rng.random() < 0.7:
        signpost(pen, rng, 20 + rng.random() * 110, 118)
    if rng.random() < 0.6:
        pen.fade(0, 132, SIZE, SIZE, look.floor, dark(look.floor))
        rail = dark(look.metal, 0.2)
        x = 3.0
        while x < SIZE:
            gap = crooked(rng, look.order, 2.5)
            pen.turned(x + gap, 122, 2, 28, crooked(rng, look.order, 6), rail)
            x += 11
        pen.rect(0, 107, SIZE, 110, rail)
        for x, side in ((40, -1), (112, 1)):
            if rng.random() < 0.15 + 0.8 * look.furnish:
                seat = look.match(rng)
                dx, dy = crooked(rng, look.order, 6), crooked(rng, look.order, 3)
                pen.round(x + dx, 134 + dy, x + 18 + dx, 140 + dy, 2, seat)
                pen.rect(
                    x + dx + (0 if side < 0 else 15),
                    120 + dy,
                    x + dx + (3 if side < 0 else 18),
                    137 + dy,
                    dark(seat, 0.2),
                )
                pen.rect(x + 1 + dx, 140 + dy, x + 3 + dx, 150 + dy, look.metal)
                pen.rect(x + 15 + dx, 140 + dy, x + 17 + dx, 150 + dy, look.metal)


def signpost(pen: Pen, rng: Rng, x: float, base: float) -> None:
    """Yellow trail signs."""
    pen.rect(x, base - 30, x + 3, base, (110, 84, 60))
    for i in range(1 + int(rng.integers(2))):
        y, side = base - 28 + i * 8, 1 if rng.random() < 0.5 else -1
        tip, end = (x + 1 + side * 20, y + 3), x + 1 + side * 16
        pen.poly([(x + 1, y), (end, y), tip, (end, y + 6), (x + 1, y + 6)], (240, 196, 40))


def parasol(pen: Pen, x: float, base: float, size: float, degrees: float, tone: Colour) -> None:
    """A parasol `size` high, its pole leaning."""
    top = (x + degrees * size / 57, base - size)
    pen.line([(x, base), top], (230, 226, 216), 2)
    w = size * 0.55
    pen.poly([(top[0] - w, top[1] + size * 0.28), top, (top[0] + w, top[1] + size * 0.28)], tone)
    pen.poly(
        [(top[0] - w * 0.3, top[1] + size * 0.28), top, (top[0] + w * 0.3, top[1] + size * 0.28)], light(tone, 0.3)
    )


def lounger(pen: Pen, x: float, y: float, tone: Colour, lean: float) -> None:
    """A sunbed seen from the side with its cushion."""
    pen.turned(x, y, 20, 4, lean * 0.6, tone)
    pen.turned(x - 10, y - 4, 10, 4, 50 + lean, tone)
    pen.rect(x - 8, y + 2, x - 6, y + 6, (240, 236, 228))
    pen.rect(x + 6, y + 2, x + 8, y + 6, (240, 236, 228))


def pool(pen: Pen, rng: Rng, look: Look) -> None:
    """A pool: loungers and parasols by furnishing, their row by order, colours by harmony, leaves by care."""
    time = hour(rng, look.drift)
    horizon = 50 + rng.random() * 14
    landscape(pen, rng, look, time, horizon, 0.6)
    deck = mix(light(look.floor, 0.35), time.bottom, 0.15)
    pen.fade(0, horizon + 12, SIZE, SIZE, light(deck, 0.1), dark(deck, 0.08))
    water = hsv(0.48 + 0.06 * rng.random(), 0.55 + 0.2 * rng.random(), 0.85)
    y0, y1 = horizon + 38, 146 + rng.random() * 6
    if rng.random() < 0.5:
        pen.oval(14, y0 - 2, 148, y1 + 3, WHITE)
        pen.oval(18, y0, 144, y1, water)
        pen.oval(24, y0 + 4, 138, y0 + (y1 - y0) * 0.6, light(water, 0.14))
    else:
        pen.poly([(30, y0 - 2), (132, y0 - 2), (156, y1 + 3), (6, y1 + 3)], WHITE)
        pen.poly([(33, y0), (129, y0), (151, y1), (11, y1)], water)
        pen.poly([(33, y0), (129, y0), (138, y0 + 20), (24, y0 + 20)], light(water, 0.14))
    for _ in range(9):
        x, y = 34 + rng.random() * 84, y0 + 8 + rng.random() * (y1 - y0 - 16)
        pen.line([(x, y), (x + 5, y - 1), (x + 10, y)], light(water, 0.6))
    for _ in range(flaws(rng, look.care, 9)):
        x, y = 34 + rng.random() * 88, y0 + 6 + rng.random() * (y1 - y0 - 12)
        pen.oval(x, y, x + 3, y + 2, (112, 104, 50))
    places = count(rng, look.furnish, 1, 6)
    first = 80 - (places - 1) * 12
    for i in range(places):
        x, y = first + i * 24 + crooked(rng, look.order, 4), horizon + 28 + crooked(rng, look.order, 2.5)
        if i % 2 == 0:
            parasol(pen, x + 11, y + 5, 30, crooked(rng, look.order, 9), look.match(rng))
        lounger(pen, x, y, look.match(rng), crooked(rng, look.order, 10))


def garden(pen: Pen, rng: Rng, look: Look) -> None:
    """Lawn, path, hedge balls and flower beds; their number, row, colours and the weeds tell quality."""
    time = hour(rng, look.drift)
    landscape(pen, rng, look, time, 58 + rng.random() * 10, 0.5)
    lawn = hsv(0.25 + 0.06 * rng.random(), 0.5, 0.55 + 0.15 * rng.random())
    pen.fade(0, 74, SIZE, SIZE, light(lawn, 0.15), dark(lawn, 0.1))
    bend = crooked(rng, look.order, 12)
    path = (214, 200, 176)
    pen.poly([(74 + bend, 76), (86 + bend, 76), (112, SIZE), (48, SIZE)], path)
    for joint in range(84, SIZE, 12):
        slant, drop = bend * (SIZE - joint) / 84, joint - 76
        pen.line([(76 - drop * 0.3 + slant, joint), (84 + drop * 0.32 + slant, joint)], dark(path, 0.2))
    for _ in range(flaws(rng, look.care, 10)):
        x, y = 56 + rng.random() * 46, 96 + rng.random() * 60
        pen.line([(x - 2, y - 4), (x, y), (x + 2, y - 4)], (84, 120, 40))
    pairs = count(rng, look.furnish, 1, 4)
    for i in range(pairs):
        base = 92 + i * 17
        reach = 20 + (base - 76) * 0.42
        for side in (-1, 1):
            size = 8 + i * 1.5 + crooked(rng, look.order, 2.2)
            x = 80 + side * reach + crooked(rng, look.order, 5)
            pen.oval(x - size, base - size * 1.6, x + size, base, (66, 108, 58))
            pen.oval(x - size * 0.7, base - size * 1.5, x + size * 0.2, base - size * 0.8, (92, 134, 74))
    for side in (0, 104):
        for _ in range(count(rng, look.furnish, 2, 12)):
            x, y = side + 4 + rng.random() * 46, 116 + rng.random() * 40
            tone = look.match(rng)
            pen.rect(x + 1, y, x + 2, y + 5, (70, 110, 50))
            pen.oval(x - 1, y - 2, x + 3, y + 2, tone)
    if rng.random() < 0.5:
        tree(pen, rng, look, 14 + rng.random() * 20, 102, 46)
    if look.facts.has("hiking") and rng.random() < 0.4:
        signpost(pen, rng, 132, 108)


def beach(pen: Pen, rng: Rng, look: Look) -> None:
    """Sand and sea; a row of parasols and sunbeds by furnishing, order and harmony; litter by care."""
    time = hour(rng, look.drift)
    horizon = 52 + rng.random() * 16
    sky(pen, rng, time, horizon)
    if look.facts.has("mountain_view") and rng.random() < 0.5:
        mountains(pen, rng, time, horizon)
    elif look.facts.has("city_view") and rng.random() < 0.5:
        skyline(pen, rng, look, time, horizon, 0.5)
    sea(pen, rng, time, horizon, horizon + 36)
    sand = mix(hsv(0.1 + 0.02 * rng.random(), 0.3, 0.92), time.bottom, 0.12)
    pen.fade(0, horizon + 34, SIZE, SIZE, light(sand, 0.2), dark(sand, 0.06))
    pen.oval(-40, horizon + 28, 120, horizon + 42, light(sand, 0.4))
    rows = 2
    columns = count(rng, look.furnish, 1, 4)
    first = 24 + rng.random() * 10
    for row in range(rows):
        for column in range(columns):
            x = first + column * 33 + row * 8 + crooked(rng, look.order, 5)
            y = horizon + 62 + row * 30 + crooked(rng, look.order, 3)
            parasol(pen, x, y, 26 + row * 4, crooked(rng, look.order, 10), look.match(rng))
            lounger(pen, x + 12, y + 2, look.match(rng), crooked(rng, look.order, 8))
    for _ in range(flaws(rng, look.care, 8)):
        x, y = rng.random() * SIZE, horizon + 46 + rng.random() * 60
        pen.turned(x, y, 4, 2, rng.random() * 180, (110, 96, 70))
    if rng.random() < 0.5:
        tree(pen, rng, look, 8 + rng.random() * 140, horizon + 56, 50)


def picnic(pen: Pen, rng: Rng, look: Look) -> None:
    """Tables on a meadow: how many, in line or not, cloths that match, missing planks."""
    time = hour(rng, look.drift)
    landscape(pen, rng, look, time, 64 + rng.random() * 10, 0.6)
    meadow = mix(look.facts.country.ground, (120, 164, 80), 0.5)
    pen.fade(0, 84, SIZE, SIZE, light(meadow, 0.1), dark(meadow, 0.1))
    for edge in (12, 146):
        tree(pen, rng, look, edge + rng.standard_normal() * 6, 100, 44)
    tables = count(rng, look.furnish, 1, 3)
    for i in range(tables):
        x = 80 + (i - (tables - 1) / 2) * 48 + crooked(rng, look.order, 5)
        y, lean = 122 + crooked(rng, look.order, 5), crooked(rng, look.order, 7)
        wood = look.wood
        for dx, dy, w in ((0, 0, 40), (-3, 12, 46)):
            pen.turned(x + dx, y + dy, w, 5, lean, wood)
        pen.line([(x - 12, y), (x - 18, y + 22)], dark(wood), 3)
        pen.line([(x + 12, y), (x + 18, y + 22)], dark(wood), 3)
        for _ in range(flaws(rng, look.care, 3)):
            gap = x - 18 + rng.random() * 36
            pen.turned(gap, y + 12 * int(rng.integers(2)), 4, 5, lean, dark(meadow, 0.3))
        pen.turned(x, y - 2, 22, 4, lean, look.match(rng))
        for j in range(count(rng, look.furnish, 0, 3)):
            pen.oval(x - 9 + j * 7, y - 8, x - 4 + j * 7, y - 3, look.match(rng))
    if look.facts.has("hiking") and rng.random() < 0.5:
        signpost(pen, rng, 28, 112)
