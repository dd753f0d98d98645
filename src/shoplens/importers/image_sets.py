"""Rows of labels.parquet from an engagement log (`shoplens data sets`): mined image sets, their roles and queries.

The Pinterest paper, 3.2.1: sets of images that were engaged with beside a query image, each a label, cleaned by "strict
heuristics (e.g. number of impressions and interactions for each image in the set)". And 4.2: "we sampled a random class
subset of the Flashlight training data [...] and randomly divided it into 807 images for queries and 42881 images for
the corpus across classes"; here chance is a hash of the ids, so that a set that is found again keeps its role.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplens.contract import columns as c
from shoplens.contract.findings import found_rows, raise_errors
from shoplens.contract.split import bucket, split_of
from shoplens.contract.tables import INT64, LABELS, STRING, Columns, load_table
from shoplens.errors import ShoplensError
from shoplens.files import write_bytes
from shoplens.progress import say
from shoplens.world.image_sets import Engagement, ImageSet, image_sets

QUERY_IMAGE_ID, IMPRESSIONS, INTERACTIONS = "query_image_id", "impressions", "interactions"
ENGAGEMENT: Columns = {QUERY_IMAGE_ID: STRING, c.IMAGE_ID: STRING, IMPRESSIONS: INT64, INTERACTIONS: INT64}
QUERIES = 0.2
"""Share of a held-out set's images that are queries; at least one."""


@dataclass(frozen=True)
class Minimums:
    """What an image needs beside the query image, summed over its rows, and what a set needs with its query image."""

    impressions: int
    interactions: int
    images: int


def import_image_sets(engagement: Path, out: Path, source: str, task: str, minimums: Minimums) -> None:
    """Mine sets from an engagement table and write them as rows of labels.parquet.

    A file that is already there keeps its rows of other sources and tasks (the contract's columns of them). Photos of
    held-out sets leave the train rows of all sources: what is searched for was not trained on.

    Args:
        engagement: Parquet with query_image_id, image_id, impressions, interactions; other columns are ignored.
        out: labels.parquet.
        source, task: what the rows are called.
        minimums: the strict heuristics.

    Raises:
        ShoplensError: naming missing columns and types, rows with nulls or impossible counts; if no set is found.
    """
    if minimums.images < 2:
        raise ShoplensError("--min-images: a set of one image teaches nothing and finds nothing; give at least 2")
    log, ids = _read_engagement(engagement)
    try:
        sets = image_sets(log, minimums.impressions, minimums.interactions, minimums.images)
    except ShoplensError as error:
        raise ShoplensError(f"{engagement}: {error}") from None
    if not sets:
        raise ShoplensError(
            f"{engagement}: no set of {minimums.images} images with {minimums.impressions} impressions and "
            f"{minimums.interactions} interactions each in {len(log.query):,} rows; lower a minimum"
        )
    mined = set_rows(sets, ids, source, task)
    labels, shared = without_shared(pa.concat_tables([*_kept(out, source, task), mined]))
    content = pa.BufferOutputStream()
    pq.write_table(labels, content)
    write_bytes(out, content.getvalue().to_pybytes())
    say(_summary(mined, shared, out))


def _read_engagement(path: Path) -> tuple[Engagement, pa.Array]:
    """The log with ids as places in the sorted array of all ids, which has their order."""
    table, findings = load_table(path.parent, path.name, ENGAGEMENT)
    raise_errors(findings)
    assert table is not None
    for name, kind in ENGAGEMENT.items():
        nulls = np.flatnonzero(table[name].is_null().to_numpy())
        findings += found_rows("value-null", path.name, name, nulls, lambda _: "null")
        if kind == STRING:
            empty = np.flatnonzero(pc.fill_null(pc.equal(table[name], ""), False).to_numpy())
            findings += found_rows("value-empty", path.name, name, empty, lambda _: "an empty string")
    raise_errors(findings)
    both = pa.chunked_array([*table[QUERY_IMAGE_ID].chunks, *table[c.IMAGE_ID].chunks], pa.string())
    ids = pc.unique(both)
    ids = ids.take(pc.array_sort_indices(ids))
    query, image = (pc.index_in(table[name], ids).to_numpy() for name in (QUERY_IMAGE_ID, c.IMAGE_ID))
    return Engagement(query, image, table[IMPRESSIONS].to_numpy(), table[INTERACTIONS].to_numpy()), ids


def set_rows(sets: Sequence[ImageSet], ids: pa.Array, source: str, task: str) -> pa.Table:
    """A row an image of a set; its label is the id of the set's query image.

    A set whose label's bucket (contract.split) is 0 is held out: a fifth of its images, those with the lowest hashes of
    their ids, are queries, the others corpus. All other sets train.

    Args:
        sets: with places in `ids`.
    """
    sizes = np.array([len(found.images) for found in sets])
    labels = ids.take(pa.array([found.query for found in sets], pa.int64())).to_pylist()
    held_out = np.array([split_of(bucket(label)) == "test" for label in labels])
    number = np.repeat(np.arange(len(sets)), sizes)
    images = ids.take(pa.array(np.concatenate([found.images for found in sets])))

    role = np.full(len(number), "train", dtype=object)
    rows = np.flatnonzero(held_out[number])
    hashes = [sha256(image.encode()).digest() for image in images.take(pa.array(rows)).to_pylist()]
    rows = rows[np.lexsort((np.array(hashes, "S32"), number[rows]))]
    rank = np.arange(len(rows)) - np.searchsorted(number[rows], number[rows])
    queries = np.maximum(np.rint(QUERIES * sizes), 1)
    role[rows] = np.where(rank < queries[number[rows]], "query", "corpus")

    texts = {c.SOURCE: [source] * len(number), c.TASK: [task] * len(number), c.ROLE: role, c.IMAGE_ID: images}
    columns = texts | {c.LABEL: pa.array(labels, pa.string()).take(pa.array(number))}
    columns |= {name: [None] * len(number) for name in c.BOX}
    return pa.table({name: pa.array(columns[name], kind) for name, kind in LABELS.items()})


def without_shared(labels: pa.Table) -> tuple[pa.Table, int]:
    """Drop train rows of photos that are queries or in a corpus, of whatever source; also how many were dropped."""
    trains = _is(labels, c.ROLE, "train")
    held_out = labels.filter(pc.invert(trains))[c.IMAGE_ID]
    kept = labels.filter(pc.invert(pc.and_(trains, pc.is_in(labels[c.IMAGE_ID], pc.unique(held_out)))))
    return kept, len(labels) - len(kept)


def _kept(out: Path, source: str, task: str) -> list[pa.Table]:
    """The rows of other sources and tasks that are in the file already."""
    if not out.exists():
        return []
    table, findings = load_table(out.parent, out.name, LABELS)
    raise_errors(findings)
    assert table is not None
    return [table.filter(pc.invert(pc.and_(_is(table, c.SOURCE, source), _is(table, c.TASK, task))))]


def _is(table: pa.Table, column: str, value: str) -> pa.ChunkedArray:
    """Where a column has a value; a null has none, and `shoplens data check` names it later."""
    return pc.fill_null(pc.equal(table[column], value), False)


def _summary(mined: pa.Table, shared: int, out: Path) -> str:
    rows = {role: mined.filter(_is(mined, c.ROLE, role)) for role in c.ROLES}
    counts = {role: len(table) for role, table in rows.items()}
    train, held_out = (pc.count_distinct(rows[role][c.LABEL]).as_py() for role in ("train", "query"))
    lines = [
        f"Wrote {out}: sets to train on: {train:,} (photos: {counts['train']:,}); held out: {held_out:,} "
        f"(queries: {counts['query']:,}, corpus: {counts['corpus']:,})."
    ]
    if shared:
        lines.append(f"{shared:,} train rows were left out: their photos are queries or in a corpus.")
    if not held_out:
        lines.append("No set is held out (a tenth is, by the hash of its label), so retrieval cannot be evaluated.")
    return "\n".join(lines)
