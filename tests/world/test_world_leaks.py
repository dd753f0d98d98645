"""Nothing but photos and words tells a label: ids, order and gallery length are worthless for every task."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from shoplens.params import WorldParams
from shoplens.world.gallery import LONGEST, SHORTEST, gallery
from shoplens.world.listing import Listing
from shoplens.world.render import draw_listings
from shoplens.world.tables import HOLDOUT, SEGMENTS, TASKS

PARAMS = WorldParams()


@pytest.fixture(scope="module")
def world() -> list[Listing]:
    return draw_listings(PARAMS)


@pytest.fixture(scope="module")
def lengths(world: list[Listing]) -> np.ndarray:
    return np.array([len(gallery(x, PARAMS)) for x in world])


def as_numbers(listings: list[Listing], task: str) -> np.ndarray:
    """A label a listing as a number, NaN where unknown; a class as the rank of its mean price-free order."""
    values = [x.stars if task == HOLDOUT else x.labels[task] for x in listings]
    classes = {"segment": list(SEGMENTS)}.get(task) or sorted({v for v in values if isinstance(v, str)})
    return np.array(
        [np.nan if v is None else float(classes.index(v)) if isinstance(v, str) else float(v) for v in values]
    )


def bytes_of(name: str) -> list[int]:
    return list(bytes.fromhex(name))


def test_gallery_lengths(lengths: np.ndarray) -> None:
    assert lengths.min() == SHORTEST == 5
    assert lengths.max() == LONGEST == 44
    assert 6.2 < lengths.mean() < 6.9
    assert np.median(lengths) <= 6


def test_order_length_and_ids_are_uncorrelated_with_every_label(world: list[Listing], lengths: np.ndarray) -> None:
    """Largest of 32 x 8 correlations: about 3.2 / sqrt(n) by chance; a leak of 1 % of the variance would be 0.1."""
    clues = np.column_stack(
        [np.arange(len(world)), lengths, np.log(lengths), np.array([bytes_of(x.listing_id)[:5] for x in world])]
    ).astype(float)
    for task in [*(name for name, _ in TASKS), HOLDOUT]:
        label = as_numbers(world, task)
        known = ~np.isnan(label)
        for clue in clues[known].T:
            assert abs(np.corrcoef(clue, label[known])[0, 1]) < 5 / np.sqrt(known.sum()), task


def test_a_classifier_learns_nothing_from_them(world: list[Listing], lengths: np.ndarray) -> None:
    clues = np.array([[i, n, *bytes_of(x.listing_id)] for i, (x, n) in enumerate(zip(world, lengths, strict=True))])
    train = np.arange(len(world)) % 2 == 0
    for task in ("pool", "vacation_rental", "sea_view"):
        label = as_numbers(world, task)
        known = ~np.isnan(label)
        model = RandomForestClassifier(40, min_samples_leaf=10, random_state=0).fit(
            clues[train & known], label[train & known]
        )
        auc = roc_auc_score(label[~train & known], model.predict_proba(clues[~train & known])[:, 1])
        assert abs(auc - 0.5) < 0.06, task


def test_unknown_labels_are_missing_at_random(world: list[Listing]) -> None:
    for task in ("segment", "review_score", HOLDOUT):
        missing = np.isnan(as_numbers(world, task)).astype(float)
        for clue in ([x.facts.care for x in world], [x.facts.number("price_eur") for x in world]):
            assert abs(np.corrcoef(missing, clue)[0, 1]) < 5 / np.sqrt(len(world)), task
