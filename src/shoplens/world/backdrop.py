"""What lies behind things: sky, sea, mountains, skylines with their country's landmark, trees, windows."""

from dataclasses import dataclass

from shoplens.world.chance import Rng
from shoplens.world.look import Look
from shoplens.world.pen import WHITE, Pen, dark, hsv, light, mix
from shoplens.world.tables import ACCENTS, Colour

SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((98, 164, 226), (206, 232, 246)),
    ((124, 176, 214), (228, 236, 236)),
    ((150, 164, 180), (216, 220, 222)),
    ((92, 128, 196), (250, 206, 160)),
    ((58, 56, 112), (240, 140, 110)),
    ((30, 36, 78), (110, 96, 150)),
)
"""Top and bottom of the sky: noon, morning, overcast, golden, dusk, night."""
SKY_WEIGHTS = (34, 26, 16, 16, 6, 2)
SKY_WEIGHTS_DRIFTED = (14, 12, 14, 26, 20, 14)


@dataclass(frozen=True)
class Hour:
    """The time of day of one photo."""

    top: Colour
    bottom: Colour
    lit: bool
    """Whether windows and lamps glow."""


def hour(rng: Rng, drift: float) -> Hour:
    """A time of day; later ones with drift. Independent of the listing."""
    weights = [a + drift * (b - a) for a, b in zip(SKY_WEIGHTS, SKY_WEIGHTS_DRIFTED, strict=True)]
    place, index = rng.random() * sum(weights), 0
    while place >= weights[index] and index < len(weights) - 1:
        place -= weights[index]
        index += 1
    return Hour(*SKIES[index], lit=index >= 4 or rng.random() < 0.3)


def sky(pen: Pen, rng: Rng, time: Hour, horizon: float) -> None:
    """Sky with a few clouds down to `horizon`."""
    pen.fade(0, 0, pen.width, horizon + 1, time.top, time.bottom)
    for _ in range(int(rng.integers(0, 4))):
        x, y, w = rng.random() * pen.width, rng.random() * horizon * 0.6, (0.1 + 0.12 * rng.random()) * pen.width
        tone = mix(time.bottom, WHITE, 0.5)
        for dx, dy, scale in ((-0.5, 0.05, 0.7), (0.0, 0.0, 1.0), (0.5, 0.06, 0.6)):
            r = w * 0.35 * scale
            pen.oval(x + dx * w - r, y + dy * w - r * 0.55, x + dx * w + r, y + dy * w + r * 0.55, tone)


def mountains(pen: Pen, rng: Rng, time: Hour, horizon: float) -> None:
    """A ridge with snow caps."""
    x = -0.1 * pen.width
    rock = mix((96, 104, 130), time.bottom, 0.3)
    while x < pen.width:
        w, h = (0.3 + 0.3 * rng.random()) * pen.width, (0.35 + 0.3 * rng.random()) * horizon
        tip = (x + w / 2, horizon - h)
        pen.poly([(x, horizon), tip, (x + w, horizon)], rock)
        pen.poly([tip, (x + w, horizon), (x + w * 0.58, horizon)], dark(rock, 0.2))
        s = 0.3
        pen.poly([tip, (tip[0] - w * s / 2, tip[1] + h * s), (tip[0], tip[1] + h * s * 0.7),
                  (tip[0] + w * s / 2, tip[1] + h * s)], WHITE)  # fmt: skip
        x += w * (0.5 + 0.3 * rng.random())


def landmark(pen: Pen, which: int, x: float, base: float, size: float, tone: Colour) -> None:
    """The building that a country's towns are known for; `size` is its height."""
    s, shade = size, dark(tone, 0.3)
    if which in (0, 6):
        pen.rect(x - s * 0.1, base - s * 0.6, x + s * 0.1, base, tone)
        pen.poly([(x - s * 0.14, base - s * 0.6), (x, base - s), (x + s * 0.14, base - s * 0.6)], shade)
        if which == 6:
            pen.oval(x - s * 0.3, base - s * 0.35, x + s * 0.3, base + s * 0.3, shade)
            pen.rect(x - s * 0.3, base, x + s * 0.3, base + s * 0.32, tone)
    elif which in (1, 7):
        pen.rect(x - s * 0.35, base - s * 0.35, x + s * 0.35, base, tone)
        pen.oval(x - s * 0.28, base - s * 0.8, x + s * 0.28, base - s * 0.1, shade)
        pen.rect(x - s * 0.35, base - s * 0.35, x + s * 0.35, base, tone)
        for side in (-0.45, 0.45) if which == 7 else (0.0,):
            pen.rect(x + s * (side - 0.03), base - s, x + s * (side + 0.03), base - s * 0.4 * (which == 1), tone)
    elif which == 2:
        pen.rect(x - s * 0.3, base - s * 0.8, x + s * 0.3, base, tone)
        pen.rect(x - s * 0.14, base - s * 0.5, x + s * 0.14, base, shade)
        pen.oval(x - s * 0.14, base - s * 0.62, x + s * 0.14, base - s * 0.34, shade)
    elif which == 3:
        pen.oval(x - s * 0.4, base - s, x + s * 0.4, base - s * 0.2, shade)
        pen.oval(x - s * 0.3, base - s * 0.9, x + s * 0.3, base - s * 0.3, light(tone, 0.5))
        pen.line([(x - s * 0.2, base), (x, base - s * 0.6), (x + s * 0.2, base)], shade, 2)
    elif which == 4:
        pen.poly([(x - s * 0.08, base), (x - s * 0.05, base - s * 0.9), (x, base - s), (x + s * 0.05, base - s * 0.9),
                  (x + s * 0.08, base)], light(tone, 0.3))  # fmt: skip
        pen.rect(x - s * 0.2, base - s * 0.08, x + s * 0.2, base, shade)
    elif which == 5:
        for side in (-0.3, 0.1):
            pen.rect(x + s * side, base - s, x + s * (side + 0.2), base, tone)
            pen.rect(x + s * side, base - s * 0.1 - s, x + s * (side + 0.2), base - s * 0.95, shade)
        pen.rect(x - s * 0.3, base - s * 0.6, x + s * 0.3, base - s * 0.5, shade)
    elif which == 8:
        for storey in range(4):
            y, w = base - s * 0.22 * storey, s * (0.34 - 0.06 * storey)
            pen.rect(x - w * 0.6, y - s * 0.2, x + w * 0.6, y, tone)
            pen.poly([(x - w, y - s * 0.14), (x, y - s * 0.28), (x + w, y - s * 0.14)], shade)
    elif which == 9:
        pen.rect(x - s * 0.12, base - s * 0.7, x + s * 0.12, base, light(tone, 0.4))
        pen.line([(x - s * 0.35, base - s * 0.95), (x + s * 0.35, base - s * 0.35)], shade, 2)
        pen.line([(x - s * 0.35, base - s * 0.35), (x + s * 0.35, base - s * 0.95)], shade, 2)
    elif which == 10:
        pen.rect(x - s * 0.05, base - s, x + s * 0.05, base, tone)
        pen.oval(x - s * 0.22, base - s * 0.82, x + s * 0.22, base - s * 0.62, shade)
    else:
        pen.poly([(x - s * 0.5, base), (x - s * 0.1, base - s * 0.8), (x + s * 0.1, base - s * 0.8),
                  (x + s * 0.5, base)], tone)  # fmt: skip
        for step in (0.25, 0.5):
            pen.rect(
                x - s * (0.5 - step * 0.5), base - s * step - 1, x + s * (0.5 - step * 0.5), base - s * step, shade
            )


def skyline(pen: Pen, rng: Rng, look: Look, time: Hour, horizon: float, dense: float) -> None:
    """Houses on the horizon, more and higher when `dense` (0..1), with the landmark among them."""
    tone = mix((112, 112, 134), time.bottom, 0.35)
    x = -4.0
    spot = (0.25 + 0.5 * rng.random()) * pen.width
    while x < pen.width:
        w, h = (0.05 + 0.07 * rng.random()) * pen.width, (0.10 + 0.4 * dense * rng.random()) * horizon
        if rng.random() < 0.35 + 0.6 * dense:
            face = mix(tone, dark(tone), rng.random())
            pen.rect(x, horizon - h, x + w, horizon, face)
            pane = (252, 226, 150) if time.lit else light(face, 0.35)
            for wy in range(int(horizon - h) + 3, int(horizon) - 3, 5):
                pen.rect(x + w * 0.25, wy, x + w * 0.45, wy + 2, pane)
                pen.rect(x + w * 0.6, wy, x + w * 0.8, wy + 2, pane)
        x += w + 1
    landmark(
        pen, look.facts.country_index, spot, horizon, horizon * 0.62, mix(look.facts.country.roof_colour, tone, 0.4)
    )


def sea(pen: Pen, rng: Rng, time: Hour, top: float, bottom: float) -> None:
    """Water between two heights, with glints and perhaps a sail."""
    blue = mix(hsv(0.53 + 0.07 * rng.random(), 0.72, 0.68), time.top, 0.25)
    pen.fade(0, top, pen.width, bottom, dark(blue, 0.15), light(blue, 0.2))
    for _ in range(8):
        x, y = rng.random() * pen.width, top + rng.random() * (bottom - top)
        pen.rect(x, y, x + 0.05 * pen.width, y + 1, light(blue, 0.6))
    if rng.random() < 0.4:
        x, s = rng.random() * pen.width, 0.07 * pen.width
        pen.poly([(x, top - s), (x + s * 0.7, top + s * 0.3), (x, top + s * 0.3)], WHITE)


def tree(pen: Pen, rng: Rng, look: Look, x: float, base: float, size: float) -> None:
    """The country's tree; `size` is its height."""
    kind, s = look.facts.country.tree, size
    green = hsv(0.26 + 0.1 * rng.random(), 0.45 + 0.2 * rng.random(), 0.36 + 0.2 * rng.random())
    trunk = (104, 76, 54)
    if kind == "round":
        pen.rect(x - s * 0.05, base - s * 0.5, x + s * 0.05, base, trunk)
        pen.oval(x - s * 0.32, base - s, x + s * 0.32, base - s * 0.35, green)
        pen.oval(x - s * 0.26, base - s * 0.96, x + s * 0.1, base - s * 0.6, light(green, 0.15))
    elif kind == "pine":
        pen.rect(x - s * 0.04, base - s * 0.2, x + s * 0.04, base, trunk)
        for i in range(3):
            y, w = base - s * (0.15 + 0.27 * i), s * (0.28 - 0.06 * i)
            pen.poly([(x - w, y), (x, y - s * 0.36), (x + w, y)], dark(green, 0.1 * (2 - i)))
    elif kind == "palm":
        top = base - s * 0.85
        pen.line([(x, base), (x + s * 0.06, base - s * 0.4), (x, top)], trunk, max(1, int(s * 0.07)))
        for dx, dy in ((-0.4, 0.12), (0.4, 0.12), (-0.32, -0.12), (0.32, -0.12), (-0.2, 0.28), (0.2, 0.28)):
            pen.line([(x, top), (x + dx * s * 0.6, top + (dy - 0.08) * s), (x + dx * s, top + dy * s)], green,
                     max(1, int(s * 0.06)))  # fmt: skip
    elif kind == "cypress":
        pen.oval(x - s * 0.12, base - s, x + s * 0.12, base, dark(green, 0.2))
    else:
        w = max(2.0, s * 0.11)
        pen.round(x - w, base - s * 0.8, x + w, base, w, green)
        for side, low, high in ((-1, 0.35, 0.6), (1, 0.45, 0.72)):
            arm, elbow, half = x + side * w * 2.4, base - s * low, w * 0.7
            pen.round(arm - half, base - s * high, arm + half, elbow + w, half, green)
            pen.rect(min(x, arm), elbow - w * 0.4, max(x, arm), elbow + w, green)


def landscape(pen: Pen, rng: Rng, look: Look, time: Hour, horizon: float, promised: float) -> None:
    """The surroundings down to the canvas's bottom. Each offered view is seen with probability `promised`."""
    facts = look.facts
    ground = mix(facts.country.ground, time.bottom, 0.12)
    sky(pen, rng, time, horizon)
    if facts.has("mountain_view") and rng.random() < promised:
        mountains(pen, rng, time, horizon)
    else:
        y = horizon - (0.04 + 0.1 * rng.random()) * pen.height
        x = rng.random() * pen.width
        pen.oval(x - pen.width, y, x + pen.width * 0.6, horizon * 1.6, mix(ground, time.bottom, 0.5))
    near = 1 / (1 + facts.number("distance_km"))
    if facts.has("city_view") and rng.random() < promised:
        skyline(pen, rng, look, time, horizon, 0.4 + 0.6 * near)
    elif rng.random() < 0.25:
        skyline(pen, rng, look, time, horizon, 0.5 * near)
    pen.fade(0, horizon, pen.width, pen.height, ground, dark(ground, 0.12))
    if facts.has("sea_view") and rng.random() < promised:
        sea(pen, rng, time, horizon, horizon + 0.2 * pen.height)
    for _ in range(int(rng.integers(0, 4))):
        size = (0.12 + 0.12 * rng.random()) * pen.height
        tree(pen, rng, look, rng.random() * pen.width, horizon + size * 0.7, size)


def window(
    pen: Pen, rng: Rng, look: Look, time: Hour, box: tuple[float, float, int, int], curtain: Colour | None
) -> None:
    """A window at `box` (x, y, width, height) with its view, panes, a balcony's rail and curtains.

    The curtains' widths agree when things are in order.
    """
    x, y, w, h = box
    view = Pen(w, h)
    landscape(view, rng, look, time, h * 0.62, 0.8)
    if look.facts.has("balcony") and rng.random() < 0.8:
        rail = dark(look.metal, 0.3)
        view.rect(0, h * 0.62, w, h * 0.62 + 2, rail)
        for bar in range(1, w, 4):
            view.rect(bar, h * 0.62, bar + 1, h, rail)
    pen.rect(x - 2, y - 2, x + w + 2, y + h + 2, WHITE, dark(WHITE, 0.3))
    pen.paste(view, x, y)
    pen.rect(x + w / 2 - 1, y, x + w / 2 + 1, y + h, WHITE)
    pen.rect(x, y + h * 0.36, x + w, y + h * 0.36 + 1, WHITE)
    if curtain is not None:
        slack = float(rng.standard_normal()) * 4.5 * (1.08 - look.order)
        for left, width in ((x - 6, 9 + slack), (x + w + 6 - (9 - slack), 9 - slack)):
            pen.rect(left, y - 5, left + max(3, width), y + h + 6, curtain)
            for fold in range(2, int(width), 4):
                pen.rect(left + fold, y - 5, left + fold + 1, y + h + 6, dark(curtain, 0.25))
        pen.rect(x - 9, y - 7, x + w + 9, y - 5, look.wood)


def any_accent(rng: Rng) -> Colour:
    """A colour for something that says nothing."""
    return ACCENTS[int(rng.random() * len(ACCENTS))]
