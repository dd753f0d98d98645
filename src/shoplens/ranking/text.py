"""Binary bags of words of titles and tags, and one column for each known listing and shop (Etsy, section 2.1).

|T| = |D| + |L| + |S|: the dictionary of unigrams and bigrams, the listings, the shops. Tokens are those of
scikit-learn's CountVectorizer: lower case, runs of two or more word characters. Titles and tags are segments of their
own: no bigram crosses from one into another, because tags are a set. Whole columns are worked on, no listing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

BLOCK = 100_000
"""Listings worked on at a time; bounds the memory for characters, not the result."""

CODE_POINTS = 0x110000

Number = TypeVar("Number", np.int32, np.int64)


@cache
def _is_word() -> NDArray[np.bool_]:
    """For each code point, whether it is a word character: what `\\w` of Python's `re` matches."""
    matches = (chr(point).isalnum() or chr(point) == "_" for point in range(CODE_POINTS))
    table: NDArray[np.bool_] = np.fromiter(matches, np.bool_, CODE_POINTS)
    return table


@dataclass(frozen=True)
class Tokens:
    """All T tokens of L listings, listing by listing."""

    words: pa.StringArray
    """(U,) the distinct tokens, ascending."""
    listings: int
    """L"""
    row: NDArray[np.int32]
    """(T,) listing row, ascending."""
    word: NDArray[np.int32]
    """(T,) number of the token among `words`."""
    follows: NDArray[np.bool_]
    """(T,) whether the token before it stands in the same segment (title or tag)."""

    def with_text(self) -> NDArray[np.bool_]:
        """(L,) whether a listing has a token."""
        found = np.zeros(self.listings, dtype=np.bool_)
        found[self.row] = True
        return found


def tokenise(titles: pa.ChunkedArray, tags: pa.ChunkedArray) -> Tokens:
    """Cut titles and tags into tokens.

    Args:
        titles: (L,) string; null is empty.
        tags: (L,) list of strings; null and null elements are empty.

    Returns:
        Equal to `re.findall(r"(?u)\\b\\w\\w+\\b", segment.lower())` of each title and tag.
    """
    blocks = [_block(titles[i : i + BLOCK], tags[i : i + BLOCK]) for i in range(0, len(titles), BLOCK)]
    every = pa.chunked_array([words for words, _, _ in blocks], pa.string())
    words = pc.unique(every)
    words = words.take(pc.sort_indices(words))
    return Tokens(
        words=words,
        listings=len(titles),
        row=np.concatenate([np.empty(0, np.int32), *(row + i * BLOCK for i, (_, row, _) in enumerate(blocks))]),
        word=pc.index_in(every, value_set=words).to_numpy().astype(np.int32),
        follows=np.concatenate([np.empty(0, np.bool_), *(follows for _, _, follows in blocks)]),
    )


def _block(
    titles: pa.ChunkedArray, tags: pa.ChunkedArray
) -> tuple[pa.StringArray, NDArray[np.int32], NDArray[np.bool_]]:
    """Tokens of some listings as strings, with each one's listing row and whether it follows in its segment."""
    flat = pc.list_flatten(tags)
    row = np.append(np.arange(len(titles)), pc.list_parent_indices(tags).to_numpy())
    order = np.argsort(row, kind="stable")
    texts = pa.chunked_array([*titles.chunks, *flat.chunks], pa.string()).take(pa.array(order))
    # a line break separates segments below; inside a segment a blank does the same
    lines = pc.replace_substring(texts.fill_null(""), "\n", " ")
    # lower case first: "İ" becomes two characters, and a final sigma depends on what follows
    text = "\n".join(lines.to_pylist()).lower()
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)

    inside = _is_word()[points]
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    start, end = edges[::2], edges[1::2]
    long = end - start >= 2
    start, end = start[long], end[long]
    segment = np.cumsum(points == ord("\n"), dtype=np.int32)[start]
    follows = np.diff(segment, prepend=-1) == 0

    keep = np.zeros(len(points) + 1, dtype=np.int8)
    keep[start] += 1
    keep[end] -= 1
    kept = points[np.cumsum(keep[:-1], dtype=np.int8) > 0]
    size = 1 + (kept >= 0x80).astype(np.int64) + (kept >= 0x800) + (kept >= 0x10000)
    ends = np.append(0, np.cumsum(size))[np.cumsum(end - start)]
    characters = kept.tobytes().decode("utf-32-le").encode()
    offsets = np.append(0, ends).astype(np.int32)
    words = pa.StringArray.from_buffers(len(start), pa.py_buffer(offsets), pa.py_buffer(characters))
    return words, row[order][segment].astype(np.int32), follows


def distinct(numbers: NDArray[Number]) -> NDArray[Number]:
    """The distinct values, ascending. (numpy 2.4's `unique` hashes integers: 40 times slower on 7M different ones.)"""
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def bag_of_words(tokens: Tokens, known: NDArray[np.int32]) -> tuple[pa.StringArray, sparse.csr_array]:
    """Binary uni- and bigrams of all listings, over the terms that occur in some of them.

    Args:
        known: listing rows whose text makes the vocabulary (training data only).

    Returns:
        The V terms, ascending (a bigram's words are joined by a blank), and (L, V) float32 with column indices
        ascending in a row: CountVectorizer(binary=True, ngram_range=(1, 2)), segment by segment.
    """
    trains = np.zeros(tokens.listings, dtype=np.bool_)
    trains[known] = True
    here = trains[tokens.row]
    single = distinct(tokens.word[here])
    pair = _pairs(tokens)
    double = distinct(pair[here])
    double = double[double >= 0]
    words = max(len(tokens.words), 1)
    bigrams = pc.binary_join_element_wise(
        tokens.words.take(pa.array(double // words)), tokens.words.take(pa.array(double % words)), " "
    )
    terms = pa.concat_arrays([tokens.words.take(pa.array(single)), bigrams])
    order = pc.sort_indices(terms).to_numpy()
    column = np.empty(len(terms), dtype=np.int64)
    column[order] = np.arange(len(terms))
    single_column = np.full(len(tokens.words), -1)
    single_column[single] = column[: len(single)]

    indptr, indices = [np.zeros(1, np.int64)], [np.empty(0, np.int32)]
    for low in range(0, tokens.listings, BLOCK):
        first, last = np.searchsorted(tokens.row, [low, low + BLOCK])
        row = np.tile(tokens.row[first:last].astype(np.int64) - low, 2)
        ones = single_column[tokens.word[first:last]]
        both = np.append(ones, _lookup(pair[first:last], double, column[len(single) :]))
        cells = distinct((row * len(terms) + both)[both >= 0])
        size = min(BLOCK, tokens.listings - low)
        indptr.append(indptr[-1][-1] + np.cumsum(np.bincount(cells // max(len(terms), 1), minlength=size)))
        indices.append((cells % max(len(terms), 1)).astype(np.int32))
    return terms.take(pa.array(order)), _binary(np.concatenate(indices), np.concatenate(indptr), len(terms))


def _pairs(tokens: Tokens) -> NDArray[np.int64]:
    """(T,) each token together with the one before it as one number, -1 at the start of a segment."""
    number = np.roll(tokens.word, 1) * np.int64(len(tokens.words)) + tokens.word
    number[~tokens.follows] = -1
    return number


def _lookup(keys: NDArray[np.int64], known: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """values[i] where a key is known[i] (ascending), -1 where it is unknown."""
    if len(known) == 0:
        return np.full(len(keys), -1)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, values[place], -1)


def _binary(indices: NDArray[np.int32], indptr: NDArray[np.int64], columns: int) -> sparse.csr_array:
    """CSR of ones, with 32-bit indices as long as they can count the ones: scipy keeps what it is given."""
    starts = indptr.astype(np.int32 if len(indices) <= np.iinfo(np.int32).max else np.int64)
    ones = np.ones(len(indices), dtype=np.float32)
    return sparse.csr_array((ones, indices, starts), shape=(len(starts) - 1, columns))


def text_features(tokens: Tokens, shop_ids: pa.ChunkedArray, known: NDArray[np.int32]) -> sparse.csr_array:
    """Bag of words, one-hot listing and one-hot shop: the traditional representation (section 2.1).

    A listing or shop that is not known has no column. The listing and shop columns carry popularity for the query
    (section 1).

    Args:
        shop_ids: (L,) string.
        known: listing rows that occur in training sessions, in any order, repeated or not.

    Returns:
        (L, V) float32 of ones: columns of terms, then of listings, then of shops, each kind ascending; indices
        ascending in a row.
    """
    seen = np.zeros(tokens.listings, dtype=np.bool_)
    seen[known] = True
    known = np.flatnonzero(seen).astype(np.int32)
    _, words = bag_of_words(tokens, known)
    own = np.full(tokens.listings, -1)
    own[known] = np.arange(len(known))
    shops = pc.unique(shop_ids.take(pa.array(known))).drop_null()
    shops = shops.take(pc.sort_indices(shops))
    shop = pc.index_in(shop_ids, value_set=shops, skip_nulls=True).fill_null(-1).to_numpy()
    return sparse.hstack([words, _one_hot(own, len(known)), _one_hot(shop, len(shops))], format="csr")


def _one_hot(number: NDArray[np.int64], columns: int) -> sparse.csr_array:
    """(L, columns) with a one where a row has a number, a zero row where it is -1."""
    return _binary(number[number >= 0].astype(np.int32), np.append(0, np.cumsum(number >= 0)), columns)
