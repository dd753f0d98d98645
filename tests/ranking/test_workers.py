"""Jobs over processes: what is finished is kept, what fails is said, and nobody outlives a killed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shoplens.errors import ShoplensError
from shoplens.ranking.workers import Processes, Results

WHAT = "Counting"


@dataclass(frozen=True)
class Square:
    """Squares a number and leaves a mark of having done so; dies or fails at some."""

    marks: Path
    dies_at: int = -1
    fails_at: int = -1

    def __call__(self, number: int) -> Results:
        if number == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.fails_at:
            raise ShoplensError(f"number {number} has no square")
        (self.marks / f"{number}-{os.getpid()}").touch()
        return {"square": np.array([number**2])}


def jobs(count: int = 6) -> dict[str, int]:
    return {f"job-{number}": number for number in range(count)}


def squares(found: dict[str, Results]) -> dict[str, int]:
    return {name: int(result["square"][0]) for name, result in found.items()}


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def run(work: Square, folder: Path, workers: int = 1, count: int = 6) -> dict[str, int]:
    with Processes(workers) as processes:
        return squares(processes.run(work, jobs(count), folder, what=WHAT))


def done(marks: Path) -> set[int]:
    return {int(path.name.split("-")[0]) for path in marks.iterdir()}


def test_processes_share_the_jobs_and_serve_several_rounds(tmp_path: Path, marks: Path) -> None:
    expected = {f"job-{number}": number**2 for number in range(6)}
    with Processes(2) as processes:
        for folder in ("first", "second"):
            assert squares(processes.run(Square(marks), jobs(), tmp_path / folder, what=WHAT)) == expected
    assert f"0-{os.getpid()}" not in {path.name for path in marks.iterdir()}


def test_one_worker_stays_in_this_process(tmp_path: Path, marks: Path) -> None:
    run(Square(marks), tmp_path / "out")
    assert {int(path.name.split("-")[1]) for path in marks.iterdir()} == {os.getpid()}


def test_what_is_finished_is_not_done_again(tmp_path: Path, marks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ShoplensError, match="number 4 has no square"):
        run(Square(marks, fails_at=4), tmp_path / "out")
    assert done(marks) == {0, 1, 2, 3}
    for mark in marks.iterdir():
        mark.unlink()
    assert run(Square(marks), tmp_path / "out") == {f"job-{number}": number**2 for number in range(6)}
    assert done(marks) == {4, 5}
    assert "Counting: 4 of 6 are there from an earlier run" in capsys.readouterr().err


def test_a_process_that_dies_is_a_clear_error_and_the_rest_is_kept(tmp_path: Path, marks: Path) -> None:
    with pytest.raises(ShoplensError, match="fewer workers; finished queries are kept"):
        run(Square(marks, dies_at=5), tmp_path / "out", workers=2)
    assert run(Square(marks), tmp_path / "out", workers=2)["job-5"] == 25


PARENT = """
import sys, time
from pathlib import Path
from ranking.test_workers import Sleep
from shoplens.ranking.workers import Processes
if __name__ == "__main__":
    with Processes(2) as processes:
        processes.run(Sleep(Path(sys.argv[1])), {"a": 1, "b": 2}, Path(sys.argv[2]), what="Sleeping")
"""


@dataclass(frozen=True)
class Sleep:
    """Leaves its process id and sleeps."""

    marks: Path

    def __call__(self, number: int) -> Results:
        (self.marks / f"{number}-{os.getpid()}").touch()
        time.sleep(600)
        return {}


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, marks: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    parent = subprocess.Popen([sys.executable, str(script), str(marks), str(tmp_path / "out")], env=environment)
    try:
        deadline = time.monotonic() + 120
        while len(list(marks.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = [int(path.name.split("-")[1]) for path in marks.iterdir()]
        assert len(workers) == 2
        assert all(map(alive, workers))
    finally:
        parent.kill()
        parent.wait()
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))


@pytest.mark.parametrize("keep", [0, 1, 100, 250], ids=lambda keep: f"{keep} bytes")
def test_a_damaged_result_is_named_with_what_to_do(tmp_path: Path, marks: Path, keep: int) -> None:
    run(Square(marks), tmp_path / "kept")
    path = tmp_path / "kept/job-3.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ShoplensError, match=r"job-3\.npz is damaged: delete it and run it again"):
        run(Square(marks), tmp_path / "kept")
    path.unlink()
    assert run(Square(marks), tmp_path / "kept") == {f"job-{number}": number**2 for number in range(6)}
