"""The training targets of open-icons: attributes that run across the groups, so that none gives the hold-out away.

A theme is true of an emoji if one of its words is a keyword of the emoji or a word of its name. Themes were kept that
at least 30 emojis have, of at least three groups with three each, and of which no group has more than 60%: what names
a group (animal, food, face, flag, person), and skin tones (people only), was left out. docs/open-icons.md has the
measured dependence of the group on each task and on all together.
"""

from __future__ import annotations

from collections.abc import Sequence

from shoplens.importers.open_icons_catalogue import FLAG_PREFIX, Emoji

HOLDOUT = "group"
SLICE = "era"
FIRST_ERA = 1.0
"""Emoji 1.0 (2015): the set that began with Japanese phones; what came later was voted in year by year."""

COLOURS = {
    "red": "red",
    "orange": "orange",
    "yellow": "yellow",
    "green": "green",
    "blue": "blue",
    "purple": "purple",
    "violet": "purple",
    "brown": "brown",
    "black": "black",
    "white": "white",
}
OTHER_COLOURS = ("pink", "grey", "gray", "gold", "golden", "silver")
"""Too few emojis for a class of `colour`, but colours."""

THEMES = {
    "celebration": "celebration party christmas birthday celebrate festival holiday wedding anniversary",
    "colour_named": " ".join((*COLOURS, *OTHER_COLOURS)),
    "danger": "danger warning death dead poison weapon skull caution emergency blood evil scary kill die",
    "direction_named": "up down left right upwards downwards leftwards rightwards",
    "fantasy": "fantasy fairy magic creature monster myth fairytale",
    "hot_or_cold": "cold snow ice frozen winter freezing hot fire flame heat burn warm summer",
    "light": "light bright sparkle shining glow star lamp shine sparkles lightning electric",
    "love": "love heart romance kiss date",
    "negated": "no not never prohibited forbidden",
    "night": "night sleep moon dark bed bedtime goodnight sleeping star tired",
    "shape_named": "circle square triangle diamond round star heart cross ring box ball rectangle",
    "size_named": "small large big little medium mini tall heavy",
    "water": "water ocean sea rain swim swimming swimmer wet wave boat splash river beach surfing fish ice umbrella",
    "work": "work office tool job worker",
}

TASKS = {
    **dict.fromkeys(sorted(THEMES), "binary"),
    "japanese_phones": "binary",
    "text_style": "binary",
    "colour": "multiclass",
    "name_letters": "regression",
}
"""Task -> kind, in the order of dataset.yaml."""


def colour_of(emoji: Emoji) -> str | None:
    """The one colour that the emoji's words name; None if there is none, more than one, or one of the rare ones."""
    named = {COLOURS.get(word, word) for word in emoji.words if word in COLOURS or word in OTHER_COLOURS}
    return named.pop() if len(named) == 1 and named <= set(COLOURS.values()) else None


def _theme(name: str, emojis: Sequence[Emoji]) -> list[bool]:
    wanted = frozenset(THEMES[name].split())
    return [not wanted.isdisjoint(emoji.words) for emoji in emojis]


def task_columns(emojis: Sequence[Emoji]) -> dict[str, Sequence[bool | str | float | None]]:
    """Task -> its labels, one an emoji, None where unknown."""
    return {
        **{name: _theme(name, emojis) for name in sorted(THEMES)},
        "japanese_phones": [emoji.japanese_phones for emoji in emojis],
        "text_style": [emoji.text_style for emoji in emojis],
        "colour": [colour_of(emoji) for emoji in emojis],
        "name_letters": [float(sum(map(str.isalpha, emoji.name.removeprefix(FLAG_PREFIX)))) for emoji in emojis],
    }


def era_of(emoji: Emoji) -> str:
    """The slice: `first` up to Emoji 1.0, `later` after it."""
    return "first" if emoji.version <= FIRST_ERA else "later"
