"""The look that all photos of one listing share: its colours, its build and the quantiles of its four qualities."""

from dataclasses import dataclass

from shoplens.params import WorldParams
from shoplens.world.chance import Rng, stream
from shoplens.world.cues import level, matching
from shoplens.world.facts import Facts
from shoplens.world.listing import Listing
from shoplens.world.pen import hsv, mix
from shoplens.world.tables import ACCENTS, Colour


@dataclass(frozen=True)
class Look:
    """What the scenes draw from. furnish, order, care, harmony are quantiles in 0..1."""

    facts: Facts
    furnish: float
    order: float
    care: float
    harmony: float
    accent: Colour
    house: Colour
    wall: Colour
    floor: Colour
    wood: Colour
    metal: Colour
    paper: int
    storeys: int
    modern: bool
    """Drawn in the new fashion (only with drift)."""
    drift: float

    def match(self, rng: Rng) -> Colour:
        """A colour for a thing that goes with the others, as far as there is harmony."""
        return matching(rng, self.harmony, self.accent)


WOODS: tuple[Colour, ...] = ((146, 98, 60), (110, 72, 50), (184, 140, 92), (92, 66, 56), (160, 120, 84))


def look_of(listing: Listing, params: WorldParams) -> Look:
    """Choose the look of a listing. Colours depend on the country and on chance, never on the qualities."""
    facts, rng = listing.facts, stream(params.seed, 6, listing.number)
    hue, saturation, value = rng.random(), 0.06 + 0.22 * rng.random(), 0.80 + 0.16 * rng.random()
    wall = hsv(hue, saturation, value)
    modern = bool(rng.random() < params.drift * 0.8)
    if modern:
        wall = hsv(0.45 + 0.25 * rng.random(), 0.10 + 0.3 * rng.random(), 0.62 + 0.3 * rng.random())
    house = facts.country.walls[int(rng.integers(3))]
    house = mix(house, hsv(rng.random(), 0.3, 0.9), 0.18 * rng.random() + 0.3 * params.drift * rng.random())
    wood = WOODS[int(rng.integers(len(WOODS)))]
    floors: dict[str, Colour] = {"planks": wood, "tiles": hsv(0.05 + 0.1 * rng.random(), 0.2, 0.75), "carpet": wall}
    floor = mix(floors[facts.country.floor], hsv(rng.random(), 0.3, 0.5), 0.35)
    flat = facts.has("block_of_flats")
    storeys = min(7, max(1, round(0.6 + facts.rooms**0.42)))
    if flat:
        storeys = min(8, 4 + int(rng.integers(4)))
    return Look(
        facts=facts,
        furnish=level(facts.furnish),
        order=level(facts.order),
        care=level(facts.care),
        harmony=level(facts.harmony),
        accent=ACCENTS[int(rng.integers(len(ACCENTS)))],
        house=house,
        wall=wall,
        floor=floor,
        wood=wood,
        metal=hsv(rng.random(), 0.08, 0.5 + 0.25 * rng.random()),
        paper=int(rng.integers(3)),
        storeys=storeys,
        modern=modern,
        drift=params.drift,
    )
