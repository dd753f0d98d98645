"""How a search log's queries are trained: finished ones are kept, so that a killed run goes on where it was.

A shard (ranking_shards) trains some of them in the same way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplens import ranking
from shoplens.data.segments import make_room
from shoplens.evaluation.ranking_log import Log
from shoplens.files import digest_file, digest_json, locked, write_bytes
from shoplens.home import home
from shoplens.params import EvaluateRankingParams
from shoplens.ranking.log_tasks import LogTasks, write_log_tasks
from shoplens.ranking.modalities import Run, grid
from shoplens.ranking.rankers import TUNED, Plan, Rankers, jobs_of, train_rankers
from shoplens.ranking.train import Job
from shoplens.ranking.workers import Processes

CACHE_BYTES = 2 << 30
"""Finished queries of earlier runs that are kept, at most."""


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        source: the queries' tasks.
        served: the runs that answer unseen queries.
        plan: how.
        folder: where finished queries are kept: of these tasks, settings and code alone.
    """

    source: LogTasks
    served: tuple[Run, ...]
    plan: Plan
    folder: Path


def plan_of(params: EvaluateRankingParams) -> Plan:
    """The grid and the rest of how a query is trained."""
    return Plan(grid(params.rates, params.l1, params.l2), params.steps, params.min_pairs)


def served_runs(log: Log) -> tuple[Run, ...]:
    """Text, and the runs with the candidate's photos."""
    return tuple(run for run in log.runs if run.image in ("", "candidate"))


def jobs(log: Log, params: EvaluateRankingParams) -> dict[str, Job]:
    """Everything that is trained, by name, the longest first."""
    return jobs_of(np.diff(log.pairs.starts), log.runs, served_runs(log), plan_of(params))


def settings_of(params: EvaluateRankingParams) -> dict[str, Any]:
    """What of the stage's parameters decides a query's training."""
    return params.model_dump(mode="json", exclude={"workers", "resamples"})


def code() -> list[str]:
    """Digests of the code that trains."""
    return [digest_file(path) for path in sorted(Path(str(ranking.__file__)).parent.glob("*.py"))]


@contextlib.contextmanager
def training(log: Log, params: EvaluateRankingParams, part: str = "all") -> Iterator[Training]:
    """The tasks of a log's queries, in files that all worker processes map; they are removed in the end.

    Args:
        log: what is learnt from.
        params: the stage's.
        part: which of the processes that train at the same time, with one home folder, this is.
    """
    root = home() / "cache" / "ranking"
    with locked(root / f".{part}.lock", "the ranking's cache", wait_s=86_400):
        arrays, finished = root / f"arrays-{part}", root / "queries"
        shutil.rmtree(arrays, ignore_errors=True)  # a killed process left them
        try:
            arrays.mkdir(parents=True)
            images = {run.image: log.collection.features.images[run.image] for run in log.runs if run.image}
            digests = write_log_tasks(
                arrays,
                log.judgements,
                log.pairs,
                log.collection.features.text,
                images,
                global_pairs=params.global_pairs,
                seed=params.seed,
            )
            folder = finished / digest_json([digests, code(), settings_of(params)])[:24]
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
            make_room(finished, folder, CACHE_BYTES)
            source = LogTasks(arrays, len(log.judgements.queries), tuple(images))
            yield Training(source, served_runs(log), plan_of(params), folder)
        finally:
            shutil.rmtree(arrays, ignore_errors=True)


def train_queries(log: Log, params: EvaluateRankingParams, tuned: Sequence[Path] = ()) -> Rankers:
    """Train all queries.

    Args:
        log: what is learnt from.
        params: the stage's.
        tuned: folders of jobs that were tuned elsewhere, by the same code and settings and from the same log.
    """
    with training(log, params) as of, Processes(params.workers) as processes:
        for path in (path for folder in tuned for path in sorted(folder.glob("*.npz"))):
            if not (of.folder / TUNED / path.name).exists():
                write_bytes(of.folder / TUNED / path.name, path.read_bytes())
        pairs = np.diff(log.pairs.starts)
        return train_rankers(of.source, pairs, log.runs, of.served, of.plan, of.folder, processes)
