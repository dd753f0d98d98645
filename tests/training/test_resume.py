"""Training that was stopped anywhere goes on where it was and ends with the same weights; what it replaces stays whole.

The quick tests interrupt it in this process; the slow ones really kill it, fill its disk and start it twice.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from contract.builder import build_data
from killed import EAGER, files_at_least, finish, kill_when, start

from shoplens.artifacts import read_artifact
from shoplens.files import digest_folder, read_json
from shoplens.params import PrepareParams, TrainParams, ValidateParams
from shoplens.training import loop
from shoplens.training.train import train

PARAMS = TrainParams(
    pretrained="none",
    frozen_blocks=8,
    image_size=32,
    embedding_dim=8,
    groups=4,
    head_width=4,
    batch_photos=8,
    max_epochs=2,
    patience=2,
    learning_rate=1e-3,
)


class Stopped(BaseException):
    """What the tests raise in the middle of training, as Ctrl-C does."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data` and the artifacts `validate` and `prepare`."""
    from shoplens.contract.validate import validate
    from shoplens.data.prepare import prepare

    root = tmp_path_factory.mktemp("prepared")
    data = build_data(root / "data")
    validate(data=data, out=root / "artifacts/validate", params=ValidateParams())
    prepare(data=data, validate=root / "artifacts/validate", out=root / "artifacts/prepare", params=PrepareParams())
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it with a home folder of its own; a checkpoint is saved after every batch."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    return tmp_path


def go(root: Path, params: TrainParams = PARAMS) -> Path:
    out = root / "artifacts/train"
    train(data=root / "data", prepare=root / "artifacts/prepare", out=out, params=params)
    return out


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of what training in one go writes."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(folder / "home"))
        return digest_folder(go(folder))


def checkpoints(root: Path) -> list[Path]:
    return [path for path in (root / "home/checkpoints").rglob("*") if path.is_file()]


def stopping(monkeypatch: pytest.MonkeyPatch, name: str, calls: int) -> None:
    """Stop training at this call of a method of Trainer."""
    method: Callable[..., object] = getattr(loop.Trainer, name)
    left = iter(range(calls))

    def wrapped(*arguments: object) -> object:
        if next(left, None) is None:
            raise Stopped
        return method(*arguments)

    monkeypatch.setattr(loop.Trainer, name, wrapped)


# Five batches an epoch, then one of validation.
@pytest.mark.parametrize(
    ("method", "calls", "resumed"),
    [
        ("_losses", 2, "Resuming at epoch 1, batch 3 "),
        ("validation_losses", 0, "Resuming at epoch 1, batch 6 "),
        ("_losses", 9, "Resuming at epoch 2, batch 4 "),
    ],
    ids=["first epoch", "before validation", "second epoch"],
)
def test_an_interrupted_training_ends_with_the_same_bytes(
    root: Path, whole: str, method: str, calls: int, resumed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, method, calls)
        go(root)
    assert not (root / "artifacts/train").exists()
    assert not list((root / "artifacts").glob(".train.tmp*"))
    assert len(checkpoints(root)) == 1
    capsys.readouterr()
    assert digest_folder(go(root)) == whole
    assert resumed in capsys.readouterr().err
    assert checkpoints(root) == []


def test_what_was_there_before_stays_whole_and_other_parameters_start_afresh(
    root: Path, whole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = go(root)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "_losses", 3)
        go(root, PARAMS.model_copy(update={"seed": 2}))
    assert digest_folder(out) == whole
    read_artifact(out, "train", {"data": root / "data", "prepare": root / "artifacts/prepare"})
    assert digest_folder(go(root)) == whole
    assert "Resuming" not in capsys.readouterr().err


def test_a_damaged_checkpoint_is_said_and_training_starts_afresh(
    root: Path, whole: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stopping(patch, "_losses", 3)
        go(root)
    path = checkpoints(root)[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert digest_folder(go(root)) == whole
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "training starts afresh" in said


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
            go(root)
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
def eager(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to train on with the command line, as nothing of this process's settings reaches it."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    yield tmp_path


@pytest.fixture(scope="module")
def whole_by_command(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that training in one go writes."""
    folder = tmp_path_factory.mktemp("whole_by_command")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
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
    assert checkpoints(eager) == []
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
    out = go(root)
    losses = [float(line.split(",")[1]) for line in (out / "history.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0]
    assert read_json(out / "metrics.json")["epochs"] == 2
    assert torch.isfinite(torch.tensor(losses)).all()
