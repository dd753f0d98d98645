"""Image sets from an engagement log: what people save or click beside an image says what belongs together.

The Pinterest paper, 3.2.1: "Image sets are collected where a given query image has a set of related images ranked via
engagement, and we assign each image set a label (unique identifier) that is conceptually the same as semantic class
label. We apply a set of strict heuristics (e.g. number of impressions and interactions for each image in the set)".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError


@dataclass(frozen=True)
class Engagement:
    """An engagement log: R rows, each of how often `image` was shown beside `query` and how often it was acted upon.

    Attributes:
        query, image: (R,) ids, strings or integers of one type. A pair may have several rows; they are added up.
        impressions, interactions: (R,) counts, interactions at most impressions.
    """

    query: NDArray[Any]
    image: NDArray[Any]
    impressions: NDArray[np.int64]
    interactions: NDArray[np.int64]


@dataclass(frozen=True)
class ImageSet:
    """One set: its label is the id of the query image, which is the first of its images.

    Attributes:
        query: the id.
        images: (N,) ids; after the query by interactions an impression, highest first, then by id.
    """

    query: Any
    images: NDArray[Any]


def _check(log: Engagement) -> None:
    lengths = {name: len(column) for name, column in vars(log).items()}
    if len(set(lengths.values())) > 1:
        raise ShoplensError(f"engagement log: columns of different lengths ({lengths}); give every row all four values")
    wrong = np.flatnonzero((log.interactions < 0) | (log.interactions > log.impressions))
    if len(wrong):
        row = int(wrong[0])
        raise ShoplensError(
            f"engagement log, row {row}: {log.interactions[row]} interactions in {log.impressions[row]} impressions "
            f"({len(wrong)} such rows); count each interaction with the impression that it followed"
        )


def image_sets(log: Engagement, min_impressions: int, min_interactions: int, min_images: int) -> list[ImageSet]:
    """Mine sets of images that were engaged with beside the same image; no image is in two sets.

    Pairs below one of the minimums are dropped. Then queries are visited by their interactions in the remaining pairs,
    most first (ties by id): one that is in no set yet starts a set, of itself and of its images that are in no set yet.
    So two queries of one kind do not start two sets of it, which would be two classes of the same look.

    Args:
        log: the engagement.
        min_impressions: of an image beside the query.
        min_interactions: of an image beside the query.
        min_images: of a set, with its query; smaller ones are dissolved, and their images stay free for later queries.

    Returns:
        The sets in the order in which they were started.

    Raises:
        ShoplensError: for columns of different lengths and impossible counts, naming the first row.
    """
    _check(log)
    ids, code = np.unique(np.concatenate([log.query, log.image]), return_inverse=True)
    query, image = code[: len(log.query)].astype(np.int64), code[len(log.query) :].astype(np.int64)
    pair, row = np.unique(query * len(ids) + image, return_inverse=True)
    seen = np.bincount(row, log.impressions, len(pair)).astype(np.int64)
    taken = np.bincount(row, log.interactions, len(pair)).astype(np.int64)
    own = pair // max(len(ids), 1), pair % max(len(ids), 1)
    strict = (seen >= max(min_impressions, 1)) & (taken >= min_interactions) & (own[0] != own[1])
    query, image, seen, taken = own[0][strict], own[1][strict], seen[strict], taken[strict]

    order = np.lexsort((image, -taken / seen, query))
    query, image, taken = query[order], image[order], taken[order]
    starts = np.flatnonzero(np.append(True, query[1:] != query[:-1])) if len(query) else np.empty(0, np.int64)
    ends = np.append(starts[1:], len(query))
    total = np.add.reduceat(taken, starts) if len(starts) else starts
    free = np.ones(len(ids), bool)
    sets: list[ImageSet] = []
    for at in np.lexsort((query[starts], -total)):
        first = query[starts[at]]
        members = image[starts[at] : ends[at]]
        members = members[free[members]]
        if free[first] and len(members) + 1 >= min_images:
            free[first] = False
            free[members] = False
            sets.append(ImageSet(ids[first].item(), ids[np.append(first, members)]))
    return sets
