"""Checks of search_log.parquet: sessions, positions, times, dwell and randomised pairs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract import columns as c
from shoplens.contract.checks.folder import Folder, codes, has, places, rows_where
from shoplens.contract.findings import Finding, found_rows

FILE = c.SEARCH_LOG_FILE
BEFORE_WEB_SHOPS = datetime(1995, 1, 1, tzinfo=UTC)


def check_search_log(folder: Folder) -> list[Finding]:
    """All checks of the search log; nothing if the data has none."""
    log = folder.search_log
    if log is None:
        return []
    findings: list[Finding] = []
    if has(log, c.LISTING_ID) and has(folder.listings, c.LISTING_ID):
        ids = log[c.LISTING_ID]
        rows = np.flatnonzero(ids.is_valid().to_numpy() & (places(ids, folder.listings[c.LISTING_ID]) < 0))
        findings += found_rows(
            "listing-unknown",
            FILE,
            c.LISTING_ID,
            rows,
            lambda row: f"{c.LISTINGS_FILE} has no listing {ids[row].as_py()!r}",
        )
    if has(log, c.SHOWN_AT):
        findings += _check_times(log[c.SHOWN_AT])
    if has(log, c.DWELL_S):
        dwell = log[c.DWELL_S]
        rows = rows_where(pc.or_(pc.less(dwell, 0), pc.invert(pc.is_finite(dwell))))
        findings += found_rows("dwell-invalid", FILE, c.DWELL_S, rows, lambda row: f"dwell_s is {dwell[row].as_py()}")
    if has(log, c.POSITION):
        low = log[c.POSITION]
        rows = rows_where(pc.less(low, 1))
        findings += found_rows("position-low", FILE, c.POSITION, rows, lambda row: f"position is {low[row].as_py()}")
    if has(log, c.SESSION_ID):
        findings += _check_sessions(log)
    return findings


def _check_times(shown_at: pa.ChunkedArray) -> list[Finding]:
    latest = pa.scalar(datetime.now(UTC) + timedelta(days=1), shown_at.type)
    earliest = pa.scalar(BEFORE_WEB_SHOPS, shown_at.type)
    future, ancient = rows_where(pc.greater(shown_at, latest)), rows_where(pc.less(shown_at, earliest))

    def describe(row: int) -> str:
        try:
            return f"shown at {shown_at[row]}"
        except OverflowError:  # Python's years are 1 to 9999
            return f"shown {shown_at[row].value} microseconds from 1970"

    return found_rows("time-future", FILE, c.SHOWN_AT, future, describe) + found_rows(
        "time-ancient", FILE, c.SHOWN_AT, ancient, describe
    )


def _check_sessions(log: pa.Table) -> list[Finding]:
    findings: list[Finding] = []
    session = codes(log[c.SESSION_ID])
    if has(log, c.QUERY):
        query = codes(log[c.QUERY])
        known = np.flatnonzero((session >= 0) & (query >= 0))
        numbers, first = np.unique(session[known], return_index=True)
        first_query = query[known[first]][np.searchsorted(numbers, session[known])]
        findings += found_rows(
            "session-mixed",
            FILE,
            c.QUERY,
            known[query[known] != first_query],
            lambda row: f"session {log[c.SESSION_ID][row].as_py()!r} had another query before: {log[c.QUERY][row]}",
        )
    if has(log, c.POSITION):
        findings += _check_positions(log, session)
    if has(log, c.FAIR_PAIR):
        pair = log[c.FAIR_PAIR]
        known = np.flatnonzero((session >= 0) & pair.is_valid().to_numpy())
        keys = np.stack([session[known], pc.fill_null(pair, 0).to_numpy()[known]], axis=1)
        _, first, counts = np.unique(keys, axis=0, return_index=True, return_counts=True)
        rows_of = dict(zip(known[first].tolist(), counts.tolist(), strict=True))
        findings += found_rows(
            "fair-pair-size",
            FILE,
            c.FAIR_PAIR,
            known[first[counts != 2]],
            lambda row: f"fair_pair {pair[row]} of session {log[c.SESSION_ID][row].as_py()!r} has {rows_of[row]} rows",
        )
    return findings


def _check_positions(log: pa.Table, session: np.ndarray) -> list[Finding]:
    position = pc.fill_null(log[c.POSITION], 0).to_numpy()
    known = np.flatnonzero((session >= 0) & log[c.POSITION].is_valid().to_numpy())
    order = known[np.lexsort((position[known], session[known]))]
    same = np.append(False, np.diff(session[order]) == 0)
    step = np.where(same, np.diff(position[order], prepend=0), position[order])

    def describe(row: int) -> str:
        return f"position {position[row]} of session {log[c.SESSION_ID][row].as_py()!r}"

    return found_rows(
        "position-duplicate", FILE, c.POSITION, order[same & (step == 0)], lambda row: f"{describe(row)} is taken twice"
    ) + found_rows(
        "position-gap", FILE, c.POSITION, order[step > 1], lambda row: f"nothing stands just before {describe(row)}"
    )
