"""`shoplens drift` on folders and logs: exit codes, what it writes, what it leaves out, and the start of retraining."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ci.fake_github import TOKEN, fake_github
from contract.builder import SCHEMAS, rows, write_rows, write_spec
from drift.packaged import Packaged, builder_splits, market, packaged

from shoplens.cli import main
from shoplens.files import read_json, write_json
from shoplens.serving.request_log import RequestLog

Drift = Callable[..., int]
GITHUB = ("GITHUB_REPOSITORY", "GITHUB_TOKEN", "GITHUB_API_URL")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packaged]:
    """A run on 180 listings, of which 60 are held out; its home serves all tests of this file."""
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOPLENS_HOME", str(root / "home"))
        data = market(root / "data", 180, 0, "old")
        yield packaged(root, data, builder_splits(data))


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New listings of the same marketplace."""
    return market(tmp_path_factory.mktemp("alike") / "data", 100, 5, "new")


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New listings with three stars only, whose photos are brighter and prices higher."""
    return market(tmp_path_factory.mktemp("unlike") / "data", 300, 6, "new", stars="3")


@pytest.fixture
def drift(run: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drift:
    """`shoplens drift` beside the run's candidate, in an empty folder; the exit code."""
    write_json(tmp_path / "params.yaml", {})  # JSON is YAML
    monkeypatch.chdir(tmp_path)
    for name in GITHUB:
        monkeypatch.delenv(name, raising=False)

    def call(*words: str | Path, artifacts: Path = run.artifacts) -> int:
        with pytest.raises(SystemExit) as done:
            main(["drift", "--artifacts", str(artifacts), "--alpha", "0.05", *map(str, words)])
        return int(str(done.value.code))

    return call


def log(folder: Path, run: Packaged, embeddings: np.ndarray, weights: str | None = None) -> Path:
    """A log with a request for each embedding."""
    written = RequestLog(folder, weights or run.weights, "gallery_v1_aa", 1 << 25)
    for embedding in embeddings.astype(np.float32):
        written._write("gallery", 1.0, embedding, np.zeros(160, np.uint8))
    written.close()
    return folder


def held_out(run: Packaged) -> np.ndarray:
    return np.asarray(np.load(run.package / "reference" / "galleries.npy"))


def requests_like(run: Packaged, count: int, moved: float = 0.0) -> np.ndarray:
    """Embeddings between two held-out ones, each; `moved` in standard deviations."""
    rng, stored = np.random.default_rng(7), held_out(run)
    pairs = np.array(list(itertools.combinations(range(len(stored)), 2)))
    between = stored[rng.choice(pairs, count, replace=False)].mean(axis=1)
    centred = stored.mean(axis=0) + (between - stored.mean(axis=0)) * np.sqrt(2)
    return np.asarray(centred + moved * stored.std(axis=0))


def test_a_folder_that_is_none_of_the_contract_s_is_named_before_anything_else_is_read(
    drift: Drift, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift("--data", tmp_path / "nope", artifacts=tmp_path / "no artifacts") == 2
    said = capsys.readouterr().err
    assert "nope/dataset.yaml is missing" in said and "no artifacts" not in said


def test_new_listings_like_the_old_ones_are_no_drift(
    drift: Drift, alike: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift("--data", alike) == 0
    said = capsys.readouterr().out
    assert said.startswith("No drift from the candidate in ")
    assert "100 new listings" in said
    written = read_json(tmp_path / "out" / "drift" / "drift.json")
    assert written["drifted"] is False
    assert {one["name"] for one in written["findings"]} >= {"has_pool", "scene", "price", "stars", "country", "all"}
    assert "<svg" in (tmp_path / "out" / "drift" / "drift.html").read_text()


def test_new_listings_unlike_the_old_ones_are_drift(
    drift: Drift, unlike: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift("--data", unlike, "--out", tmp_path / "found") == 1
    assert capsys.readouterr().out.startswith("Drift from the candidate in ")
    flagged = {one["name"] for one in read_json(tmp_path / "found" / "drift.json")["findings"] if one["drifted"]}
    assert {"stars", "price", "all"} <= flagged


def test_listings_that_the_champion_knows_are_left_out(
    drift: Drift, run: Packaged, unlike: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of this month has most of last month's listings in it, which would hide what is new."""
    assert drift("--data", run.data) == 3
    assert "the champion's data had all of its 180 listings, so nothing is new" in capsys.readouterr().err
    both = tmp_path / "both"
    shutil.copytree(unlike, both)
    write_rows(both, "listings.parquet", rows(unlike, "listings.parquet") + rows(run.data, "listings.parquet"))
    assert drift("--data", both) == 1
    assert "180 listings are left out, the champion's data had them" in capsys.readouterr().out


def test_requests_are_compared_without_those_that_say_nothing(
    drift: Drift, run: Packaged, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = np.load(run.package / "examples" / "served.npy")
    asked = np.concatenate(
        [examples * 1.0001, held_out(run)[:5], requests_like(run, 80), requests_like(run, 80) * 1.00001]
    )
    folder = log(tmp_path / "log", run, asked)
    log(folder, run, requests_like(run, 9), weights="of another version")
    assert drift("--log", folder) == 0
    said = capsys.readouterr().out
    assert "9 requests of other versions are left out" in said
    assert "requests (gallery) are left out, the reference or a check has these photos" in said
    assert " / 80 " in said
    assert drift("--log", log(tmp_path / "moved", run, requests_like(run, 80, moved=0.6))) == 1
    assert "DRIFT  requests gallery, embeddings" in capsys.readouterr().out


def test_what_has_nothing_new_does_not_keep_the_other_from_being_compared(
    drift: Drift, run: Packaged, alike: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A nightly comparison of both, on a day without new listings, or before the new version is asked anything."""
    moved = log(tmp_path / "moved", run, requests_like(run, 80, moved=0.6))
    assert drift("--data", run.data, "--log", moved) == 1
    said = capsys.readouterr().out
    assert "the champion's data had all of its 180 listings, so nothing is new" in said
    assert "DRIFT  requests gallery, embeddings" in said
    (tmp_path / "empty").mkdir()
    assert drift("--data", alike, "--log", tmp_path / "empty") == 0
    assert "no request of the champion is logged" in capsys.readouterr().out


def test_a_champion_whose_package_is_of_another_encoder_is_refused(
    drift: Drift, run: Packaged, alike: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(run.artifacts, artifacts)
    (artifacts / "train" / "artifact.json").write_text((artifacts / "train" / "artifact.json").read_text() + "\n")
    assert drift("--data", alike, artifacts=artifacts) == 2
    assert "was made from another train" in capsys.readouterr().err


def test_drift_nothing_new_and_failure_are_told_apart_by_the_exit_code(
    drift: Drift,
    alike: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drift() == 2
    assert "name --data, --log or both" in capsys.readouterr().err
    assert drift("--log", tmp_path / "nowhere") == 2
    assert "`shoplens serve` keeps a log there" in capsys.readouterr().err
    assert drift("--log", alike) == 2, "a folder of something else passed for a log without news"
    assert "holds no log of requests: name the folder that `shoplens serve` keeps it in" in capsys.readouterr().err
    (tmp_path / "empty/lost+found").mkdir(parents=True)  # as on a new volume
    assert drift("--log", tmp_path / "empty") == 3
    assert "no request of the champion is logged" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "empty")
    assert drift("--log", ".", "--params", tmp_path / "params.yaml") == 3
    assert ".: no request of the champion is logged" in capsys.readouterr().err, "it took this machine's log"
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(alike, other)
    write_spec(other, tasks=[{"name": "scene", "kind": "multiclass"}], holdout={"name": "price", "kind": "regression"})
    assert drift("--data", other) in (0, 1)  # fewer tasks, all of the same kinds
    write_spec(other, tasks=[{"name": "stars", "kind": "multiclass"}], holdout={"name": "scene", "kind": "multiclass"})
    assert drift("--data", other) in (0, 1)
    capsys.readouterr()
    table = [{**home, "price": str(home["price"])} for home in rows(alike, "listings.parquet")]
    kinds = SCHEMAS["listings.parquet"]
    at = kinds.get_field_index("price")
    write_rows(other, "listings.parquet", table, kinds.set(at, pa.field("price", pa.string())))
    write_spec(other, tasks=[{"name": "price", "kind": "multiclass"}])
    assert drift("--data", other) == 2
    assert "price is multiclass here and was regression in the champion's data" in capsys.readouterr().err
    few = tmp_path / "few"
    shutil.copytree(alike, few)
    write_rows(few, "listings.parquet", rows(alike, "listings.parquet")[:12])
    assert drift("--data", few) == 3
    said = capsys.readouterr().err
    assert "nothing to compare" in said
    assert "12 new listings" in said

    def bug(**_: object) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr("shoplens.drift.command.measure_drift", bug)
    assert drift("--data", alike) == 2
    assert "RuntimeError: a bug" in capsys.readouterr().err


def test_drift_starts_retraining_once_and_no_drift_starts_nothing(
    drift: Drift, alike: Path, unlike: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drift("--data", unlike, "--retrain") == 2
    assert "GITHUB_REPOSITORY and GITHUB_TOKEN not set" in capsys.readouterr().err
    with fake_github() as fake:
        fake.workflows = {"retrain.yml": {"reason"}}
        for name, value in zip(GITHUB, ("team/shop", TOKEN, fake.url), strict=True):
            monkeypatch.setenv(name, value)
        assert drift("--data", alike, "--retrain") == 0
        assert fake.started == []
        assert drift("--data", unlike, "--retrain") == 1
        ((workflow, branch, inputs),) = fake.started
        assert (workflow, branch) == ("retrain.yml", "main")
        assert inputs["reason"].startswith("Drift from the candidate in ")
        assert "Retraining is started: retrain.yml on main of team/shop" in capsys.readouterr().out
        fake.workflows = {}
        assert drift("--data", unlike, "--retrain") == 2
        assert "no such repository, commit or workflow" in capsys.readouterr().err
