"""The demo's search log: two weeks, position bias, appeal by truth and not by claims, the same bytes each time."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoplens.params import WorldParams
from shoplens.world.chance import stream
from shoplens.world.demand import appeal, popularity
from shoplens.world.listing import Listing
from shoplens.world.queries import (
    FEWEST_QUERIES,
    MOST_QUERIES,
    WISHES,
    Query,
    draw_queries,
    granted,
    query_count,
)
from shoplens.world.render import draw_listings
from shoplens.world.search import PAGE, Texts
from shoplens.world.search_log import Search, search_log, simulate
from shoplens.world.shopper import browse
from shoplens.world.traffic import DAYS, START, shares, times

PARAMS = WorldParams(listings=1500, seed=2)
Columns = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def listings() -> list[Listing]:
    return draw_listings(PARAMS)


@pytest.fixture(scope="module")
def table(listings: list[Listing]) -> pa.Table:
    log = search_log(PARAMS, listings)
    assert log is not None
    return log


@pytest.fixture(scope="module")
def log(table: pa.Table) -> Columns:
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


@pytest.fixture(scope="module")
def queries(listings: list[Listing]) -> dict[str, Query]:
    texts = Texts([x.title for x in listings], [x.tags for x in listings])
    wanted = query_count(round(PARAMS.sessions_per_listing * PARAMS.listings))
    return {query.text: query for query in draw_queries(stream(PARAMS.seed, 10), wanted, texts)}


@pytest.fixture(scope="module")
def missed(log: Columns, listings: list[Listing], queries: dict[str, Query]) -> np.ndarray:
    """Of each result shown, how many wishes of its query the listing does not fulfil."""
    row = {x.listing_id: number for number, x in enumerate(listings)}
    rows = np.array([row[name] for name in log["listing_id"]])
    unmet = np.zeros(len(rows), np.int64)
    for text, query in queries.items():
        own = log["query"] == text
        unmet[own] = len(query.wishes) - granted(query, listings)[rows[own]]
    return unmet


def relevant(log: Columns) -> np.ndarray:
    """Bought, in the cart, or clicked and stayed for over 30 s."""
    return log["purchased"] | log["carted"] | (log["clicked"] & (np.nan_to_num(log["dwell_s"]) > 30))


def session_starts(log: Columns) -> np.ndarray:
    return np.flatnonzero(np.append(True, log["session_id"][1:] != log["session_id"][:-1]))


def test_a_session_is_one_page_of_one_query_at_one_time(log: Columns) -> None:
    starts = session_starts(log)
    assert len(starts) == PARAMS.sessions_per_listing * PARAMS.listings
    assert len(set(log["session_id"])) == len(starts)
    ends = np.append(starts[1:], len(log["session_id"]))
    for name in ("query", "shown_at"):
        same = log[name][1:] == log[name][:-1]
        same[starts[1:] - 1] = True
        assert same.all(), name
    expected = np.concatenate([np.arange(1, end - start + 1) for start, end in zip(starts, ends, strict=True)])
    assert np.array_equal(log["position"], expected)
    assert (ends - starts).max() == PAGE
    keys = set(zip(log["session_id"], log["listing_id"], strict=True))
    assert len(keys) == len(log["listing_id"])


def test_it_spans_two_weeks_that_lie_in_the_past(log: Columns) -> None:
    first, last = log["shown_at"].min(), log["shown_at"].max()
    begin = np.datetime64(START.replace(tzinfo=None))
    assert begin <= first < begin + np.timedelta64(3, "h")
    assert begin + np.timedelta64(DAYS * 24 - 3, "h") < last < begin + np.timedelta64(DAYS, "D")
    assert START + timedelta(days=DAYS) < datetime(2026, 1, 1, tzinfo=UTC)
    early = log["shown_at"] < first + (last - first) / 2
    assert abs(early.mean() - 0.5) < 0.03


def test_most_search_in_the_evening_and_on_sunday() -> None:
    when = times(np.random.default_rng(0), 40_000).astype("datetime64[us]")
    hour = (when - when.astype("datetime64[D]")) // np.timedelta64(1, "h")
    counts = np.bincount(hour.astype(int), minlength=24)
    assert 18 <= counts.argmax() <= 22 and counts.min() < 0.2 * counts.max()
    day = np.bincount(((when - when.min()) // np.timedelta64(1, "D")).astype(int), minlength=14)
    assert {day[:7].argmax(), day[7:].argmax()} == {6}


def test_traffic_is_uneven_but_no_query_is_starved(log: Columns) -> None:
    assert np.all(np.diff(shares(50)) < 0) and np.isclose(shares(50).sum(), 1)
    counts = np.unique(log["query"][session_starts(log)], return_counts=True)[1]
    assert len(counts) == query_count(len(session_starts(log))) == 60
    assert counts.max() > 3 * np.median(counts) and counts.min() > 0.4 * np.median(counts)


def test_the_number_of_queries_follows_the_number_of_sessions() -> None:
    assert [query_count(n) for n in (1, 900, 33_600)] == [FEWEST_QUERIES, 6, MOST_QUERIES]


def test_queries_are_different_and_name_at_most_one_type_and_one_town(queries: dict[str, Query]) -> None:
    assert len({frozenset(query.wishes) for query in queries.values()}) == len(queries)
    kinds = [[wish.kind for wish in query.wishes] for query in queries.values()]
    assert all(1 <= len(own) <= 3 and own.count("type") <= 1 and own.count("town") <= 1 for own in kinds)
    assert sum("offer" in own for own in kinds) > 0.85 * len(kinds)
    assert not any(" and " in wish.words for wish in WISHES)


def test_every_result_has_a_word_of_its_query(log: Columns, listings: list[Listing]) -> None:
    texts = {x.listing_id: f"{x.title} {' '.join(x.tags)}".lower().replace("|", " ").split() for x in listings}
    for query, listing_id in zip(log["query"][::37], log["listing_id"][::37], strict=True):
        assert set(query.split()) & set(texts[listing_id]), (query, listing_id)


def test_false_claims_are_shown_and_people_turn_away_from_them(log: Columns, missed: np.ndarray) -> None:
    """Results are shown for what their words say; those that do not keep it are taken less, at every position."""
    assert 0.2 < (missed > 0).mean() < 0.7
    for low, high in ((1, 4), (5, 24)):
        here = (log["position"] >= low) & (log["position"] <= high)
        kept, broken = (relevant(log)[here & (missed > 0 if unmet else missed == 0)].mean() for unmet in (False, True))
        assert kept > 1.8 * broken


def test_positions_bias_clicks_where_nothing_else_differs() -> None:
    clicks = browse(np.random.default_rng(0), np.zeros((20_000, PAGE))).clicked.mean(axis=0)
    assert clicks[0] > 1.3 * clicks[1] > 1.3 * clicks[3]
    assert np.isclose(clicks[15] / clicks[0], 16**-0.6, rtol=0.2)


def test_what_appeals_more_is_clicked_kept_and_bought_more() -> None:
    rows = np.tile(np.repeat([-1.0, 0.0, 1.0, 2.0], 6), (5_000, 1))
    rng = np.random.default_rng(1)
    shuffled = rng.permuted(rows, axis=1)
    actions = browse(rng, shuffled)
    for values in (actions.clicked, actions.carted, actions.purchased, actions.clicked & (actions.dwell_s > 30)):
        rates = [values[shuffled == level].mean() for level in (-1.0, 0.0, 1.0, 2.0)]
        assert rates == sorted(rates) and rates[3] > 3 * rates[0]


def test_actions_follow_from_clicks(table: pa.Table, log: Columns) -> None:
    clicked = log["clicked"]
    assert not (log["carted"] & ~clicked).any() and not (log["purchased"] & ~clicked).any()
    seconds = log["dwell_s"]
    assert np.isnan(seconds[~clicked]).all() and (seconds[~np.isnan(seconds)] >= 0).all()
    assert 0.02 < np.isnan(seconds[clicked]).mean() < 0.06
    assert table["dwell_s"].null_count == np.isnan(seconds).sum()


def test_enough_sessions_have_something_relevant(log: Columns) -> None:
    found = np.add.reduceat(relevant(log), session_starts(log))
    assert 0.3 < (found > 0).mean() < 0.6
    assert 1.2 < found[found > 0].mean() < 2.2


def test_fair_pairs_are_neighbours_in_most_sessions(table: pa.Table, log: Columns) -> None:
    number = np.nan_to_num(log["fair_pair"], nan=-1).astype(int)
    assert table["fair_pair"].null_count == (number < 0).sum()
    second = np.flatnonzero((number > 0) & (number == np.append(-1, number[:-1])))
    assert np.array_equal(log["session_id"][second], log["session_id"][second - 1])
    assert 2 * len(second) == (number > 0).sum() > 0.8 * len(number)


def test_popularity_is_about_standard_normal_on_the_log_scale_and_the_same_in_larger_worlds(
    listings: list[Listing],
) -> None:
    values = popularity(PARAMS, listings)
    assert abs(values.mean()) < 0.2 and 0.8 < values.std() < 1.2
    few = draw_listings(WorldParams(listings=40, seed=2))
    row = {x.listing_id: number for number, x in enumerate(listings)}
    assert np.array_equal(popularity(PARAMS, few), values[[row[x.listing_id] for x in few]])


def test_popularity_is_hardly_to_be_seen(listings: list[Listing]) -> None:
    values = popularity(PARAMS, listings)
    for theme in ("furnish", "order", "care", "harmony"):
        assert abs(np.corrcoef(values, [getattr(x.facts, theme) for x in listings])[0, 1]) < 0.3


def test_appeal_is_by_facts_popularity_and_taste() -> None:
    flat = np.zeros(3)
    assert appeal(np.array([0, 1, 2]), 2, flat).tolist() == pytest.approx([-2 * 2.2 / 2**0.5, -2.2 / 2**0.5, 0])
    assert appeal(np.array([1]), 1, np.array([1.0]), np.array([0.5])).tolist() == [1.5]


def test_ids_and_order_say_nothing(log: Columns) -> None:
    assert log["session_id"].tolist() == sorted(log["session_id"])
    starts = session_starts(log)
    outcome = np.add.reduceat(relevant(log), starts) > 0
    side = [int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 for name in log["session_id"][starts]]
    when = log["shown_at"][starts].astype("datetime64[s]").astype(float)
    for clue in (np.arange(len(starts)), np.array(side), np.array([int(n[:6], 16) for n in log["session_id"][starts]])):
        for value in (outcome, when):
            assert abs(np.corrcoef(clue, value)[0, 1]) < 4.5 / np.sqrt(len(starts))


def test_the_same_world_has_the_same_log_and_another_seed_another_one(listings: list[Listing], table: pa.Table) -> None:
    again = search_log(PARAMS, listings)
    assert again is not None and again.equals(table)
    small = WorldParams(listings=60, seed=7)
    one, other = (search_log(p, draw_listings(p)) for p in (small, small.model_copy(update={"seed": 8})))
    assert one is not None and other is not None
    assert not set(one["session_id"].to_pylist()) & set(other["session_id"].to_pylist())


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_world_has_a_log(seed: int) -> None:
    params = WorldParams(listings=20, seed=seed)
    log = search_log(params, draw_listings(params))
    assert log is not None
    assert len(set(log["session_id"].to_pylist())) == 120


def test_without_sessions_there_is_no_log() -> None:
    params = WorldParams(listings=20, sessions_per_listing=0)
    assert search_log(params, draw_listings(params)) is None


def test_one_candidate_makes_sessions_of_one_result(tmp_path_factory: pytest.TempPathFactory) -> None:
    one = np.array([1])
    log = simulate([Search("only", one, one, np.zeros(1), np.zeros(1))], ["a", "b"], sessions=5, seed=1)
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    pq.write_table(log, path)
    rows = pq.read_table(path).to_pylist()
    assert [(row["query"], row["listing_id"], row["position"], row["fair_pair"]) for row in rows] == [
        ("only", "b", 1, None)
    ] * 5
