"""Stage embed killed for real: the next run goes on, with the same embeddings and metrics as one that never was."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from contract.builder import build_data
from killed import files_at_least, finish, kill_when

from shoplens.files import digest_file, digest_folder
from shoplens.params import EvaluateStarsParams, Params, TrainParams
from shoplens.stages import BY_NAME, Layout, run_stage

pytestmark = pytest.mark.slow
TRAIN = TrainParams(
    pretrained="none",
    frozen_blocks=8,
    image_size=32,
    embedding_dim=8,
    groups=4,
    head_width=4,
    batch_photos=8,
    max_epochs=1,
)


def go(root: Path, *names: str) -> None:
    """Run stages in this process."""
    layout = Layout(root / "data", root / "gate.yaml", root / "artifacts")
    stars = EvaluateStarsParams(fractions=(1.0,), resamples=200)
    params = Params().model_copy(update={"train": TRAIN, "evaluate_stars": stars})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(root / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in names:
            run_stage(name, {key: layout.path(key) for key in BY_NAME[name].inputs}, layout.path(name), params)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    build_data(root / "data")
    go(root, "validate", "prepare", "train", "champion")
    shutil.rmtree(root / "home" / "cache")  # all activations are to be made by stage embed
    return root


def test_embedding_killed_four_times_ends_with_the_same_embeddings_and_metrics(trained: Path, tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(trained, undisturbed)
    finish(undisturbed, "embed", TRAIN)
    go(undisturbed, "evaluate-stars")

    cache = trained / "home/cache"
    kill_when(trained, "embed", TRAIN, files_at_least(cache / "frozen", "*.json", 3))
    said = kill_when(trained, "embed", TRAIN, files_at_least(cache / "embeddings", "*.json", 3))
    assert "photos are there from an earlier run" in said
    galleries = 8  # segments a model: 4 of the 30 galleries each; the 16 crops of the image source come after them
    said = kill_when(trained, "embed", TRAIN, files_at_least(cache / "embeddings", "*.json", galleries + 2))
    assert re.search(r"Embeddings of galleries, candidate: (12|16|20) of 30 are there", said)
    said = kill_when(trained, "embed", TRAIN, files_at_least(cache / "embeddings", "*.json", 2 * galleries + 2))
    assert re.search(r"Embeddings of galleries, reference: \d+ of 30 are there", said)
    said = finish(trained, "embed", TRAIN)
    assert re.search(r"Embeddings of photos to search, \w+: (4|8|12) of 16 are there", said)
    assert len(list((cache / "embeddings").iterdir())) == 4, "two models, galleries and crops"
    assert digest_folder(trained / "artifacts/embed") == digest_folder(undisturbed / "artifacts/embed")
    assert not list((trained / "artifacts").glob(".embed.tmp*")), "leftovers of the killed runs"
    go(trained, "evaluate-stars")
    for name in ("metrics.json", "outcomes.parquet", "stars.csv"):
        ours, theirs = (root / "artifacts/evaluate-stars" / name for root in (trained, undisturbed))
        assert digest_file(ours) == digest_file(theirs)
