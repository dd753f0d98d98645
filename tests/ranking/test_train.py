"""Models of queries: tuned on validation, fitted, over any number of processes, from plain arrays or from a log."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.log import LISTINGS, LONG, logs, page, write_log
from ranking.planted import Planted

from shoplens.ranking.judgements import TEST, TRAIN, VALIDATION, Judgements, read_judgements
from shoplens.ranking.log_tasks import LogTasks, sample_pairs, write_log_tasks
from shoplens.ranking.modalities import GridPoint, Run, runs_of
from shoplens.ranking.ndcg import session_ndcg
from shoplens.ranking.pairs import Pairs, preference_pairs
from shoplens.ranking.rankers import Plan, Rankers, train_rankers
from shoplens.ranking.sessions import Sessions
from shoplens.ranking.train import Fit, Job, QueryTask, Tune, score_documents, weights_of
from shoplens.ranking.workers import Processes

RUNS = runs_of(["candidate"])
TEXT, BOTH, IMAGE = RUNS
SOURCE = Planted()
POINTS = (GridPoint(1.0, 0.0, 1e9), GridPoint(1.0, 0.0, 1.0), GridPoint(1.0, 0.1, 1.0))
"""At the first one nearly all weights are zero."""
PLAN = Plan(POINTS, steps=50, min_pairs=10)


def tune(task: QueryTask, points: tuple[GridPoint, ...] = POINTS) -> np.ndarray:
    return Tune(lambda _: task, points, 50)(Job(0, RUNS))["ndcg"]


def test_each_signal_is_found_by_the_runs_that_see_it() -> None:
    by_word, by_image = tune(SOURCE(0))[:, 1], tune(SOURCE(1))[:, 1]
    assert by_word[0] > 0.99
    assert by_image[2] > 0.95
    assert min(by_word[1], by_image[1]) > 0.9
    assert max(by_word[2], by_image[0]) < 0.9


def test_tuning_is_validation_ndcg_of_the_fitted_weights() -> None:
    task = SOURCE(1)
    found = weights_of(Fit(SOURCE, 50)((Job(1, RUNS), dict.fromkeys(RUNS, POINTS[2]))), RUNS)
    for row, run in enumerate(RUNS):
        text = np.zeros(41, np.float32)
        text[found[run].columns] = found[run].text
        scores = score_documents(task.documents(run), text[task.columns], found[run].image)
        shown = task.validation
        ndcg = session_ndcg(scores[shown.listing], shown.grade, shown.listing, shown.starts)
        assert tune(task)[row, 2] == pytest.approx(ndcg.mean(), abs=1e-12)
    assert not len(found[TEXT].image)
    assert not len(found[IMAGE].text)


def test_a_query_s_mean_counts_each_of_its_queries_once() -> None:
    """The global model's sessions are of many queries."""
    task = SOURCE(0)
    shown = task.validation
    alone = [
        tune(replace(task, validation=replace(shown, query=np.where(np.arange(30) < 3, 0, 1)))),
        tune(replace(task, validation=part(shown, 0, 3))),
        tune(replace(task, validation=part(shown, 3, 30))),
    ]
    assert alone[0] == pytest.approx((alone[1] + alone[2]) / 2)


def part(sessions: Sessions, first: int, last: int) -> Sessions:
    rows = slice(sessions.starts[first], sessions.starts[last])
    starts = sessions.starts[first : last + 1] - sessions.starts[first]
    return Sessions(sessions.listing[rows], sessions.grade[rows], starts, sessions.query[first:last] * 0)


def test_a_task_without_validation_sessions_has_no_score() -> None:
    task = SOURCE(0)
    assert np.isnan(tune(replace(task, validation=part(task.validation, 0, 0)))).all()


def rankers(folder: Path, pairs: list[int], workers: int = 1, source: Planted = SOURCE, plan: Plan = PLAN) -> Rankers:
    with Processes(workers) as processes:
        return train_rankers(source, np.array(pairs), RUNS, RUNS, plan, folder, processes)


def test_one_grid_point_is_chosen_for_all_queries_by_their_mean(tmp_path: Path) -> None:
    found = rankers(tmp_path, [80, 80, 80, 80])
    scores = np.stack([tune(SOURCE(number)) for number in range(4)])
    for row, run in enumerate(RUNS):
        best = int(scores[:, row].mean(axis=0).argmax())
        assert found.points[run] == POINTS[best]
        assert found.validation[run] == pytest.approx(scores[:, row, best])
        assert best > 0
    assert found.own.all()


def test_the_global_model_is_tuned_by_itself(tmp_path: Path) -> None:
    found = rankers(tmp_path, [80, 80, 80, 80])
    scores = tune(SOURCE(4))
    for row, run in enumerate(RUNS):
        best = int(scores[row].argmax())
        assert found.shared_points[run] == POINTS[best]
        assert found.shared_validation[run] == pytest.approx(scores[row, best])
    assert set(found.shared_points.values()) != {POINTS[0]}


def test_queries_with_few_pairs_have_no_model_of_their_own_and_choose_no_grid_point(tmp_path: Path) -> None:
    found = rankers(tmp_path, [80, 9, 80, 10])
    assert found.own.tolist() == [True, False, True, True]
    assert found.weights[1] == {}
    assert np.isnan(found.validation[TEXT][1])
    assert set(found.shared) == set(RUNS)
    alone = rankers(tmp_path / "none", [1, 2, 3, 4])
    assert not alone.own.any()
    assert set(alone.shared) == set(RUNS)


def test_the_global_model_is_trained_for_what_is_served_and_for_all_only_where_needed(tmp_path: Path) -> None:
    with Processes(1) as processes:
        args = (RUNS, (TEXT,), PLAN)
        needless = train_rankers(SOURCE, np.array([80, 80]), *args, tmp_path / "a", processes)
        needed = train_rankers(SOURCE, np.array([80, 1]), *args, tmp_path / "b", processes)
    assert set(needless.shared) == {TEXT}
    assert set(needed.shared) == set(RUNS)


def test_two_processes_train_the_same_models_as_one(tmp_path: Path) -> None:
    one, two = (rankers(tmp_path / str(workers), [80, 80, 80, 80], workers) for workers in (1, 2))
    assert one.points == two.points
    for first, second in zip([*one.weights, one.shared], [*two.weights, two.shared], strict=True):
        for run in RUNS:
            for name in ("columns", "text", "image"):
                assert getattr(first[run], name).tobytes() == getattr(second[run], name).tobytes()


# --- tasks of a log --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(logs())
def test_a_log_s_tasks_hold_its_training_pairs_and_validation_sessions(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    judgements = read_judgements(write_log(folder, rows), LISTINGS)
    assert judgements is not None
    rng = np.random.default_rng(0)
    text = scipy.sparse.csr_array((rng.random((8, 30)) < 0.3).astype(np.float32))
    images = {"candidate": rng.normal(size=(8, 3)).astype(np.float32)}
    pairs = preference_pairs(judgements, TRAIN)
    write_log_tasks(folder, judgements, pairs, text, images, global_pairs=1000, seed=0)
    source = pickle.loads(pickle.dumps(LogTasks(folder, len(judgements.queries), ("candidate",))))
    seen: Counter[tuple[int, int]] = Counter()
    sessions = 0
    for number in range(len(judgements.queries)):
        task = source(number)
        ids = the_listings(task, images["candidate"])
        mine = slice(*pairs.starts[number : number + 2])
        assert ids[task.better].tolist() == pairs.better[mine].tolist()
        assert ids[task.worse].tolist() == pairs.worse[mine].tolist()
        assert (np.diff(ids) > 0).all(), "ties are broken by listing"
        dense = np.zeros((len(ids), 30), np.float32)
        dense[:, task.columns] = task.text.toarray()
        assert (dense == text.toarray()[ids]).all()
        assert held_out(judgements, number, VALIDATION) == listed(task, ids)
        seen.update(zip(ids[task.better].tolist(), ids[task.worse].tolist(), strict=True))
        sessions += len(task.validation.query)
    whole = source(len(judgements.queries))
    ids = the_listings(whole, images["candidate"])
    assert Counter(zip(ids[whole.better].tolist(), ids[whole.worse].tolist(), strict=True)) == seen
    assert len(whole.validation.query) == sessions


def the_listings(task: QueryTask, image: np.ndarray) -> np.ndarray:
    """Which listings the documents are, by their image features."""
    return np.array([int((image == row).all(axis=1).argmax()) for row in task.images["candidate"]], int)


def listed(task: QueryTask, ids: np.ndarray) -> list[list[tuple[int, int]]]:
    bounds = task.validation.starts
    results = list(zip(ids[task.validation.listing].tolist(), task.validation.grade.tolist(), strict=True))
    return [results[bounds[i] : bounds[i + 1]] for i in range(len(bounds) - 1)]


def held_out(j: Judgements, query: int, which: int) -> list[list[tuple[int, int]]]:
    """A part's sessions of a query with two results and a relevant one, by a loop."""
    found = []
    for session in range(j.query_sessions[query], j.query_sessions[query + 1]):
        rows = range(j.starts[session], j.starts[session + 1])
        results = [(int(j.listing[row]), int(j.grade[row])) for row in rows]
        if j.part[session] == which and len(results) > 1 and any(grade for _, grade in results):
            found.append(results)
    return found


def test_test_sessions_are_not_in_what_training_reads(tmp_path: Path) -> None:
    """Listings l4 to l7 are shown in test sessions only."""
    pages = [page(f"s{i}", "sea", i, LONG, {}) for i in range(40)]
    judgements = read_judgements(write_log(tmp_path, [row for one in pages for row in one]), LISTINGS)
    assert judgements is not None
    tested = set(judgements.session_ids[judgements.part == TEST])
    moved = [
        row | {"listing_id": f"l{int(row['listing_id'][1:]) + 4}"} if row["session_id"] in tested else row
        for one in pages
        for row in one
    ]
    judgements = read_judgements(write_log(tmp_path, moved), LISTINGS)
    assert judgements is not None
    text, images = scipy.sparse.csr_array(np.eye(8, dtype=np.float32)), {"candidate": np.eye(8, dtype=np.float32)}
    pairs = preference_pairs(judgements, TRAIN)
    write_log_tasks(tmp_path, judgements, pairs, text, images, global_pairs=10, seed=0)
    for number in (0, 1):
        task = LogTasks(tmp_path, 1, ("candidate",))(number)
        assert the_listings(task, images["candidate"]).tolist() == [0, 1]
        assert len(task.validation.query) == (judgements.part == VALIDATION).sum()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 30), st.integers(0, 3))
def test_the_global_model_s_pairs_are_spread_over_the_queries(counts: list[int], most: int, seed: int) -> None:
    starts = np.append(0, np.cumsum(counts)).astype(np.int64)
    rows = np.arange(starts[-1], dtype=np.int32)
    chosen = sample_pairs(Pairs(starts, rows, rows, np.ones(len(counts), bool)), most, seed)
    assert len(chosen) == min(most, len(rows))
    assert (np.diff(chosen) > 0).all()
    taken = np.diff(np.searchsorted(chosen, starts))
    for got, has in zip(taken, counts, strict=True):
        assert got == has or got >= max(taken) - 1, "a query gave more although another one had some left"


def test_another_seed_takes_other_pairs() -> None:
    rows = np.arange(100, dtype=np.int32)
    pairs = Pairs(np.array([0, 100]), rows, rows, np.ones(1, bool))
    assert sample_pairs(pairs, 10, 0).tolist() == sample_pairs(pairs, 10, 0).tolist()
    assert sample_pairs(pairs, 10, 0).tolist() != sample_pairs(pairs, 10, 1).tolist()


def test_weights_without_documents_of_their_kind_are_a_mistake() -> None:
    task = SOURCE(0)
    with pytest.raises(ValueError, match="without documents"):
        score_documents(task.documents(Run("text")), None, np.ones(4, np.float32))
