"""What the search log says about results: relevant or not, in which session, for training, validation or test.

Etsy, section 2.2: a user judges a result relevant if she purchases it, adds it to her cart, or clicks on it and dwells
for longer than 30 seconds; footnote 5: held-out judgements are collected in the same way. Section 3.2: the first week
trains, the following one is split evenly into validation and test sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shoplens.contract import columns as c
from shoplens.contract.findings import found_rows, raise_errors
from shoplens.contract.tables import has_table, read_search_log
from shoplens.ranking.scoring import normalise_query

FILE = c.SEARCH_LOG_FILE

DWELL_S = 30.0
"""A click is relevant if the visit lasted longer (section 2.2)."""

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Judgements:
    """Q queries, S sessions, R results: sessions in order of (query, session id), results of a session by position.

    Only sessions with an empty query are left out: they are no retrieval request.
    """

    queries: NDArray[np.object_]
    """(Q,) normalised query text, ascending."""
    query_sessions: NDArray[np.int64]
    """(Q + 1,) the sessions of query q are [query_sessions[q] : query_sessions[q + 1]]."""
    session_ids: NDArray[np.object_]
    """(S,) str."""
    part: NDArray[np.int8]
    """(S,) TRAIN, VALIDATION or TEST."""
    starts: NDArray[np.int64]
    """(S + 1,) the results of session s are rows [starts[s] : starts[s + 1]]."""
    listing: NDArray[np.int32]
    """(R,) row of the listing among the listing ids, ascending."""
    position: NDArray[np.int32]
    """(R,) place on the page, from 1."""
    grade: NDArray[np.int8]
    """(R,) relevance, 0 or 1."""
    touched: NDArray[np.bool_]
    """(R,) clicked, carted or purchased."""
    fair_pair: NDArray[np.int64]
    """(R,) a number of the randomised pair within the session, from 0; -1 where there is none."""
    empty_queries: int
    """Sessions that were left out."""
    unknown_dwell: int
    """Results whose relevance hangs on a dwell time that was not recorded; they count as not relevant."""


def read_judgements(data: Path, listing_ids: Sequence[str]) -> Judgements | None:
    """Read the search log of a validated data folder (the contract's checks refuse duplicate positions and the like).

    Columns are read one after the other, so that no more than one text column is in memory.

    Args:
        data: the contract folder.
        listing_ids: all listings, ascending.

    Returns:
        None if the data has no search log.

    Raises:
        ShoplensError: if the log is empty, lacks a column, or names an unknown listing or no session or time.
    """
    if not has_table(data, FILE):
        return None
    session, session_ids = _numbered(data, c.SESSION_ID)
    _refuse(c.SESSION_ID, "value-null", session < 0, "session_id is null")
    query, texts = _numbered(data, c.QUERY)
    # the null query is the last one, and as empty as ""
    normalised = [normalise_query(text) for text in texts.to_pylist()] + [""]
    queries, merged = np.unique(np.array(normalised, dtype=object), return_inverse=True)
    times = _column(data, c.SHOWN_AT)
    _refuse(c.SHOWN_AT, "value-null", times.is_null().to_numpy(), "shown_at is null")
    first_row, moment = _first(session, times.cast(pa.int64()).to_numpy(), len(session_ids))
    session_query = merged[query[first_row]]
    empty = queries[session_query] == ""
    part = _parts(session_ids, moment, int(moment.min()) + int(pc.max(times.cast(pa.int64())).as_py()))
    del query, times

    rank = np.empty(len(session_ids), dtype=np.int64)
    rank[pc.sort_indices(session_ids).to_numpy()] = np.arange(len(session_ids))
    order = np.lexsort((rank, session_query))
    order = order[~empty[order]]
    place = np.full(len(session_ids), -1, dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)

    kept = np.flatnonzero(place[session] >= 0)
    position = _column(data, c.POSITION).fill_null(0).to_numpy()
    rows = kept[np.lexsort((position[kept], place[session[kept]]))]
    del kept
    listing = _listing_rows(data, listing_ids)[rows]
    grade, touched, unknown = _relevance(data)
    sizes = np.bincount(place[session[rows]], minlength=len(order))
    starts = np.append(0, np.cumsum(sizes)).astype(np.int64)
    part, grade, touched = part[order], grade[rows], touched[rows]
    known, first_session = np.unique(session_query[order], return_index=True)
    return Judgements(
        queries=queries[known],
        query_sessions=np.append(first_session, len(order)).astype(np.int64),
        session_ids=session_ids.take(pa.array(order)).to_numpy(zero_copy_only=False),
        part=part,
        starts=starts,
        listing=listing,
        # a page ends long before: what is beyond has no neighbours
        position=np.minimum(position[rows], np.iinfo(np.int32).max).astype(np.int32),
        grade=grade,
        touched=touched,
        fair_pair=_numbered(data, c.FAIR_PAIR)[0][rows].astype(np.int64),
        empty_queries=int(empty.sum()),
        unknown_dwell=int(unknown[rows].sum()),
    )


def _column(data: Path, name: str) -> pa.ChunkedArray:
    table = read_search_log(data, [name])
    assert table is not None
    return table[name]


def _numbered(data: Path, name: str) -> tuple[NDArray[np.int32], pa.Array]:
    """A column as numbers of its distinct values (-1: null), and these values."""
    column = _column(data, name)
    values = pc.unique(column).drop_null()
    return pc.index_in(column, value_set=values).fill_null(-1).to_numpy(), values


def _refuse(column: str, check: str, wrong: NDArray[np.bool_], message: str) -> None:
    raise_errors(found_rows(check, FILE, column, np.flatnonzero(wrong), lambda _: message))


def _first(
    session: NDArray[np.int32], moments: NDArray[np.int64], sessions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each session, and its earliest time (microseconds)."""
    first = np.full(sessions, len(session), dtype=np.int64)
    np.minimum.at(first, session, np.arange(len(session)))
    earliest = np.full(sessions, np.iinfo(np.int64).max)
    np.minimum.at(earliest, session, moments)
    return first, earliest


def _parts(session_ids: pa.Array, moment: NDArray[np.int64], ends: int) -> NDArray[np.int8]:
    """Strictly before the midpoint of the log trains; later ones by sha256(session id) mod 2.

    Args:
        moment: (S,) a session's earliest time, microseconds.
        ends: sum of the log's first and last time, twice its midpoint.
    """
    part = np.full(len(moment), TRAIN, dtype=np.int8)
    later = np.flatnonzero(moment >= -(-ends // 2))
    names = session_ids.take(pa.array(later)).cast(pa.binary()).to_pylist()
    # the last bit of a big-endian integer is that of its last byte
    odd = np.fromiter((sha256(name).digest()[-1] & 1 for name in names), np.bool_, len(names))
    part[later] = np.where(odd, TEST, VALIDATION)
    return part


def _listing_rows(data: Path, listing_ids: Sequence[str]) -> NDArray[np.int32]:
    """Each result's row among the listings.

    Raises:
        ShoplensError: naming the rows with unknown listings.
    """
    names = _column(data, c.LISTING_ID)
    listing = pc.index_in(names, value_set=pa.array(listing_ids, pa.string())).fill_null(-1).to_numpy()
    unknown = np.flatnonzero(listing < 0)
    raise_errors(
        found_rows(
            "listing-unknown",
            FILE,
            c.LISTING_ID,
            unknown,
            lambda row: f"{c.LISTINGS_FILE} has no listing {names[row].as_py()!r}",
        )
    )
    return np.asarray(listing, dtype=np.int32)


def _relevance(data: Path) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.bool_]]:
    """For each result: relevance, any interaction, and whether a mere click's dwell time is unknown."""
    clicked, carted, purchased = (
        _column(data, name).fill_null(False).to_numpy() for name in (c.CLICKED, c.CARTED, c.PURCHASED)
    )
    dwell = _column(data, c.DWELL_S)
    # an unknown dwell time is no evidence of relevance
    long = pc.greater(dwell, DWELL_S).fill_null(False).to_numpy()
    wanted = carted | purchased
    grade = (wanted | (clicked & long)).astype(np.int8)
    return grade, wanted | clicked, clicked & ~wanted & dwell.is_null().to_numpy()
