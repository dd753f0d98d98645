"""search_log.parquet: two weeks of searches, simulated. docs/world.md has the rules in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoplens.params import WorldParams
from shoplens.progress import progress
from shoplens.world.chance import Rng, name_of, stream
from shoplens.world.demand import appeal, popularity
from shoplens.world.listing import Listing
from shoplens.world.queries import draw_queries, granted, query_count
from shoplens.world.search import Texts, fair_pairs, order_pages, standing
from shoplens.world.shopper import browse
from shoplens.world.traffic import shares, times

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Search:
    """One query as the simulation needs it; C candidates are what it retrieves, at least one.

    Attributes:
        text: the query.
        candidates: (C,) rows of the listings.
        matched: (C,) how many of its wishes the candidate's words mention.
        popularity: (C,) of the candidate, on the log scale.
        appeal: (C,) of the candidate to those who ask, in logits.
    """

    text: str
    candidates: NDArray[np.int64]
    matched: NDArray[np.int64]
    popularity: NDArray[np.float64]
    appeal: NDArray[np.float64]


def _pages(rng: Rng, search: Search, sessions: int) -> Columns:
    """The rows of one query's sessions; `session` counts from 0, NaN and -1 stand for null."""
    stands = standing(rng, search.matched, search.popularity)
    shown, pair = fair_pairs(rng, order_pages(rng, stands, sessions))
    session, place = np.indices(shown.shape)
    columns = {
        "session": session,
        "position": place + 1,
        "listing": search.candidates[shown],
        "fair_pair": pair,
        **vars(browse(rng, search.appeal[shown])),
    }
    return {name: values.ravel() for name, values in columns.items()}


def simulate(searches: Sequence[Search], listing_ids: Sequence[str], sessions: int, seed: int) -> pa.Table:
    """Let `sessions` people search: the rows of search_log.parquet, by session id (a hash) and position.

    Args:
        searches: most frequent first.
        listing_ids: what the candidates' rows mean.
        sessions: how many pages are shown, at least one.
        seed: equal arguments give equal tables.
    """
    traffic = stream(seed, 14)
    counts = traffic.multinomial(sessions, shares(len(searches)))
    shown_at = times(traffic, sessions)
    parts: list[Columns] = []
    jobs = list(zip(searches, counts.tolist(), (np.cumsum(counts) - counts).tolist(), strict=True))
    for number, (search, count, first) in enumerate(progress(jobs, "simulating searches", unit="query")):
        rows = _pages(stream(seed, 15, number), search, count)
        parts.append(rows | {"session": rows["session"] + first, "query": np.full(len(rows["session"]), number)})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ids = np.array([name_of("session", seed, number) for number in range(sessions)])
    place_of = np.argsort(np.argsort(ids))
    order = np.lexsort((columns["position"], place_of[columns["session"]]))
    c = {name: column[order] for name, column in columns.items()}
    return pa.table(
        {
            "session_id": pa.array(ids).take(pa.array(c["session"])),
            "query": pa.array([search.text for search in searches]).take(pa.array(c["query"])),
            "shown_at": pa.array(shown_at[c["session"]], pa.timestamp("us", tz="UTC")),
            "position": pa.array(c["position"]),
            "listing_id": pa.array(listing_ids).take(pa.array(c["listing"])),
            "clicked": pa.array(c["clicked"]),
            "dwell_s": pa.array(c["dwell_s"], mask=np.isnan(c["dwell_s"])),
            "carted": pa.array(c["carted"]),
            "purchased": pa.array(c["purchased"]),
            "fair_pair": pa.array(c["fair_pair"], mask=c["fair_pair"] < 0),
        }
    )


def search_log(params: WorldParams, listings: list[Listing]) -> pa.Table | None:
    """The demo marketplace's search log; None if `sessions_per_listing` makes no session.

    Args:
        params: seed and knobs.
        listings: all of them, in the order of listings.parquet.
    """
    sessions = round(params.sessions_per_listing * len(listings))
    if sessions == 0:
        return None
    texts = Texts([x.title for x in listings], [x.tags for x in listings])
    liked = popularity(params, listings)
    searches = []
    for query in draw_queries(stream(params.seed, 10), query_count(sessions), texts):
        found = texts.retrieve(query.text)
        matched = np.sum([texts.mentions(wish.words) for wish in query.wishes], axis=0)
        taste = query.taste * np.array([getattr(x.facts, query.theme) for x in listings])
        wanted = appeal(granted(query, listings), len(query.wishes), liked, taste)
        searches.append(Search(query.text, found, matched[found], liked[found], wanted[found]))
    return simulate(searches, [x.listing_id for x in listings], sessions, params.seed)
