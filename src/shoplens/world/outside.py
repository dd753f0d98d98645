"""Scenes under the open sky: facade, view, pool, garden, beach, picnic area."""

import numpy as np

from shoplens.world.backdrop import Hour, any_accent, hour, landscape, mountains, sea, sky, skyline, tree
from shoplens.world.cues import count, crooked, flaws, matching, wear
from shoplens.world.look import Look
from shoplens.world.pen import SIZE, WHITE, Pen, dark, hsv, light, mix
from shoplens.world.tables import BRANDS, Colour

Rng = np.random.Generator
GLOW: Colour = (253, 224, 146)


def _roof(pen: Pen, look: Look, x0: float, x1: float, y: float) -> None:
    country, kind = look.facts.country, look.facts.kind.name
    tone, w = country.roof_colour, x1 - x0
    shape = "steep" if kind == "chalet" else "flat" if look.storeys >= 6 or kind == "motel" else country.roof
    if shape == "flat":
        pen.rect(x0 - 3, y - 5, x1 + 3, y, tone)
        pen.rect(x0 - 3, y - 1, x1 + 3, y, dark(tone))
    elif shape == "hip":
        pen.poly([(x0 - 5, y), (x0 + w * 0.2, y - 17), (x1 - w * 0.2, y - 17), (x1 + 5, y)], tone)
    elif shape == "dome":
        pen.oval(x0 + w * 0.3, y - w * 0.2 - 6, x1 - w * 0.3, y + w * 0.2, tone)
        pen.rect(x0 - 2, y - 4, x1 + 2, y, dark(tone, 0.15))
    else:
        height = min(46.0, w * 0.62) if shape == "steep" else min(26.0, w * 0.34)
        pen.poly([(x0 - 5, y), (x0 + w / 2, y - height), (x1 + 5, y)], tone)
        pen.poly([(x0 + w / 2, y - height), (x1 + 5, y), (x1 - 2, y)], dark(tone, 0.2))
    if shape != "flat":
        for row in range(3, 12, 4):
            pen.line([(x0 + row, y - row), (x1 - row, y - row)], dark(tone, 0.15))


def _facade_windows(pen: Pen, rng: Rng, look: Look, time: Hour, box: tuple[float, float, float, float], columns: int) -> None:
    x0, y0, x1, y1 = box
    step_x, step_y = (x1 - x0) / columns, (y1 - y0) / look.storeys
    w, h = min(13.0, step_x * 0.5), min(16.0, step_y * 0.58)
    balcony, country = look.facts.has("balcony"), look.facts.country
    for storey in range(look.storeys):
        for column in range(columns):
            ground_door = storey == look.storeys - 1 and column == columns // 2
            if ground_door:
                continue
            cx = x0 + step_x * (column + 0.5) + crooked(rng, look.order, 2.2)
            cy = y0 + step_y * (storey + 0.48) + crooked(rng, look.order, 1.8)
            pane = GLOW if time.lit and rng.random() < 0.6 else mix((92, 128, 156), time.top, 0.35)
            pen.rect(cx - w / 2 - 1, cy - h / 2 - 1, cx + w / 2 + 1, cy + h / 2 + 1, light(look.house, 0.6))
            if country.arched:
                pen.oval(cx - w / 2, cy - h / 2 - w * 0.35, cx + w / 2, cy + h * 0.2, pane)
            pen.rect(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, pane)
            pen.rect(cx - 0.5, cy - h / 2, cx + 0.5, cy + h / 2, light(look.house, 0.5))
            if look.storeys <= 5 and columns <= 6:
                shutter = matching(rng, look.harmony, look.accent)
                pen.rect(cx - w / 2 - 4, cy - h / 2, cx - w / 2 - 1, cy + h / 2, shutter)
                pen.rect(cx + w / 2 + 2, cy - h / 2, cx + w / 2 + 5, cy + h / 2, shutter)
            if rng.random() < 0.05 + 0.75 * look.furnish:
                pen.rect(cx - w / 2 - 1, cy + h / 2 + 1, cx + w / 2 + 1, cy + h / 2 + 4, (88, 128, 66))
                for flower in range(3):
                    fx = cx - w / 2 + 1 + flower * w / 3
                    pen.rect(fx, cy + h / 2, fx + 2, cy + h / 2 + 2, matching(rng, look.harmony, look.accent))
            if balcony and storey < look.storeys - 1 and rng.random() < 0.85:
                rail = dark(look.metal, 0.25)
                pen.rect(cx - w / 2 - 5, cy + h * 0.12, cx + w / 2 + 5, cy + h * 0.12 + 2, rail)
                for bar in range(int(w) + 10):
                    if bar % 3 == 0:
                        pen.rect(cx - w / 2 - 5 + bar, cy + h * 0.12, cx - w / 2 - 4 + bar, cy + h / 2 + 3, rail)
                pen.rect(cx - w / 2 - 5, cy + h / 2 + 3, cx + w / 2 + 5, cy + h / 2 + 5, rail)


def _signs(pen: Pen, rng: Rng, look: Look, x0: float, x1: float, top: float, base: float) -> None:
    facts, kind = look.facts, look.facts.kind.name
    if facts.brand is not None and rng.random() < 0.85:
        brand = BRANDS[facts.brand][1]
        pen.round(x0 + 8, base - 31, x1 - 8, base - 22, 2, brand)
        for letter in range(int(x0) + 14, int(x1) - 14, 6):
            pen.rect(letter, base - 28, letter + 4, base - 25, WHITE)
    elif kind in ("hotel", "aparthotel", "resort"):
        pen.rect(x1 - 9, top + 8, x1 - 3, top + 32, dark(look.house, 0.6))
        for letter in range(4):
            pen.rect(x1 - 8, top + 10 + letter * 6, x1 - 4, top + 13 + letter * 6, WHITE)
    elif kind in ("inn", "bed_and_breakfast", "guest_house"):
        pen.line([(x0, base - 26), (x0 - 10, base - 26)], (50, 46, 50), 1)
        pen.rect(x0 - 14, base - 25, x0 - 4, base - 17, look.wood, WHITE)
    elif kind == "hostel":
        for stripe in range(int(x0), int(x1) - 6, 12):
            pen.rect(stripe, base - 26, stripe + 6, base - 20, (240, 110, 60))
    for pole in range(count(rng, look.furnish, 0, 3) if kind in ("hotel", "resort", "aparthotel", "motel", "inn") else 0):
        x = x0 + 10 + pole * 14
        pen.rect(x, top - 18, x + 1, top, (90, 90, 96))
        pen.rect(x + 1, top - 18, x + 8, top - 15, facts.country.flag[0])
        pen.rect(x + 1, top - 15, x + 8, top - 13, facts.country.flag[1])


def facade(pen: Pen, rng: Rng, look: Look) -> None:
    """The house from the street: build by type, size and country; shutters, boxes, alignment and cracks by quality."""
    facts, kind, time = look.facts, look.facts.kind.name, hour(rng, look.drift)
    horizon = 92 + rng.random() * 14
    landscape(pen, rng, look, time, horizon, 0.5)
    if facts.has("city_centre"):
        for side in (0, 1):
            w, h = 18 + rng.random() * 18, 50 + rng.random() * 45
            tone = mix(facts.country.walls[int(rng.integers(3))], (110, 110, 124), 0.35)
            x = 0 if side == 0 else SIZE - w
            pen.rect(x, 134 - h, x + w, 134, tone)
            for y in range(int(138 - h), 126, 11):
                pen.rect(x + w * 0.25, y, x + w * 0.75, y + 5, dark(tone, 0.35))
    wide = {"resort": 116, "motel": 122, "villa": 92, "chalet": 66, "holiday_home": 58}.get(kind, 62 + 6 * min(look.storeys, 5))
    w = wide * (0.9 + 0.15 * rng.random())
    storey_height = 17.0 if look.storeys > 4 else 21.0
    h = min(100.0, storey_height * look.storeys + 6)
    cx, base = 80 + rng.standard_normal() * 6, 136 + rng.random() * 4
    x0, x1, top = cx - w / 2, cx + w / 2, base - h
    pen.oval(x0 - 8, base - 5, x1 + 10, base + 6, dark(facts.country.ground, 0.3))
    wall = (150, 104, 66) if kind == "chalet" else look.house
    pen.fade(x0, top, x1, base, light(wall, 0.12), dark(wall, 0.06))
    if kind == "inn":
        for beam in np.linspace(x0, x1 - 2, 5):
            pen.rect(beam, top, beam + 2, base, (92, 64, 46))
        pen.rect(x0, top + h * 0.48, x1, top + h * 0.48 + 2, (92, 64, 46))
    if kind in ("chalet", "holiday_home"):
        for plank in range(int(top), int(base), 5):
            pen.rect(x0, plank, x1, plank + 1, dark(wall, 0.16))
    if kind in ("holiday_home", "chalet", "guest_house"):
        pen.rect(x1 - 18, top - 24, x1 - 11, top, (140, 92, 80))
    _roof(pen, look, x0, x1, top)
    wear(pen, rng, look.care, (x0 + 3, top + 4, x1 - 3, base - 8), wall)
    columns = max(2, min(8, int(w / (13 if look.storeys > 5 else 17))))
    _facade_windows(pen, rng, look, time, (x0 + 2, top + 3, x1 - 2, base), columns)
    step = (w - 4) / columns
    door_x = x0 + 2 + step * (columns // 2 + 0.5)
    door = matching(rng, look.harmony, look.accent)
    doors = [x0 + 14 + i * 24 for i in range(int(w / 26))] if kind == "motel" else [door_x]
    for x in doors:
        pen.rect(x - 6, base - 20, x + 6, base, light(look.house, 0.5))
        pen.rect(x - 5, base - 19, x + 5, base, door)
        pen.oval(x + 2, base - 10, x + 4, base - 8, GLOW)
    if kind == "villa":
        for column in np.linspace(x0 + 4, x1 - 8, 5):
            pen.rect(column, base - 24, column + 4, base, WHITE)
        pen.rect(x0, base - 27, x1, base - 24, WHITE)
    _signs(pen, rng, look, x0, x1, top, base)
    for side in range(count(rng, look.furnish, 0, 4)):
        x = door_x + (-1, 1, -1, 1)[side] * (12, 12, 21, 21)[side] + crooked(rng, look.order, 3)
        pen.oval(x - 4, base - 9, x + 4, base - 1, (74, 116, 62))
        pen.rect(x - 3, base - 3, x + 3, base + 2, (170, 96, 70))
    for _ in range(int(rng.integers(0, 3))):
        x, tone = rng.random() * 140, any_accent(rng)
        pen.round(x, 146, x + 20, 153, 3, tone)
        pen.round(x + 4, 142, x + 15, 148, 2, dark(tone, 0.4))
        pen.oval(x + 2, 151, x + 7, 156, (34, 34, 38))
        pen.oval(x + 13, 151, x + 18, 156, (34, 34, 38))
    if facts.has("garden") and rng.random() < 0.6:
        for x in (8, 22, 138, 152):
            tree(pen, rng, look, x, base + 8, 26 + rng.random() * 8)


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
                seat = matching(rng, look.harmony, look.accent)
                dx, dy = crooked(rng, look.order, 6), crooked(rng, look.order, 3)
                pen.round(x + dx, 134 + dy, x + 18 + dx, 140 + dy, 2, seat)
                pen.rect(x + dx + (0 if side < 0 else 15), 120 + dy, x + dx + (3 if side < 0 else 18), 137 + dy, dark(seat, 0.2))
                pen.rect(x + 1 + dx, 140 + dy, x + 3 + dx, 150 + dy, look.metal)
                pen.rect(x + 15 + dx, 140 + dy, x + 17 + dx, 150 + dy, look.metal)


def signpost(pen: Pen, rng: Rng, x: float, base: float) -> None:
    """Yellow trail signs."""
    pen.rect(x, base - 30, x + 3, base, (110, 84, 60))
    for i in range(1 + int(rng.integers(2))):
        y, side = base - 28 + i * 8, 1 if rng.random() < 0.5 else -1
        pen.poly([(x + 1, y), (x + 1 + side * 16, y), (x + 1 + side * 20, y + 3), (x + 1 + side * 16, y + 6), (x + 1, y + 6)],
                 (240, 196, 40))  # fmt: skip


def parasol(pen: Pen, x: float, base: float, size: float, degrees: float, tone: Colour) -> None:
    """A parasol `size` high, its pole leaning."""
    top = (x + degrees * size / 57, base - size)
    pen.line([(x, base), top], (230, 226, 216), 2)
    w = size * 0.55
    pen.poly([(top[0] - w, top[1] + size * 0.28), top, (top[0] + w, top[1] + size * 0.28)], tone)
    pen.poly([(top[0] - w * 0.3, top[1] + size * 0.28), top, (top[0] + w * 0.3, top[1] + size * 0.28)], light(tone, 0.3))


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
            parasol(pen, x + 11, y + 5, 30, crooked(rng, look.order, 9), matching(rng, look.harmony, look.accent))
        lounger(pen, x, y, matching(rng, look.harmony, look.accent), crooked(rng, look.order, 10))


def garden(pen: Pen, rng: Rng, look: Look) -> None:
    """Lawn, path, hedge balls and flower beds; their number, row, colours and the weeds tell quality."""
    time = hour(rng, look.drift)
    landscape(pen, rng, look, time, 58 + rng.random() * 10, 0.5)
    lawn = hsv(0.25 + 0.06 * rng.random(), 0.5, 0.55 + 0.15 * rng.random())
    pen.fade(0, 74, SIZE, SIZE, light(lawn, 0.15), dark(lawn, 0.1))
    bend = crooked(rng, look.order, 12)
    path = (214, 200, 176)
    pen.poly([(74 + bend, 76), (86 + bend, 76), (112, SIZE), (48, SIZE)], path)
    for y in range(84, SIZE, 12):
        pen.line([(76 - (y - 76) * 0.3 + bend * (SIZE - y) / 84, y), (84 + (y - 76) * 0.32 + bend * (SIZE - y) / 84, y)], dark(path, 0.2))
    for _ in range(flaws(rng, look.care, 10)):
        x, y = 56 + rng.random() * 46, 96 + rng.random() * 60
        pen.line([(x - 2, y - 4), (x, y), (x + 2, y - 4)], (84, 120, 40))
    pairs = count(rng, look.furnish, 1, 4)
    for i in range(pairs):
        y = 92 + i * 17
        reach = 20 + (y - 76) * 0.42
        for side in (-1, 1):
            size = 8 + i * 1.5 + crooked(rng, look.order, 2.2)
            x = 80 + side * reach + crooked(rng, look.order, 5)
            pen.oval(x - size, y - size * 1.6, x + size, y, (66, 108, 58))
            pen.oval(x - size * 0.7, y - size * 1.5, x + size * 0.2, y - size * 0.8, (92, 134, 74))
    for side in (0, 104):
        for _ in range(count(rng, look.furnish, 2, 12)):
            x, y = side + 4 + rng.random() * 46, 116 + rng.random() * 40
            tone = matching(rng, look.harmony, look.accent)
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
            parasol(pen, x, y, 26 + row * 4, crooked(rng, look.order, 10), matching(rng, look.harmony, look.accent))
            lounger(pen, x + 12, y + 2, matching(rng, look.harmony, look.accent), crooked(rng, look.order, 8))
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
    for x in (12, 146):
        tree(pen, rng, look, x + rng.standard_normal() * 6, 100, 44)
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
        pen.turned(x, y - 2, 22, 4, lean, matching(rng, look.harmony, look.accent))
        for j in range(count(rng, look.furnish, 0, 3)):
            pen.oval(x - 9 + j * 7, y - 8, x - 4 + j * 7, y - 3, matching(rng, look.harmony, look.accent))
    if look.facts.has("hiking") and rng.random() < 0.5:
        signpost(pen, rng, 28, 112)
