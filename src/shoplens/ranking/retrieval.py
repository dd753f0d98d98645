"""Retrieval before ranking: all listings with a term of the query in their title or tags (Etsy, section 2.2 ii)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoplens.ranking.scoring import words
from shoplens.ranking.text import Tokens, distinct


@dataclass(frozen=True)
class InvertedIndex:
    """For each of U unigrams, the listings that contain it."""

    terms: pa.StringArray
    """(U,) ascending."""
    indptr: NDArray[np.int64]
    """(U + 1,) the listings of term u are listings[indptr[u] : indptr[u + 1]]."""
    listings: NDArray[np.int32]
    """Listing rows, ascending for each term."""


def inverted_index(tokens: Tokens) -> InvertedIndex:
    """Turn listing -> tokens around, over all listings: what was never trained on must be found as well."""
    cells = distinct(tokens.word.astype(np.int64) * tokens.listings + tokens.row)
    counts = np.bincount(cells // max(tokens.listings, 1), minlength=len(tokens.words))
    listings = (cells % max(tokens.listings, 1)).astype(np.int32)
    return InvertedIndex(tokens.words, np.append(0, np.cumsum(counts)).astype(np.int64), listings)


def candidates(index: InvertedIndex, query: str) -> NDArray[np.int32]:
    """Listing rows, ascending, whose title or tags contain a term of the query; none if all its terms are unknown."""
    terms = pc.index_in(pa.array(words(query), pa.string()), value_set=index.terms).drop_null().to_numpy()
    found = [np.empty(0, np.int32), *(index.listings[index.indptr[t] : index.indptr[t + 1]] for t in terms)]
    return distinct(np.concatenate(found))
