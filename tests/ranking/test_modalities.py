"""The choices that validation makes, with their ties."""

from __future__ import annotations

import numpy as np

from shoplens.ranking.modalities import MODALITIES, GridPoint, Run, best_point, choose, grid, runs_of

NAN = np.nan


def test_text_is_trained_once_and_the_rest_for_each_encoder() -> None:
    assert [run.name for run in runs_of(["candidate", "reference"])] == [
        "text",
        "candidate/multimodal",
        "candidate/image",
        "reference/multimodal",
        "reference/image",
    ]
    assert runs_of([]) == (Run("text"),)


def test_the_grid_holds_every_combination_once() -> None:
    points = grid((0.1, 1.0), (0.0,), (1.0, 2.0))
    assert points == (
        GridPoint(0.1, 0.0, 1.0),
        GridPoint(0.1, 0.0, 2.0),
        GridPoint(1.0, 0.0, 1.0),
        GridPoint(1.0, 0.0, 2.0),
    )


def test_the_best_grid_point_is_the_best_mean_over_queries_that_have_one() -> None:
    assert best_point(np.array([[0.9, 0.1, 0.5], [0.1, 0.8, 0.6], [NAN] * 3])) == 2


def test_ties_between_grid_points_and_no_score_at_all_take_the_first() -> None:
    assert best_point(np.array([[0.1, 0.5, 0.5]])) == 1
    assert best_point(np.full((2, 3), NAN)) == 0


def test_each_query_takes_its_best_modality_and_text_wins_ties() -> None:
    scores = np.array([[0.5, 0.4, 0.6], [0.5, 0.5, 0.5], [0.4, 0.5, 0.5], [NAN] * 3])
    assert MODALITIES == ("text", "multimodal", "image")
    assert [MODALITIES[number] for number in choose(scores)] == ["image", "text", "multimodal", "text"]
