"""What is known of each worker, and how steadily they answer (Pinterest, section 4.3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shoplens.judgement.answers import Answers, Bools, Ints, Votes, votes_of
from shoplens.judgement.comparison import Estimate, share_of


@dataclass(frozen=True)
class Worker:
    """One worker: answers given, precision on the golden set (None without golden answers), consistency over jobs."""

    worker: str
    answers: int
    golden: int
    precision: float | None
    kept: bool
    repeated: int
    consistency: float | None


def workers_of(answers: Answers, right: Ints, given: Ints, kept: Bools) -> list[Worker]:
    """A row a worker: what they answered, and how well and how steadily.

    Args:
        answers: of all workers.
        right: (W,) right answers to golden questions.
        given: (W,) answers to golden questions.
        kept: (W,) whether their answers count.
    """
    votes = votes_of(answers)
    several = votes.jobs > 1
    count = len(answers.workers)
    total = np.bincount(answers.worker, minlength=count)
    repeated = np.bincount(votes.worker[several], minlength=count)
    same = np.bincount(votes.worker[several & votes.same], minlength=count)
    return [
        Worker(
            name,
            int(total[at]),
            int(given[at]),
            float(right[at] / given[at]) if given[at] else None,
            bool(kept[at]),
            int(repeated[at]),
            float(same[at] / repeated[at]) if repeated[at] else None,
        )
        for at, name in enumerate(answers.workers)
    ]


def consistency_of(votes: Votes) -> dict[str, Any]:
    """Share of (worker, question) pairs answered in several jobs whose answers are all the same, with n."""
    same = votes.same[votes.jobs > 1]
    estimate = share_of(same) if len(same) else Estimate(None, None, None)
    return {"n": len(same), **asdict(estimate)}
