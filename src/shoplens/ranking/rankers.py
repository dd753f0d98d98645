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
        pairs: (Q,) how many pairs each query has.
        runs: what is trained.
        served: the runs that answer unseen queries, so that their global model is always needed.
        plan: how.
        folder: where finished queries are kept; all that decides the results must be in its path.
        processes: who trains.
    """
    queries = len(pairs)
    own = pairs >= plan.min_pairs
    shared_runs = list(served) if own.all() else list(runs)
    # The longest first: a long job at the end would leave the other processes without work.
    ordered = [int(q) for q in np.argsort(-pairs, kind="stable") if own[q]]
    jobs = {f"global-{run.name.replace('/', '-')}": Job(queries, (run,)) for run in shared_runs}
    jobs |= {f"{q:07d}": Job(q, tuple(runs)) for q in ordered}

    tuned = processes.run(Tune(source, plan.points, plan.steps), jobs, folder / "tune", what="Tuning the ranking")
    at = {name: np.asarray(found["ndcg"], np.float64) for name, found in tuned.items()}
    scores = np.full((queries, len(runs), len(plan.points)), np.nan)
    for q in ordered:
        scores[q] = at[f"{q:07d}"]
    best = {run: best_point(scores[:, row]) for row, run in enumerate(runs)}
    names = [name for name in jobs if name.startswith("global-")]
    shared_best = {run: best_point(at[name]) for run, name in zip(shared_runs, names, strict=True)}
    points = {run: plan.points[number] for run, number in best.items()}
    shared_points = {run: plan.points[number] for run, number in shared_best.items()}

    fits = {name: (job, shared_points if name in names else points) for name, job in jobs.items()}
    fitted = processes.run(Fit(source, plan.steps), fits, folder / "fit", what="Fitting the ranking")
    weights: list[Mapping[Run, Weights]] = [{} for _ in range(queries)]
    for q in ordered:
        weights[q] = weights_of(fitted[f"{q:07d}"], runs)
    return Rankers(
        own=own,
        points=points,
        validation={run: scores[:, row, best[run]] for row, run in enumerate(runs)},
        weights=weights,
        shared_points=shared_points,
        shared_validation={
            run: float(at[name][0, shared_best[run]]) for run, name in zip(shared_runs, names, strict=True)
        },
        shared={run: weights_of(fitted[name], (run,))[run] for run, name in zip(shared_runs, names, strict=True)},
    )
