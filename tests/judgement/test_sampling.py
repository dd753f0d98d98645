"""The sample of queries follows the traffic, without replacement, and is the same for the same seed."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judgement.judged_run import write_lines
from scipy.stats import chisquare

from shoplens.errors import ShoplensError
from shoplens.judgement.sampling import query_weights, read_traffic, weighted_sample

WEIGHTS = np.array([5.0, 0.0, 1.0, 3.0, 1.0])


def chances(weights: np.ndarray, size: int) -> dict[tuple[int, ...], float]:
    """The chance of every set, by drawing one row after the other in every possible order."""
    found: Counter[tuple[int, ...]] = Counter()
    for order in itertools.permutations(np.flatnonzero(weights).tolist(), size):
        chance, left = 1.0, weights.sum()
        for row in order:
            chance *= weights[row] / left
            left -= weights[row]
        found[tuple(sorted(order))] += chance
    return found


@pytest.mark.parametrize("size", [1, 2, 3])
def test_sets_are_drawn_as_often_as_one_by_one_drawing_would(size: int) -> None:
    expected = chances(WEIGHTS, size)
    assert sum(expected.values()) == pytest.approx(1)
    generator, draws = np.random.default_rng(0), 20_000
    found = Counter(tuple(weighted_sample(WEIGHTS, size, generator).tolist()) for _ in range(draws))
    assert set(found) <= set(expected)
    p = chisquare([found[rows] for rows in expected], [draws * chance for chance in expected.values()]).pvalue
    assert p > 0.001


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(0, 2**32 - 1), st.data())
def test_a_sample_has_its_size_no_row_twice_and_none_without_weight(
    weights: list[float], seed: int, data: st.DataObject
) -> None:
    array = np.array(weights)
    size = data.draw(st.integers(0, int((array > 0).sum())))
    rows = weighted_sample(array, size, np.random.default_rng(seed))
    assert len(rows) == len(set(rows.tolist())) == size
    assert (array[rows] > 0).all()
    assert rows.tolist() == sorted(rows.tolist())
    assert weighted_sample(array, size, np.random.default_rng(seed)).tolist() == rows.tolist()


def test_more_rows_than_have_weight_are_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4 rows"):
        weighted_sample(WEIGHTS, 5, np.random.default_rng(0))


def test_the_crops_of_a_photo_share_its_traffic() -> None:
    images = ["scene", "scene", "photo", "scene", "unseen"]
    assert query_weights(images, {"scene": 6.0, "photo": 6.0}).tolist() == [2.0, 2.0, 6.0, 2.0, 0.0]
    assert query_weights(images, None).tolist() == [1.0] * 5


def test_traffic_is_read(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "traffic.csv", "weight,image_id,note", '2.5,"a,b",x', "0,c,", "", "1e3,d,y")
    assert read_traffic(file) == {"a,b": 2.5, "c": 0.0, "d": 1000.0}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("c,-1", "row 3, column weight: '-1' is no number of at least 0"),
        ("c,nan", "row 3, column weight: 'nan' is no number"),
        ("c,inf", "row 3, column weight"),
        ("c,many", "row 3, column weight: 'many' is no number"),
        ("c,", "row 3, column weight: the cell is empty"),
        (",1", "row 3, column image_id: the cell is empty"),
        ("b,1", "row 3, column image_id: photo b stands there twice; add the rows up"),
    ],
)
def test_traffic_rows_that_are_wrong_are_named(tmp_path: Path, row: str, said: str) -> None:
    file = write_lines(tmp_path / "traffic.csv", "image_id,weight", "b,1", row)
    with pytest.raises(ShoplensError) as error:
        read_traffic(file)
    assert str(error.value).startswith(f"{file}, {said}")
