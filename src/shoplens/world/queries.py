"""What travellers type: one to three wishes in sellers' words, and the taste that goes with them unsaid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoplens.world.chance import Rng, pick
from shoplens.world.facts import THEMES, Facts
from shoplens.world.listing import Listing
from shoplens.world.places import COUNTRIES
from shoplens.world.search import Texts
from shoplens.world.tables import TYPES
from shoplens.world.words import CLAIMS

MOST_QUERIES, FEWEST_QUERIES = 80, 4
SESSIONS_PER_QUERY = 150
"""A small world has a query for this many sessions."""
WISH_COUNTS = (0.15, 0.55, 0.30)
"""Shares of queries with one, two and three wishes."""
KINDS = ("offer", "type", "town")
KIND_WEIGHTS = (0.65, 0.20, 0.15)
ONLY_OFFERS = 0.9
"""A query's first wish is an offer with this probability, else of any kind."""
COMMON = 200
"""A query is asked only if at least one listing in this many says all of it (and at least one does)."""
TASTE = 0.6
"""The strongest taste, in logits a standard deviation of the theme; a query's is uniform below it."""
TRIES = 60


@dataclass(frozen=True)
class Wish:
    """Something that a listing has or has not: an offer (one of CLAIMS), a property type or a town."""

    kind: str
    key: str
    words: str

    def granted(self, facts: Facts) -> bool:
        """Whether the listing truly has it, whatever its seller says."""
        if self.kind == "offer":
            return facts.has(self.key)
        return self.key == (facts.kind.name if self.kind == "type" else facts.town)


WISHES: tuple[Wish, ...] = (
    *(Wish("offer", task, words) for task, words in CLAIMS.items()),
    # "and" is in most titles, so a query with it would retrieve everything
    *(Wish("type", t.name, t.name.replace("_", " ")) for t in TYPES if "_and_" not in t.name),
    *(Wish("town", town, town.lower()) for country in COUNTRIES for town in country.towns),
)


@dataclass(frozen=True)
class Query:
    """A query and who asks it.

    Attributes:
        wishes: what it names, at most one type and one town.
        theme: the visible theme (one of THEMES) that its askers favour.
        taste: how much, in logits a standard deviation of the theme.
    """

    wishes: tuple[Wish, ...]
    theme: str
    taste: float

    @property
    def text(self) -> str:
        """As typed: the wishes' words, in lower case."""
        return " ".join(wish.words for wish in self.wishes)


def _draw_query(rng: Rng) -> Query:
    count = 1 + pick(rng, WISH_COUNTS)
    wishes: list[Wish] = []
    while len(wishes) < count:
        sure = not wishes and rng.random() < ONLY_OFFERS
        kind = "offer" if sure else KINDS[pick(rng, KIND_WEIGHTS)]
        choice = [wish for wish in WISHES if wish.kind == kind]
        wish = choice[int(rng.integers(len(choice)))]
        if wish not in wishes and (kind == "offer" or kind not in {other.kind for other in wishes}):
            wishes.append(wish)
    order = rng.permutation(count)
    theme = THEMES[int(rng.integers(len(THEMES)))]
    return Query(tuple(wishes[int(i)] for i in order), theme, TASTE * float(rng.random()))


def query_count(sessions: int) -> int:
    """How many different queries a log of so many sessions has at most."""
    return min(MOST_QUERIES, max(FEWEST_QUERIES, sessions // SESSIONS_PER_QUERY))


def draw_queries(rng: Rng, count: int, texts: Texts) -> list[Query]:
    """Different queries, most frequent first; fewer than `count` where the listings' texts say too little.

    Args:
        rng: the stream of the world's queries.
        count: how many are wanted.
        texts: the listings' words; every query's wishes are all said by some listing.
    """
    said = {wish: texts.mentions(wish.words) for wish in WISHES}
    enough = max(1, len(texts) // COMMON)
    queries: list[Query] = []
    known: set[frozenset[Wish]] = set()
    for _ in range(TRIES * count):
        query = _draw_query(rng)
        wishes = frozenset(query.wishes)
        if wishes not in known and np.all([said[wish] for wish in wishes], axis=0).sum() >= enough:
            known.add(wishes)
            queries.append(query)
        if len(queries) == count:
            break
    return queries


def granted(query: Query, listings: list[Listing]) -> NDArray[np.int64]:
    """How many of the query's wishes each listing truly fulfils, (L,)."""
    return np.array([sum(wish.granted(x.facts) for wish in query.wishes) for x in listings], np.int64)
