"""What the log says, checked against reading it row by row."""

from hashlib import sha256
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contract.builder import write_rows
from hypothesis import given, settings
from ranking.log import LISTINGS, LONG, SHORT, logs, page, row, write_log

from shoplens.errors import ShoplensError
from shoplens.ranking.judgements import TEST, TRAIN, VALIDATION, Judgements, read_judgements


def read(folder: Path, rows: list[dict[str, Any]]) -> Judgements:
    judgements = read_judgements(write_log(folder, rows), LISTINGS)
    assert judgements is not None
    return judgements


def described(judgements: Judgements) -> dict[str, list[tuple[Any, ...]]]:
    """Query -> its sessions in order, each with its part and results."""
    j = judgements
    found: dict[str, list[tuple[Any, ...]]] = {}
    for number, query in enumerate(j.queries):
        for session in range(j.query_sessions[number], j.query_sessions[number + 1]):
            rows = slice(j.starts[session], j.starts[session + 1])
            columns = (j.listing, j.position, j.grade, j.touched, j.fair_pair >= 0)
            results = list(zip(*(column[rows].tolist() for column in columns), strict=True))
            found.setdefault(query, []).append((j.session_ids[session], int(j.part[session]), results))
    return found


def read_row_by_row(rows: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    times = [r["shown_at"] for r in rows]
    middle = min(times) + (max(times) - min(times)) / 2
    found: dict[str, list[tuple[Any, ...]]] = {}

    def query_of(r: dict[str, Any]) -> str:
        return " ".join(r["query"].lower().split())

    for (query, session), group in groupby(
        sorted(rows, key=lambda r: (query_of(r), r["session_id"], r["position"])),
        key=lambda r: (query_of(r), r["session_id"]),
    ):
        shown = list(group)
        later = int.from_bytes(sha256(session.encode()).digest(), "big") % 2
        part = TRAIN if min(r["shown_at"] for r in shown) < middle else (VALIDATION, TEST)[later]
        results = []
        for r in shown:
            visit = r["clicked"] and r["dwell_s"] is not None and r["dwell_s"] > 30
            touched = r["clicked"] or r["carted"] or r["purchased"]
            relevant = int(r["purchased"] or r["carted"] or visit)
            listing = LISTINGS.index(r["listing_id"])
            results.append((listing, r["position"], relevant, touched, r["fair_pair"] is not None))
        if query:
            found.setdefault(query, []).append((session, part, results))
    return found


@settings(deadline=None)
@given(logs())
def test_judgements_are_those_of_reading_row_by_row(rows) -> None:
    with TemporaryDirectory() as folder:
        judgements = read(Path(folder), rows)
    expected = read_row_by_row(rows)
    assert described(judgements) == expected
    assert list(judgements.queries) == sorted(expected)
    sessions = [session for query in expected.values() for session in query]
    assert judgements.empty_queries == len({r["session_id"] for r in rows}) - len(sessions)


def test_relevant_is_bought_or_carted_or_visited_for_more_than_30_seconds(tmp_path: Path) -> None:
    unknown = {"clicked": True, "dwell_s": None}
    interactions = [LONG, SHORT, unknown, {"carted": True}, {"purchased": True}, {}, {"dwell_s": 99.0}]
    judgements = read(tmp_path, page("s", "sea", 0, *interactions))
    assert judgements.grade.tolist() == [1, 0, 0, 1, 1, 0, 0]
    assert judgements.touched.tolist() == [True, True, True, True, True, False, False]
    assert judgements.unknown_dwell == 1


def test_a_session_on_the_midpoint_is_held_out_and_one_that_crosses_it_trains(tmp_path: Path) -> None:
    log = [
        row("first", "sea", 0, 1, "l0"),
        row("crossing", "sea", 4.999, 1, "l0"),
        row("crossing", "sea", 7, 2, "l1"),
        row("middle", "sea", 5, 1, "l0"),
        row("last", "sea", 10, 1, "l0"),
    ]
    judgements = read(tmp_path, log)
    part = dict(zip(judgements.session_ids, judgements.part.tolist(), strict=True))
    # sha256 of "middle" ends in a, even, that of "last" in 3, odd
    assert part == {"first": TRAIN, "crossing": TRAIN, "middle": VALIDATION, "last": TEST}


def test_the_midpoint_is_that_of_the_whole_log_also_of_empty_queries(tmp_path: Path) -> None:
    log = [row("a", "sea", 0, 1, "l0"), row("b", "sea", 4, 1, "l0"), row("c", " ", 10, 1, "l0")]
    assert read(tmp_path, log).part.tolist() == [TRAIN, TRAIN]


def test_queries_that_differ_in_case_and_white_space_are_one(tmp_path: Path) -> None:
    log = page("b", "Sea  View", 0, {}) + page("a", "sea view ", 0, {}) + page("c", "ÉTÉ", 0, {})
    judgements = read(tmp_path, log)
    assert list(judgements.queries) == ["sea view", "été"]
    assert judgements.query_sessions.tolist() == [0, 2, 3]
    assert list(judgements.session_ids) == ["a", "b", "c"]


@pytest.mark.parametrize(("low", "high"), [(-1, 3), (-(2**63), 2**63 - 1)])
def test_numbers_of_fair_pairs_may_be_any(tmp_path: Path, low: int, high: int) -> None:
    results = [{"fair_pair": low}, {"fair_pair": low}, {}, {"fair_pair": high}, {"fair_pair": high}]
    first, second, none, third, fourth = read(tmp_path, page("s", "sea", 0, *results)).fair_pair.tolist()
    assert none == -1
    assert first == second >= 0
    assert third == fourth >= 0
    assert first != third


def test_a_log_of_nothing_but_empty_queries_is_counted_and_leaves_nothing(tmp_path: Path) -> None:
    judgements = read(tmp_path, page("s", " ", 0, LONG, {}))
    assert len(judgements.queries) == len(judgements.session_ids) == len(judgements.grade) == 0
    assert judgements.query_sessions.tolist() == judgements.starts.tolist() == [0]
    assert judgements.empty_queries == 1


def test_without_a_log_there_are_no_judgements(tmp_path: Path) -> None:
    assert read_judgements(tmp_path, LISTINGS) is None


def test_a_log_that_is_a_link_to_nothing_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "search_log.parquet").symlink_to(tmp_path / "gone.parquet")
    with pytest.raises(ShoplensError, match=r"search_log\.parquet is missing"):
        read_judgements(tmp_path, LISTINGS)


def test_the_midpoint_is_found_wherever_the_clock_stands(tmp_path: Path) -> None:
    log = [row(name, "sea", hour, 1, "l0") for name, hour in (("first", 0), ("second", 1), ("last", 9))]
    write_log(tmp_path, log)
    table = pq.read_table(tmp_path / "search_log.parquet")
    for late in (2**63 - 1, -(2**62)):
        times = pa.array([late - 900, late - 800, late], pa.timestamp("us", tz="UTC"))
        pq.write_table(table.set_column(2, "shown_at", times), tmp_path / "search_log.parquet")
        judgements = read_judgements(tmp_path, LISTINGS)
        assert judgements is not None
        part = dict(zip(judgements.session_ids, judgements.part.tolist(), strict=True))
        assert part == {"first": TRAIN, "second": TRAIN, "last": TEST}


def test_an_unknown_listing_is_named_with_its_row(tmp_path: Path) -> None:
    log = [row("s", "sea", 0, 1, "l0"), row("s", "sea", 0, 2, "who?")]
    with pytest.raises(ShoplensError, match=r"search_log.parquet, row 1, column listing_id: .* no listing 'who\?'"):
        read(tmp_path, log)


@pytest.mark.parametrize("column", ["session_id", "shown_at"])
def test_a_result_of_no_session_or_time_is_named(tmp_path: Path, column: str) -> None:
    log = [row("s", "sea", 0, 1, "l0"), row("s", "sea", 0, 2, "l1") | {column: None}]
    with pytest.raises(ShoplensError, match=f"row 1, column {column}"):
        read(tmp_path, log)


def test_an_empty_log_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=r"search_log\.parquet: the table has no rows"):
        read(tmp_path, [])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_log(tmp_path, page("s", "sea", 0, {}))
    table = pq.read_table(tmp_path / "search_log.parquet")
    write_rows(tmp_path, "search_log.parquet", table.drop_columns(["carted"]).to_pylist(), table.schema.remove(7))
    with pytest.raises(ShoplensError, match="carted"):
        read_judgements(tmp_path, LISTINGS)


def test_the_contracts_own_example_is_read(tiny_data: Path) -> None:
    ids = sorted(pq.read_table(tiny_data / "listings.parquet")["listing_id"].to_pylist())
    judgements = read_judgements(tiny_data, ids)
    assert judgements is not None
    assert list(judgements.queries) == ["beach house", "city flat"]
    assert np.diff(judgements.starts).tolist() == [5] * 12
    assert (judgements.part == TRAIN).sum() == 6
