"""Stage evaluate-ranking in shards of queries ends with the bytes of the stage by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation.ranking_world import Taste, make_world, search_log, write_embeddings, write_inputs
from hypothesis import given
from hypothesis import strategies as st

from shoplens.artifacts import read_artifact
from shoplens.errors import ShoplensError
from shoplens.evaluation.ranking import evaluate_ranking
from shoplens.evaluation.ranking_shards import merge, own_jobs, run_shard
from shoplens.files import digest_folder, read_json
from shoplens.params import EvaluateRankingParams
from shoplens.ranking.modalities import runs_of
from shoplens.ranking.rankers import Plan, jobs_of
from shoplens.ranking.train import Tune

PARAMS = EvaluateRankingParams(
    workers=1, resamples=100, min_pairs=10, rates=(1.0,), l1=(0.0, 0.1), l2=(1.0, 10.0), steps=20
)
SHARDS = 3
TASTES = [*(Taste(f"stay {number}", looks=1.0, word=number % 2) for number in range(5)), Taste("rare", sessions=8)]
"""The last one's query has too few pairs, so that the global model is needed for all runs."""


@given(st.lists(st.integers(0, 99), max_size=30), st.integers(1, 40))
def test_every_job_is_one_shard_s_and_shards_have_about_as_many(pairs: list[int], shards: int) -> None:
    runs = runs_of(["candidate"])
    jobs = jobs_of(np.array(pairs, np.int64), runs, runs, Plan((), 1, 10))
    parts = [own_jobs(jobs, shard, shards) for shard in range(shards)]
    assert sorted(name for part in parts for name in part) == sorted(jobs)
    assert all(part[name] == jobs[name] for part in parts for name in part)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert jobs.keys() >= {f"{query:07d}" for query, count in enumerate(pairs) if count >= 10}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the stage's inputs, its artifact `whole`, and the shards 0, 1, 2, each made in its own home."""
    root, world = tmp_path_factory.mktemp("ranking"), make_world(60)
    inputs = write_inputs(root, world, search_log(world, TASTES), {"candidate": world.looks, "reference": world.looks})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(root / "home"))
        evaluate_ranking(**inputs, out=root / "whole", params=PARAMS)
        for shard in range(SHARDS):
            patch.setenv("SHOPLENS_HOME", str(root / f"home{shard}"))
            run_shard(inputs, root / str(shard), PARAMS, shard, SHARDS)
        yield root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def inputs_of(root: Path) -> dict[str, Path]:
    return {name: root / name for name in ("data", "prepare", "embed")}


def shards_of(root: Path) -> list[Path]:
    return [root / str(shard) for shard in range(SHARDS)]


def test_merged_shards_are_the_stage_s_artifact_to_the_byte(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuned_again(*_: object) -> None:
        raise AssertionError("merge tunes what a shard has tuned")

    monkeypatch.setattr(Tune, "__call__", tuned_again)
    merge(shards_of(root)[::-1], inputs_of(root), tmp_path / "merged", PARAMS)
    assert digest_folder(tmp_path / "merged") == digest_folder(root / "whole")
    read_artifact(tmp_path / "merged", "evaluate-ranking", inputs_of(root))
    assert not list((tmp_path / "home/cache/ranking").glob("arrays*")), "the arrays are as large as the data"


def test_shards_share_the_jobs_and_among_them_the_global_model_s(root: Path) -> None:
    names = [sorted(path.stem for path in (folder / "tune").iterdir()) for folder in shards_of(root)]
    assert min(map(len, names)) >= 3
    together = [name for part in names for name in part]
    assert len(together) == len(set(together)) == 5 + 5, "five queries and five runs of the global model"
    assert "global-text" in together


def test_parameters_that_do_not_touch_the_tuning_may_change_before_the_merge(root: Path, tmp_path: Path) -> None:
    other = PARAMS.model_copy(update={"resamples": 200})
    merge(shards_of(root), inputs_of(root), tmp_path / "merged", other)
    assert (tmp_path / "merged" / "outcomes.parquet").read_bytes() == (root / "whole/outcomes.parquet").read_bytes()


def test_a_shard_that_was_killed_goes_on_with_the_jobs_that_it_had_not_finished(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune, done = Tune.__call__, []

    def killed_at_the_third(self: Tune, job: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return tune(self, job)  # type: ignore[arg-type]

    monkeypatch.setattr(Tune, "__call__", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_shard(inputs_of(root), tmp_path / "0", PARAMS, 0, SHARDS)
    assert not (tmp_path / "0").exists()
    assert not list((tmp_path / "home/cache/ranking").glob("arrays*")), "nobody runs this shard again for certain"
    again: list[object] = []

    def counted(self: Tune, job: object) -> object:
        again.append(job)
        return tune(self, job)  # type: ignore[arg-type]

    monkeypatch.setattr(Tune, "__call__", counted)
    run_shard(inputs_of(root), tmp_path / "0", PARAMS, 0, SHARDS)
    assert not {str(job) for job in again} & {str(job) for job in done}
    assert digest_folder(tmp_path / "0") == digest_folder(root / "0")


def test_a_missing_shard_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="of 3 shards these are missing: 1; run them first"):
        merge([root / "0", root / "2"], inputs_of(root), tmp_path / "merged", PARAMS)
    assert not (tmp_path / "merged").exists()


def test_shards_tuned_by_other_parameters_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="0 was made with another steps: run this shard again"):
        merge(shards_of(root), inputs_of(root), tmp_path / "merged", PARAMS.model_copy(update={"steps": 21}))


def test_shards_tuned_by_other_code_are_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoplens.evaluation.ranking_shards.code", lambda: ["of another version"])
    with pytest.raises(ShoplensError, match="0 was made with another code: run this shard again"):
        merge(shards_of(root), inputs_of(root), tmp_path / "merged", PARAMS)


def test_shards_of_other_embeddings_are_refused(root: Path, tmp_path: Path) -> None:
    world = make_world(60)
    for name in ("data", "prepare"):
        (tmp_path / name).symlink_to(root / name)
    write_embeddings(tmp_path, world, {"candidate": world.looks + 1.0, "reference": world.looks})
    with pytest.raises(ShoplensError, match="0 was made from another embed than"):
        merge(shards_of(root), inputs_of(tmp_path), tmp_path / "merged", PARAMS)


def test_data_without_a_search_log_has_empty_shards_and_says_so_in_the_end(tmp_path: Path) -> None:
    world = make_world(60)
    inputs = write_inputs(tmp_path, world, None, {"candidate": world.looks, "reference": world.looks})
    for shard in range(2):
        run_shard(inputs, tmp_path / str(shard), PARAMS, shard, 2)
    merge([tmp_path / "0", tmp_path / "1"], inputs, tmp_path / "merged", PARAMS)
    assert read_json(tmp_path / "merged" / "metrics.json")["skipped"] == "data has no search_log.parquet"


def test_there_may_be_more_shards_than_queries(root: Path, tmp_path: Path) -> None:
    run_shard(inputs_of(root), tmp_path / "99", PARAMS, 99, 100)
    assert [path.name for path in (tmp_path / "99").iterdir()] == ["artifact.json"]


def test_the_outcomes_are_of_the_queries(root: Path) -> None:
    assert len(pq.read_table(root / "whole" / "outcomes.parquet")), "the comparisons above compare something"
