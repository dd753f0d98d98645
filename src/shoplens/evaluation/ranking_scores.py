"""How every trained model ranks the test sessions: a value a query, from which all metrics of ranking are picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from shoplens.evaluation.ranking_log import Features, HeldOut
from shoplens.ranking.modalities import Run, choose, runs_by_modality
from shoplens.ranking.ndcg import expected_ndcg, session_ndcg
from shoplens.ranking.rankers import Rankers
from shoplens.ranking.sessions import Floats, Sessions, mean_by_query
from shoplens.ranking.train import Weights

DEPTH = 10


@dataclass(frozen=True)
class RunScores:
    """One run on the test set: nDCG a judged session (S,), and means a query (Q,), NaN where it has nothing.

    Listings with equal scores stand in order of their ids.
    """

    sessions: Floats
    sessions_at_10: Floats
    ndcg: Floats
    ndcg_at_10: Floats
    unseen: Floats
    fair: Floats


def model_of(rankers: Rankers, query: int, run: Run) -> Weights:
    """The weights that answer a query: its own, or the global ones."""
    return rankers.weights[query][run] if rankers.own[query] else rankers.shared[run]


def score_runs(rankers: Rankers, runs: Sequence[Run], features: Features, tests: HeldOut) -> dict[Run, RunScores]:
    """Every run's nDCG and pair accuracy on the test set."""
    queries = len(rankers.own)
    sessions = tests.judged.sessions
    rows = sessions.starts[np.searchsorted(sessions.query, np.arange(queries + 1))]
    scores = {run: np.zeros(len(sessions.listing)) for run in runs}
    fair = {run: np.full(queries, np.nan) for run in runs}
    for query in np.unique(sessions.query).tolist():
        span = slice(*rows[query : query + 2])
        shown, place = np.unique(sessions.listing[span], return_inverse=True)
        pairs = slice(*tests.pairs.starts[query : query + 2])
        better, worse = (np.searchsorted(shown, side[pairs]) for side in (tests.pairs.better, tests.pairs.worse))
        for run in runs:
            found = features.scores(run, model_of(rankers, query, run), shown)
            scores[run][span] = found[place]
            if tests.pairs.fair[query] and len(better):
                ahead = found[better] - found[worse]
                fair[run][query] = ((ahead > 0) + 0.5 * (ahead == 0)).mean()
    return {run: _measure(scores[run], fair[run], tests, queries) for run in runs}


def _measure(scores: Floats, fair: Floats, tests: HeldOut, queries: int) -> RunScores:
    sessions, unseen = tests.judged.sessions, tests.unseen.sessions

    def ndcg(which: Sessions, values: Floats, depth: int | None = None) -> Floats:
        return session_ndcg(values, which.grade, which.listing, which.starts, depth)

    whole, top = ndcg(sessions, scores), ndcg(sessions, scores, DEPTH)
    return RunScores(
        sessions=whole,
        sessions_at_10=top,
        ndcg=mean_by_query(whole, sessions.query, queries),
        ndcg_at_10=mean_by_query(top, sessions.query, queries),
        unseen=mean_by_query(ndcg(unseen, scores[tests.unseen.rows]), unseen.query, queries),
        fair=fair,
    )


def shown_ndcg(tests: HeldOut, queries: int) -> Floats:
    """nDCG of the order as shown, a query (Q,)."""
    sessions = tests.judged.sessions
    order = np.arange(len(sessions.listing))
    values = session_ndcg(-order.astype(np.float64), sessions.grade, order, sessions.starts)
    return mean_by_query(values, sessions.query, queries)


def chance_ndcg(tests: HeldOut, queries: int, depth: int | None = None) -> Floats:
    """Expected nDCG of a random order, a query (Q,)."""
    sessions = tests.judged.sessions
    return mean_by_query(expected_ndcg(sessions.grade, sessions.starts, depth), sessions.query, queries)


def chosen_runs(rankers: Rankers, encoder: str, diverged: bool) -> tuple[Run, ...]:
    """Each query's choice with an encoder's photos, (Q,): its own on its validation sessions, else the global one.

    A query with its own model but without a validation session takes text. A query that the global model answers takes
    the modality in which that model is best over all queries. With a diverged encoder there is nothing to choose by:
    every query has its photos, so that its outcomes are NaN and not those of text alone.
    """
    runs = runs_by_modality(encoder)
    if diverged:
        return (Run("multimodal", encoder),) * len(rankers.own)
    own = choose(np.stack([rankers.validation[run] for run in runs], axis=1))
    shared = shared_run(rankers, encoder)
    return tuple(runs[number] if has else shared for number, has in zip(own.tolist(), rankers.own, strict=True))


def shared_run(rankers: Rankers, encoder: str) -> Run:
    """In what modality the global model answers: the best on validation over all queries, else text."""
    runs = runs_by_modality(encoder)
    found = np.array([[rankers.shared_validation.get(run, np.nan) for run in runs]])
    return runs[int(choose(found)[0])]


def unscored(like: RunScores) -> RunScores:
    """The scores of a run that could not be trained: NaN throughout."""
    return RunScores(*(np.full_like(getattr(like, field.name), np.nan) for field in fields(RunScores)))
