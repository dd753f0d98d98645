"""Two-sample permutation tests that keep clusters whole, and Holm's correction for a family of them.

A cluster is what came together, such as the listings of one shop: they share a town and a taste, so permuting single
listings would take the luck of a few large shops for drift. All statistics are squared distances between the two
samples, 0 for equal ones; an `effect` is the root of what a distance has in excess of its mean under permutation, so
that small samples and many classes do not look like effects.

Sources: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses (2005), chapter 3; Székely and Rizzo, "Energy
statistics" (2013); Holm, "A simple sequentially rejective multiple test procedure" (1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_CELLS = 1 << 22
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Design:
    """Units (listings) of two samples in clusters, the reference's units first.

    Attributes:
        cluster: int64 (n,), each unit's cluster, 0..C-1. No cluster has units of both samples.
        incoming: bool (C,), whether the cluster is of the incoming sample.
    """

    cluster: Ints
    incoming: Bools

    @property
    def sizes(self) -> Ints:
        """Units of each cluster, int64 (C,)."""
        return np.bincount(self.cluster, minlength=len(self.incoming)).astype(np.int64)


def design_of(reference: Ints, incoming: Ints) -> Design:
    """The design of two samples, from the cluster numbers of their units.

    The same number in both samples means two clusters: what they share makes the samples more alike than the
    permutations suppose, so a p-value can only come out too large.
    """
    (_, old), (_, new) = (np.unique(units, return_inverse=True) for units in (reference, incoming))
    first = int(old.max(initial=-1)) + 1
    count = int(new.max(initial=-1)) + 1
    return Design(np.concatenate([old, new + first]).astype(np.int64), np.arange(first + count) >= first)


@dataclass(frozen=True)
class Counts:
    """A column as counts: how many units of each cluster are in each of K classes.

    Attributes:
        table: float32 (C, K).
        ordered: whether the classes are neighbouring intervals of a number. Then the distance is D^2, the square of
            the largest difference of the cumulative shares (Kolmogorov and Smirnov's D on the grid of the classes);
            else it is w^2, the sum of (difference of the shares)^2 / (mean of the two shares) (Cohen's w).
    """

    table: Floats
    ordered: bool


@dataclass(frozen=True)
class Outcome:
    """What a test found: the distance (squared), its effect, and how often a permutation is at least as far apart."""

    distance: float
    effect: float
    p: float


def counts_of(design: Design, classes: Ints, ordered: bool = False) -> Counts:
    """Counts of a column whose units are in class 0..K-1, or in none (-1)."""
    known = classes >= 0
    width = int(classes.max(initial=0)) + 1
    cell = design.cluster[known] * width + classes[known]
    table = np.bincount(cell, minlength=len(design.incoming) * width).reshape(-1, width)
    return Counts(table.astype(np.float32), ordered)


def shuffles(incoming: Bools, count: int, seed: int, width: int = 1) -> Iterator[Floats]:
    """What is incoming as it is, then in `count` permutations of the clusters: float32 (b, C) a time, 0 or 1.

    Args:
        incoming: bool (C,).
        count: number of permutations.
        seed: of the permutations.
        width: numbers that the caller makes of a permutation; it bounds b.
    """
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(len(incoming), width, 1))
    yield incoming[None].astype(np.float32)
    for start in range(0, count, step):
        rows = np.repeat(incoming[None].astype(np.uint8), min(step, count - start), axis=0)
        yield generator.permuted(rows, axis=1, out=rows).astype(np.float32)


def compare_counts(design: Design, columns: Sequence[Counts], permutations: int, seed: int) -> list[Outcome]:
    """Test each column for a difference between the samples; one set of permutations serves all.

    Args:
        design: the units.
        columns: at least one, all of the same units.
        permutations: how many; a p-value is at least 1 / (permutations + 1).
        seed: of the permutations.
    """
    ends = np.cumsum([column.table.shape[1] for column in columns])
    table = np.concatenate([column.table for column in columns], axis=1)
    total = table.sum(axis=0)
    tallies = [_Tally() for _ in columns]
    for chosen in shuffles(design.incoming, permutations, seed, table.shape[1]):
        new = chosen @ table
        for column, tally, end in zip(columns, tallies, ends, strict=True):
            at = slice(end - column.table.shape[1], end)
            tally.add(_distance(new[:, at], total[at] - new[:, at], column.ordered))
    return [tally.outcome() for tally in tallies]


def compare_embeddings(design: Design, embeddings: Floats, permutations: int, seed: int) -> Outcome:
    """Test two clouds of points for a difference by their energy distance (Euclidean).

    The distance is four times the energy coefficient, (2 E|x-y| - E|x-x'| - E|y-y'|) / (2 E|x-y|), because its root,
    the effect, is then that of a move of the whole cloud: 0.2 for one by a fifth of its standard deviation in every
    dimension (normal clouds, small moves).

    Args:
        design: the units.
        embeddings: float32 (n, dim), the reference's first. Memory is that of n x n distances.
        permutations: how many.
        seed: of the permutations.
    """
    points = embeddings - embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("nd,nd->n", points, points)
    distances = points @ points.T
    distances *= -2
    distances += squares[:, None]
    distances += squares
    np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
    np.fill_diagonal(distances, 0)
    new = design.incoming[design.cluster]
    across = float(distances[new][:, ~new].mean(dtype=np.float64)) or 1.0
    # Centred, the whole of one sample's weights cancels, and the form below needs only who is incoming.
    means = distances.mean(axis=0, dtype=np.float64)
    distances -= means.astype(np.float32)
    distances -= means.astype(np.float32)[:, None]
    distances += np.float32(means.mean())
    between = _summed(_summed(distances, design.cluster).T, design.cluster)
    sizes = design.sizes.astype(np.float32)
    tally = _Tally()
    for chosen in shuffles(design.incoming, permutations, seed):
        units = chosen @ sizes
        scale = (1 / units + 1 / (len(points) - units)) ** 2
        tally.add(-2 / across * scale * np.einsum("bc,bc->b", chosen @ between, chosen))
    return tally.outcome()


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: rejecting those at most alpha errs at all with at most alpha."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    adjusted = np.minimum(1, np.maximum.accumulate(np.asarray(p)[order] * factors))
    found = np.empty(len(p))
    found[order] = adjusted
    return [float(value) for value in found]


def permutations_for(tests: int, alpha: float) -> int:
    """How many permutations let each test of a family reach an adjusted p-value of alpha / 4."""
    return math.ceil(4 * tests / alpha)


class _Tally:
    """Distances of the permutations, the first one of the samples as they are."""

    def __init__(self) -> None:
        self._seen = math.nan
        self._count, self._reached, self._sum = 0, 0, 0.0

    def add(self, distances: Floats) -> None:
        if self._count == 0 and math.isnan(self._seen):
            (self._seen,) = distances.tolist()
            return
        # Equal distances may be summed in another order: what is as far but for rounding counts as reached.
        self._reached += int((distances >= self._seen * (1 - _ROUNDING)).sum())
        self._sum += float(distances.sum(dtype=np.float64))
        self._count += len(distances)

    def outcome(self) -> Outcome:
        excess = self._seen - self._sum / self._count
        p = (1 + self._reached) / (1 + self._count)
        return Outcome(self._seen, math.sqrt(max(0.0, excess)), p)


def _distance(new: Floats, old: Floats, ordered: bool) -> Floats:
    """Squared distance of the shares in rows of counts, float32 (b,)."""
    # A permutation may leave a side without a known value: then all its shares are 0.
    new, old = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) for counts in (new, old))
    if ordered:
        largest: Floats = np.abs(np.cumsum(new - old, axis=1)).max(axis=1)
        return largest**2
    terms = np.divide(np.square(new - old), (new + old) / 2, out=np.zeros_like(new), where=new + old > 0)
    distances: Floats = terms.sum(axis=1)
    return distances


def _summed(rows: Floats, cluster: Ints) -> Floats:
    """Rows summed by cluster, float32 (C, ...)."""
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(int(cluster.max()) + 1))
    found: Floats = np.add.reduceat(rows[order], starts, axis=0)
    return found
