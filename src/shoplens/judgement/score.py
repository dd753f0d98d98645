"""`shoplens judge score`: what workers' answers say about two models, as in Pinterest's Tables 5 and 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplens.artifacts import PASSPORT, read_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, write_csv, write_json
from shoplens.judgement.answers import (
    PRECISION,
    REPLICAS,
    UNKNOWN,
    Ints,
    golden_counts,
    majority,
    passing,
    read_answers,
    votes_of,
)
from shoplens.judgement.comparison import compare, judged_queries
from shoplens.judgement.make import ARTIFACT, KEY
from shoplens.judgement.score_table import percent, score_rows, score_text
from shoplens.judgement.workers import consistency_of, workers_of


def score_answers(out: Path, paths: Sequence[Path]) -> str:
    """Score answers against the questions in `out`; writes `score.json` and `score.csv` there.

    Args:
        out: the folder that `shoplens judge make` wrote.
        paths: CSV files with worker, question, answer and maybe job.

    Returns:
        The result in words, a table among them.

    Raises:
        ShoplensError: if the questions were changed, an answer is wrong, no worker passes the golden set, or no query
            is answered in full.
    """
    for path in paths:
        if not path.is_file():
            raise ShoplensError(f"{path} is missing or no file: name the CSV files that workers saved on the page")
    if not (out / PASSPORT).is_file():
        raise ShoplensError(f"{out} holds no questions: name the folder that `shoplens judge make --out` wrote")
    made = read_artifact(out, ARTIFACT)
    key = pq.read_table(out / KEY)
    questions = pc.unique(key["question"]).to_pylist()
    known = np.full(len(questions), UNKNOWN, dtype=np.int64)
    asked = np.zeros(len(questions), dtype=np.bool_)
    place = pc.index_in(key["question"], pa.array(questions, pa.string())).to_numpy()
    known[place] = pc.fill_null(key["known"].cast(pa.int64()), UNKNOWN).to_numpy()
    asked[place] = pc.is_valid(key["model"]).to_numpy()
    answers = read_answers(paths, questions)
    right, given = golden_counts(answers, known)
    has_golden = bool((known != UNKNOWN).any())
    kept = passing(right, given) if has_golden else np.ones(len(answers.workers), np.bool_)
    workers = workers_of(answers, right, given, kept)
    if not kept.any():
        met = ", ".join(f"{worker.worker} {percent(worker.precision)}" for worker in workers)
        raise ShoplensError(
            f"no worker reaches {PRECISION:.0%} on the golden questions ({met}): check their known answers, explain to "
            "workers what relevant means, and ask again"
        )
    votes = votes_of(answers.of(kept))
    final, voters = majority(votes, len(questions))
    params = made.params
    judged = judged_queries(key, place, final, voters, params["one"], params["other"])
    if not judged.queries:
        raise ShoplensError(
            f"none of {judged.unanswered} queries has an answer to all its questions from a worker who counts: collect "
            "more answers"
        )
    categories = sorted({name for name in judged.categories if name is not None})
    result = {
        **{name: params[name] for name in ("run", "one", "other", "source", "kind", "ask")},
        "made_from": made.inputs["evaluate-retrieval"],
        "by_traffic": "traffic" in made.inputs,
        "answers": {str(path): digest_file(path) for path in paths},
        "golden_questions": int((known != UNKNOWN).sum()),
        "workers": [asdict(worker) for worker in workers],
        "questions": _question_counts(final[asked], voters[asked]),
        "queries": {"scored": len(judged.queries), "unanswered": judged.unanswered},
        "consistency": consistency_of(votes),
        "overall": asdict(compare(judged.one, judged.other)),
        "categories": {
            name: asdict(compare(judged.one[judged.categories == name], judged.other[judged.categories == name]))
            for name in categories
        },
    }
    write_csv(out / "score.csv", score_rows(result))
    write_json(out / "score.json", result)
    return score_text(result)


def _question_counts(final: Ints, voters: Ints) -> dict[str, int]:
    return {
        "asked": len(final),
        "unanswered": int((voters == 0).sum()),
        "fewer_than_five": int(((voters > 0) & (voters < REPLICAS)).sum()),
        "even_split": int(((voters > 0) & (final == 0)).sum()),
    }
