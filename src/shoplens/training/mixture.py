"""Which galleries and image units make each batch: the same for the same seed and epoch, wherever training stopped.

Pinterest, section 3.4.1: "For every mini-batch, we balance a uniform mix of each of the datasets with an epoch defined
by the iterations to iterate through the largest dataset." The gallery tasks count as one more source; its share of the
photos is a whole number of galleries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplens.contract.spec import GALLERIES
from shoplens.errors import ShoplensError


@dataclass(frozen=True)
class Pool:
    """What one source draws from: ids of its training galleries or units (n,), and photos an id has on average."""

    name: str
    ids: np.ndarray
    photos: float = 1.0


def shares(
    pools: Sequence[Pool], photos: int, mixing: Literal["even", "by_size"], gallery_share: float | None = None
) -> list[int]:
    """How many ids of each pool a batch of `photos` photos has, at least one of each.

    "even" gives every pool as many photos; "by_size" in proportion to what it has (Table 2, "No Dataset Balancing").
    `gallery_share` of the photos are of galleries, if given, and `mixing` is among the others.

    Raises:
        ShoplensError: if a pool is empty.
    """
    for pool in pools:
        if not len(pool.ids):
            raise ShoplensError(f"source {pool.name!r} has nothing to train on: no usable training row is left")
    sizes = np.array([len(pool.ids) * pool.photos if mixing == "by_size" else 1.0 for pool in pools])
    listed = np.array([pool.name == GALLERIES for pool in pools])
    if gallery_share is not None and listed.any() and not listed.all():
        sizes[listed] = sizes[~listed].sum() * gallery_share / (1 - gallery_share)
    wanted = photos * sizes / sizes.sum()
    return [max(1, round(part / pool.photos)) for part, pool in zip(wanted, pools, strict=True)]


def steps_of(pools: Sequence[Pool], counts: Sequence[int]) -> int:
    """Batches of an epoch: until the source that takes longest has been seen once."""
    return max(-(-len(pool.ids) // count) for pool, count in zip(pools, counts, strict=True))


def epoch_order(pool: Pool, number: int, count: int, steps: int, seed: int, epoch: int) -> np.ndarray:
    """What pool `number` gives to each batch of an epoch, (steps, at most count), padded with -1.

    A pool that is through begins anew in another order. With one pool the last batch may be short, as it should be
    when nothing has to wait for anything longer.
    """
    if steps == -(-len(pool.ids) // count):
        order = np.random.default_rng([seed, epoch, number, 0]).permutation(pool.ids)
        return np.pad(order, (0, steps * count - len(order)), constant_values=-1).reshape(steps, count)
    passes = -(-steps * count // len(pool.ids))
    orders = [np.random.default_rng([seed, epoch, number, turn]).permutation(pool.ids) for turn in range(passes)]
    return np.concatenate(orders)[: steps * count].reshape(steps, count)


def batches_of(pools: Sequence[Pool], counts: Sequence[int], seed: int, epoch: int) -> list[tuple[np.ndarray, ...]]:
    """All batches of an epoch: for each, the ids of every pool."""
    steps = steps_of(pools, counts)
    orders = [
        epoch_order(pool, number, count, steps, seed, epoch)
        for number, (pool, count) in enumerate(zip(pools, counts, strict=True))
    ]
    return [tuple(order[step][order[step] >= 0] for order in orders) for step in range(steps)]
