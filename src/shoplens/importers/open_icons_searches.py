"""The searches of open-icons: real words and judgements by two sources that did not see each other, simulated people.

Titles and tags are emojibase's; what is relevant to a keyword is what emojilib lists under it. No log of people who
search for emojis is public, so sessions are simulated as the demo marketplace's are (docs/world.md), popularity
included: what they say of position, clicks and popularity is invented, which emoji a keyword fits is not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from shoplens.importers.open_icons_archive import read_members
from shoplens.importers.open_icons_catalogue import Emoji, key_of
from shoplens.world.chance import stream
from shoplens.world.demand import appeal
from shoplens.world.search import Texts
from shoplens.world.search_log import Search, simulate

KEYWORDS = "dist/emoji-en-US.json"
SEED = 1
SESSIONS_PER_LISTING = 6
ENOUGH_RETRIEVED, ENOUGH_FITTING = 20, 8
"""A keyword is a query if it retrieves so many emojis, so many of which emojilib lists under it."""


def read_keywords(emojilib: Path) -> dict[str, frozenset[str]]:
    """An emoji's key -> emojilib's keywords, in lower case and with spaces for underscores.

    Raises:
        ShoplensError: if the tarball cannot be read.
    """
    listed = json.loads(read_members(emojilib, lambda name: name == KEYWORDS)[KEYWORDS])
    return {
        key_of("-".join(f"{ord(character):x}" for character in emoji)): frozenset(
            keyword.lower().replace("_", " ").strip() for keyword in keywords
        )
        for emoji, keywords in listed.items()
    }


def searches(emojis: Sequence[Emoji], keywords: Mapping[str, frozenset[str]]) -> list[Search]:
    """The queries: emojilib's keywords that retrieve enough by emojibase's words, those of most emojis first.

    Args:
        emojis: the listings, in the order of their rows.
        keywords: key -> emojilib's keywords.
    """
    texts = Texts([emoji.name for emoji in emojis], [emoji.keywords for emoji in emojis])
    popularity = stream(SEED, 11).standard_normal(len(emojis))
    carriers = Counter(keyword for emoji in emojis for keyword in keywords.get(emoji.key, ()))
    chosen = []
    for keyword, _ in sorted(carriers.items(), key=lambda item: (-item[1], item[0])):
        found = texts.retrieve(keyword)
        fits = np.array([keyword in keywords.get(emoji.key, ()) for emoji in emojis], np.int64)
        if len(found) >= ENOUGH_RETRIEVED and fits[found].sum() >= ENOUGH_FITTING:
            said, wanted = texts.mentions(keyword).astype(np.int64), appeal(fits, 1, popularity)
            chosen.append(Search(keyword, found, said[found], popularity[found], wanted[found]))
    return chosen


def search_log(
    emojis: Sequence[Emoji], listing_ids: Sequence[str], keywords: Mapping[str, frozenset[str]]
) -> pa.Table | None:
    """search_log.parquet, the same each time; None if no keyword is a query.

    Args:
        emojis: the listings, in the order of their rows.
        listing_ids: theirs.
        keywords: key -> emojilib's keywords.
    """
    chosen = searches(emojis, keywords)
    return simulate(chosen, listing_ids, SESSIONS_PER_LISTING * len(emojis), SEED) if chosen else None
