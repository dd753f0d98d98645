"""A ranking that is really killed goes on with the queries that it had not finished, and ends with the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from evaluation.ranking_world import Taste, make_world, search_log, write_inputs
from killed import files_at_least, finish, kill_when

from shoplens.files import digest_folder
from shoplens.params import TrainParams

STAGE = "evaluate-ranking"
TASTES = [Taste(f"stay {number}", looks=1.0, word=number % 2) for number in range(30)]


@pytest.mark.slow
def test_a_killed_ranking_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root, world = tmp_path / "run", make_world(60)
    inputs = write_inputs(root, world, search_log(world, TASTES), {"candidate": world.looks, "reference": world.looks})
    (root / "artifacts").mkdir()
    for name in ("prepare", "embed"):
        inputs[name].rename(root / "artifacts" / name)
    whole = tmp_path / "whole"
    shutil.copytree(root, whole)
    finish(whole, STAGE, TrainParams())

    kill_when(root, STAGE, TrainParams(), files_at_least(root / "home/cache/ranking", "tune/*.npz", 5))
    said = kill_when(root, STAGE, TrainParams(), files_at_least(root / "home/cache/ranking", "fit/*.npz", 2))
    assert "are there from an earlier run" in said
    assert "are there from an earlier run" in finish(root, STAGE, TrainParams())
    assert digest_folder(root / "artifacts" / STAGE) == digest_folder(whole / "artifacts" / STAGE)
    assert not list((root / "artifacts").glob(f".{STAGE}.tmp*")), "leftovers of the killed runs"
