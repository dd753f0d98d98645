"""Independent reimplementations of retrieval's parts: exact fractions, Python's sort, NumPy's popcount, ranx."""

from fractions import Fraction

import numpy as np


def squared_distances(corpus: np.ndarray, queries: np.ndarray) -> list[list[Fraction]]:
    """Without any rounding."""
    rows, asked = ([[Fraction(value) for value in row] for row in side.tolist()] for side in (corpus, queries))
    return [[sum(((a - b) ** 2 for a, b in zip(q, c, strict=True)), Fraction()) for c in rows] for q in asked]


def bits_apart(corpus: np.ndarray, queries: np.ndarray) -> list[list[int]]:
    """Hamming distances of packed codes by numpy.bitwise_count."""
    return np.bitwise_count(corpus[None] ^ queries[:, None]).sum(axis=2, dtype=int).tolist()


def nearest(distances: list[list], k: int) -> list[list[int]]:
    """Sort all of the corpus by (distance, row)."""
    return [sorted(range(len(row)), key=lambda place: (row[place], place))[:k] for row in distances]


def mean_precision_by_loops(hits: list[bool], depth: int) -> float:
    """P@1 to P@depth one after the other, then their mean."""
    values = [Fraction(sum(hits[:k]), k) for k in range(1, depth + 1)]
    return float(sum(values) / depth)


def mean_precision_by_ranx(neighbours: np.ndarray, relevant: list[list[int]], depth: int) -> np.ndarray:
    """The mean of ranx's precision@1 to precision@depth; every query has a relevant row."""
    from numba.typed import List
    from ranx.metrics import precision

    judged = List([np.array([[row, 1.0] for row in rows], float) for rows in relevant])
    places = np.arange(neighbours.shape[1], 0, -1)
    run = List([np.stack([rows, places], axis=1).astype(float) for rows in neighbours])
    return np.mean([precision(judged, run, k) for k in range(1, depth + 1)], axis=0)
