"""What photos change in a ranking, to look at: the Etsy paper's Figures 5 and 6 (sections 3.3 and 4)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from shoplens.contract.pixels import decode
from shoplens.contract.store import PhotoStore
from shoplens.contract.tables import read_images
from shoplens.evaluation.ranking_log import Collection, Log
from shoplens.evaluation.ranking_scores import RunScores, model_of
from shoplens.files import write_bytes
from shoplens.ranking.judgements import TEST, Judgements
from shoplens.ranking.modalities import TEXT, Run
from shoplens.ranking.rankers import Rankers
from shoplens.ranking.retrieval import candidates
from shoplens.ranking.scoring import words

BOTH = Run("multimodal", "candidate")
PAIRS, CLOSE = 3, 5
"""Pairs to show, and how many ranks apart they are under text at most (in the paper 1 to 4)."""
EXAMINED = 30
"""Queries that are searched for pictures, those with the largest lift: enough to find some in any log."""
PERCENTILES, BAND = (90, 80, 70, 60, 50), 6
ENOUGH_SESSIONS = 10
SIDE = 160


@dataclass(frozen=True)
class Close:
    """Two listings of one session, `right` relevant and `left` ignored, and their distances in rank."""

    right: int
    left: int
    text: int
    multimodal: int


def draw_pictures(
    data: Path, folder: Path, log: Log, rankers: Rankers, scores: Mapping[Run, RunScores], chosen: Sequence[Run]
) -> dict[str, Any]:
    """The content of pictures.json; writes the photos that it names into `folder`/photos.

    Args:
        data: the contract folder, for the photos.
        folder: the artifact.
        log: listings and judgements.
        rankers: the models.
        scores: how they did on test.
        chosen: (Q,) each query's choice; those that chose multimodal and gained on test are shown.

    Returns:
        `pairs`, the farthest apart first, at most one a query; `bands`, None if no query has sessions enough.

    Raises:
        ShoplensError: if a photo cannot be read.
    """
    collection, judgements, tests = log.collection, log.judgements, log.tests
    moved = np.array([run == BOTH for run in chosen])
    lift = 100 * (scores[BOTH].ndcg / scores[TEXT].ndcg - 1)
    gained = np.flatnonzero(moved & (lift > 0))
    gained = gained[np.argsort(-lift[gained], kind="stable")][:EXAMINED].tolist()
    sessions = np.bincount(tests.judged.sessions.query, minlength=len(lift))
    photos = _Photos(data, folder, collection)
    found: list[tuple[Close, int]] = []
    bands = None
    for query in gained:
        listings = candidates(collection.index, str(judgements.queries[query]))
        ranks = {
            run: _ranks(collection.features.scores(run, model_of(rankers, query, run), listings))
            for run in (TEXT, BOTH)
        }
        close = _farthest(judgements, query, listings, ranks[TEXT], ranks[BOTH], photos)
        found += [] if close is None else [(close, query)]
        if bands is None and sessions[query] >= ENOUGH_SESSIONS and len(listings) >= 2 * BAND:
            bands = {
                "query": str(judgements.queries[query]),
                "lift": float(lift[query]),
                "rows": [
                    {
                        "percentile": percentile,
                        **{run.modality: _band(listings, ranks[run], percentile, photos) for run in (TEXT, BOTH)},
                    }
                    for percentile in PERCENTILES
                ],
            }
    found.sort(key=lambda pair: -pair[0].multimodal)
    pairs = [
        {
            "query": str(judgements.queries[query]),
            "lift": float(lift[query]),
            "text_distance": close.text,
            "multimodal_distance": close.multimodal,
            "shared": sorted(set(words(collection.titles[close.left])) & set(words(collection.titles[close.right]))),
            "left": photos.card(close.left),
            "right": photos.card(close.right),
        }
        for close, query in found[:PAIRS]
    ]
    return {"pairs": pairs, "bands": bands}


def _ranks(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Each listing's place, from 0, best first; ties in the order given."""
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return ranks


def _band(
    listings: NDArray[np.int32], ranks: NDArray[np.int64], percentile: int, photos: _Photos
) -> list[dict[str, Any]]:
    """The listings from this percentile of the ranking downwards."""
    first = len(ranks) * (100 - percentile) // 100
    chosen = listings[np.argsort(ranks)[first : first + BAND]]
    return [photos.card(listing) for listing in chosen.tolist()]


def _farthest(
    judgements: Judgements,
    query: int,
    listings: NDArray[np.int32],
    text: NDArray[np.int64],
    multimodal: NDArray[np.int64],
    photos: _Photos,
) -> Close | None:
    """Of a query's test sessions the relevant and the ignored result that are close under text and farthest apart,
    the relevant one above, under multimodal; both retrieved, both with a photo."""
    span = slice(*judgements.query_sessions[query : query + 2])
    best: Close | None = None
    for session in (np.arange(span.start, span.stop)[judgements.part[span] == TEST]).tolist():
        rows = np.arange(*judgements.starts[session : session + 2])
        rows = rows[np.isin(judgements.listing[rows], listings) & photos.exist(judgements.listing[rows])]
        right = judgements.listing[rows[judgements.grade[rows] > 0]]
        left = judgements.listing[rows[~judgements.touched[rows]]]
        if not len(right) or not len(left):
            continue
        a, b = np.searchsorted(listings, right)[:, None], np.searchsorted(listings, left)[None, :]
        gain = np.where(abs(text[a] - text[b]) <= CLOSE, multimodal[b] - multimodal[a], 0)
        above, below = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[above, below] > (best.multimodal if best else 0):
            apart = int(abs(text[a[above, 0]] - text[b[0, below]]))
            best = Close(int(right[above]), int(left[below]), apart, int(gain[above, below]))
    return best


class _Photos:
    """The first photo of each listing, written once where a picture shows it."""

    def __init__(self, data: Path, folder: Path, collection: Collection) -> None:
        images = read_images(data).sort_by("image_id")
        owner = pc.index_in(images["listing_id"], value_set=pa.array(collection.listing_ids, pa.string()))
        owner = owner.fill_null(-1).to_numpy()
        listings, first = np.unique(owner, return_index=True)
        self._paths = {
            listing: images["path"][row].as_py()
            for listing, row in zip(listings.tolist(), first.tolist(), strict=True)
            if listing >= 0
        }
        self._known = listings[listings >= 0]
        self._store, self._folder, self._collection = PhotoStore(data), folder, collection

    def exist(self, listings: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each listing has a photo."""
        return np.isin(listings, self._known)

    def card(self, listing: int) -> dict[str, Any]:
        """A listing with its title and where its photo is (None without one)."""
        name = None
        if listing in self._paths:
            name = f"photos/{listing:07d}.jpg"
            if not (self._folder / name).exists():
                write_bytes(self._folder / name, _small(self._store.read(self._paths[listing])))
        return {
            "listing_id": self._collection.listing_ids[listing],
            "title": self._collection.titles[listing],
            "photo": name,
        }


def _small(content: bytes) -> bytes:
    image = decode(content)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()
