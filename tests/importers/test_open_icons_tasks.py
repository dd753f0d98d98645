"""The labels of open-icons, and that none of them is a group by another name."""

from __future__ import annotations

from shoplens.importers.open_icons_catalogue import Emoji
from shoplens.importers.open_icons_tasks import HOLDOUT, TASKS, THEMES, colour_of, era_of, task_columns


def emoji(name: str, *keywords: str, version: float = 1.0) -> Emoji:
    return Emoji("1f600", name, keywords, "objects", version, False, None)


def test_a_theme_is_true_by_keyword_or_by_name() -> None:
    columns = task_columns([emoji("red heart"), emoji("letter", "love"), emoji("glove")])
    assert columns["love"] == [True, True, False]


def test_every_task_has_a_label_for_every_emoji() -> None:
    columns = task_columns([emoji("red heart"), emoji("snowman")])
    assert list(columns) == list(TASKS)
    assert {len(labels) for labels in columns.values()} == {2}


def test_colour_is_unknown_unless_exactly_one_of_the_classes_is_named() -> None:
    assert colour_of(emoji("red heart")) == "red"
    assert colour_of(emoji("heart", "violet", "purple")) == "purple"
    assert colour_of(emoji("flag", "red", "white")) is None
    assert colour_of(emoji("pink heart", "red")) is None
    assert colour_of(emoji("pink heart")) is None
    assert colour_of(emoji("snowman")) is None


def test_name_letters_leave_out_spaces_and_the_word_flag() -> None:
    assert task_columns([emoji("flag: Côte d’Ivoire"), emoji("A button (blood type)")])["name_letters"] == [11.0, 16.0]


def test_the_first_era_ends_with_emoji_1() -> None:
    assert [era_of(emoji("x", version=version)) for version in (0.6, 1.0, 2.0)] == ["first", "first", "later"]


def test_no_task_is_the_holdout_or_says_its_name() -> None:
    assert HOLDOUT not in TASKS
    words = {word for theme in THEMES.values() for word in theme.split()}
    groups = "smileys emotion face people person body animals animal nature food drink travel places activities objects"
    assert not words & {*groups.split(), "symbols", "symbol", "flags", "flag", "man", "woman", "skin"}
