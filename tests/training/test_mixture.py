"""Batches balance the sources, and an epoch is one pass through the largest (Pinterest, section 3.4.1)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.training.mixture import Pool, batches_of, shares, steps_of


def pool(size: int, photos: float = 1.0, first: int = 0, name: str = "a") -> Pool:
    return Pool(name, np.arange(first, first + size), photos)


sizes = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=4)
"""Ids of each pool, and how many of them a batch has."""


def test_even_shares_are_as_many_photos_of_every_source() -> None:
    assert shares([pool(1000), pool(50), pool(700, photos=2.5)], 60, "even") == [20, 20, 8]


def test_shares_by_size_are_proportional_to_the_photos_that_a_source_has() -> None:
    assert shares([pool(300), pool(100), pool(80, photos=2.5)], 60, "by_size") == [30, 10, 8]


@pytest.mark.parametrize(("mixing", "others"), [("even", [15, 15]), ("by_size", [10, 20])])
def test_galleries_have_the_share_of_the_photos_that_is_asked_for(mixing: str, others: list[int]) -> None:
    pools = [pool(900, photos=2.5, name="galleries"), pool(100), pool(200, name="b")]
    assert shares(pools, 60, mixing, 0.5) == [12, *others]  # type: ignore[arg-type]
    assert shares(pools[:1], 60, mixing, 0.5) == [24], "nothing else is there"  # type: ignore[arg-type]
    assert shares(pools[1:], 60, mixing, 0.5) == [*(2 * count for count in others)]  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(1, 30)), min_size=1, max_size=5), st.integers(1, 2000))
def test_even_shares_differ_by_less_than_one_of_the_longest_galleries(
    given_pools: list[tuple[int, float]], photos: int
) -> None:
    pools = [pool(size, mean) for size, mean in given_pools]
    for count, own in zip(shares(pools, photos, "even"), pools, strict=True):
        assert count >= 1
        assert abs(count * own.photos - photos / len(pools)) <= own.photos


@pytest.mark.parametrize("mixing", ["even", "by_size"])
def test_every_source_is_in_every_batch_however_small_it_is(mixing: str) -> None:
    assert min(shares([pool(1_000_000), pool(1), pool(3, photos=20.0)], 8, mixing)) == 1  # type: ignore[arg-type]


def test_a_source_without_training_rows_is_named() -> None:
    with pytest.raises(ShoplensError, match="source 'lens' has nothing to train on"):
        shares([pool(3), pool(0, name="lens")], 8, "even")


@settings(deadline=None)
@given(sizes, st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_passes_the_largest_source_once_and_smaller_ones_begin_anew(
    drawn: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    pools, counts = [pool(size, first=7) for size, _ in drawn], [count for _, count in drawn]
    batches = batches_of(pools, counts, seed, epoch)
    steps = steps_of(pools, counts)
    assert len(batches) == steps == max(-(-len(own.ids) // count) for own, count in zip(pools, counts, strict=True))
    for place, (own, count) in enumerate(zip(pools, counts, strict=True)):
        parts = [batch[place] for batch in batches]
        assert all(len(part) == count for part in parts[:-1])
        given_out = np.concatenate(parts)
        if -(-len(own.ids) // count) == steps:
            assert sorted(given_out.tolist()) == own.ids.tolist()
            continue
        assert len(given_out) == steps * count
        for start in range(0, len(given_out), len(own.ids)):  # one pass after the other
            part = given_out[start : start + len(own.ids)].tolist()
            assert len(set(part)) == len(part) and set(part) <= set(own.ids.tolist())


def test_passes_are_in_different_orders() -> None:
    batches = batches_of([pool(200), pool(20)], [10, 10], 0, 0)
    passes = {tuple(np.concatenate([batch[1] for batch in batches[i : i + 2]]).tolist()) for i in range(0, 20, 2)}
    assert len(passes) == 10


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    def told(seed: int, epoch: int) -> list[list[list[int]]]:
        pools = [pool(30), pool(11)]
        return [[part.tolist() for part in batch] for batch in batches_of(pools, [4, 4], seed, epoch)]

    assert told(1, 2) == told(1, 2)
    assert len({str(told(*at)) for at in ((1, 2), (1, 3), (2, 2), (2, 1))}) == 4


def test_sources_of_one_size_are_not_in_step() -> None:
    """Each has its own order: else the same two photos would always meet."""
    (batch,) = batches_of([pool(50), pool(50)], [50, 50], 0, 0)
    assert batch[0].tolist() != batch[1].tolist()
