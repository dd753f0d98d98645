"""What is known of each emoji: name, keywords, group, version. From emojibase-data and emoji-data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.importers.open_icons_archive import read_members

NAMES, GROUPS = "en/data.json", "meta/groups.json"
CARRIERS = "emoji.json"
LEFT_OUT_GROUP = "component"
"""Skin tones and hair styles: parts of other emojis, not emojis that people send."""

VARIATION_SELECTOR = "fe0f"
REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
FLAG_PREFIX = "flag: "


@dataclass(frozen=True)
class Emoji:
    """One emoji, its skin tones folded into it.

    Attributes:
        key: its code points, see `key_of`.
        name: CLDR's short name in English.
        keywords: CLDR's and emojibase's keywords, sorted.
        group: Unicode's group, such as `food-drink`.
        version: the Emoji version that it came with (0.6 and 0.7: before there were versions).
        text_style: Unicode shows it as text unless told otherwise.
        japanese_phones: it was on the phones of DoCoMo, au or SoftBank before Unicode had it; None: not recorded.
    """

    key: str
    name: str
    keywords: tuple[str, ...]
    group: str
    version: float
    text_style: bool
    japanese_phones: bool | None

    @property
    def is_country_flag(self) -> bool:
        """Two regional indicators, such as those of F and R."""
        points = [int(point, 16) for point in self.key.split("-")]
        return len(points) == 2 and all(point in REGIONAL_INDICATORS for point in points)

    @property
    def words(self) -> frozenset[str]:
        """Its keywords and the words of its name; of a named flag only its keywords (Christmas Island is no party)."""
        name = "" if self.name.startswith(FLAG_PREFIX) else self.name.lower()
        return frozenset(self.keywords) | frozenset(re.findall(r"[a-z]+", name))


def key_of(code_points: str) -> str:
    """The one spelling of an emoji's code points: lower case, no variation selector, no leading zeros.

    >>> key_of("0023-FE0F-20E3"), key_of("1F600")
    ('23-20e3', '1f600')
    """
    points = [point.lstrip("0") for point in code_points.lower().split("-") if point != VARIATION_SELECTOR]
    return "-".join(points)


def _on_japanese_phones(rows: list[Mapping[str, Any]]) -> dict[str, bool]:
    """Key -> whether one of Japan's three carriers had the emoji."""
    return {key_of(row["unified"]): any(row[carrier] for carrier in ("docomo", "au", "softbank")) for row in rows}


def read_catalogue(emojibase: Path, emoji_data: Path) -> list[Emoji]:
    """All emojis of a group, in Unicode's order; skin-tone variants, lone regional indicators and components left out.

    Args:
        emojibase: tarball of emojibase-data.
        emoji_data: tarball of an emoji-datasource package.

    Raises:
        ShoplensError: if a tarball cannot be read.
    """
    files = read_members(emojibase, lambda name: name in (NAMES, GROUPS))
    groups = json.loads(files[GROUPS])["groups"]
    phones = _on_japanese_phones(json.loads(read_members(emoji_data, lambda name: name == CARRIERS)[CARRIERS]))
    rows = [row for row in json.loads(files[NAMES]) if "group" in row]
    emojis = [
        Emoji(
            key=key_of(row["hexcode"]),
            name=row["label"],
            keywords=tuple(sorted(row["tags"])),
            group=groups[str(row["group"])],
            version=float(row["version"]),
            text_style=row["type"] == 0,
            japanese_phones=phones.get(key_of(row["hexcode"])),
        )
        for row in sorted(rows, key=lambda row: row["order"])
    ]
    return [emoji for emoji in emojis if emoji.group != LEFT_OUT_GROUP]
