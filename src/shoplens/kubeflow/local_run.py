"""Run a Kubeflow graph on this machine: one subprocess a task, and what people look for in predictable places.

OUT/artifacts/<stage>   links to the stage folders of the latest run (artifacts/report/report.html)
OUT/run.log             what its tasks printed
OUT/kubeflow            everything that the runs wrote, a folder a run
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from shoplens.errors import ShoplensError
from shoplens.files import locked
from shoplens.kubeflow.gate_line import MARK
from shoplens.kubeflow.last_words import last_words
from shoplens.stages import STAGES

INDENT = "    "  # what kfp puts before each line that a task prints


@dataclass(frozen=True)
class Failure:
    """The first task that failed, and its exception's message."""

    task: str
    message: str


def run_graph(graph: Any, arguments: Mapping[str, Any], out: Path) -> Failure | None:
    """Run a compiled graph to its end.

    Args:
        graph: a kfp pipeline whose stage tasks are named as in the stage table, with their folder as output `out`.
        arguments: its arguments.
        out: absolute; the folder that the run writes.

    Returns:
        The first failure, or None if every task that should run succeeded.

    Raises:
        ShoplensError: if another run is writing `out`, or `out`/artifacts holds something else than links of earlier
            runs.
    """
    from kfp import local

    with locked(out / ".lock", f"{out} (choose another --out)", wait_s=0):
        links = out / "artifacts"
        _remove_links(links)
        root = out / "kubeflow"
        before = _runs(root)
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
        log = out / "run.log"
        failure = None
        try:
            with _logged_to(log), _as_before(), warnings.catch_warnings():
                # What a local run leaves out on purpose: the image, GPUs, display names.
                warnings.filterwarnings("ignore", message="You may be attemping", category=RuntimeWarning)
                warnings.filterwarnings("ignore", message=".* have no effect in the current local runner")
                graph(**arguments)
        except RuntimeError as error:  # all that kfp says is that something failed; the reason is in the log
            failure = first_failure(log.read_text()) or Failure("pipeline", str(error))
        finally:
            _link_stages(links, _runs(root) - before)
        return failure


def first_failure(log: str) -> Failure | None:
    """Find the first failed task in the log of a local run, and what its exception said."""
    text = re.sub(r"\x1b\[\d+m", "", log)
    for block in re.split(r"^[\d:.]+ - INFO - (?=Executing task ')", text, flags=re.MULTILINE)[1:]:
        task = block.split("'")[1]
        if re.search(rf"^[\d:.]+ - ERROR - Task '{re.escape(task)}' finished with status FAILURE", block, re.MULTILINE):
            return Failure(task, _exception(block) or "it ended without a message: see the log")
    return None


def _exception(block: str) -> str:
    """What a task said last; see _Log about margins."""
    own = [line for line in block.splitlines() if line.startswith(INDENT)]
    traces = [line for line in own if line.lstrip(" ").startswith("Traceback (")]
    depth = len(traces[-1]) - len(traces[-1].lstrip(" ")) if traces else len(INDENT)
    return last_words([line.removeprefix(" " * depth) for line in own])


def _runs(root: Path) -> set[Path]:
    return set(root.iterdir()) if root.is_dir() else set()


def _remove_links(links: Path) -> None:
    links.mkdir(parents=True, exist_ok=True)
    for entry in links.iterdir():
        if not entry.is_symlink():
            raise ShoplensError(f"{entry} was not written by an earlier run of the graph: choose another --out")
        entry.unlink()


def _link_stages(links: Path, runs: set[Path]) -> None:
    for run in runs:
        for stage in STAGES:
            folder = run / stage.name / "out"
            if folder.is_dir():
                (links / stage.name).symlink_to(Path("..") / folder.relative_to(links.parent))


class _Log(TextIOBase):
    """Writes everything to the log file, and to the terminal what a person wants to see: each task and its own lines.

    kfp prints each task's inputs and outputs as pages of JSON; they and the gate's line stay in the file.
    """

    def __init__(self, terminal: TextIO, file: TextIO) -> None:
        self._terminal = terminal
        self._file = file
        self._line = ""
        self._in_task = False
        self._in_json = False
        self._margin = ""

    def write(self, text: str) -> int:
        self._file.write(text)
        self._file.flush()
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._show(line)
        return len(text)

    def _show(self, line: str) -> None:
        if started := re.search(r"INFO - Executing task .*'([\w-]+)'", line):
            self._in_task, self._in_json, self._margin = True, False, ""
            self._print(f"--- {started[1]}")
        elif "INFO - Task " in line or "ERROR - Task " in line:
            self._in_task = False
        elif self._in_task and line.startswith(INDENT):
            # After a loop, whose tasks run at once, kfp indents what follows more than once.
            self._margin = self._margin or line[: len(line) - len(line.lstrip(" "))]
            own = line.removeprefix(self._margin)
            if "Got executor_input:" in own:
                self._in_json = True
            elif self._in_json:
                self._in_json = own != "}"
            elif own.strip() and not own.startswith(("[KFP Executor ", MARK)):
                self._print(INDENT + own)

    def _print(self, line: str) -> None:
        self._terminal.write(line + "\n")
        self._terminal.flush()


@contextlib.contextmanager
def _logged_to(log: Path) -> Iterator[None]:
    with log.open("w") as file, contextlib.redirect_stdout(_Log(sys.stdout, file)):
        yield


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Undo what kfp leaves behind: the tasks of a loop put `print` and the root logger back in each other's order."""
    root = logging.getLogger()
    printing, level, handlers = builtins.print, root.level, root.handlers[:]
    try:
        yield
    finally:
        builtins.print, root.handlers[:] = printing, handlers
        root.setLevel(level)
