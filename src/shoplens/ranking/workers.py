"""Jobs over processes, each job's result in a file of its own, so that a killed run goes on where it was.

Every process computes with one thread: many small problems side by side are faster than one after the other with
many threads, and the results do not depend on how many there are.
"""

from __future__ import annotations

import io
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shoplens.errors import ShoplensError
from shoplens.files import write_bytes
from shoplens.progress import counter, say

Results = Mapping[str, NDArray[Any]]
Work = Callable[[Any], Results]
All = dict[str, Results]


class Processes:
    """Worker processes for several rounds of jobs: `with Processes(2) as processes: processes.run(...)`."""

    def __init__(self, workers: int) -> None:
        """Say how many: 0 for one a processor. One works in this process; others start when there is work."""
        self._workers = workers or _processors()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, work: Work, jobs: Mapping[str, Any], folder: Path, *, what: str) -> All:
        """Do all jobs that `folder` holds no result of, and return all results by name.

        Args:
            work: a picklable function of a job, giving named arrays.
            jobs: name -> job, the longest first. The name is that of its file, `NAME.npz`.
            folder: where results are kept; what decides them must be in its path.
            what: what is done, for the progress bar.

        Raises:
            ShoplensError: if a worker process dies (out of memory), or a result of an earlier run is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        missing = [name for name in jobs if not (folder / f"{name}.npz").exists()]
        done = len(jobs) - len(missing)
        if 0 < done < len(jobs):
            say(f"{what}: {done} of {len(jobs)} are there from an earlier run")
        with counter(what, len(jobs), "query") as bar:
            bar.update(done)
            for _ in self._each(work, [(folder / f"{name}.npz", jobs[name]) for name in missing]):
                bar.update(1)
        return {name: _read(folder / f"{name}.npz") for name in jobs}

    def _each(self, work: Work, jobs: Sequence[tuple[Path, Any]]) -> Iterator[None]:
        """Do the jobs, yielding after each one."""
        if self._workers == 1 or len(jobs) <= 1:
            with threadpool_limits(1):
                for path, job in jobs:
                    _do(work, path, job)
                    yield
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(min(self._workers, len(jobs)), get_context("spawn"), _start)
        try:
            for future in as_completed([self._pool.submit(_do, work, path, job) for path, job in jobs]):
                future.result()
                yield
        except BrokenProcessPool:
            raise ShoplensError(
                "a process that trains queries died, probably for want of memory: run it again with fewer workers; "
                "finished queries are kept"
            ) from None


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def _start() -> None:
    """A worker's first act: one thread, leave Ctrl-C to the parent, and end with it even if it is killed."""
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _do(work: Work, path: Path, job: Any) -> None:
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **work(job))
    write_bytes(path, content.getvalue())


def _read(path: Path) -> Results:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, ValueError, EOFError):
        raise ShoplensError(f"{path} is damaged: delete it and run it again; other queries are kept") from None
