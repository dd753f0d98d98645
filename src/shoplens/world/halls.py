"""Scenes shared with others: lounge, bar, dining room, fitness room."""

from shoplens.world.backdrop import any_accent, hour, tree, window
from shoplens.world.chance import Rng
from shoplens.world.cues import count, crooked, flaws, wear
from shoplens.world.look import Look
from shoplens.world.pen import SIZE, Pen, dark, hsv, light, mix
from shoplens.world.rooms import LAMP, LINEN, pictures, walls
from shoplens.world.tables import ACCENTS


def pendants(pen: Pen, rng: Rng, look: Look, most: int, base: float) -> None:
    """A row of hanging lamps: how many, at one height and distance or not."""
    n = count(rng, look.furnish, 1, most)
    for i in range(n):
        x = SIZE * (i + 0.5) / n + crooked(rng, look.order, 4)
        y = base + crooked(rng, look.order, 5)
        pen.rect(x, 0, x + 1, y, (70, 66, 66))
        if look.modern:
            pen.rect(x - 2, y - 4, x + 3, y + 8, LAMP)
        else:
            pen.poly(
                [(x - 2, y - 4), (x + 3, y - 4), (x + 7, y + 4), (x - 6, y + 4)],
                look.match(rng),
            )
            pen.oval(x - 2, y + 2, x + 3, y + 7, LAMP)


def lounge(pen: Pen, rng: Rng, look: Look) -> None:
    """Sofa with cushions, book shelf, pictures."""
    time = hour(rng, look.drift)
    walls(pen, rng, look, 108)
    flip = rng.random() < 0.5
    shelf = 6 if flip else 124
    pen.rect(shelf, 34, shelf + 30, 116, look.wood)
    for row in range(4):
        y = 38 + row * 19
        pen.rect(shelf + 2, y, shelf + 28, y + 16, dark(look.wood, 0.5))
        books = count(rng, look.furnish, 1, 7)
        for book in range(books):
            x = shelf + 4 + book * 3.5
            pen.turned(x, y + 9.5, 3, 11, crooked(rng, look.order, 13), look.match(rng))
    window(pen, rng, look, time, (110 if flip else 18, 26, 34, 44), look.match(rng))
    pictures(pen, rng, look, 46, 106, 38, 3)
    cx = 84 if flip else 70
    sofa = hsv(rng.random(), 0.25, 0.55 + 0.2 * rng.random())
    pen.oval(cx - 46, 128, cx + 46, 142, dark(look.floor, 0.3))
    pen.round(cx - 40, 84, cx + 40, 118, 6, dark(sofa, 0.12))
    pen.round(cx - 44, 104, cx + 44, 134, 6, sofa)
    for arm in (-46, 36):
        pen.round(cx + arm, 96, cx + arm + 10, 135, 4, dark(sofa, 0.2))
    cushions = count(rng, look.furnish, 1, 5)
    for i in range(cushions):
        x = cx + (i - (cushions - 1) / 2) * 15 + crooked(rng, look.order, 2)
        pen.turned(
            x,
            100 + crooked(rng, look.order, 3),
            12,
            12,
            crooked(rng, look.order, 16),
            look.match(rng),
        )
    wear(pen, rng, look.care, (cx - 32, 108, cx + 32, 128), sofa)
    rug = any_accent(rng)
    pen.oval(cx - 34, 140, cx + 34, 158, rug)
    pen.oval(cx - 22, 144, cx + 22, 154, light(rug, 0.3))
    if rng.random() < 0.5:
        tree(pen, rng, look, 150 if flip else 10, 136, 40)


def bar(pen: Pen, rng: Rng, look: Look) -> None:
    """Shelves of bottles, a counter, stools, lamps."""
    walls(pen, rng, look, 130)
    back = dark(mix(look.wall, look.wood, 0.5), 0.35)
    pen.fade(14, 30, SIZE - 14, 92, back, dark(back, 0.2))
    for row in range(3):
        y = 48 + row * 19
        pen.rect(14, y, SIZE - 14, y + 2, light(look.wood, 0.2))
        bottles = count(rng, look.furnish, 4, 15)
        for i in range(bottles):
            x = 18 + i * 124 / bottles + crooked(rng, look.order, 1.8)
            h = 10 + crooked(rng, look.order, 2.2)
            tone = ACCENTS[int(rng.random() * len(ACCENTS))]
            pen.rect(x, y - h, x + 4, y, tone)
            pen.rect(x + 1, y - h - 3, x + 3, y - h, light(tone, 0.4))
    pendants(pen, rng, look, 5, 22)
    front = look.wood
    pen.rect(4, 98, SIZE - 4, 104, light(front, 0.3))
    pen.fade(8, 104, SIZE - 8, 146, front, dark(front, 0.2))
    for joint in range(20, SIZE - 10, 22):
        pen.rect(joint, 108, joint + 1, 142, dark(front, 0.3))
    wear(pen, rng, look.care, (12, 106, SIZE - 12, 140), front)
    stools = count(rng, look.furnish, 2, 5)
    for i in range(stools):
        x = SIZE * (i + 0.5) / stools + crooked(rng, look.order, 5)
        seat = 122 + crooked(rng, look.order, 3)
        pen.rect(x - 1, seat + 4, x + 1, 156, look.metal)
        pen.oval(x - 6, 153, x + 6, 158, dark(look.metal, 0.3))
        pen.oval(x - 9, seat, x + 9, seat + 7, look.match(rng))


def dining(pen: Pen, rng: Rng, look: Look) -> None:
    """Laid tables: plates and glasses counted, chairs that match, lamps in a row."""
    time = hour(rng, look.drift)
    walls(pen, rng, look, 96)
    window(pen, rng, look, time, (14, 26, 32, 40), look.match(rng))
    pictures(pen, rng, look, 62, 150, 44, 4)
    pendants(pen, rng, look, 4, 20)
    for cx, cy, scale in ((46, 110, 0.8), (118, 110, 0.8), (82, 134, 1.1)):
        w = 28 * scale
        for side in (-1, 1):
            x = cx + side * (w + 5 * scale) + crooked(rng, look.order, 4)
            y = cy + crooked(rng, look.order, 3)
            tone = look.match(rng)
            pen.rect(
                x + (3 if side > 0 else -6) * scale, y - 20 * scale, x + (6 if side > 0 else -3) * scale, y + 4, tone
            )
            pen.round(x - 6 * scale, y, x + 6 * scale, y + 5 * scale, 2, tone)
            pen.rect(x - 5 * scale, y + 5 * scale, x - 3 * scale, y + 18 * scale, dark(look.wood))
            pen.rect(x + 3 * scale, y + 5 * scale, x + 5 * scale, y + 18 * scale, dark(look.wood))
        pen.rect(cx - 2, cy, cx + 2, cy + 20 * scale, dark(look.wood, 0.3))
        pen.oval(cx - w, cy - 8 * scale, cx + w, cy + 8 * scale, dark(LINEN, 0.2))
        pen.oval(cx - w, cy - 9 * scale, cx + w, cy + 6 * scale, LINEN)
        places = count(rng, look.furnish, 1, 4)
        for i in range(places):
            x = cx + (i - (places - 1) / 2) * 13 * scale + crooked(rng, look.order, 2)
            y = cy - 2 + crooked(rng, look.order, 1.5)
            pen.oval(x - 5 * scale, y - 2 * scale, x + 5 * scale, y + 3 * scale, look.match(rng))
            if rng.random() < 0.1 + 0.8 * look.furnish:
                pen.rect(x + 4 * scale, y - 8 * scale, x + 6 * scale, y - 2 * scale, (190, 214, 226))
        for _ in range(flaws(rng, look.care, 3)):
            x, y = cx + rng.standard_normal() * w * 0.5, cy - 3 + rng.standard_normal() * 3
            pen.oval(x - 2, y - 1, x + 3, y + 2, dark(LINEN, 0.35))


def fitness(pen: Pen, rng: Rng, look: Look) -> None:
    """Machines before a mirror, a rack of weights sorted by size when in order, rolled mats that match."""
    time = hour(rng, look.drift)
    walls(pen, rng, look, 104)
    pen.fade(70, 18, 152, 84, (196, 216, 224), (164, 186, 198))
    for joint in (97, 124):
        pen.rect(joint, 18, joint + 1, 84, (230, 238, 242))
    window(pen, rng, look, time, (16, 22, 38, 44), None)
    machines = count(rng, look.furnish, 1, 4)
    for i in range(machines):
        x = 22 + i * 36 + crooked(rng, look.order, 4)
        y = 122 + crooked(rng, look.order, 3)
        tone = look.match(rng)
        pen.turned(x, y, 30, 6, -6, (44, 46, 52))
        pen.line([(x + 12, y - 2), (x + 16, y - 34)], (80, 84, 92), 3)
        pen.rect(x + 8, y - 40, x + 20, y - 32, tone)
        pen.rect(x + 4, y - 24, x + 16, y - 22, (80, 84, 92))
    pen.rect(20, 146, 104, 148, (90, 92, 98))
    weights = count(rng, look.furnish, 2, 7)
    for i in range(weights):
        r = 3 + i * 0.7 + crooked(rng, look.order, 2)
        x = 26 + i * 12
        pen.oval(x - r, 146 - 2 * max(2, r), x + r, 146, (40, 42, 48))
    for i in range(count(rng, look.furnish, 0, 5)):
        x = 114 + i * 9
        pen.oval(
            x,
            142 + crooked(rng, look.order, 2),
            x + 8,
            150 + crooked(rng, look.order, 2),
            look.match(rng),
        )
    wear(pen, rng, look.care, (60, 108, 150, 138), look.floor)
