"""What is true about one listing: where it is, how good it is, what it offers, and from that all tasks and the stars.

These are the rules of the demo marketplace (docs/world.md has them in words). They were fixed before any model was
trained on them.
"""

import bisect
import math
from dataclasses import dataclass

from shoplens.world.chance import Rng, chance, pick
from shoplens.world.places import COUNTRIES, MARKET_WEIGHTS, MARKETS, Country
from shoplens.world.tables import (
    BINARY,
    BRANDS,
    LEVELS,
    SEGMENT_CUTS,
    SEGMENTS,
    SIZES,
    STAR_CUTS,
    TYPES,
    PropertyType,
)

Label = bool | str | float
THEMES = ("furnish", "order", "care", "harmony")


@dataclass(frozen=True)
class Seller:
    """A shop: where it mostly is, and the chain it belongs to (an index into BRANDS), if any."""

    shop_id: str
    country: int
    market: int
    brand: int | None


@dataclass(frozen=True)
class Facts:
    """The truth behind a listing, before labels get lost or wrong. Latents are standard normal."""

    country_index: int
    market_index: int
    type_index: int
    brand: int | None
    rooms: int
    furnish: float
    order: float
    care: float
    harmony: float
    photographer: float
    labels: dict[str, Label]
    stars: str

    @property
    def country(self) -> Country:
        """The country's fashions."""
        return COUNTRIES[self.country_index]

    @property
    def kind(self) -> PropertyType:
        """The type of property."""
        return TYPES[self.type_index]

    @property
    def town(self) -> str:
        """Name of the town."""
        return self.country.towns[self.market_index]

    @property
    def market(self) -> str:
        """The slice that the listing belongs to."""
        return MARKETS[self.market_index]

    def has(self, name: str) -> bool:
        """Whether a binary task is true of the listing."""
        return self.labels[name] is True

    def number(self, name: str) -> float:
        """The true value of a regression task."""
        return float(self.labels[name])


def draw_country(rng: Rng, drift: float) -> int:
    """A country, by shares that move with drift."""
    return pick(rng, [c.weight + drift * (c.weight_drifted - c.weight) for c in COUNTRIES])


def draw_seller(rng: Rng, shop_id: str, drift: float) -> Seller:
    """A shop; one in four is the operator of a chain."""
    country, market = draw_country(rng, drift), pick(rng, MARKET_WEIGHTS)
    brand = int(rng.integers(len(BRANDS)))
    return Seller(shop_id, country, market, brand if rng.random() < 0.25 else None)


def _amenities(rng: Rng, kind: PropertyType, market: int, quality: float, rooms: int) -> dict[str, bool]:
    """The binary tasks except those about chain and rental; quality has a mild say in the costly ones."""
    size = math.log(rooms) - 2.0
    coast, highlands = market == 1, market == 2
    centre = chance(rng, (0.4, -0.7, -1.2)[market] - 0.8 * kind.green * 0.7)
    sea = coast and chance(rng, 0.9 - 0.5 * centre + 0.2 * quality)
    beach = coast and chance(rng, -0.2 + 0.9 * sea + 0.4 * (kind.service > 0))
    mountains = chance(rng, 0.9) if highlands else chance(rng, -2.6)
    service = kind.service + 0.35 * quality + 0.3 * size
    garden = chance(rng, 0.6 * kind.green + 0.2 * quality - 0.9 * centre)
    return {
        "sea_view": sea,
        "city_view": chance(rng, (0.6 if market == 0 else -2.2) + 0.8 * centre),
        "mountain_view": mountains,
        "block_of_flats": bool(rng.random() < kind.flats),
        "balcony": chance(rng, -0.5 + 0.7 * coast + 0.5 * highlands + 0.3 * quality),
        "kitchen": bool(rng.random() < kind.kitchen),
        "bar": chance(rng, service - 1.1),
        "garden": garden,
        "beach_access": beach,
        "picnic_area": chance(rng, kind.green - 2.0 + 0.9 * garden),
        "lounge": chance(rng, service - 0.7),
        "hiking": chance(rng, (-2.2, -1.4, 0.6)[market] + 0.5 * kind.green - 0.4 * centre),
        "pool": chance(rng, 0.7 * service - 1.2 + 0.9 * coast + 0.5 * (kind.green > 1)),
        "fitness": chance(rng, service - 2.2),
        "city_centre": centre,
    }


def _numbers(rng: Rng, facts: dict[str, float], has: dict[str, bool], country: Country) -> dict[str, float]:
    """The regression tasks, in their natural units. `facts` holds the latents and log rooms."""
    f, z = facts, rng.standard_normal
    centre, rental = has["city_centre"], has["vacation_rental"]
    km = math.exp((-0.4 if centre else 1.4) + 0.55 * z())
    views = 0.5 * has["sea_view"] + 0.3 * has["mountain_view"] + 0.25 * has["city_view"]
    price = (
        4.35
        + country.price
        + 0.28 * f["furnish"]
        + 0.10 * f["harmony"]
        + 0.08 * f["care"]
        + 0.16 * has["pool"]
        + 0.12 * has["sea_view"]
        + 0.10 * centre
        + 0.12 * (rental and f["rooms"] > 1.0)
        + 0.16 * z()
    )
    review = 7.9 + 0.62 * f["care"] + 0.34 * f["order"] + 0.12 * f["harmony"] + 0.40 * z()
    location = 7.2 - 0.55 * math.log(km) + 0.7 * has["beach_access"] + views + 0.45 * z()
    content = 0.9 + 0.75 * f["photographer"] + 0.45 * f["order"] + 0.35 * z()
    window = 3.1 + 0.35 * has["beach_access"] + 0.25 * has["pool"] + 0.16 * f["harmony"] - 0.3 * centre + 0.35 * z()
    stay = 0.75 + 0.42 * rental + 0.28 * has["beach_access"] + 0.14 * has["kitchen"] - 0.18 * centre + 0.25 * z()
    return {
        "distance_km": round(min(km, 40.0), 2),
        "review_score": round(min(max(review, 2.0), 10.0), 1),
        "price_eur": round(math.exp(price), 0),
        "location_score": round(min(max(location, 2.0), 10.0), 1),
        "content_score": round(1 / (1 + math.exp(-content)), 3),
        "booking_window_days": round(math.exp(window), 1),
        "stay_days": round(max(math.exp(stay), 1.0), 2),
    }


def draw_facts(rng: Rng, seller: Seller, drift: float) -> Facts:
    """Draw the truth of one listing of a seller; `drift` (0..1) moves the shares of countries and types."""
    near = rng.random() < 0.6
    country_index, market_index = draw_country(rng, drift), pick(rng, MARKET_WEIGHTS)
    if near:
        country_index, market_index = seller.country, seller.market
    country = COUNTRIES[country_index]
    type_index = pick(rng, [t.weight + drift * (t.weight_drifted - t.weight) for t in TYPES])
    kind = TYPES[type_index]

    quality = float(rng.standard_normal())
    latents = {name: 0.7 * quality + math.sqrt(0.51) * float(rng.standard_normal()) for name in THEMES}
    star_latent = 0.9 * sum(latents.values()) / math.sqrt(4 * 0.51 + 16 * 0.49) + math.sqrt(0.19) * float(
        rng.standard_normal()
    )
    photographer = float(rng.standard_normal())
    rooms = max(1, round(math.exp(kind.rooms + kind.spread * float(rng.standard_normal()))))

    brand_here = chance(rng, kind.chain + (1.6 if seller.brand is not None else -2.2))
    brand = (seller.brand if seller.brand is not None else int(rng.integers(len(BRANDS)))) if brand_here else None
    rental = bool(rng.random() < kind.rental)
    rental_type = kind.rental_types[int(rng.integers(len(kind.rental_types)))] if rental else "not_a_rental"
    has = {"hotel_chain": brand is not None, "vacation_rental": rental}
    has |= _amenities(rng, kind, market_index, quality, rooms)
    segment = (1.1 * latents["harmony"] + 0.9 * latents["furnish"] + 0.3 * latents["order"]) / 2.0 + 0.35 * float(
        rng.standard_normal()
    )
    numbers = _numbers(rng, {**latents, "photographer": photographer, "rooms": math.log(rooms)}, has, country)
    labels: dict[str, Label] = {
        "city": country.towns[market_index],
        "region": country.region,
        "country": country.name,
        "property_type": kind.name,
        "size": SIZES[min(int(math.log2(rooms)), len(SIZES) - 1)],
        "segment": SEGMENTS[bisect.bisect(SEGMENT_CUTS, segment)],
        "rental_type": rental_type,
    }
    labels |= {name: has[name] for name in BINARY}
    labels |= numbers
    return Facts(
        country_index=country_index,
        market_index=market_index,
        type_index=type_index,
        brand=brand,
        rooms=rooms,
        furnish=latents["furnish"],
        order=latents["order"],
        care=latents["care"],
        harmony=latents["harmony"],
        photographer=photographer,
        labels=labels,
        stars=LEVELS[bisect.bisect(STAR_CUTS, star_latent)],
    )
