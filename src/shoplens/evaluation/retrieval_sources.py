"""What each image source's evaluation searches for, and in what: queries and corpus of one task, as distinct crops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shoplens.contract import columns as c
from shoplens.contract.spec import DatasetSpec, SourceSpec
from shoplens.data.examples import Crops
from shoplens.evaluation.precision import NOTHING, Ints, Matches, PrecisionMetric, count_matches, label_matrix

METRICS: dict[str, PrecisionMetric] = {"p@1": "p_at_1", "avg_p@20": "avg_p_at_20"}
MOST_CATEGORIES = 50
"""Labels that still make a table by category of themselves; more are sets or instances."""


@dataclass(frozen=True)
class Source:
    """One source's evaluation: Q queries in a corpus of N, both rows of the crops, ascending, each once.

    Attributes:
        name, task, metric: as dataset.yaml says.
        queries, corpus: int64 (Q,) and (N,), rows of the crops.
        query_labels, corpus_labels: bool (Q, L) and (N, L); a distractor has none.
        own: int64 (Q,), the corpus row that is the query itself, NOTHING (-1) if it is not in the corpus.
        units: str (Q,), `source/photo`, and with a box `source/photo#x0,y0,x1,y1`.
        labels: str (Q,), several of one query joined.
        categories: str or None (Q,).
        in_training: bool (Q,), whether a label of the query occurs in training.
    """

    name: str
    task: str
    metric: PrecisionMetric
    queries: Ints
    corpus: Ints
    query_labels: csr_array[Any]
    corpus_labels: csr_array[Any]
    own: Ints
    units: NDArray[np.object_]
    labels: NDArray[np.object_]
    categories: NDArray[np.object_]
    in_training: NDArray[np.bool_]

    @cached_property
    def matches(self) -> Matches:
        """What the queries could find."""
        return count_matches(self.query_labels, self.corpus_labels, self.own)

    @property
    def distractors(self) -> int:
        """Corpus rows without a label."""
        return int((np.diff(self.corpus_labels.indptr) == 0).sum())


def held_out(examples: pa.Table) -> pa.Table:
    """The query and corpus rows."""
    return examples.filter(pc.is_in(examples[c.ROLE], value_set=pa.array(["query", "corpus"])))


def read_sources(
    spec: DatasetSpec, examples: pa.Table, crops: Crops, rows: Ints
) -> tuple[list[Source], dict[str, str]]:
    """The sources that can be evaluated, and of the others why not.

    Args:
        spec: dataset.yaml, which says by which task and metric a source is judged.
        examples: all of stage prepare's.
        crops: those of `held_out(examples)`.
        rows: (n,), the crop of each held-out row.
    """
    held = held_out(examples).append_column("crop", pa.array(rows))
    sources, left_out = [], {}
    for source in spec.sources:
        own = held.filter(pc.equal(held[c.SOURCE], source.name))
        judged = own.filter(pc.equal(own[c.TASK], source.eval.task))
        absent = [role for role in ("query", "corpus") if not pc.any(pc.equal(judged[c.ROLE], role)).as_py()]
        if absent:
            missing = " and no ".join(f"{role} rows" for role in absent)
            left_out[source.name] = f"{c.LABELS_FILE} has no {missing} of its task {source.eval.task}"
        else:
            sources.append(_source(source, own, judged, _trained(examples, source), crops))
    return sources, left_out


def _trained(examples: pa.Table, source: SourceSpec) -> pa.Array:
    """The labels of the evaluated task that a training example has."""
    wanted = {c.SOURCE: source.name, c.TASK: source.eval.task, c.ROLE: "train"}
    for column, value in wanted.items():
        examples = examples.filter(pc.equal(examples[column], value))
    return pc.unique(examples[c.LABEL].combine_chunks())


def _source(spec: SourceSpec, own: pa.Table, judged: pa.Table, trained: pa.Array, crops: Crops) -> Source:
    texts = pc.unique(judged[c.LABEL].drop_null()).sort()
    label = pc.fill_null(pc.index_in(judged[c.LABEL], value_set=texts), NOTHING).to_numpy()
    crop, role = judged["crop"].to_numpy(), judged[c.ROLE].to_numpy()
    found = []
    for name in ("query", "corpus"):
        distinct, place = np.unique(crop[role == name], return_inverse=True)
        known = label[role == name] != NOTHING
        pairs = place[known], label[role == name][known]
        found.append((distinct, label_matrix(*pairs, (len(distinct), len(texts)))))
    (queries, query_labels), (corpus, corpus_labels) = found
    place = np.searchsorted(corpus, queries)
    is_own = corpus[np.minimum(place, len(corpus) - 1)] == queries
    learned = pc.is_in(texts, value_set=trained).to_numpy(zero_copy_only=False)
    labels = _joined(query_labels, np.array(texts.to_pylist(), object))
    return Source(
        name=spec.name,
        task=spec.eval.task,
        metric=METRICS[spec.eval.metric],
        queries=queries,
        corpus=corpus,
        query_labels=query_labels,
        corpus_labels=corpus_labels,
        own=np.where(is_own, place, NOTHING),
        units=unit_ids(spec.name, crops, queries),
        labels=labels,
        categories=_categories(spec, own, queries, labels),
        in_training=query_labels.astype(np.int64) @ learned.astype(np.int64) > 0,
    )


def _joined(matrix: csr_array[Any], texts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Each row's labels as one text, (rows,)."""
    matrix = matrix.sorted_indices()
    parts = np.split(texts[matrix.indices], matrix.indptr[1:-1])
    return np.array([" + ".join(part) for part in parts], object)


def _categories(spec: SourceSpec, own: pa.Table, queries: Ints, labels: NDArray[np.object_]) -> NDArray[np.object_]:
    """What a query is counted under: its label in another task of the source, else its own if there are few of them.

    With several, the first by task and label.
    """
    others = own.filter(pc.and_(pc.not_equal(own[c.TASK], spec.eval.task), own[c.LABEL].is_valid()))
    others = others.sort_by([(name, "ascending") for name in ("crop", c.TASK, c.LABEL)])
    crop, first = np.unique(others["crop"].to_numpy(), return_index=True)
    named = dict(zip(crop.tolist(), others[c.LABEL].take(pa.array(first)).to_pylist(), strict=True))
    few = len(set(labels.tolist())) <= MOST_CATEGORIES
    found = [named.get(crop, label if few else None) for crop, label in zip(queries.tolist(), labels, strict=True)]
    return np.array(found, object)


def unit_ids(source: str, crops: Crops, rows: Ints) -> NDArray[np.object_]:
    """The unit of each of these crops in outcomes.parquet, (n,).

    Boxes that six digits do not tell apart have all their digits.
    """
    places = [(crops.image_ids[row], crops.boxes[row]) for row in rows.tolist()]
    texts = [_unit(source, image, box, ".6g") for image, box in places]
    times = Counter(texts)
    found = [
        text if times[text] == 1 else _unit(source, image, box, ".17g")
        for text, (image, box) in zip(texts, places, strict=True)
    ]
    return np.array(found, object)


def _unit(source: str, image_id: str, box: NDArray[np.float64], digits: str) -> str:
    name = f"{source}/{image_id}"
    return name if np.isnan(box[0]) else f"{name}#{','.join(format(side, digits) for side in box.tolist())}"
