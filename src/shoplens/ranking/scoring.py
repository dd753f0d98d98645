"""Scores of listings for a query, from a ranker bundle: what the Triton model `ranker` and `shoplens rank` run.

This file is copied into the model repository, beside the bundle: numpy (1.26 and 2) and the standard library only,
nothing of shoplens. The large arrays are mapped, not read, so that every process of a machine shares them.

A score is w.x of the query's linear ranking model (Etsy paper, section 2.1 and Algorithm 1): the text weights of the
listing's terms, plus the product of image weights and image features where the query's modality has an image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
UNKNOWN = np.finfo(np.float32).min
"""The score of a listing that the ranker does not know: below every other one, and a number."""
_WORD = re.compile(r"(?u)\b\w\w+\b")


def normalise_query(text: str) -> str:
    """Lower case, white space collapsed: two texts that normalise alike are one query."""
    return " ".join(text.lower().split())


def words(text: str) -> list[str]:
    """The terms by which a query retrieves, in order, each once: the index's own (two letters or more)."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


@dataclass(frozen=True)
class Choice:
    """What answers a query: a row of weights, whose they are (`own` or `global`) and what they look at."""

    row: int
    model: str
    modality: str


@dataclass(frozen=True)
class Ranker:
    """An open bundle of L listings, V text features, D image features and Q queries, the global model in row Q.

    Attributes:
        listing_ids: (L,) bytes, ascending.
        text_indptr, text_indices: the binary text features of each listing, CSR without values.
        image: (L, D) float32, zeros for a listing without photos.
        weights_indptr, weights_indices, weights_values: the text weights, a sparse row a query and one more.
        weights_image: (Q + 1, D) float32.
        index_terms, index_indptr, index_listings: the listing rows of each term of titles and tags, terms ascending.
        queries: normalised query -> what answers it. unseen: what answers every other one.
        global_text: (V,) float32, the global model's text weights. scratch: (V,) float32, zero between calls, so one
            thread at a time may score.
    """

    listing_ids: NDArray[np.bytes_]
    text_indptr: NDArray[np.int64]
    text_indices: NDArray[np.int32]
    image: NDArray[np.float32]
    weights_indptr: NDArray[np.int64]
    weights_indices: NDArray[np.int32]
    weights_values: NDArray[np.float32]
    weights_image: NDArray[np.float32]
    index_terms: NDArray[np.bytes_]
    index_indptr: NDArray[np.int64]
    index_listings: NDArray[np.int32]
    queries: Mapping[str, Choice]
    unseen: Choice
    global_text: NDArray[np.float32] = field(repr=False)
    scratch: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True)
class Scored:
    """Scores (float32 [n], `UNKNOWN` where not `known`), known (bool [n]) and what answered."""

    scores: NDArray[np.float32]
    known: NDArray[np.bool_]
    model: str
    modality: str


def load_ranker(folder: Path) -> Ranker:
    """Open a bundle.

    Raises:
        OSError: if a file is missing or cannot be read.
        ValueError: if the bundle is of another format, or its files do not fit together.
    """
    info = json.loads((folder / "ranker.json").read_text(encoding="utf-8"))
    if info["format"] != FORMAT:
        raise ValueError(f"{folder}: a ranker of format {info['format']}, this reader knows format {FORMAT}")
    arrays = {
        name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        for name in (
            "listing_ids",
            "text_indptr",
            "text_indices",
            "image",
            "weights_indptr",
            "weights_indices",
            "weights_values",
            "weights_image",
            "index_terms",
            "index_indptr",
            "index_listings",
        )
    }
    _check(folder, info, arrays)
    begin, end = arrays["weights_indptr"][-2:]
    global_text = np.zeros(info["features"], np.float32)
    global_text[arrays["weights_indices"][begin:end]] = arrays["weights_values"][begin:end]
    chosen = json.loads((folder / "queries.json").read_text(encoding="utf-8"))
    return Ranker(
        **arrays,
        queries={query: Choice(**choice) for query, choice in chosen.items()},
        unseen=Choice(**info["unseen"]),
        global_text=global_text,
        scratch=np.zeros(info["features"], np.float32),
    )


def _check(folder: Path, info: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    queries, listings, dim = info["queries"], info["listings"], info["dim"]
    shapes = {
        "listing_ids": (listings,),
        "text_indptr": (listings + 1,),
        "text_indices": (arrays["text_indptr"][-1],),
        "image": (listings, dim),
        "weights_indptr": (queries + 2,),
        "weights_indices": (arrays["weights_indptr"][-1],),
        "weights_values": (arrays["weights_indptr"][-1],),
        "weights_image": (queries + 1, dim),
        "index_indptr": (len(arrays["index_terms"]) + 1,),
        "index_listings": (arrays["index_indptr"][-1],),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{folder / name}.npy has shape {arrays[name].shape}, the ranker's files say {shape}")


def score(ranker: Ranker, query: str, listing_ids: Sequence[str] | Sequence[bytes]) -> Scored:
    """Scores of listings for a query, in the order of the ids; higher is better.

    Args:
        ranker: the bundle.
        query: as typed; a query without a model of its own is answered by the global one.
        listing_ids: any listings, text or UTF-8 bytes.
    """
    choice = ranker.queries.get(normalise_query(query), ranker.unseen)
    at, known = _find(ranker.listing_ids, listing_ids)
    rows = at[known]
    scores = np.full(len(listing_ids), UNKNOWN, np.float32)
    found = np.zeros(len(rows))
    if choice.modality != "image":
        found += _text_scores(ranker, choice.row, rows)
    if choice.modality != "text":
        found += ranker.image[rows] @ ranker.weights_image[choice.row]
    scores[known] = found
    return Scored(scores, known, choice.model, choice.modality)


def candidates(ranker: Ranker, query: str) -> list[str]:
    """The listings whose title or tags hold a word of the query (section 2.2 ii), ascending."""
    terms, known = _find(ranker.index_terms, words(query))
    spans = [ranker.index_listings[ranker.index_indptr[t] : ranker.index_indptr[t + 1]] for t in terms[known]]
    rows = np.unique(np.concatenate(spans)) if spans else np.empty(0, np.int32)
    return [listing.decode() for listing in ranker.listing_ids[rows].tolist()]


def _find(
    ascending: NDArray[np.bytes_], wanted: Sequence[str] | Sequence[bytes]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each wanted text is (any number where it is not), and whether it is there."""
    encoded = [text.encode() if isinstance(text, str) else text for text in wanted]
    width = ascending.dtype.itemsize
    # The mapped array must not be copied to a wider type, so what is longer than all its texts is settled here.
    fits = np.fromiter((0 < len(text) <= width for text in encoded), bool, len(encoded))
    keys = np.array(encoded, dtype=f"S{width}")
    if not len(ascending):
        return np.zeros(len(keys), np.intp), np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)
    return at, fits & (ascending[at] == keys)


def _text_scores(ranker: Ranker, row: int, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """The sum of a query's text weights over each listing's features."""
    starts = ranker.text_indptr[rows]
    counts = ranker.text_indptr[rows + 1] - starts
    ends = np.cumsum(counts)
    offsets = np.repeat(starts - ends + counts, counts)
    features = ranker.text_indices[offsets + np.arange(len(offsets))]
    owners = np.repeat(np.arange(len(rows)), counts)
    if row == len(ranker.weights_indptr) - 2:
        return _sums(owners, ranker.global_text[features], len(rows))
    span = slice(*ranker.weights_indptr[row : row + 2])
    held = ranker.weights_indices[span]
    ranker.scratch[held] = ranker.weights_values[span]
    sums = _sums(owners, ranker.scratch[features], len(rows))
    ranker.scratch[held] = 0
    return sums


def _sums(owners: NDArray[np.intp], values: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    return np.bincount(owners, values, count).astype(np.float64, copy=False)
