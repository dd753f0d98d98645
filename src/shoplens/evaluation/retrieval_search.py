"""One model's results for one source: the first 20 by distance of embeddings, and by bits that differ in codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Model
from shoplens.evaluation.precision import DEPTH, NOTHING, Floats, Ints, relevant_results
from shoplens.evaluation.retrieval_sources import Source
from shoplens.retrieval.codes import Codes, bit_density
from shoplens.retrieval.search import Neighbours, search_binary, search_float

Kind = Literal["float", "binary"]
KINDS: tuple[Kind, ...] = ("float", "binary")
ENCODERS: tuple[Model, ...] = ("candidate", "baseline", "reference")
_LARGEST = float(np.finfo(np.float32).max) / 32
"""Of a squared length: what is shorter has distances that float32 holds (retrieval.search)."""


@dataclass(frozen=True)
class Embedded:
    """One model's crops.

    Attributes:
        vectors: float32 (C, D).
        codes: uint8 (C, ceil(D / 8)).
    """

    vectors: NDArray[np.float32]
    codes: Codes

    @property
    def width(self) -> int:
        """D, which is also the bits of a code."""
        return int(self.vectors.shape[1])

    def bytes_of(self, kind: Kind) -> int:
        """What one item takes."""
        return 4 * self.width if kind == "float" else int(self.codes.shape[1])

    def density(self, rows: Ints) -> Floats:
        """How often each bit is 1 in the codes of these crops, (D,)."""
        return bit_density(self.codes[rows], self.width)


@dataclass(frozen=True)
class Found:
    """Results of Q queries.

    Attributes:
        rows: int64 (Q, K), rows of the crops, nearest first; NOTHING (-1) where the corpus holds no more.
        distances: float64 (Q, K), squared L2 distances or numbers of differing bits.
        hits: bool (Q, K), which are relevant.
    """

    rows: Ints
    distances: Floats
    hits: NDArray[np.bool_]


def read_embedded(embed: Path, model: Model, crops: int) -> Embedded | None:
    """The crops under one model; None if it has diverged: embeddings that are not finite, or beyond any distance.

    Raises:
        ShoplensError: if there are not as many embeddings or codes as crops.
    """
    vectors = np.load(embed / f"{model}_crops.npy", mmap_mode="r")
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vecdot(vectors, vectors)
    if not (squares < _LARGEST).all():
        return None
    codes = np.load(embed / f"{model}_crop_codes.npy", mmap_mode="r")
    if len(vectors) != crops or len(codes) != crops:
        raise ShoplensError(
            f"{embed}: {len(vectors)} embeddings and {len(codes)} codes of the {model} for {crops} crops: "
            "run embed again"
        )
    return Embedded(vectors, codes)


def search_source(source: Source, embedded: Embedded) -> dict[Kind, Found]:
    """The first 20 results of every query, ties in order of the crops; the query itself is none of them."""
    vectors, codes = embedded.vectors, embedded.codes
    neighbours: dict[Kind, Neighbours] = {
        "float": _nearest(search_float, vectors[source.corpus], vectors[source.queries], source.own),
        "binary": _nearest(search_binary, codes[source.corpus], codes[source.queries], source.own),
    }
    return {
        kind: Found(
            np.where(found.rows == NOTHING, NOTHING, source.corpus[found.rows]),
            found.distances,
            relevant_results(found.rows, source.query_labels, source.corpus_labels, source.own),
        )
        for kind, found in neighbours.items()
    }


def _nearest(search: Callable[[Any, Any, int], Neighbours], corpus: Any, queries: Any, own: Ints) -> Neighbours:
    """The 20 nearest without the query itself, for which one more is searched; NOTHING at infinity after the last."""
    found = search(corpus, queries, DEPTH + int((own != NOTHING).any()))
    itself = found.rows == own[:, None]
    rows = np.where(itself, NOTHING, found.rows)
    distances = np.where(itself, np.inf, found.distances)
    order = np.argsort(itself, axis=1, kind="stable")[:, :DEPTH]
    return Neighbours(np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1))
