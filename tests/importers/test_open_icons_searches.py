"""Queries and judgements of open-icons: emojibase's words retrieve, emojilib's judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shoplens.errors import ShoplensError
from shoplens.importers.open_icons_catalogue import Emoji
from shoplens.importers.open_icons_packages import EMOJILIB
from shoplens.importers.open_icons_searches import (
    ENOUGH_FITTING,
    ENOUGH_RETRIEVED,
    read_keywords,
    search_log,
    searches,
)


def emoji(number: int, *keywords: str) -> Emoji:
    return Emoji(f"{0x1F400 + number:x}", f"thing {number}", keywords, "objects", 1.0, False, None)


def catalogue(retrieved: int, fitting: int) -> tuple[list[Emoji], dict[str, frozenset[str]]]:
    """So many emojis tagged `sea` by one source, of which so many by the other; and some that only the other tags."""
    emojis = [emoji(number, "sea") for number in range(retrieved)] + [emoji(100 + n, "land") for n in range(12)]
    keywords = {x.key: frozenset({"sea"}) for x in [*emojis[:fitting], *emojis[retrieved:]]}
    return emojis, keywords


def test_keywords_are_read_by_key_and_in_plain_spelling(tarballs: dict[str, Path]) -> None:
    assert read_keywords(tarballs[EMOJILIB.name]) == {
        "1f600": {"grinning face", "face"},
        "2764": {"love", "face"},
        "1f1e8-1f1fd": {"flag"},
    }


def test_a_damaged_package_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(b"no tarball")
    with pytest.raises(ShoplensError, match=r"x\.tgz: not a readable npm tarball"):
        read_keywords(tmp_path / "x.tgz")


def test_one_source_retrieves_and_the_other_judges() -> None:
    emojis, keywords = catalogue(ENOUGH_RETRIEVED, ENOUGH_FITTING)
    (search,) = searches(emojis, keywords)
    assert search.text == "sea"
    assert search.candidates.tolist() == list(range(ENOUGH_RETRIEVED))
    liking = search.appeal - search.popularity
    assert (liking[:ENOUGH_FITTING] == 0).all() and (liking[ENOUGH_FITTING:] < -1).all()
    assert (search.matched == 1).all()


@pytest.mark.parametrize(("retrieved", "fitting"), [(ENOUGH_RETRIEVED - 1, 12), (30, ENOUGH_FITTING - 1)])
def test_a_keyword_that_retrieves_or_fits_too_few_is_no_query(retrieved: int, fitting: int) -> None:
    emojis, keywords = catalogue(retrieved, fitting)
    assert searches(emojis, keywords) == []
    assert search_log(emojis, [x.key for x in emojis], keywords) is None


def test_fitting_emojis_are_clicked_more_and_the_log_is_the_same_each_time() -> None:
    emojis, keywords = catalogue(60, 30)
    ids = [x.key for x in emojis]
    log = search_log(emojis, ids, keywords)
    again = search_log(emojis, ids, keywords)
    assert log is not None and again is not None and log.equals(again)
    row = np.array([ids.index(name) for name in log["listing_id"].to_pylist()])
    clicked = log["clicked"].to_numpy(zero_copy_only=False)
    assert clicked[row < 30].mean() > 2 * clicked[row >= 30].mean()
    assert log.num_rows == 24 * 6 * len(emojis)
