"""Countries, towns and markets. All names are invented."""

from dataclasses import dataclass
from typing import Literal

from shoplens.world.tables import Colour

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
    Country("Aldoria", "northern_isles", ("Vessel", "Kolm", "Hartfell"),
            10, 5, 0.25, "gable", (92, 74, 78),
            ((196, 92, 84), (225, 190, 120), (120, 150, 170)),
            False, "pine", (112, 150, 92), "planks", ((190, 50, 60), (245, 240, 230))),
    Country("Brenmark", "northern_isles", ("Osta", "Lindhavn", "Skarn"),
            7, 5, 0.3, "steep", (60, 66, 84),
            ((232, 226, 210), (150, 170, 160), (176, 84, 70)),
            False, "pine", (124, 158, 108), "planks", ((40, 80, 160), (250, 210, 70))),
    Country("Cartelle", "midland", ("Belcour", "Sablon", "Montrose"),
            13, 9, 0.1, "hip", (96, 110, 130),
            ((236, 220, 190), (220, 205, 200), (205, 190, 160)),
            True, "round", (134, 168, 88), "planks", ((50, 70, 150), (230, 80, 80))),
    Country("Drachfeld", "midland", ("Kronwald", "Uferau", "Tannegg"),
            10, 8, 0.1, "steep", (150, 70, 56),
            ((244, 232, 204), (228, 200, 150), (200, 214, 190)),
            False, "pine", (110, 156, 80), "planks", ((40, 40, 46), (236, 190, 60))),
    Country("Esperia", "southern_sea", ("Valdora", "Puerto Sol", "Altamira"),
            13, 10, 0.0, "flat", (190, 110, 70),
            ((250, 246, 236), (244, 214, 170), (238, 178, 140)),
            True, "palm", (196, 176, 118), "tiles", ((210, 60, 50), (246, 200, 70))),
    Country("Fontana", "southern_sea", ("Rocca", "Marinella", "Castelmonte"),
            11, 9, 0.05, "hip", (196, 104, 66),
            ((240, 196, 130), (226, 150, 110), (236, 216, 176)),
            True, "cypress", (158, 168, 92), "tiles", ((70, 140, 80), (244, 240, 232))),
    Country("Golestra", "old_caravans", ("Mehrab", "Bandarsha", "Kuhrud"),
            7, 9, -0.25, "dome", (64, 150, 160),
            ((226, 196, 150), (212, 176, 130), (238, 220, 184)),
            True, "cypress", (206, 184, 134), "carpet", ((60, 150, 110), (240, 235, 220))),
    Country("Harapura", "monsoon_coast", ("Suryapur", "Kadal", "Neelgir"),
            7, 10, -0.35, "dome", (206, 130, 70),
            ((246, 190, 120), (240, 150, 150), (180, 210, 190)),
            True, "palm", (140, 170, 84), "tiles", ((240, 140, 50), (60, 140, 90))),
    Country("Isokawa", "eastern_rim", ("Kamori", "Minatohama", "Yamabe"),
            7, 9, 0.2, "steep", (70, 84, 100),
            ((238, 234, 224), (196, 180, 160), (160, 150, 140)),
            False, "round", (130, 164, 104), "carpet", ((215, 60, 70), (250, 248, 244))),
    Country("Jacaranda", "southern_cape", ("Karoo City", "Penguin Bay", "Dragonridge"),
            5, 8, -0.1, "gable", (140, 150, 110),
            ((250, 240, 220), (190, 160, 200), (214, 150, 100)),
            False, "round", (176, 170, 96), "planks", ((120, 80, 170), (250, 200, 80))),
    Country("Kintara", "trade_wind_isles", ("Port Amber", "Coral Cay", "Mount Pelu"),
            5, 9, -0.05, "hip", (226, 120, 120),
            ((150, 214, 206), (250, 206, 120), (246, 160, 170)),
            False, "palm", (128, 178, 96), "tiles", ((40, 160, 180), (250, 220, 90))),
    Country("Llanero", "red_mesa", ("Santa Vera", "Bahia Roja", "Mesa Alta"),
            5, 9, -0.2, "flat", (176, 90, 60),
            ((214, 140, 96), (230, 176, 130), (240, 220, 190)),
            False, "cactus", (206, 150, 104), "tiles", ((180, 70, 50), (70, 160, 160))),
)  # fmt: skip

REGIONS = tuple(sorted({country.region for country in COUNTRIES}))
