"""Checkpoints: everything that decides how training goes on, written atomically, outside of stage outputs.

They live in the home folder under a key of parameters and input digests, because DVC deletes a stage's outputs before
it runs. Batches are drawn from (seed, epoch) alone, and whatever else is left to chance from (seed, epoch, step), so a
place in the order of batches is all that must be remembered.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from shoplens.errors import ShoplensError
from shoplens.files import digest_json, read_json, replacing_file, write_json
from shoplens.home import home
from shoplens.progress import say

CHECKPOINT, CLASSES = "checkpoint.pt", "classes.json"


@dataclass
class Progress:
    """Where training stands.

    `epoch` and `step` name the next batch; `train_sum` adds up this epoch's losses so far; `photos` counts those that
    were learned from, each time again; `best` holds the modules' state at the lowest validation loss.
    """

    epoch: int = 0
    step: int = 0
    train_sum: float = 0.0
    photos: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = -1
    best: dict[str, Any] = field(default_factory=dict)


def checkpoint_path(params: dict[str, Any], inputs: dict[str, str], processes: int) -> Path:
    """The checkpoint of this very configuration, data and number of processes, by which batches are as large."""
    return home() / "checkpoints" / digest_json([params, inputs, processes])[:24] / CHECKPOINT


def save_checkpoint(path: Path, progress: Progress, states: dict[str, Any]) -> None:
    """Write progress and the states of modules and optimiser, whole or not at all."""
    saved = {"progress": vars(progress), "states": states}
    with replacing_file(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(saved, stream)  # straight to the disk: a bank of proxies may fill half the memory
        except RuntimeError as error:  # what torch makes of a full disk
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path) -> tuple[Progress, dict[str, Any]] | None:
    """Read a checkpoint; None if there is none or it cannot be read (then said so)."""
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return Progress(**saved["progress"]), saved["states"]
    except Exception as error:  # a damaged pickle raises anything; training afresh is always right
        say(f"{path} cannot be read ({error}); training starts afresh")
        return None


def note_classes(path: Path, classes: Mapping[str, Sequence[str]]) -> None:
    """Write beside a checkpoint which classes each task has, for `describe_others`."""
    write_json(path.with_name(CLASSES), classes)


def describe_others(path: Path, classes: Mapping[str, Sequence[str]]) -> str | None:
    """What somebody who meant to resume must know when there is no checkpoint at `path`: which others there are.

    Args:
        path: where the checkpoint of this training would be.
        classes: of each task that is trained, by its name.

    Returns:
        One line about the one written last, and what to do about it; None if there is no other.
    """
    others = sorted((other for other in path.parents[1].glob(f"*/{CHECKPOINT}") if other != path), key=_written)
    if not others:
        return None
    try:
        known = read_json(others[-1].with_name(CLASSES))
    except ShoplensError:  # it has none, or its training has just ended
        known = {}
    differences = (_difference(task, known[task], classes[task]) for task in sorted(known.keys() & classes.keys()))
    what = next(filter(None, differences), "other data, parameters or number of processes")
    more = f" ({len(others) - 1} older ones lie beside it)" if len(others) > 1 else ""
    return (
        f"Training starts afresh: no checkpoint is of these data, classes and parameters. {others[-1]}{more} is of "
        f"{what}: restore those to go on from it, or delete its folder if no training uses it, as nothing else will"
    )


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its training has just ended
        return 0.0


def _difference(task: str, before: Sequence[str], now: Sequence[str]) -> str | None:
    changes = {"gone": set(before) - set(now), "new": set(now) - set(before)}
    named = [f"{min(names)!r} is {change}" for change, names in changes.items() if names]
    return f"other classes of {task} ({', '.join(named)} now)" if named else None


def remove_checkpoint(path: Path) -> None:
    """Forget a finished training's checkpoint."""
    shutil.rmtree(path.parent, ignore_errors=True)
