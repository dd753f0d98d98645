"""What stage evaluate-ranking writes down: outcomes, counts, the Etsy paper's Table 1, a row a query and a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from shoplens.evaluation.outcomes import Model, outcome_rows
from shoplens.evaluation.ranking_log import HeldOut, Log
from shoplens.evaluation.ranking_scores import DEPTH, RunScores, chance_ndcg, shown_ndcg
from shoplens.evaluation.statistics import Floats, lift_interval
from shoplens.ranking.judgements import TEST, TRAIN, VALIDATION
from shoplens.ranking.modalities import MODALITIES, TEXT, Run, runs_by_modality
from shoplens.ranking.rankers import Rankers
from shoplens.ranking.retrieval import candidates
from shoplens.ranking.sessions import judged, sessions_of

PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def outcomes_of(log: Log, scores: Mapping[Run, RunScores], chosen: Mapping[Model, Sequence[Run]]) -> list[pa.Table]:
    """Rows for every metric and model, a query each; queries without a session that counts have none.

    Args:
        log: judgements and test set.
        scores: of every run.
        chosen: encoder -> (Q,) each query's choice.
    """
    queries, tests = log.judgements.queries, log.tests
    text = scores[TEXT]
    tested, unseen, fair = (~np.isnan(values) for values in (text.ndcg, text.unseen, text.fair))
    tables = []

    def add(metric: str, model: Model, members: NDArray[np.bool_], values: Floats) -> None:
        tables.append(outcome_rows(f"ranking/{metric}", model, queries[members], values[members]))

    for model, picks in chosen.items():
        _, both, image = (scores[run] for run in runs_by_modality(model))
        add("ndcg", model, tested, _picked(scores, picks, "ndcg"))
        add("ndcg_at_10", model, tested, _picked(scores, picks, "ndcg_at_10"))
        add("multimodal_ndcg", model, tested, both.ndcg)
        add("image_ndcg", model, tested, image.ndcg)
        add("multimodal_gain", model, tested, both.ndcg - text.ndcg)
        add("unseen_multimodal_ndcg", model, unseen, both.unseen)
        add("fair_pair_accuracy", model, fair, _picked(scores, picks, "fair"))
    add("text_ndcg", "candidate", tested, text.ndcg)
    add("unseen_text_ndcg", "candidate", unseen, text.unseen)
    add("shown_ndcg", "candidate", tested, shown_ndcg(tests, len(queries)))
    add("ndcg", "chance", tested, chance_ndcg(tests, len(queries)))
    add("ndcg_at_10", "chance", tested, chance_ndcg(tests, len(queries), DEPTH))
    add("fair_pair_accuracy", "chance", fair, np.full(len(queries), 0.5))
    return tables


def _picked(scores: Mapping[Run, RunScores], chosen: Sequence[Run], field: str) -> Floats:
    """A value of each query (Q,) under the run that it chose."""
    columns = {run: getattr(scores[run], field) for run in set(chosen)}
    return np.array([columns[run][query] for query, run in enumerate(chosen)])


def counts(log: Log, rankers: Rankers, chosen: Sequence[Run]) -> dict[str, Any]:
    """What was read, left out and chosen (`chosen`: (Q,) the candidate's), for metrics.json."""
    judgements, pairs, own = log.judgements, log.pairs, rankers.own
    learns = np.diff(pairs.starts) > 0
    excluded = {"sessions with an empty query": judgements.empty_queries}
    for name in ("validation", "test"):
        sessions, _ = sessions_of(judgements, PARTS[name])
        single = int((np.diff(sessions.starts) < 2).sum())
        excluded[f"{name} sessions with one result"] = single
        irrelevant = len(sessions.query) - single - len(judged(sessions).chosen)
        excluded[f"{name} sessions without a relevant result"] = irrelevant
    picks = [run.modality for run in chosen]
    points = {run.name: asdict(point) for run, point in rankers.points.items()}
    shared = {f"global {run.name}": asdict(point) for run, point in rankers.shared_points.items()}
    return {
        "queries": len(judgements.queries),
        "queries_without_scored_sessions": len(own) - len(np.unique(log.tests.judged.sessions.query)),
        "sessions": {name: int((judgements.part == part).sum()) for name, part in PARTS.items()},
        "scored_sessions": len(log.tests.ids),
        "excluded": excluded,
        "clicks_dwell_unknown": judgements.unknown_dwell,
        "listings": len(log.with_photos),
        "listings_without_photos": int((~log.with_photos).sum()),
        "listings_without_text": int((~log.with_text).sum()),
        "shown": len(judgements.listing),
        "not_retrieved": _not_retrieved(log),
        "training_pairs": len(pairs.better),
        "pairs_from": {"fair_pair": int((learns & pairs.fair).sum()), "neighbours": int((learns & ~pairs.fair).sum())},
        "own": int(own.sum()),
        "global": int((~own).sum()),
        "modalities": {modality: picks.count(modality) for modality in MODALITIES},
        "diverged": list(log.diverged),
        "grid": (points if own.any() else {}) | shared,
    }


def _not_retrieved(log: Log) -> int:
    """Results that were shown although no term of the query is in their title or tags."""
    judgements = log.judgements
    bounds = judgements.starts[judgements.query_sessions]
    count = 0
    for number, query in enumerate(judgements.queries.tolist()):
        shown = judgements.listing[bounds[number] : bounds[number + 1]]
        count += int((~np.isin(shown, candidates(log.collection.index, query))).sum())
    return count


def queries_table(
    log: Log, rankers: Rankers, scores: Mapping[Run, RunScores], chosen: Sequence[Run]
) -> list[dict[str, Any]]:
    """A line a query: what it had to learn from, which model answers it, and the candidate's nDCG by modality."""
    judgements = log.judgements
    queries = len(judgements.queries)
    pairs = np.diff(log.pairs.starts)
    sessions = {
        name: np.bincount(judged(sessions_of(judgements, PARTS[name])[0]).sessions.query, minlength=queries)
        for name in ("validation", "test")
    }
    runs = runs_by_modality("candidate")
    unknown = np.full(queries, np.nan)
    return [
        {
            "query": query,
            "training_pairs": int(pairs[number]),
            **{f"{name}_sessions": int(found[number]) for name, found in sessions.items()},
            "pairs_from": "fair_pair" if log.pairs.fair[number] else "neighbours",
            "model": "own" if rankers.own[number] else "global",
            "modality": chosen[number].modality,
            **{f"validation_{run.modality}": _cell(rankers.validation.get(run, unknown)[number]) for run in runs},
            **{f"test_{run.modality}": _cell(scores[run].ndcg[number]) for run in runs},
        }
        for number, query in enumerate(judgements.queries.tolist())
    ]


def _cell(value: float) -> float | str:
    """A number for a CSV; empty where there is none."""
    return "" if np.isnan(value) else float(value)


def sessions_table(log: Log, scores: Mapping[Run, RunScores]) -> pa.Table:
    """A row for each run and scored test session: `model` (the encoder; candidate for text), `modality`, nDCG."""
    sessions = log.tests.judged.sessions
    results = np.diff(sessions.starts)
    relevant = np.add.reduceat(sessions.grade > 0, sessions.starts[:-1], dtype=np.int64)
    query = pa.array(log.judgements.queries[sessions.query].tolist(), pa.string())
    ids = pa.array(log.tests.ids.tolist(), pa.string())
    count = len(ids)
    return pa.concat_tables(
        pa.table(
            {
                "query": query,
                "session_id": ids,
                "model": pa.array([run.image or "candidate"] * count, pa.string()),
                "modality": pa.array([run.modality] * count, pa.string()),
                "ndcg": found.sessions,
                "ndcg_at_10": found.sessions_at_10,
                "results": results,
                "relevant": relevant,
            }
        )
        for run, found in scores.items()
    )


def wilcoxon_p(values: Floats, text: Floats) -> float:
    """Two-sided p of the Wilcoxon signed-rank test over queries, as the paper uses; 1 where no query differs.

    Queries without a difference are dropped (Wilcoxon's own way); NaN for values that are not finite, or none.
    """
    if not len(values) or not np.isfinite(values).all():
        return np.nan
    differences = values - text
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def table_1(
    scores: Mapping[Run, RunScores],
    chosen: Mapping[Model, Sequence[Run]],
    tests: HeldOut,
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """A row for each encoder, population and modality.

    Args:
        scores: of every run; a diverged encoder's are NaN.
        chosen: encoder -> (Q,) the run that each query chose on validation.
        tests: the sessions.
        resamples: bootstrap samples.
        seed: of the draws.

    Returns:
        Rows with `population` "all", or "moved": the queries that chose multimodal, which is whom the paper's table
        covers (51.4% of 1,394). `lift`, `low`, `high` in percent, empty where undefined.
    """
    text = scores[TEXT].ndcg
    tested = ~np.isnan(text)
    per_query = np.bincount(tests.judged.sessions.query, minlength=len(text))
    rows = []
    for encoder, picks in chosen.items():
        moved = tested & np.array([run.modality == "multimodal" for run in picks])
        for population, members in (("all", tested), ("moved", moved)):
            for run in runs_by_modality(encoder):
                values = scores[run].ndcg[members]
                lift, low, high = lift_interval(values, text[members], resamples=resamples, seed=seed)
                found = {
                    "ndcg": float(values.mean()) if len(values) else np.nan,
                    "lift": lift,
                    "low": low,
                    "high": high,
                    "wilcoxon_p": np.nan if run.modality == "text" else wilcoxon_p(values, text[members]),
                }
                rows.append(
                    {
                        "model": encoder,
                        "modality": run.modality,
                        "population": population,
                        "queries": int(members.sum()),
                        "sessions": int(per_query[members].sum()),
                        "share": float(members.sum() / tested.sum()),
                        **{name: _cell(value) for name, value in found.items()},
                    }
                )
    return rows
