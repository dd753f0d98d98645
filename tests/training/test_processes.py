"""Several processes, as torchrun starts them, train what one process trains on the same batches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.csv as csv
import pytest
import torch
import yaml
from safetensors.torch import load_file
from training import small
from training.small import go

from shoplens.artifacts import read_artifact
from shoplens.files import digest_folder, read_json
from shoplens.params import Params, TrainParams
from shoplens.training.torchrun import LAUNCHER, ONE_MACHINE, arguments
from shoplens.training.train import read_material

PARAMS = small.PARAMS.model_copy(update={"dropout": 0.0, "batch_photos": 12, "learning_rate": 1e-3, "max_epochs": 3})
"""For each of two processes. No dropout, whose masks are each process's own; no batch norm that learns."""
SETTINGS: dict[str, dict[str, Any]] = {
    "gradnorm, scaled proxies": {"balance": "gradnorm", "proxy_momentum": "scaled", "sampled": {"camera/set": 9}},
    "kendall": {"loss": "kendall"},
    "sgd with warm-up, by size": {
        "optimiser": "sgd",
        "learning_rate": 0.02,
        "warm_up_epochs": 1,
        "warm_up_batch_photos": 24,
        "decay_every": 1,
        "mixing": "by_size",
    },
    "images alone": {"sources": ("shop", "camera")},
    "contrast": {"contrast_weight": 2.0},
}
TIME_LIMIT = 600
"""Seconds; whoever waits for another for ever is found by it."""
MORTAL = """
import os, signal, sys
from shoplens.cli import main
from shoplens.training import loop
loop.CHECKPOINT_SECONDS = -1.0
step, calls = loop.Trainer._step, iter(range(7))

def mortal(*arguments):
    if os.environ["RANK"] == "1" and next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)

loop.Trainer._step = mortal
sys.exit(main(sys.argv[1:]))
"""


def params_of(**changes: Any) -> TrainParams:
    return TrainParams.model_validate(PARAMS.model_dump() | changes)


def run_two(root: Path, params: TrainParams, script: str | None = None) -> subprocess.CompletedProcess[str]:
    """`shoplens train`, or a script instead, on root/data, root/artifacts and root/home by two processes.

    Nodes of a cluster are told the same (tests/training/test_train_job.py).
    """
    sections = Params().model_dump(by_alias=True, mode="json") | {"train": params.model_dump(mode="json")}
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    environment = {**os.environ, "SHOPLENS_HOME": str(root / "home"), "OMP_NUM_THREADS": "1"}
    words = arguments(root, 2)
    if script is not None:
        start = words.index("-m")
        words[start : start + 2] = [script]
    pipe = subprocess.PIPE
    command = [sys.executable, *LAUNCHER, *ONE_MACHINE, *words]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            out, err = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.terminate()  # a killed torchrun would leave its workers behind
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def by_two(root: Path, params: TrainParams) -> Path:
    done = run_two(root, params)
    assert done.returncode == 0, done.stderr
    return root / "artifacts/train"


def by_one(root: Path, params: TrainParams) -> Path:
    """The same training in this process: batches as large, the rate multiplied as two processes multiply it."""
    doubled = {
        "batch_photos": 2 * params.batch_photos,
        "warm_up_batch_photos": 2 * params.warm_up_batch_photos,
        "learning_rate": 2 * params.learning_rate,
    }
    return go(root, params, **doubled)


def copy_of(marketplace: Path, folder: Path) -> Path:
    shutil.copytree(marketplace, folder, dirs_exist_ok=True)
    return folder


def check_equal(two: Path, one: Path) -> None:
    """The same loss curve and, but for rounding, the same weights."""
    ours, theirs = (csv.read_csv(out / "history.csv") for out in (two, one))
    assert ours.column_names == theirs.column_names and len(ours) == len(theirs) > 0
    for name in ours.column_names:
        assert ours[name].to_pylist() == pytest.approx(theirs[name].to_pylist(), rel=1e-4), name
    for file in ("encoder.safetensors", "heads.safetensors"):
        weights, expected = (load_file(out / "encoder" / file) for out in (two, one))
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.fixture(scope="module")
def two(marketplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two processes have trained on galleries and sources, with full and sampled softmax."""
    root = copy_of(marketplace, tmp_path_factory.mktemp("two"))
    by_two(root, params_of(sampled={"camera/set": 9}))
    return root


def test_two_processes_have_the_loss_curve_and_weights_of_one(two: Path, root: Path) -> None:
    """Over three epochs, so that what distributed data parallel leaves behind after one would show in the next."""
    one = by_one(root, params_of(sampled={"camera/set": 9}))
    check_equal(two / "artifacts/train", one)
    ours, theirs = (read_json(out / "metrics.json") for out in (two / "artifacts/train", one))
    assert {name for name in ours if ours[name] != theirs[name]} <= {"validation_loss"}


def test_one_of_them_writes_and_cleans_up(two: Path) -> None:
    read_artifact(two / "artifacts/train", "train", {"data": two / "data", "prepare": two / "artifacts/prepare"})
    assert not list((two / "artifacts").glob(".train.tmp*"))
    assert not [path for path in (two / "home/checkpoints").rglob("*") if path.is_file()]
    timings = (two / "home/timings.jsonl").read_text().splitlines()
    assert len(timings) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_train_as_one_with_other_settings(
    marketplace: Path, root: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    params = params_of(**SETTINGS[name])
    check_equal(by_two(copy_of(marketplace, tmp_path_factory.mktemp("two")), params), by_one(root, params))


@pytest.mark.slow
def test_an_epoch_may_end_with_fewer_galleries_and_units_than_processes(
    marketplace: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The second process has nothing of the last batch of galleries, nor of that of units."""
    material = read_material(root / "data", root / "artifacts/prepare", None)
    galleries = material.galleries.counts[material.galleries.split == "train"]
    units = int(material.sources[0].trains.sum())
    assert len(galleries) % (len(galleries) - 1) == units % (units - 1) == 1 and units % 2 == 1
    photos = {"galleries": round((len(galleries) - 1) * galleries.mean() / 2), "shop": (units - 1) // 2}
    for source, each in photos.items():
        params = params_of(sources=(source,), batch_photos=each)
        folder = copy_of(marketplace, tmp_path_factory.mktemp("two"))
        check_equal(by_two(folder, params), by_one(root, params))


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_and_the_next_run_goes_on(
    marketplace: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With dropout, and batch norm that learns, each process by its own statistics."""
    params = params_of(frozen_blocks=8, dropout=0.5, sampled={"camera/set": 9})
    (root / "mortal.py").write_text(MORTAL)
    died = run_two(root, params, "mortal.py")
    assert died.returncode != 0 and "SIGKILL" in died.stderr
    assert not (root / "artifacts/train").exists()
    done = run_two(root, params)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Resuming at epoch") == 1
    whole = by_two(copy_of(marketplace, tmp_path_factory.mktemp("whole")), params)
    assert digest_folder(root / "artifacts/train") == digest_folder(whole)


@pytest.mark.slow
def test_an_error_of_all_is_said_and_ends_all(root: Path) -> None:
    failed = run_two(root, params_of(sources=("nowhere",)))
    assert failed.returncode != 0
    assert "train.sources: the data has no source 'nowhere'" in failed.stderr
    assert not (root / "artifacts/train").exists()
