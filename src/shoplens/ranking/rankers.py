"""Models for all queries: tuned together, fitted apart, with a global model for queries that have too few pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoplens.ranking.modalities import GridPoint, Run, best_point
from shoplens.ranking.sessions import Floats
from shoplens.ranking.train import Fit, Job, Source, Tune, Weights, weights_of
from shoplens.ranking.workers import Processes

GLOBAL = "global-"
"""What the names of the global model's jobs start with."""
TUNED = "tune"
"""The folder of tuned jobs' files."""


@dataclass(frozen=True)
class Plan:
    """How models are trained: the grid, optimisation steps, and from how many pairs on a query has its own model."""

    points: tuple[GridPoint, ...]
    steps: int
    min_pairs: int


@dataclass(frozen=True)
class Rankers:
    """Trained models.

    Attributes:
        own: (Q,) whether the query has a model of its own; the others use the global one.
        points: the grid point chosen for each run, over all queries with a model of their own.
        validation: run -> (Q,) validation nDCG there; NaN where a query has no such session or no own model.
        weights: for each query run -> weights, empty without a model of its own.
        shared_points, shared_validation, shared: the same of the global model, whose nDCG is the mean over all
            queries. It lacks the runs that nobody needs it for.
    """

    own: NDArray[np.bool_]
    points: Mapping[Run, GridPoint]
    validation: Mapping[Run, Floats]
    weights: Sequence[Mapping[Run, Weights]]
    shared_points: Mapping[Run, GridPoint]
    shared_validation: Mapping[Run, float]
    shared: Mapping[Run, Weights]


def jobs_of(pairs: NDArray[np.int64], runs: Sequence[Run], served: Sequence[Run], plan: Plan) -> dict[str, Job]:
    """Everything that is trained, by name, the longest first: the global model's runs, then queries of their own model.

    A long job at the end would leave the other processes without work.

    Args:
        pairs: (Q,) how many pairs each query has.
        runs: what is trained.
        served: the runs that answer unseen queries, so that their global model is always needed.
        plan: how.
    """
    own = pairs >= plan.min_pairs
    shared = served if own.all() else runs
    jobs = {f"{GLOBAL}{run.name.replace('/', '-')}": Job(len(pairs), (run,)) for run in shared}
    return jobs | {f"{q:07d}": Job(int(q), tuple(runs)) for q in np.argsort(-pairs, kind="stable") if own[q]}


def tune(source: Source, jobs: Mapping[str, Job], plan: Plan, folder: Path, processes: Processes) -> dict[str, Floats]:
    """Validation nDCG of each job's runs at every grid point, (runs, points), by the job's name.

    Args:
        source: the queries' tasks.
        jobs: some or all of `jobs_of`.
        plan: how.
        folder: where finished jobs are kept; all that decides the results must be in its path.
        processes: who trains.
    """
    found = processes.run(Tune(source, plan.points, plan.steps), jobs, folder / TUNED, what="Tuning the ranking")
    return {name: np.asarray(arrays["ndcg"], np.float64) for name, arrays in found.items()}


def train_rankers(
    source: Source,
    pairs: NDArray[np.int64],
    runs: Sequence[Run],
    served: Sequence[Run],
    plan: Plan,
    folder: Path,
    processes: Processes,
) -> Rankers:
    """Tune and fit every run for every query.

    One grid point is chosen a run, by the mean validation nDCG over queries (section 3.2 tunes on validation; one
    choice for all queries, because a query's own sessions are few). The global model's is chosen in the same way.

    Args:
        source: the queries' tasks; number Q is the global model's.
        pairs, runs, served, plan: those of `jobs_of`.
        folder: where finished queries are kept; all that decides the results must be in its path.
        processes: who trains.
    """
    queries = len(pairs)
    jobs = jobs_of(pairs, runs, served, plan)
    at = tune(source, jobs, plan, folder, processes)
    shared = {job.runs[0]: name for name, job in jobs.items() if name.startswith(GLOBAL)}
    ordered = {job.query: name for name, job in jobs.items() if job.query < queries}
    scores = np.full((queries, len(runs), len(plan.points)), np.nan)
    for q, name in ordered.items():
        scores[q] = at[name]
    best = {run: best_point(scores[:, row]) for row, run in enumerate(runs)}
    shared_best = {run: best_point(at[name]) for run, name in shared.items()}
    points = {run: plan.points[number] for run, number in best.items()}
    shared_points = {run: plan.points[number] for run, number in shared_best.items()}

    fits = {name: (job, points if job.query < queries else shared_points) for name, job in jobs.items()}
    fitted = processes.run(Fit(source, plan.steps), fits, folder / "fit", what="Fitting the ranking")
    weights: list[Mapping[Run, Weights]] = [{} for _ in range(queries)]
    for q, name in ordered.items():
        weights[q] = weights_of(fitted[name], runs)
    return Rankers(
        own=pairs >= plan.min_pairs,
        points=points,
        validation={run: scores[:, row, best[run]] for row, run in enumerate(runs)},
        weights=weights,
        shared_points=shared_points,
        shared_validation={run: float(at[name][0, shared_best[run]]) for run, name in shared.items()},
        shared={run: weights_of(fitted[name], (run,))[run] for run, name in shared.items()},
    )
