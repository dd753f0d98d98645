"""What the catalogue says of each emoji."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoplens.importers.open_icons_catalogue import Emoji, key_of, read_catalogue
from shoplens.importers.open_icons_packages import EMOJIBASE, GOOGLE


@pytest.fixture
def emojis(tarballs: dict[str, Path]) -> dict[str, Emoji]:
    return {emoji.name: emoji for emoji in read_catalogue(tarballs[EMOJIBASE.name], tarballs[GOOGLE.name])}


@pytest.mark.parametrize(
    ("spelling", "key"), [("0023-FE0F-20E3", "23-20e3"), ("1F600", "1f600"), ("2764-fe0f", "2764"), ("00A9", "a9")]
)
def test_all_spellings_of_an_emoji_have_one_key(spelling: str, key: str) -> None:
    assert key_of(spelling) == key


def test_skin_tones_components_and_lone_letters_are_no_listings(emojis: dict[str, Emoji]) -> None:
    assert list(emojis) == ["grinning face", "waving hand", "red heart", "flag: Christmas Island", "distorted face"]


def test_metadata_comes_from_both_packages(emojis: dict[str, Emoji]) -> None:
    heart = emojis["red heart"]
    assert (heart.group, heart.text_style, heart.version, heart.keywords) == (
        "smileys-emotion",
        True,
        1.0,
        ("heart", "love"),
    )
    assert [emoji.japanese_phones for emoji in emojis.values()] == [True, True, False, False, None]


def test_country_flags_are_two_regional_indicators(emojis: dict[str, Emoji]) -> None:
    assert [emoji.name for emoji in emojis.values() if emoji.is_country_flag] == ["flag: Christmas Island"]


def test_the_name_of_a_flag_is_no_keyword(emojis: dict[str, Emoji]) -> None:
    assert emojis["flag: Christmas Island"].words == {"CX", "flag"}
    assert emojis["red heart"].words == {"heart", "love", "red"}
