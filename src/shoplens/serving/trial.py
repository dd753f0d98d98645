"""A packaged repository in a real Triton server: what it answers, and how fast."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.progress import progress
from shoplens.serving.client import SearchAnswer, embed_gallery, rank, search
from shoplens.serving.examples import Gallery, Ranking, Search
from shoplens.serving.repository import MODELS
from shoplens.serving.search_bundle import Query
from shoplens.serving.server import running_server

RESULTS = 5
"""That each search of the trial asks for."""


@dataclass(frozen=True)
class Trial:
    """What a server answered.

    Attributes:
        embeddings: [galleries, D]. codes: uint8 [galleries, ceil(D / 8)]. corrupt: photos that it could not use.
        seconds: of each timed gallery request.
        rankings: the rankings with its scores. rank_seconds: of each timed rank request.
        searches: the searches with its results. search_seconds: of each timed search.
    """

    embeddings: np.ndarray
    codes: np.ndarray
    corrupt: int
    seconds: np.ndarray
    rankings: list[Ranking]
    rank_seconds: np.ndarray
    searches: list[Search]
    search_seconds: np.ndarray


def try_server(
    repository: Path,
    galleries: list[Gallery],
    requests: int,
    rankings: Sequence[Mapping[str, Any]] = (),
    queries: Sequence[Query] = (),
) -> Trial:
    """Load a repository into a real server, ask it for every example, then time further requests, one after the other.

    The server gets a copy, because its Python writes bytecode beside the models, on which neither a package's digest
    nor what DVC restores of it may depend.

    Args:
        repository: the embedded variant.
        galleries: what to ask the encoder.
        requests: how many to time, of each kind.
        rankings: what to ask the ranker, as its bundle's `examples.json` lists it; none without a ranker.
        queries: what to ask visual search; none without it.

    Raises:
        ShoplensError: if the server does not start, load or answer, or its ranker does not know an example's listing.
    """
    models = [name for name in MODELS if (repository / name).is_dir()]
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(repository, Path(scratch) / "repository"))
        with running_server(copy, Path(scratch) / "server.log", models=models) as server:
            asked = [partial(embed_gallery, server.url, gallery.photos) for gallery in galleries]
            answers = [ask() for ask in asked]
            seconds = _timed(asked, requests, "gallery")
            ranked = [_ranking(server.url, row) for row in rankings]
            rank_seconds = _timed(
                [partial(rank, server.url, one.query, one.listing_ids) for one in ranked], requests, "rank"
            )
            searching = [partial(search, server.url, one.photo, one.source, RESULTS, one.box) for one in queries]
            found = [_search(query, ask()) for query, ask in zip(queries, searching, strict=True)]
            search_seconds = _timed(searching, requests, "search")
    embeddings, codes = (np.stack([getattr(answer, name) for answer in answers]) for name in ("embedding", "code"))
    corrupt = sum(answer.corrupt for answer in answers)
    return Trial(embeddings, codes, corrupt, seconds, ranked, rank_seconds, found, search_seconds)


def _search(query: Query, answer: SearchAnswer) -> Search:
    results = answer.image_ids, answer.boxes.tolist(), answer.distances.tolist()
    return Search(query.source, query.image_id, query.box, query.photo, answer.code.tobytes().hex(), *results)


def _ranking(url: str, row: Mapping[str, Any]) -> Ranking:
    answer = rank(url, row["query"], row["listing_ids"])
    if not answer.known.all():
        missing = row["listing_ids"][int(np.argmin(answer.known))]
        raise ShoplensError(
            f"the ranker does not know listing {missing} of its own examples: run evaluate-ranking again"
        )
    served = [float(score) if math.isfinite(score) else None for score in answer.scores]
    return Ranking(row["query"], row["listing_ids"], row["scores"], served)


def _timed(asked: Sequence[Callable[[], object]], requests: int, kind: str) -> np.ndarray:
    """Seconds of each of `requests` requests, which take turns; none if there is nothing to ask."""
    seconds = []
    for number in progress(range(requests if asked else 0), f"package: timing {kind} requests", unit="request"):
        start = time.perf_counter()
        asked[number % len(asked)]()
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)
