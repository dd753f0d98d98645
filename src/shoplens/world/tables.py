"""The fixed tables of the demo marketplace: its tasks, places and kinds of listing. All names are invented."""

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
MARKETS = ("city", "coast", "highlands")
MARKET_WEIGHTS = (0.35, 0.35, 0.30)


@dataclass(frozen=True)
class Country:
    """A country and its fashions: three towns (one a market), how houses are built, what grows."""

    name: str
    region: str
    towns: tuple[str, str, str]
    weight: float
    weight_drifted: float
    price: float
    roof: Literal["gable", "flat", "hip", "steep", "dome"]
    roof_colour: Colour
    walls: tuple[Colour, ...]
    arched: bool
    tree: Literal["round", "pine", "palm", "cypress", "cactus"]
    ground: Colour
    floor: Literal["planks", "tiles", "carpet"]
    flag: tuple[Colour, Colour]


COUNTRIES = (
    Country("Aldoria", "northern_isles", ("Vessel", "Kolm", "Hartfell"), 10, 5, 0.25, "gable", (92, 74, 78),
            ((196, 92, 84), (225, 190, 120), (120, 150, 170)), False, "pine", (112, 150, 92), "planks", ((190, 50, 60), (245, 240, 230))),
    Country("Brenmark", "northern_isles", ("Osta", "Lindhavn", "Skarn"), 7, 5, 0.3, "steep", (60, 66, 84),
            ((232, 226, 210), (150, 170, 160), (176, 84, 70)), False, "pine", (124, 158, 108), "planks", ((40, 80, 160), (250, 210, 70))),
    Country("Cartelle", "midland", ("Belcour", "Sablon", "Montrose"), 13, 9, 0.1, "hip", (96, 110, 130),
            ((236, 220, 190), (220, 205, 200), (205, 190, 160)), True, "round", (134, 168, 88), "planks", ((50, 70, 150), (230, 80, 80))),
    Country("Drachfeld", "midland", ("Kronwald", "Uferau", "Tannegg"), 10, 8, 0.1, "steep", (150, 70, 56),
            ((244, 232, 204), (228, 200, 150), (200, 214, 190)), False, "pine", (110, 156, 80), "planks", ((40, 40, 46), (236, 190, 60))),
    Country("Esperia", "southern_sea", ("Valdora", "Puerto Sol", "Altamira"), 13, 10, 0.0, "flat", (190, 110, 70),
            ((250, 246, 236), (244, 214, 170), (238, 178, 140)), True, "palm", (196, 176, 118), "tiles", ((210, 60, 50), (246, 200, 70))),
    Country("Fontana", "southern_sea", ("Rocca", "Marinella", "Castelmonte"), 11, 9, 0.05, "hip", (196, 104, 66),
            ((240, 196, 130), (226, 150, 110), (236, 216, 176)), True, "cypress", (158, 168, 92), "tiles", ((70, 140, 80), (244, 240, 232))),
    Country("Golestra", "old_caravans", ("Mehrab", "Bandarsha", "Kuhrud"), 7, 9, -0.25, "dome", (64, 150, 160),
            ((226, 196, 150), (212, 176, 130), (238, 220, 184)), True, "cypress", (206, 184, 134), "carpet", ((60, 150, 110), (240, 235, 220))),
    Country("Harapura", "monsoon_coast", ("Suryapur", "Kadal", "Neelgir"), 7, 10, -0.35, "dome", (206, 130, 70),
            ((246, 190, 120), (240, 150, 150), (180, 210, 190)), True, "palm", (140, 170, 84), "tiles", ((240, 140, 50), (60, 140, 90))),
    Country("Isokawa", "eastern_rim", ("Kamori", "Minatohama", "Yamabe"), 7, 9, 0.2, "steep", (70, 84, 100),
            ((238, 234, 224), (196, 180, 160), (160, 150, 140)), False, "round", (130, 164, 104), "carpet", ((215, 60, 70), (250, 248, 244))),
    Country("Jacaranda", "southern_cape", ("Karoo City", "Penguin Bay", "Dragonridge"), 5, 8, -0.1, "gable", (140, 150, 110),
            ((250, 240, 220), (190, 160, 200), (214, 150, 100)), False, "round", (176, 170, 96), "planks", ((120, 80, 170), (250, 200, 80))),
    Country("Kintara", "trade_wind_isles", ("Port Amber", "Coral Cay", "Mount Pelu"), 5, 9, -0.05, "hip", (226, 120, 120),
            ((150, 214, 206), (250, 206, 120), (246, 160, 170)), False, "palm", (128, 178, 96), "tiles", ((40, 160, 180), (250, 220, 90))),
    Country("Llanero", "red_mesa", ("Santa Vera", "Bahia Roja", "Mesa Alta"), 5, 9, -0.2, "flat", (176, 90, 60),
            ((214, 140, 96), (230, 176, 130), (240, 220, 190)), False, "cactus", (206, 150, 104), "tiles", ((180, 70, 50), (70, 160, 160))),
)  # fmt: skip

REGIONS = tuple(sorted({country.region for country in COUNTRIES}))


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
