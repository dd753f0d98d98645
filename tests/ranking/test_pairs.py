"""Which results form preference pairs, checked against a loop over sessions."""

from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.log import LISTINGS, LONG, SHORT, logs, page, row, write_log

from shoplens.ranking.judgements import TEST, TRAIN, VALIDATION, Judgements, read_judgements
from shoplens.ranking.pairs import Pairs, preference_pairs, say_bias


def read(folder: Path, rows: list[dict[str, Any]]) -> Judgements:
    judgements = read_judgements(write_log(folder, rows), LISTINGS)
    assert judgements is not None
    return judgements


def described(pairs: Pairs) -> list[list[tuple[int, int]]]:
    """The (better, worse) listing rows of each query."""
    spans = zip(pairs.starts[:-1], pairs.starts[1:], strict=True)
    every = list(zip(pairs.better.tolist(), pairs.worse.tolist(), strict=True))
    return [every[low:high] for low, high in spans]


def pairs_by_loops(j: Judgements, part: int) -> tuple[list[list[tuple[int, int]]], list[bool]]:
    found, fair = [], []
    for query in range(len(j.queries)):
        sessions = [
            range(j.starts[s], j.starts[s + 1])
            for s in range(j.query_sessions[query], j.query_sessions[query + 1])
            if j.part[s] == part
        ]
        fair.append(any(j.fair_pair[r] >= 0 for rows in sessions for r in rows))
        pairs = []
        for rows in sessions:
            for a, b in combinations(rows, 2):
                together = j.fair_pair[a] == j.fair_pair[b] >= 0
                if together if fair[-1] else j.position[b] == j.position[a] + 1:
                    for better, worse in ((a, b), (b, a)):
                        if j.grade[better] and not j.touched[worse] and j.listing[better] != j.listing[worse]:
                            pairs.append((int(j.listing[better]), int(j.listing[worse])))
        found.append(pairs)
    return found, fair


@settings(deadline=None)
@given(logs(), st.sampled_from([TRAIN, VALIDATION, TEST]))
def test_pairs_are_those_of_a_loop_over_sessions(rows, part: int) -> None:
    with TemporaryDirectory() as folder:
        judgements = read(Path(folder), rows)
    pairs = preference_pairs(judgements, part)
    expected, fair = pairs_by_loops(judgements, part)
    assert [sorted(found) for found in described(pairs)] == [sorted(found) for found in expected]
    assert pairs.fair.tolist() == fair


def test_neighbours_are_a_relevant_and_an_untouched_result_next_to_it(tmp_path: Path) -> None:
    judgements = read(tmp_path, page("s", "sea", 0, {}, LONG, {}, {}, SHORT, {}) + page("t", "pool", 9, {}))
    assert described(preference_pairs(judgements, TRAIN)) == [[], [(1, 0), (1, 2)]]


def test_a_gap_in_position_separates_neighbours(tmp_path: Path) -> None:
    log = [row("s", "sea", 0, 1, "l0", **LONG), row("s", "sea", 0, 3, "l1"), row("t", "sea", 9, 1, "l2")]
    assert described(preference_pairs(read(tmp_path, log), TRAIN)) == [[]]


def test_positions_beyond_32_bits_make_no_neighbours_of_results_far_apart(tmp_path: Path) -> None:
    log = [row("s", "sea", 0, 1, "l0", **LONG), row("s", "sea", 0, 2**32 + 2, "l1"), row("t", "sea", 9, 1, "l2")]
    assert described(preference_pairs(read(tmp_path, log), TRAIN)) == [[]]


def test_randomised_pairs_replace_neighbours_wherever_they_stand(tmp_path: Path) -> None:
    pair = {"fair_pair": 4}
    log = page("s", "sea", 0, LONG | pair, {}, pair) + page("t", "sea", 1, {}, LONG) + page("u", "sea", 9, {})
    pairs = preference_pairs(read(tmp_path, log), TRAIN)
    assert described(pairs) == [[(0, 2)]], "the second session's neighbours do not count beside randomised pairs"
    assert pairs.fair.tolist() == [True]


def test_fair_pairs_of_held_out_sessions_leave_training_as_it_is(tmp_path: Path) -> None:
    pair = {"fair_pair": 4}
    log = page("s", "sea", 0, LONG, {}) + page("u", "sea", 9, LONG | pair, pair)
    pairs = preference_pairs(read(tmp_path, log), TRAIN)
    assert described(pairs) == [[(0, 1)]]
    assert not pairs.fair.any()


@pytest.mark.parametrize("pair", [{}, {"fair_pair": 1}])
def test_a_listing_that_is_shown_twice_is_not_preferred_to_itself(tmp_path: Path, pair: dict[str, int]) -> None:
    log = [row("s", "sea", 0, place, "l0", **interaction, **pair) for place, interaction in ((1, LONG), (2, {}))]
    log.append(row("t", "sea", 9, 1, "l2"))
    assert described(preference_pairs(read(tmp_path, log), TRAIN)) == [[]]


def test_no_pair_crosses_sessions(tmp_path: Path) -> None:
    same = {"fair_pair": 1}
    log = [row("a", "sea", 0, 1, "l0", **LONG), row("b", "sea", 0, 2, "l1"), row("z", "sea", 9, 1, "l2")]
    assert described(preference_pairs(read(tmp_path, log), TRAIN)) == [[]]
    log = [r | (same if r["session_id"] != "z" else {}) for r in log]
    assert described(preference_pairs(read(tmp_path, log), TRAIN)) == [[]]


def test_presentation_bias_is_said_with_the_number_of_queries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = {"fair_pair": 4}
    biased = page("s", "sea", 0, LONG, {}) + page("t", "pool", 0, {}, LONG) + page("v", "bar", 0, {}, {})
    fair = page("r", "lake", 0, LONG | pair, pair)
    say_bias(preference_pairs(read(tmp_path, biased + fair + page("u", "sea", 9, {})), TRAIN))
    said = capsys.readouterr().err
    assert "2 of 3 queries" in said
    assert "presentation bias" in said
    say_bias(preference_pairs(read(tmp_path, fair + page("u", "sea", 9, {})), TRAIN))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("part", [TRAIN, VALIDATION, TEST])
def test_a_part_without_sessions_has_no_pairs(tmp_path: Path, part: int) -> None:
    pairs = preference_pairs(read(tmp_path, page("s", " ", 0, LONG, {})), part)
    assert pairs.starts.tolist() == [0]
    assert len(pairs.better) == len(pairs.worse) == 0
