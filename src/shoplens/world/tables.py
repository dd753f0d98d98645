"""The fixed tables of the demo marketplace: its tasks, its stars, its kinds of listing, its colours."""

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
Kind = Literal["binary", "multiclass", "regression"]

MULTICLASS = ("city", "region", "country", "property_type", "size", "segment", "rental_type")
BINARY = (
    "hotel_chain",
    "vacation_rental",
    "sea_view",
    "city_view",
    "mountain_view",
    "block_of_flats",
    "balcony",
    "kitchen",
    "bar",
    "garden",
    "beach_access",
    "picnic_area",
    "lounge",
    "hiking",
    "pool",
    "fitness",
    "city_centre",
)
REGRESSION = (
    "distance_km",
    "review_score",
    "price_eur",
    "location_score",
    "content_score",
    "booking_window_days",
    "stay_days",
)
TASKS: tuple[tuple[str, Kind], ...] = (
    *((name, "multiclass") for name in MULTICLASS),
    *((name, "binary") for name in BINARY),
    *((name, "regression") for name in REGRESSION),
)
"""The 31 tasks of Booking's Table 1 in its order (C1-C7, B1-B17, R1-R7)."""

UNKNOWN = {
    "segment": 0.15,
    "review_score": 0.12,
    "booking_window_days": 0.10,
    "stay_days": 0.10,
    "size": 0.05,
    "location_score": 0.05,
}
UNKNOWN_ELSEWHERE = 0.02
"""Share of unknown labels a task, missing at random."""

HOLDOUT = "star_rating"
LEVELS = ("1", "2", "3", "4", "5")
STAR_CUTS = (-1.405, -0.674, 0.202, 1.126)
"""Standard normal quantiles of the star shares 8, 17, 33, 29 and 13 %."""
STARRED = 0.8

SEGMENTS = ("budget", "economy", "midscale", "upper_midscale", "upscale", "luxury")
SEGMENT_CUTS = (-1.1, -0.4, 0.25, 0.9, 1.6)
SIZES = ("1", "2-3", "4-7", "8-15", "16-31", "32-63", "64-127", "128-255", "256+")


@dataclass(frozen=True)
class PropertyType:
    """A kind of listing. Rooms are log-normal: exp(mean), exp(spread); the rest are probabilities or logits."""

    name: str
    weight: float
    weight_drifted: float
    rooms: float
    spread: float
    rental: float
    flats: float
    kitchen: float
    service: float
    """Added to the logits of bar, lounge, fitness and pool."""
    green: float
    """Added to the logits of garden, picnic area and hiking."""
    chain: float
    rental_types: tuple[str, ...] = ("apartment",)


TYPES = (
    PropertyType("hotel", 23, 17, 3.9, 0.8, 0.02, 0.10, 0.06, 1.2, -0.5, 1.3),
    PropertyType("apartment", 18, 27, 0.6, 0.5, 0.94, 0.86, 0.93, -2.2, -1.4, -2.5, ("apartment", "studio")),
    PropertyType("guest_house", 9, 7, 1.8, 0.4, 0.15, 0.05, 0.30, -0.6, 0.6, -2.5, ("house",)),
    PropertyType("bed_and_breakfast", 8, 5, 1.4, 0.4, 0.08, 0.04, 0.16, -0.4, 0.7, -2.5, ("house", "apartment")),
    PropertyType("hostel", 6, 7, 2.9, 0.5, 0.02, 0.22, 0.55, 0.3, -0.8, -0.9),
    PropertyType("villa", 6, 8, 1.4, 0.4, 0.95, 0.0, 0.95, -0.3, 1.2, -2.5, ("villa",)),
    PropertyType("holiday_home", 7, 8, 1.0, 0.4, 0.96, 0.02, 0.95, -1.8, 1.0, -2.5, ("house",)),
    PropertyType("resort", 6, 4, 4.8, 0.6, 0.05, 0.03, 0.20, 2.2, 1.0, 0.9),
    PropertyType("aparthotel", 5, 7, 3.2, 0.6, 0.40, 0.60, 0.92, 0.3, -1.0, 0.3, ("studio", "apartment")),
    PropertyType("chalet", 5, 5, 1.1, 0.4, 0.90, 0.0, 0.92, -1.5, 1.3, -2.5, ("chalet",)),
    PropertyType("motel", 4, 2, 3.0, 0.4, 0.02, 0.0, 0.12, -0.6, -0.8, 0.8),
    PropertyType("inn", 3, 3, 2.3, 0.4, 0.05, 0.0, 0.10, 0.6, 0.6, -1.0, ("house",)),
)
RENTAL_TYPES = ("not_a_rental", "apartment", "studio", "house", "villa", "chalet")

BRANDS = (
    ("Meridian", (200, 60, 60)),
    ("Bluebird", (60, 110, 200)),
    ("Harbour & Co", (40, 130, 130)),
    ("Sunstead", (236, 160, 40)),
    ("Greenleaf", (90, 160, 70)),
    ("Violet House", (140, 80, 180)),
)
"""Names and sign colours of the hotel chains."""

ACCENTS: tuple[Colour, ...] = (
    (190, 52, 60),
    (226, 120, 50),
    (236, 186, 60),
    (110, 160, 70),
    (40, 130, 100),
    (40, 150, 170),
    (50, 100, 190),
    (100, 80, 170),
    (170, 80, 150),
    (226, 130, 150),
)
"""Colours of cushions, curtains, parasols, chairs and shutters; every one equally likely whatever the quality."""
