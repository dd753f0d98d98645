"""Products of the demo's image sources: what each one is, and which role its photos play.

A product is a category, a style, a material and a colour, which the label spaces of the three sources share, and
details that are its own. It is the same whatever the number of products. docs/world.md has the rules in words; they
were fixed before any embedding was measured.
"""

from dataclasses import dataclass
from typing import Literal

from shoplens.world.chance import Rng, name_of, pick, stream
from shoplens.world.pen import hsv
from shoplens.world.tables import Colour

CATEGORIES = ("chair", "sofa", "table", "cabinet", "stool", "lamp", "vase", "picture", "mirror", "pillow")
"""Names of the paper's Table 6."""
GROUPS = (0, 0, 1, 1, 0, 2, 2, 2, 2, 2)
"""Of each category: to sit on, to put things on, to look at."""
STYLES = ("modern", "classic", "rustic", "retro")
MATERIALS = ("painted", "wooden", "woven", "glossy")
HUES = (0.0, 0.09, 0.16, 0.36, 0.58, 0.80)
"""Middle of each colour: red, orange, yellow, green, blue, violet."""
HUE_JITTER = 0.025
FAMILY = 3
"""Products come in families of this many, alike in category, style and material, half of them also in colour: the
nearest wrong answers."""
SAME_COLOUR = 0.5
UNNAMED = 0.15
"""Share of the pairs of category and style that the camera source has no class for."""

Role = Literal["train", "query", "distractor"]
ROLES: tuple[Role, ...] = ("train", "query", "distractor")
ROLE_WEIGHTS = (0.60, 0.25, 0.15)


@dataclass(frozen=True)
class Product:
    """One product. The four factors are indices into the tables above; `details` and `count` are its own."""

    number: int
    category: int
    style: int
    material: int
    colour: int
    paint: Colour
    trim: Colour
    details: tuple[float, float, float, float]
    """Proportions, 0..1."""
    count: int
    """How many ornaments, drawers or slats, 2..4."""
    role: Role
    """Photos of "train" are learned from; those of "query" are searched for; the others only stand in the way."""

    @property
    def group(self) -> int:
        """What it is for."""
        return GROUPS[self.category]


def _paint(rng: Rng, colour: int) -> Colour:
    hue = HUES[colour] + HUE_JITTER * (2 * rng.random() - 1)
    return hsv(hue, 0.50 + 0.40 * rng.random(), 0.50 + 0.40 * rng.random())


def _make(rng: Rng, number: int, factors: tuple[int, int, int], colour: int, role: Role) -> Product:
    category, style, material = factors
    paint, trim = _paint(rng, colour), _paint(rng, int(rng.integers(len(HUES))))
    details = (float(rng.random()), float(rng.random()), float(rng.random()), float(rng.random()))
    return Product(number, category, style, material, colour, paint, trim, details, int(rng.integers(2, 5)), role)


def _factors(rng: Rng) -> tuple[int, int, int]:
    return int(rng.integers(len(CATEGORIES))), int(rng.integers(len(STYLES))), int(rng.integers(len(MATERIALS)))


def draw_product(seed: int, number: int) -> Product:
    """Product `number` (0-based) of the world of `seed`."""
    family, own = stream(seed, 21, number // FAMILY), stream(seed, 22, number)
    factors, shared = _factors(family), int(family.integers(len(HUES)))
    colour = int(own.integers(len(HUES)))
    if own.random() < SAME_COLOUR:
        colour = shared
    role = ROLES[pick(own, ROLE_WEIGHTS)]
    return _make(own, number, factors, colour, role)


def draw_prop(rng: Rng, style: int) -> Product:
    """A product that furnishes a scene of `style` and is not for sale; seven in ten have that style."""
    category, other, material = _factors(rng)
    matching = rng.random() < 0.7
    return _make(
        rng, -1, (category, style if matching else other, material), int(rng.integers(len(HUES))), "distractor"
    )


def instance_label(seed: int, product: Product) -> str:
    """The product's label as an instance: a hash."""
    return name_of("product", seed, product.number)


def camera_classes(seed: int) -> dict[tuple[int, int], str]:
    """(category, style) -> class of the camera source, such as "rustic chair"; some pairs have none."""
    luck = stream(seed, 23).random((len(CATEGORIES), len(STYLES)))
    return {
        (category, style): f"{STYLES[style]} {CATEGORIES[category]}"
        for category in range(len(CATEGORIES))
        for style in range(len(STYLES))
        if luck[category, style] >= UNNAMED
    }
