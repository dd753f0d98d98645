"""Retrieval before ranking: all listings with a term of the query in their title or tags (Etsy, section 2.2 ii)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoplens.ranking.scoring import words
from shoplens.ranking.text import Tokens, distinct

LONGEST = 255
"""Bytes of a term that can be retrieved by: served terms are as wide as the longest, and nobody types a longer one."""


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
    short = pc.less_equal(pc.binary_length(tokens.words), LONGEST).to_numpy(zero_copy_only=False)
    term = np.cumsum(short, dtype=np.int64) - 1
    kept = short[tokens.word]
    cells = distinct(term[tokens.word[kept]] * tokens.listings + tokens.row[kept])
    counts = np.bincount(cells // max(tokens.listings, 1), minlength=int(short.sum()))
    listings = (cells % max(tokens.listings, 1)).astype(np.int32)
    return InvertedIndex(
        tokens.words.filter(pa.array(short)), np.append(0, np.cumsum(counts)).astype(np.int64), listings
    )


def candidates(index: InvertedIndex, query: str) -> NDArray[np.int32]:
    """Listing rows, ascending, whose title or tags contain a term of the query; none if all its terms are unknown."""
    terms = pc.index_in(pa.array(words(query), pa.string()), value_set=index.terms).drop_null().to_numpy()
    found = [np.empty(0, np.int32), *(index.listings[index.indptr[t] : index.indptr[t + 1]] for t in terms)]
    return distinct(np.concatenate(found))
