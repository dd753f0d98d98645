"""One ranking SVM a query: tuned on its validation sessions, then fitted at the grid point chosen for all queries.

A task is plain arrays, wherever they come from: a search log (`log_tasks`) or a generator. `Tune` and `Fit` are what
`workers.Processes` runs for each query. Neither ever sees a test session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoplens.ranking import svm
from shoplens.ranking.modalities import GridPoint, Modality, Run
from shoplens.ranking.ndcg import session_ndcg
from shoplens.ranking.sessions import Floats, Sessions, mean_by_query
from shoplens.ranking.svm import Documents

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class QueryTask:
    """What the models of one query learn from and are tuned on.

    Attributes:
        text: (n, v) float32, binary features, only the columns that occur.
        columns: (v,) their numbers in the vocabulary, ascending.
        images: encoder -> (n, D) float32 features.
        better, worse: (P,) pairs of documents. Documents are in the order that breaks ties, smaller first.
        validation: judged sessions, over documents. `query` are numbers from 0: one, or many for the global model.
    """

    text: scipy.sparse.csr_array
    columns: NDArray[np.int32]
    images: Mapping[str, NDArray[np.float32]]
    better: NDArray[np.int32]
    worse: NDArray[np.int32]
    validation: Sessions

    def documents(self, run: Run) -> Documents:
        """The documents as the run looks at them."""
        return documents_as(run.modality, self.text, self.images.get(run.image))


def documents_as(modality: Modality, text: scipy.sparse.csr_array, image: NDArray[np.float32] | None) -> Documents:
    """Documents as text, image, or both side by side (Algorithm 1)."""
    return Documents(None if modality == "image" else text, None if modality == "text" else image)


Source = Callable[[int], QueryTask]
"""Gives the task of a query by its number; travels to the worker processes, so it must be picklable."""


@dataclass(frozen=True)
class Job:
    """Some runs of one query: what a worker does in one go."""

    query: int
    runs: tuple[Run, ...]


def score_documents(
    documents: Documents, text: NDArray[np.float32] | None, image: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """w.x of every document, (n,): text and image weights side by side."""
    scores: NDArray[np.float32] | None = None
    if documents.text is not None and text is not None:
        scores = documents.text @ text
    if documents.image is not None and image is not None:
        seen: NDArray[np.float32] = documents.image @ image
        scores = seen if scores is None else scores + seen
    if scores is None:
        raise ValueError("weights without documents of the same modality")
    return scores


def fit_point(task: QueryTask, run: Run, point: GridPoint, steps: int) -> svm.Fit:
    """One run's model at one grid point."""
    documents = task.documents(run)
    return svm.fit_ranking_svm(
        documents, task.better, task.worse, l1=point.l1, l2=point.l2, rate=point.rate, steps=steps
    )


@dataclass(frozen=True)
class Tune:
    """Validation nDCG of every run at every grid point."""

    source: Source
    points: tuple[GridPoint, ...]
    steps: int

    def __call__(self, job: Job) -> Arrays:
        """Array `ndcg`, float64 (runs, points): mean over sessions, then queries; NaN without validation sessions."""
        task = self.source(job.query)
        found = np.full((len(job.runs), len(self.points)), np.nan)
        if len(task.validation.query):
            for row, run in enumerate(job.runs):
                found[row] = self._run(task, run)
        return {"ndcg": found}

    def _run(self, task: QueryTask, run: Run) -> Floats:
        shown = task.validation
        ranked = task.documents(run)
        queries = int(shown.query.max()) + 1
        means = np.empty(len(self.points))
        for at, point in enumerate(self.points):
            fit = fit_point(task, run, point, self.steps)
            scores = score_documents(ranked, fit.text, fit.image)
            ndcg = session_ndcg(scores[shown.listing], shown.grade, shown.listing, shown.starts)
            means[at] = np.nanmean(mean_by_query(ndcg, shown.query, queries))
        return means


@dataclass(frozen=True)
class Fit:
    """Weights of every run at the grid point that was chosen for it."""

    source: Source
    steps: int

    def __call__(self, chosen: tuple[Job, Mapping[Run, GridPoint]]) -> Arrays:
        """Arrays `columns_i`, `text_i`, `image_i` of the job's run i (see `Weights`)."""
        job, points = chosen
        task = self.source(job.query)
        found: Arrays = {}
        for number, run in enumerate(job.runs):
            fit = fit_point(task, run, points[run], self.steps)
            text = np.empty(0, np.float32) if fit.text is None else fit.text.astype(np.float32)
            used = np.flatnonzero(text)
            found[f"columns_{number}"] = task.columns[used]
            found[f"text_{number}"] = text[used]
            found[f"image_{number}"] = np.empty(0, np.float32) if fit.image is None else fit.image.astype(np.float32)
        return found


@dataclass(frozen=True)
class Weights:
    """A linear ranking model: the text weights that are not zero, by ascending column, and all image weights.

    Attributes:
        columns: (k,) int32, numbers in the vocabulary.
        text: (k,) float32.
        image: (D,) float32, empty for a text model.
    """

    columns: NDArray[np.int32]
    text: NDArray[np.float32]
    image: NDArray[np.float32]


def weights_of(found: Mapping[str, NDArray[np.generic]], runs: Sequence[Run]) -> dict[Run, Weights]:
    """What a `Fit` job returned, by run."""
    return {
        run: Weights(
            np.asarray(found[f"columns_{number}"], np.int32),
            np.asarray(found[f"text_{number}"], np.float32),
            np.asarray(found[f"image_{number}"], np.float32),
        )
        for number, run in enumerate(runs)
    }
