"""Workers' answers: read, checked against the golden set, and brought to one answer a question.

Paper (section 4.3): workers reach "80%+ precision in their responses against a golden set of (question, answer) pairs";
"we further replicate each question 5 times, showing 5 different workers the same question and aggregating results with
the majority response as the final answer"; worker consistency: "given the same question multiple times, what percent of
the questions were answered the same across jobs".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError
from shoplens.judgement.sheets import read_sheet

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
PRECISION = 0.8
REPLICAS = 5
FIRST_JOB = "1"
UNKNOWN = -1


@dataclass(frozen=True)
class Answers:
    """N answers to Q questions by W workers, one a worker, question and job.

    Attributes:
        workers: (W,) names, ascending.
        worker: (N,) indices into `workers`.
        question: (N,) indices into the questions.
        yes: (N,).
    """

    workers: Sequence[str]
    worker: Ints
    question: Ints
    yes: Bools

    def of(self, kept: Bools) -> Answers:
        """The answers of the workers that `kept` (W,) marks; all workers keep their index."""
        rows = kept[self.worker]
        return Answers(self.workers, self.worker[rows], self.question[rows], self.yes[rows])


@dataclass(frozen=True)
class Votes:
    """One vote a worker and question, whatever the number of jobs.

    Attributes:
        worker, question: (P,) indices.
        lean: (P,) 1 for yes, -1 for no, 0 for a worker whose jobs say both equally often.
        jobs: (P,) how many jobs stand behind the vote.
        same: (P,) whether all of them say the same.
    """

    worker: Ints
    question: Ints
    lean: Ints
    jobs: Ints
    same: Bools


def read_answers(paths: Sequence[Path], questions: Sequence[str]) -> Answers:
    """Columns worker, question, answer (yes or no) and, where there is one, job (else 1) of CSV files.

    Args:
        paths: the files.
        questions: (Q,) ids, such as `3fa81c02-0001`.

    Raises:
        ShoplensError: naming file, row and column of the first answer that is neither yes nor no, belongs to no
            question or to another run, or comes twice from one worker in one job.
    """
    place = {name: at for at, name in enumerate(questions)}
    run = questions[0].rpartition("-")[0]
    seen: dict[tuple[str, str, str], str] = {}
    rows: list[tuple[str, int, bool]] = []
    for path in paths:
        sheet = read_sheet(path, ("worker", "question", "answer"), {"job": FIRST_JOB})
        columns = (sheet.columns[name] for name in ("worker", "question", "job"))
        for at, (worker, question, job) in enumerate(zip(*columns, strict=True)):
            where = sheet.place(at, "question")
            if question not in place:
                other = question.rpartition("-")[0]
                if other not in ("", run):
                    raise ShoplensError(
                        f"{where}: {question} belongs to other questions ({other}) than those of this folder ({run}): "
                        "score it with the folder that it was made with"
                    )
                raise ShoplensError(f"{where}: there is no question {question}; copy the id from questions.csv")
            asked = (worker, question, job)
            if asked in seen:
                raise ShoplensError(
                    f"{where}: {worker} answers {question} twice in job {job} (before: {seen[asked]}); keep one of the "
                    "two rows, or name another job in column job"
                )
            seen[asked] = f"{path}, row {sheet.rows[at]}"
            rows.append((worker, place[question], sheet.verdict(at)))
    names, questioned, yes = zip(*rows, strict=True)
    workers, worker = np.unique(np.array(names, dtype=object), return_inverse=True)
    return Answers(workers.tolist(), worker.astype(np.int64), np.array(questioned, np.int64), np.array(yes, np.bool_))


def golden_counts(answers: Answers, known: Ints) -> tuple[Ints, Ints]:
    """Each worker's right answers to golden questions and all that they gave, over all jobs: (W,) and (W,).

    Args:
        answers: of all workers.
        known: (Q,) 1 for yes, 0 for no, UNKNOWN (-1) for a question that is not golden.
    """
    truth = known[answers.question]
    golden = truth != UNKNOWN
    count = len(answers.workers)
    right = np.bincount(answers.worker[golden & (truth == answers.yes)], minlength=count)
    return right, np.bincount(answers.worker[golden], minlength=count)


def passing(right: Ints, given: Ints) -> Bools:
    """Which workers are at or above 80% precision on the golden set, (W,); one who met no golden question is not."""
    return (given > 0) & (right >= PRECISION * given)


def votes_of(answers: Answers) -> Votes:
    """Each worker's vote on each question that they answered: yes or no, whichever they gave in more jobs."""
    count = len(answers.workers)
    pairs, where, jobs = np.unique(answers.question * count + answers.worker, return_inverse=True, return_counts=True)
    yes = np.bincount(where, weights=answers.yes, minlength=len(pairs)).astype(np.int64)
    return Votes(pairs % count, pairs // count, np.sign(2 * yes - jobs), jobs, (yes == 0) | (yes == jobs))


def majority(votes: Votes, questions: int) -> tuple[Ints, Ints]:
    """Each question's final answer and how many workers gave it one.

    Returns:
        (Q,) 1 where more workers say yes than no, -1 where fewer do, 0 on an even split or without answers; and (Q,)
        the number of workers.
    """
    balance = np.bincount(votes.question, weights=votes.lean, minlength=questions)
    return np.sign(balance).astype(np.int64), np.bincount(votes.question, minlength=questions)
