"""Stages as processes of their own, to be killed for real: `shoplens STAGE` with small-grained caches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shoplens.artifacts import read_artifact
from shoplens.errors import ShoplensError
from shoplens.params import Params, TrainParams

EAGER = """
import time
import shoplens.data.segments as segments, shoplens.evaluation.embed as embed
import shoplens.models.activations as activations, shoplens.training.loop as loop
activations.SEGMENT_ROWS, embed.GALLERIES_A_SEGMENT, embed.CROPS_A_SEGMENT = 8, 4, 4
loop.CHECKPOINT_SECONDS = -1.0
append = segments.Segments.append
segments.Segments.append = lambda *arguments: (time.sleep(0.05), append(*arguments))
"""
"""Small segments, each in its time, and a checkpoint after every batch: what a kill hits is work half done."""


def start(root: Path, stage: str, train: TrainParams, prelude: str = EAGER) -> subprocess.Popen[str]:
    """Start a stage on root/data, root/artifacts and root/home."""
    sections = Params().model_dump(by_alias=True, mode="json") | {"train": train.model_dump(mode="json")}
    (root / "params.yaml").write_text(yaml.safe_dump(sections))
    words = [stage, "--data", "data", "--artifacts", "artifacts", "--params", "params.yaml"]
    script = f"{prelude}\nfrom shoplens.cli import main\nmain({words!r})"
    environment = {**os.environ, "SHOPLENS_HOME": str(root / "home")}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def finish(root: Path, stage: str, train: TrainParams) -> str:
    """Run a stage to its end; what it said."""
    process = start(root, stage, train)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    return said


def kill_when(root: Path, stage: str, train: TrainParams, condition: Callable[[], bool]) -> str:
    """Start a stage, SIGKILL it as soon as the condition holds, and see that nothing can be taken for its output.

    Returns:
        What it said until then.
    """
    process = start(root, stage, train)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, f"it ended before it was killed: {said}"
    assert not (root / "artifacts" / stage).exists()
    with pytest.raises(ShoplensError, match="run the stage that writes it first"):
        read_artifact(root / "artifacts" / stage, stage)
    return said


def files_at_least(folder: Path, pattern: str, count: int) -> Callable[[], bool]:
    """A condition: so many files have this name."""
    return lambda: len(list(folder.rglob(pattern))) >= count
