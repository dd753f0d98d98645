"""Image features: one length for all, centred on what the encoder was trained on, zeros without photos."""

from __future__ import annotations

import numpy as np
import pytest

from shoplens.ranking.features import image_features

ROWS = np.array([0, 2, 3, 5])
TRAINING = np.array([True, True, False, False])
EMBEDDINGS = np.random.default_rng(0).uniform(1, 2, (4, 3)).astype(np.float32)


def features(embeddings: np.ndarray = EMBEDDINGS, *, centre: bool = True, scale: float = 1.0) -> np.ndarray:
    return image_features(embeddings, ROWS, 6, training=TRAINING, centre=centre, scale=scale)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_listings_with_photos_have_one_length_and_the_others_none(centre: bool, scale: float) -> None:
    found = features(centre=centre, scale=scale)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx([scale, 0, scale, scale, 0, scale], rel=1e-6)


def test_the_paper_s_features_point_where_the_embedding_does() -> None:
    found = features(centre=False)[ROWS]
    assert found == pytest.approx(EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True), rel=1e-6)


def test_the_centre_is_that_of_training_listings_alone() -> None:
    moved = EMBEDDINGS - EMBEDDINGS[:2].mean(axis=0)
    assert features()[ROWS] == pytest.approx(moved / np.linalg.norm(moved, axis=1, keepdims=True), rel=1e-5)
    other = EMBEDDINGS.copy()
    other[3] *= 10
    assert (features(other)[ROWS[:3]] == features()[ROWS[:3]]).all()


def test_an_embedding_at_the_centre_is_zero_and_not_nan() -> None:
    same = np.ones((4, 3), np.float32)
    assert not features(same).any()


def test_a_diverged_encoder_s_numbers_are_not_hidden() -> None:
    for broken in (np.nan, np.inf):
        embeddings = EMBEDDINGS.copy()
        embeddings[2, 1] = broken
        assert not np.isfinite(features(embeddings)).all()
