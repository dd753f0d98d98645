"""Bags of words by scikit-learn's CountVectorizer, one call a segment, and retrieval by reading every listing."""

import re
from collections.abc import Sequence

from sklearn.feature_extraction.text import CountVectorizer

Listing = tuple[str | None, Sequence[str | None] | None]
"""Title and tags."""


def terms_of(listing: Listing, longest: int = 2) -> set[str]:
    """Union over title and tags of what CountVectorizer(binary=True, ngram_range=(1, longest)) finds in each."""
    analyse = CountVectorizer(binary=True, ngram_range=(1, longest)).build_analyzer()
    title, tags = listing
    return {term for segment in (title, *(tags or ())) for term in analyse(segment or "")}


def bag_of_words_by_sets(listings: Sequence[Listing], known: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """The vocabulary of the known listings, sorted, and each listing's terms that are in it, sorted."""
    bags = [terms_of(listing) for listing in listings]
    vocabulary = set().union(*(bags[row] for row in known))
    return sorted(vocabulary), [sorted(bag & vocabulary) for bag in bags]


def candidates_by_reading(listings: Sequence[Listing], query: str) -> list[int]:
    """Listings with a word of the query in title or tags."""
    typed = set(re.findall(r"(?u)\b\w\w+\b", query.lower()))
    return [row for row, listing in enumerate(listings) if typed & terms_of(listing, 1)]
