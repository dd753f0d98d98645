"""Jobs over processes, each job's result in a file of its own, so that a killed run goes on where it was.

Every process computes with one thread: many small problems side by side are faster than one after the other with
many threads, and the results do not depend on how many there are.
"""

from __future__ import annotations

import io
import os
import signal
import threading
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

_work: Work | None = None


def over_processes(
    work: Work, jobs: Mapping[str, Any], folder: Path, *, workers: int, what: str, unit: str = "query"
) -> dict[str, Results]:
    """Do all jobs that `folder` holds no result of, and return all results.

    Args:
        work: a picklable function of a job, giving named arrays.
        jobs: name -> job, the longest first. The name is that of its file, `NAME.npz`.
        folder: where results are kept; what decides them must be in its path.
        workers: processes; 0 for one a processor. One (or one job) works in this process.
        what: what is done, for the progress bar.
        unit: what a job is.

    Raises:
        ShoplensError: if a worker process dies (out of memory).
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in jobs if not (folder / f"{name}.npz").exists()]
    done = len(jobs) - len(missing)
    if 0 < done < len(jobs):
        say(f"{what}: {done} of {len(jobs)} are there from an earlier run")
    with counter(what, len(jobs), unit) as bar:
        bar.update(done)
        for _ in _each(work, [(folder / f"{name}.npz", jobs[name]) for name in missing], workers or _processors()):
            bar.update(1)
    return {name: _read(folder / f"{name}.npz") for name in jobs}


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _each(work: Work, jobs: Sequence[tuple[Path, Any]], workers: int) -> Iterator[None]:
    """Do the jobs, yielding after each one."""
    if workers == 1 or len(jobs) <= 1:
        with threadpool_limits(1):
            for path, job in jobs:
                _save(path, work(job))
                yield
        return
    pool = ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), _start, (work,))
    try:
        for future in as_completed([pool.submit(_do, path, job) for path, job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise ShoplensError(
            "a process that trains queries died, probably for want of memory: run it again with fewer workers; "
            "finished queries are kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(work: Work) -> None:
    """A worker's first act: one thread, leave Ctrl-C to the parent, and end with it even if it is killed."""
    global _work
    _work = work
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()


def _do(path: Path, job: Any) -> None:
    if _work is None:
        raise RuntimeError("a worker without work")
    _save(path, _work(job))


def _save(path: Path, found: Results) -> None:
    content = io.BytesIO()
    np.savez(content, **dict(found))  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def _read(path: Path) -> Results:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
