"""The marketplace's own search engine: what a query retrieves, how a page is ordered, which neighbours are swapped.

Pages are randomised by FairPairs (Radlinski and Joachims, 2006), as those of the Etsy paper were (its footnote 4):
disjoint neighbours are swapped with probability 1/2, so that preferences within a pair are free of presentation bias.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoplens.world.chance import Rng

PAGE = 24
"""Results on a page."""
KEPT = 400
"""The engine orders this many candidates anew for each session: those that stand highest."""
MATCHED, POPULAR, OPINION, WHIM = 1.2, 0.5, 0.8, 0.8
"""What makes the engine's order: a matched wish, a standard deviation of popularity (as far as the engine knows of it),
its opinion of the listing for this query (which nothing else depends on), and chance in each session."""
RANDOMISED = 0.9
"""Share of sessions whose page went through FairPairs."""
WORD = re.compile(r"\b\w\w+\b")


def words_of(text: str) -> list[str]:
    """The words of a text as the engine reads it: lower case, at least two letters or digits.

    >>> words_of("A villa in Puerto Sol")
    ['villa', 'in', 'puerto', 'sol']
    """
    return WORD.findall(text.lower())


class Texts:
    """The searchable words of listings: titles and tags."""

    def __init__(self, titles: Sequence[str], tags: Sequence[Sequence[str]]) -> None:
        rows: dict[str, list[int]] = defaultdict(list)
        self._texts = []
        for row, (title, own) in enumerate(zip(titles, tags, strict=True)):
            fields = [words_of(field) for field in (title, *own)]
            # the bar keeps a phrase from reaching over the end of a tag
            self._texts.append(f" {' | '.join(' '.join(field) for field in fields)} ")
            for word in {word for field in fields for word in field}:
                rows[word].append(row)
        self._rows = {word: np.array(found, np.int64) for word, found in rows.items()}

    def __len__(self) -> int:
        return len(self._texts)

    def mentions(self, phrase: str) -> NDArray[np.bool_]:
        """Which listings say the phrase, word for word, in the title or in one tag, (L,)."""
        wanted = f" {' '.join(words_of(phrase))} "
        return np.array([wanted in text for text in self._texts], bool)

    def retrieve(self, query: str) -> NDArray[np.int64]:
        """The listings that say at least one word of the query, ascending."""
        found = [self._rows[word] for word in set(words_of(query)) if word in self._rows]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def standing(rng: Rng, matched: NDArray[np.int64], popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the engine makes of each candidate of one query before any session, (C,).

    Args:
        rng: the query's stream.
        matched: how many of the query's wishes the candidate's words mention.
        popularity: standard deviations from the average, on the log scale.
    """
    return MATCHED * matched + POPULAR * popularity + OPINION * rng.standard_normal(len(matched))


def order_pages(rng: Rng, stands: NDArray[np.float64], sessions: int) -> NDArray[np.int64]:
    """The page of each session, best first: (sessions, up to PAGE) indices of candidates."""
    kept = np.argsort(-stands, kind="stable")[:KEPT]
    scores = stands[kept] + WHIM * rng.standard_normal((sessions, len(kept)))
    return np.asarray(kept[np.argsort(-scores, axis=1)[:, :PAGE]])


def fair_pairs(rng: Rng, pages: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Swap neighbours at random: positions (1,2), (3,4) ... or (2,3), (4,5) ..., each pair with probability 1/2.

    Args:
        rng: the query's stream.
        pages: (S, K), the engine's order.

    Returns:
        The pages as shown, and the number of each position's pair, from 1; -1 where there is none. Both (S, K).
    """
    sessions, length = pages.shape
    shift = rng.integers(0, 2, size=(sessions, 1))
    randomised = rng.random((sessions, 1)) < RANDOMISED
    swapped = rng.random((sessions, length // 2 + 1)) < 0.5
    position = np.arange(length)
    place = position - shift
    pair = np.maximum(place, 0) // 2
    paired = randomised & (place >= 0) & (shift + 2 * pair + 1 < length)
    other = np.where(place % 2 == 0, position + 1, position - 1)
    swap = paired & np.take_along_axis(swapped, pair, axis=1)
    shown = np.take_along_axis(pages, np.where(swap, other, position), axis=1)
    return shown, np.where(paired, pair + 1, -1)
