"""Image sets from engagement (the Pinterest paper, 3.2.1), and the engagement that the demo simulates."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.world.chance import stream
from shoplens.world.engagement import IMPRESSIONS, engagement
from shoplens.world.image_sets import Engagement, ImageSet, image_sets
from shoplens.world.products import draw_product

Row = tuple[str, str, int, int]


def log_of(rows: list[Row]) -> Engagement:
    query, image, impressions, interactions = zip(*rows, strict=True) if rows else [()] * 4
    return Engagement(
        np.array(query, str), np.array(image, str), np.array(impressions, int), np.array(interactions, int)
    )


def plain(sets: list[ImageSet]) -> list[list[str]]:
    assert all(found.query == found.images[0] for found in sets)
    return [found.images.tolist() for found in sets]


def oracle(rows: list[Row], min_impressions: int, min_interactions: int, min_images: int) -> list[list[str]]:
    """The definition, with dictionaries."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for query, image, impressions, interactions in rows:
        sums[query, image][0] += impressions
        sums[query, image][1] += interactions
    related: dict[str, list[tuple[float, str, int]]] = defaultdict(list)
    for (query, image), (seen, taken) in sums.items():
        if query != image and seen >= min_impressions and taken >= min_interactions:
            related[query].append((-taken / seen, image, taken))
    placed: set[str] = set()
    sets = []
    for query in sorted(related, key=lambda q: (-sum(taken for *_, taken in related[q]), q)):
        images = [image for _, image, _ in sorted(related[query]) if image not in placed]
        if query not in placed and len(images) + 1 >= min_images:
            sets.append([query, *images])
            placed |= {query, *images}
    return sets


rows_of = st.lists(
    st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg"), st.integers(1, 9), st.integers(0, 9)).map(
        lambda row: (row[0], row[1], max(row[2], row[3]), row[3])
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(rows=rows_of, least=st.tuples(st.integers(1, 12), st.integers(0, 8), st.integers(1, 4)))
def test_sets_are_those_of_the_definition(rows: list[Row], least: tuple[int, int, int]) -> None:
    found = plain(image_sets(log_of(rows), *least))
    assert found == oracle(rows, *least)
    assert sum(map(len, found)) == len({image for images in found for image in images})


def test_a_set_is_its_query_and_what_was_engaged_with_beside_it_best_first() -> None:
    rows = [("q", "low", 10, 4), ("q", "high", 10, 8), ("q", "also", 20, 8), ("q", "rare", 3, 3), ("q", "never", 90, 1)]
    assert plain(image_sets(log_of(rows), 10, 3, 2)) == [["q", "high", "also", "low"]]


def test_two_queries_of_one_kind_start_one_set() -> None:
    rows = [("a", "b", 9, 9), ("a", "c", 9, 8), ("b", "a", 9, 7), ("b", "c", 9, 7), ("d", "c", 9, 6), ("d", "e", 9, 6)]
    assert plain(image_sets(log_of(rows), 1, 1, 2)) == [["a", "b", "c"], ["d", "e"]]


def test_images_of_a_set_that_is_too_small_stay_free() -> None:
    rows = [("a", "b", 9, 9), ("c", "b", 9, 4), ("c", "d", 9, 4)]
    assert plain(image_sets(log_of(rows), 1, 1, 3)) == [["c", "b", "d"]]


def test_rows_of_one_pair_are_added_up() -> None:
    assert plain(image_sets(log_of([("a", "b", 5, 2)] * 2), 10, 4, 2)) == [["a", "b"]]
    assert image_sets(log_of([("a", "b", 5, 2)]), 10, 4, 2) == []
    assert image_sets(log_of([]), 1, 1, 2) == []


def test_impossible_counts_are_refused_with_their_row() -> None:
    with pytest.raises(ShoplensError, match="row 1: 3 interactions in 2 impressions"):
        image_sets(log_of([("a", "b", 2, 2), ("a", "c", 2, 3)]), 1, 1, 1)
    with pytest.raises(ShoplensError, match="different lengths"):
        image_sets(Engagement(np.arange(2), np.arange(3), np.arange(2), np.arange(2)), 1, 1, 1)


def test_people_save_what_agrees_in_style_and_colour_above_all() -> None:
    products = [draw_product(3, number) for number in range(150)]
    log = engagement(stream(3, 0), products)
    assert len(log.query) == 150 * 149 and (log.query != log.image).all()
    assert abs(log.impressions.mean() - IMPRESSIONS) < 0.2
    style, colour, group = (
        np.array([getattr(p, f) for p in products])[log.query] == np.array([getattr(p, f) for p in products])[log.image]
        for f in ("style", "colour", "group")
    )
    rate = log.interactions / np.maximum(log.impressions, 1)
    both, one, none = rate[style & colour].mean(), rate[style ^ colour].mean(), rate[~style & ~colour].mean()
    assert both > 0.5 > 0.25 > one > 0.1 > none
    assert rate[style & colour & group].mean() > both > rate[style & colour & ~group].mean()


def test_mined_sets_are_mostly_of_one_style_and_colour() -> None:
    products = [draw_product(3, number // 3) for number in range(300)]
    sets = image_sets(engagement(stream(3, 0), products), 10, 9, 5)
    assert len(sets) >= 10
    pairs = [pair for found in sets for pair in combinations(found.images.tolist(), 2)]
    agree = [(products[a].style, products[a].colour) == (products[b].style, products[b].colour) for a, b in pairs]
    assert 0.7 < np.mean(agree) < 1
