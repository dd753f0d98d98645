"""Training that was stopped anywhere goes on where it was and ends with the same weights; what it replaces stays whole.

The quick tests interrupt it in this process; the slow ones really kill it, fill its disk and start it twice.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from contract.builder import rows, write_rows
from killed import EAGER, files_at_least, finish, kill_when, start
from training import small
from training.small import go, prepared

from shoplens.artifacts import read_artifact
from shoplens.files import digest_folder, read_json
from shoplens.training import loop
from shoplens.training.checkpoint import CLASSES, describe_others, load_checkpoint, note_classes

PARAMS = small.PARAMS.model_copy(update={"frozen_blocks": 8, "patience": 2})
"""With batch norm that learns, and dropout."""
SAMPLED = {"shop/instance": 7, "camera/set": 9}
SETTINGS: dict[str, dict[str, Any]] = {
    "full softmax": {},
    "lazy proxies and GradNorm": {"sampled": SAMPLED, "balance": "gradnorm", "batch_photos": 24},
    "contrast and views": {"contrast_weight": 2.0, "views": 2},
    "scaled proxies, SGD and warm-up": {
        "sampled": SAMPLED,
        "proxy_momentum": "scaled",
        "optimiser": "sgd",
        "warm_up_epochs": 1,
        "warm_up_batch_photos": 27,
        "batch_photos": 24,
        "decay_every": 1,
        "max_epochs": 3,
        "patience": None,
    },
}


class Stopped(BaseException):
    """What the tests raise in the middle of training, as Ctrl-C does."""


@pytest.fixture(autouse=True)
def after_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is saved after every batch."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)


@pytest.fixture(scope="module")
def whole_of(marketplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Digest of what training in one go writes, by the name of the settings."""
    known: dict[str, str] = {}

    def digest(name: str) -> str:
        if name not in known:
            folder = tmp_path_factory.mktemp("whole")
            shutil.copytree(marketplace, folder, dirs_exist_ok=True)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SHOPLENS_HOME", str(folder / "home"))
                known[name] = digest_folder(go(folder, PARAMS, **SETTINGS[name]))
        return known[name]

    return digest


@pytest.fixture(scope="module")
def whole(whole_of: Callable[[str], str]) -> str:
    """The same of PARAMS."""
    return whole_of("full softmax")


def checkpoints(root: Path) -> list[Path]:
    """Files that are no list of classes: temporary ones would be seen."""
    files = (path for path in (root / "home/checkpoints").rglob("*") if path.is_file())
    return [path for path in files if path.name != CLASSES]


def stopping(monkeypatch: pytest.MonkeyPatch, name: str, calls: int) -> None:
    """Stop training at this call of a method of Trainer."""
    method: Callable[..., object] = getattr(loop.Trainer, name)
    left = iter(range(calls))

    def wrapped(*arguments: object) -> object:
        if next(left, None) is None:
            raise Stopped
        return method(*arguments)

    monkeypatch.setattr(loop.Trainer, name, wrapped)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_training_interrupted_after_every_third_batch_ends_with_the_same_bytes(
    root: Path, whole_of: Callable[[str], str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    interruptions, ended = 0, False
    while not ended:
        with pytest.MonkeyPatch.context() as patch:
            stopping(patch, "_step", 3)
            try:
                go(root, PARAMS, **SETTINGS[name])
                ended = True
            except Stopped:
                interruptions += 1
        if not ended:
            assert not (root / "artifacts/train").exists()
            assert not list((root / "artifacts").glob(".train.tmp*"))
            assert len(checkpoints(root)) == 1
    assert interruptions >= 2
    assert capsys.readouterr().err.count("Resuming at epoch") == interruptions
    assert digest_folder(root / "artifacts/train") == whole_of(name)
    assert not list((root / "home/checkpoints").iterdir())


def test_a_training_interrupted_before_validation_ends_with_the_same_bytes(
    root: Path, whole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "validation_losses", 1)
        go(root, PARAMS)
    assert digest_folder(go(root, PARAMS)) == whole
    assert "Resuming at epoch 2, batch 5 " in capsys.readouterr().err


def test_the_checkpoint_holds_the_banks_of_proxies(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "_step", 3)
        go(root, PARAMS, **SETTINGS["lazy proxies and GradNorm"])
    loaded = load_checkpoint(checkpoints(root)[0])
    assert loaded is not None
    progress, states = loaded
    assert (progress.epoch, progress.step) == (0, 3)
    assert {name: bank["shape"] for name, bank in states["banks"].items()} == {
        "shop/instance": [7, 2, 8],
        "camera/set": [10, 2, 8],
    }
    assert states["banks"]["camera/set"]["idle"]["count"] == 3
    assert set(states) == {"network", "banks", "optimiser", "scaler", "gradnorm"}


def test_another_list_of_classes_starts_afresh_and_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint is found by what the data holds; were it found, the bank would refuse it (tests/models)."""
    changes = SETTINGS["lazy proxies and GradNorm"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "_step", 3)
        go(root, PARAMS, **changes)
    (left,) = checkpoints(root)
    labels = rows(root / "data", "labels.parquet")
    for row in labels:
        row["label"] = "renamed" if row["label"] == "set-0" else row["label"]
    write_rows(root / "data", "labels.parquet", labels)
    shutil.rmtree(root / "artifacts")
    capsys.readouterr()
    again = digest_folder(go(prepared(root), PARAMS, **changes))
    said = capsys.readouterr().err
    assert "Resuming" not in said
    assert (
        f"Training starts afresh: no checkpoint is of these data, classes and parameters. {left} is of other classes "
        "of camera/set ('set-0' is gone, 'renamed' is new now): restore those to go on from it, or delete its folder "
        "if no training uses it, as nothing else will"
    ) in said.splitlines()
    assert checkpoints(root) == [left], "not deleted: another training may write it"
    shutil.rmtree(root / "artifacts/train")
    shutil.rmtree(root / "home/checkpoints")
    assert digest_folder(go(root, PARAMS, **changes)) == again


def test_what_was_there_before_stays_whole_and_other_parameters_start_afresh(
    root: Path, whole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = go(root, PARAMS)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "_step", 3)
        go(root, PARAMS, seed=2)
    assert digest_folder(out) == whole
    read_artifact(out, "train", {"data": root / "data", "prepare": root / "artifacts/prepare"})
    (left,) = checkpoints(root)
    assert "starts afresh" not in capsys.readouterr().err, "there was nothing to go on from"
    assert digest_folder(go(root, PARAMS)) == whole
    said = capsys.readouterr().err
    assert "Resuming" not in said
    assert f"parameters. {left} is of other data, parameters or number of processes: restore" in said


def test_of_several_checkpoints_the_last_written_is_named(tmp_path: Path) -> None:
    paths = [tmp_path / name / "checkpoint.pt" for name in ("b", "c", "a")]
    for age, path in enumerate(paths):
        note_classes(path, {"shop/instance": ["lamp", "vase"], "elsewhere": ["bed"]})
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "killed before its first checkpoint").mkdir()
    now = tmp_path / "d/checkpoint.pt"
    assert f"{paths[0]} (2 older ones lie beside it) is of other data," in (
        describe_others(now, {"shop/instance": ["vase", "lamp"]}) or ""
    )
    assert "other classes of shop/instance ('sofa' is new now)" in (
        describe_others(now, {"shop/instance": ["lamp", "sofa", "vase"]}) or ""
    )
    paths[0].with_name("classes.json").unlink()
    assert "is of other data," in (describe_others(now, {"shop/instance": ["lamp"]}) or "")
    shutil.rmtree(tmp_path)
    assert describe_others(now, {}) is None


def test_a_damaged_checkpoint_is_said_and_training_starts_afresh(
    root: Path, whole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "_step", 3)
        go(root, PARAMS)
    path = checkpoints(root)[0]
    shutil.copytree(path.parent, path.parents[1] / "other")
    path.write_bytes(path.read_bytes()[:1000])
    assert digest_folder(go(root, PARAMS)) == whole
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "training starts afresh" in said
    assert "no checkpoint is of these" not in said, "there is one, and what is wrong with it was said"


def test_a_second_training_waits_for_the_first(root: Path, whole: str) -> None:
    inside, release = threading.Event(), threading.Event()
    run = loop.Trainer.run
    running: list[int] = []

    def slow(trainer: loop.Trainer, checkpoint: Path) -> object:
        running.append(1)
        assert len(running) == 1, "two trainings write the same folder"
        inside.set()
        assert release.wait(30)
        result = run(trainer, checkpoint)
        running.pop()
        return result

    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            go(root, PARAMS)
        except BaseException as error:
            failures.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "run", slow)
        first, second = threading.Thread(target=attempt), threading.Thread(target=attempt)
        first.start()
        assert inside.wait(30)
        second.start()
        second.join(1.0)
        assert second.is_alive(), "the second did not wait"
        release.set()
        first.join(60)
        second.join(60)
    assert failures == []
    assert digest_folder(root / "artifacts/train") == whole


# --- what really happens ---------------------------------------------------------------------------------------------

SMALL_FILES = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""


def replaced(root: Path, times: int) -> Callable[[], bool]:
    """A condition: the checkpoint has been written so often since now."""
    seen: set[int] = set()

    def check() -> bool:
        for path in (root / "home/checkpoints").rglob("checkpoint.pt"):
            try:
                seen.add(path.stat().st_mtime_ns)
            except FileNotFoundError:
                continue
        return len(seen) >= times

    return check


@pytest.fixture
def eager(marketplace: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to train on with the command line, as nothing of this process's settings reaches it."""
    shutil.copytree(marketplace, tmp_path, dirs_exist_ok=True)
    yield tmp_path


@pytest.fixture(scope="module")
def whole_by_command(marketplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that training in one go writes."""
    folder = tmp_path_factory.mktemp("whole_by_command")
    shutil.copytree(marketplace, folder, dirs_exist_ok=True)
    finish(folder, "train", PARAMS)
    return folder / "artifacts/train"


@pytest.mark.slow
def test_training_killed_three_times_ends_with_the_same_bytes(eager: Path, whole_by_command: Path) -> None:
    kill_when(eager, "train", PARAMS, files_at_least(eager / "home/cache/frozen", "*.json", 3))
    said = kill_when(eager, "train", PARAMS, replaced(eager, 3))
    assert "photos are there from an earlier run" in said
    assert "Resuming" not in said
    said = kill_when(eager, "train", PARAMS, replaced(eager, 4))
    assert "Resuming at epoch 1" in said
    said = finish(eager, "train", PARAMS)
    assert "Resuming at epoch" in said
    assert digest_folder(eager / "artifacts/train") == digest_folder(whole_by_command)
    assert not list((eager / "home/checkpoints").iterdir())
    assert not list((eager / "artifacts").glob(".train.tmp*")), "leftovers of the killed runs"


@pytest.mark.slow
def test_two_trainings_at_once_leave_one_whole_result(eager: Path, whole_by_command: Path) -> None:
    both = [start(eager, "train", PARAMS) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 0, said
    assert digest_folder(eager / "artifacts/train") == digest_folder(whole_by_command)
    read_artifact(eager / "artifacts/train", "train", {"data": eager / "data"})


@pytest.mark.slow
@pytest.mark.parametrize("size", [20_000, 1_000_000], ids=["while caching", "while saving a checkpoint"])
def test_a_full_disk_leaves_the_old_result_whole(eager: Path, whole_by_command: Path, size: int) -> None:
    out = eager / "artifacts/train"
    shutil.copytree(whole_by_command, out)
    process = start(eager, "train", PARAMS, EAGER + SMALL_FILES.format(size=size))
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 1, said
    assert "File too large: make room and run it again" in said
    assert "Traceback" not in said
    assert digest_folder(out) == digest_folder(whole_by_command)
    read_artifact(out, "train", {"data": eager / "data"})
    assert not list((eager / "artifacts").glob(".train.tmp*"))
    shutil.rmtree(out)  # so that the next run has to write it
    finish(eager, "train", PARAMS)
    assert digest_folder(out) == digest_folder(whole_by_command)


def test_the_encoder_really_learned_something(root: Path) -> None:
    """Equal bytes of trainings that change nothing would prove nothing."""
    out = go(root, PARAMS)
    losses = [float(line.split(",")[1]) for line in (out / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0]
    assert read_json(out / "metrics.json")["epochs"] == 2
    assert torch.isfinite(torch.tensor(losses)).all()
