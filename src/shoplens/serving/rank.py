"""`shoplens rank`: listings for a query, retrieved from the served ranker's index and scored by the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.ranking.scoring import candidates, load_ranker, words
from shoplens.serving import live
from shoplens.serving.client import rank
from shoplens.serving.repository import RANKER, in_slot


@dataclass(frozen=True)
class Place:
    """A listing's place in a ranking, 1 for the best, and its score."""

    rank: int
    listing_id: str
    score: float


@dataclass(frozen=True)
class Ranked:
    """The first listings for a query.

    Attributes:
        version: the encoder's version, under which the ranker is served.
        model: `own` or `global`. modality: `text`, `image` or `multimodal`.
        retrieved: number of listings that hold a word of the query, all of which were scored.
        listings: the best, in order; equal scores in the order of the ids.
    """

    query: str
    version: str
    model: str
    modality: str
    retrieved: int
    listings: list[Place]


def rank_query(query: str, top: int) -> Ranked:
    """Retrieve the listings whose title or tags hold a word of the query, and rank them as served.

    Without a running server a temporary one is started, and that is said.

    Args:
        query: as typed.
        top: how many listings to give, at least one.

    Raises:
        ShoplensError: if nothing is deployed, it has no ranker, or nothing is retrieved.
    """
    current = live.deployed()
    if live.described(current.slot).ranker is None:
        raise ShoplensError(
            f"version {current.version} of {current.model} was deployed without a ranker: its data has no search log. "
            "Add search_log.parquet to the data and run `dvc repro`"
        )
    found = candidates(load_ranker(_bundle(current.slot)), query)
    if not found:
        terms = words(query)
        wanted = " or ".join(repr(term) for term in terms)
        reason = f"no listing's title or tags hold {wanted}" if terms else f"{query!r} holds no word of two letters"
        raise ShoplensError(f"nothing is retrieved: {reason}; try other words")
    with live.answering("rank") as (url, served):
        answer = rank(url, query, found)
    best = np.argsort(-answer.scores, kind="stable")[:top]
    listings = [Place(place, found[at], float(answer.scores[at])) for place, at in enumerate(best, 1)]
    return Ranked(query, served.version, answer.model, answer.modality, len(found), listings)


def _bundle(slot: str) -> Path:
    return live.repository() / in_slot(RANKER, slot) / "1" / "ranker"


def ranked_text(ranked: Ranked) -> str:
    """A ranking for a person: whose model, then rank, score and listing id."""
    whose = {
        "own": "the query's own model",
        "global": "the model over all queries, because this one was not searched for, or too little, in the log",
    }
    head = (
        f"{ranked.query!r} by {whose[ranked.model]}, on {ranked.modality} features, version {ranked.version}: "
        f"{len(ranked.listings)} of {ranked.retrieved} retrieved listings"
    )
    width = len(str(len(ranked.listings)))
    rows = [f"{place.rank:>{width}}  {place.score:9.4f}  {place.listing_id}" for place in ranked.listings]
    return "\n".join([head, *rows])
