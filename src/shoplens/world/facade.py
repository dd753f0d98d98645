"""The house from the street."""

import numpy as np

from shoplens.world.backdrop import Hour, any_accent, hour, landscape, tree
from shoplens.world.chance import Rng
from shoplens.world.cues import count, crooked, wear
from shoplens.world.look import Look
from shoplens.world.pen import SIZE, WHITE, Pen, dark, light, mix
from shoplens.world.tables import BRANDS, Colour

GLOW: Colour = (253, 224, 146)
WIDTHS = {"resort": 116, "motel": 122, "villa": 92, "chalet": 66, "holiday_home": 58}


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


def _windows(pen: Pen, rng: Rng, look: Look, time: Hour, box: tuple[float, float, float, float], columns: int) -> None:
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
                shutter = look.match(rng)
                pen.rect(cx - w / 2 - 4, cy - h / 2, cx - w / 2 - 1, cy + h / 2, shutter)
                pen.rect(cx + w / 2 + 2, cy - h / 2, cx + w / 2 + 5, cy + h / 2, shutter)
            if rng.random() < 0.05 + 0.75 * look.furnish:
                pen.rect(cx - w / 2 - 1, cy + h / 2 + 1, cx + w / 2 + 1, cy + h / 2 + 4, (88, 128, 66))
                for flower in range(3):
                    fx = cx - w / 2 + 1 + flower * w / 3
                    pen.rect(fx, cy + h / 2, fx + 2, cy + h / 2 + 2, look.match(rng))
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
    for pole in range(
        count(rng, look.furnish, 0, 3) if kind in ("hotel", "resort", "aparthotel", "motel", "inn") else 0
    ):
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
    wide = {"resort": 116, "motel": 122, "villa": 92, "chalet": 66, "holiday_home": 58}.get(
        kind, 62 + 6 * min(look.storeys, 5)
    )
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
    _windows(pen, rng, look, time, (x0 + 2, top + 3, x1 - 2, base), columns)
    step = (w - 4) / columns
    door_x = x0 + 2 + step * (columns // 2 + 0.5)
    door = look.match(rng)
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
