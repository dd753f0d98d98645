"""Which sessions can be scored, and the mean session -> query -> queries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ranking.log import LISTINGS, LONG, page, row, write_log

from shoplens.ranking.judgements import TEST, TRAIN, VALIDATION, read_judgements
from shoplens.ranking.sessions import Sessions, judged, mean_by_query, sessions_of


@st.composite
def some_sessions(draw: st.DrawFn) -> Sessions:
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    total = sum(sizes)
    grade = draw(arrays.arrays(np.int8, total, elements=st.integers(0, 1)))
    query = np.sort(draw(arrays.arrays(np.int64, len(sizes), elements=st.integers(0, 3))))
    starts = np.append(0, np.cumsum(sizes)).astype(np.int64)
    return Sessions(np.arange(total, dtype=np.int32), grade, starts, query)


@given(some_sessions(), st.data())
def test_a_session_is_scored_with_two_results_and_a_relevant_one(sessions: Sessions, data: st.DataObject) -> None:
    rows = data.draw(arrays.arrays(bool, len(sessions.listing)))
    found = judged(sessions, rows)
    expected = []
    for number in range(len(sessions.query)):
        span = np.arange(sessions.starts[number], sessions.starts[number + 1])
        kept = span[rows[span]]
        if len(kept) > 1 and sessions.grade[kept].any():
            expected.append((number, kept.tolist()))
    assert found.chosen.tolist() == [number for number, _ in expected]
    assert found.rows.tolist() == [row for _, kept in expected for row in kept]
    left = found.sessions
    assert left.starts.tolist() == [0, *np.cumsum([len(kept) for _, kept in expected]).tolist()]
    assert (left.listing == sessions.listing[found.rows]).all()
    assert (left.grade == sessions.grade[found.rows]).all()
    assert (left.query == sessions.query[found.chosen]).all()


@given(some_sessions())
def test_without_a_choice_of_rows_all_of_them_count(sessions: Sessions) -> None:
    some, every = judged(sessions, np.ones(len(sessions.listing), bool)), judged(sessions)
    assert (some.rows == every.rows).all()
    assert (some.sessions.starts == every.sessions.starts).all()


def test_a_query_with_many_sessions_weighs_as_much_as_one_with_few() -> None:
    means = mean_by_query(np.array([1.0, 0.0, 0.0, 0.0, 1.0]), np.array([0, 0, 0, 0, 2]), 3)
    assert means[[0, 2]].tolist() == [0.25, 1.0]
    assert math.isnan(means[1])


def test_the_parts_of_a_log_hold_each_session_once(tmp_path: Path) -> None:
    rows = [line for i in range(12) for line in page(f"s{i}", f"query {i % 2}", i, LONG, {}, {})]
    judgements = read_judgements(write_log(tmp_path, [*rows, row("s99", "query 0", 1, 1, "l3")]), LISTINGS)
    assert judgements is not None
    seen: list[str] = []
    for part in (TRAIN, VALIDATION, TEST):
        sessions, ids = sessions_of(judgements, part)
        seen += ids.tolist()
        assert len(sessions.query) == len(ids) == len(sessions.starts) - 1
        for number, name in enumerate(ids):
            size = sessions.starts[number + 1] - sessions.starts[number]
            assert size == (1 if name == "s99" else 3)
            assert judgements.queries[sessions.query[number]] == f"query {0 if name == 's99' else int(name[1:]) % 2}"
    assert sorted(seen) == sorted([*(f"s{i}" for i in range(12)), "s99"])
