"""The command line says in one message what the user has to mend, and does not destroy what is not its own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from shoplens.artifacts import write_artifact
from shoplens.cli import main
from shoplens.files import write_json
from shoplens.serving.client import GalleryAnswer
from shoplens.serving.serve import Embedded, PhotoAnswer
from shoplens.stages import BY_NAME, STAGES, Layout
from shoplens.summary import summary

RECEIPT = {"model": "m", "version": "7", "alias": "champion", "ranker": {"model": "r", "version": "2"}}
SERVED = {
    "version": "7",
    "answers": {"a": {"cosine": 1.0, "used": 3}},
    "rankings": {"sea view": {"scores": 20, "difference": 0.000002}},
    "searches": {"lens/a": {"bits": 1, "results": 5}},
}


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The message of a command that must end with exit code 1."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 1
    return capsys.readouterr().err


def test_what_the_system_refuses_names_the_file_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    said = refused(capsys, "data", "demo", "--listings", 20, "--out", tmp_path / "file" / "data")
    assert (
        said == f"shoplens: {tmp_path / 'file'}: File exists; correct the path, or who may use it, and run it again\n"
    )


def test_outside_of_a_project_the_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOPLENS_HOME", raising=False)
    for command in ("train", "rollback"):
        assert "params.yaml is missing: name another one, or run this in the folder" in refused(capsys, command)
    assert "nothing is deployed" in refused(capsys, "serve")


def test_the_demo_does_not_replace_somebody_elses_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "dataset.yaml").write_text("name: my-homes\n")
    said = refused(capsys, "data", "demo", "--listings", 20, "--out", tmp_path / "own")
    assert "own exists and holds something else (dataset.yaml does not start with 'name: demo-marketplace')" in said
    assert (tmp_path / "own" / "dataset.yaml").read_text() == "name: my-homes\n"


def test_the_demo_replaces_an_earlier_one(tmp_path: Path) -> None:
    sizes = ("--listings", "20", "--products", "0")
    for seed in (1, 2):
        with pytest.raises(SystemExit) as ended:
            main(["data", "demo", *sizes, "--seed", str(seed), "--out", str(tmp_path / "demo")])
        assert ended.value.code == 0


def test_parameters_that_were_named_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "data", "demo", "--params", tmp_path / "no.yaml", "--out", tmp_path / "demo")
    assert "no.yaml is missing" in said


def test_embedding_photos_names_the_one_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [PhotoAnswer(Path("good.jpg"), np.ones(2), None), PhotoAnswer(Path("bad.jpg"), None, "truncated")]
    answer = Embedded("3", GalleryAnswer(np.ones(2), used=1, corrupt=1), photos)
    monkeypatch.setattr("shoplens.serving.serve.embed_photos", lambda _: answer)
    with pytest.raises(SystemExit) as ended:
        main(["embed", "good.jpg", "bad.jpg"])
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (0, "bad.jpg is left out: truncated\n")
    assert json.loads(said.out) == {"version": "3", "used": 1, "corrupt": 1, "embedding": [1.0, 1.0]}


@pytest.fixture
def finished(tmp_path: Path) -> Layout:
    """A run that was promoted and served: every stage's folder with its passport, and what the summary reads."""
    layout = Layout(tmp_path / "data", tmp_path / "gate.yaml", tmp_path / "artifacts")
    layout.data.mkdir()
    (layout.data / "dataset.yaml").write_text("name: toy")
    layout.policy.write_text("version: 1")
    written = {
        "gate": ("decision.json", {"promote": True, "reasons": ["stars: pass: 0.1"]}),
        "register": ("receipt.json", RECEIPT),
        "deploy": ("receipt.json", SERVED),
    }
    for stage in STAGES:
        inputs = {name: layout.path(name) for name in stage.inputs}
        with write_artifact(layout.path(stage.name), stage.name, inputs, {}) as folder:
            if stage.name in written:
                write_json(folder / written[stage.name][0], written[stage.name][1])
    return layout


def test_the_summary_of_a_finished_run(finished: Layout) -> None:
    text = summary(finished)
    for part in ("PROMOTED", "stars: pass", "m version 7, alias champion", "1 galleries (3 photos", "report.html"):
        assert part in text
    assert "Ranker   r version 2" in text
    assert "; 1 rankings, scores at most 0.000002 from the training path's" in text
    assert "; 1 searches, codes at most 1 bits from the training path's" in text


def test_the_summary_of_a_run_without_a_ranker_does_not_speak_of_one(finished: Layout) -> None:
    write_json(finished.path("register") / "receipt.json", RECEIPT | {"ranker": {"model": "r", "version": None}})
    write_json(finished.path("deploy") / "receipt.json", SERVED | {"rankings": {}})
    assert "anker" not in summary(finished).replace("evaluate-ranking", "")


@pytest.mark.parametrize(
    ("other", "said"), [("baseline", "with the baseline 0.6200"), ("reference", "with ImageNet transfer 0.6200")]
)
def test_the_summary_tells_ranking_in_a_line(finished: Layout, other: str, said: str) -> None:
    ndcg = {"direction": "higher", "candidate": {"value": 0.63}, other: {"value": 0.62}}
    gain = {"candidate": {"value": 0.02, "low": 0.01, "high": 0.03, "n": 118}}
    measured = {"metrics": {"ranking/ndcg": ndcg, "ranking/multimodal_gain": gain}}
    write_json(finished.path("evaluate-ranking") / "metrics.json", measured)
    line = f"Ranking  nDCG 0.6300, {said}; photos beside text gain 0.0200 [0.0100, 0.0300] n=118 queries"
    assert line in summary(finished).splitlines()


def test_the_summary_says_why_ranking_was_not_evaluated(finished: Layout) -> None:
    skipped = {"skipped": "data has no search_log.parquet", "metrics": {}}
    write_json(finished.path("evaluate-ranking") / "metrics.json", skipped)
    assert "Ranking  not evaluated: data has no search_log.parquet" in summary(finished)


@pytest.mark.parametrize(
    ("other", "said"), [("baseline", "with the baseline 0.5000"), ("reference", "with ImageNet transfer 0.5000")]
)
def test_the_summary_tells_retrieval_in_a_line(finished: Layout, other: str, said: str) -> None:
    score = {"candidate": {"value": 0.6, "low": 0.55, "high": 0.65, "n": 222}, other: {"value": 0.5}}
    codes = {"candidate": {"value": 0.58}, other: {"value": 0.4}}
    found = {"retrieval/score": score, "retrieval/binary_score": codes}
    measured = {"metrics": found, "counts": {"sources": {"lens": {}, "shop": {}}}}
    write_json(finished.path("evaluate-retrieval") / "metrics.json", measured)
    line = (
        "Search   precision over 2 sources 0.6000 [0.5500, 0.6500] n=222 queries, by codes 0.5800; "
        f"{said}, by codes 0.4000"
    )
    assert line in summary(finished).splitlines()


def test_the_summary_says_why_retrieval_was_not_evaluated(finished: Layout) -> None:
    skipped = {"skipped": "dataset.yaml names no sources", "metrics": {}}
    write_json(finished.path("evaluate-retrieval") / "metrics.json", skipped)
    assert "Search   not evaluated: dataset.yaml names no sources" in summary(finished)


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES[:-4]])
def test_the_summary_of_a_run_that_failed_early_does_not_tell_an_earlier_ones_decision(
    finished: Layout, stage: str
) -> None:
    shutil.rmtree(finished.path(stage))  # as DVC does before it runs a stage
    assert f"stage {stage} did not finish" in summary(finished)
    assert "PROMOTED" not in summary(finished)


def test_the_summary_before_any_run_says_how_to_start_one(tmp_path: Path) -> None:
    text = summary(Layout(tmp_path / "data", tmp_path / "gate.yaml", tmp_path / "artifacts"))
    assert text.startswith(f"No run in {tmp_path / 'artifacts'} yet: `make repro` or `dvc repro` starts one.")


def test_the_summary_of_other_data_does_not_tell_an_earlier_decision(finished: Layout) -> None:
    (finished.data / "dataset.yaml").write_text("name: other")
    assert "stage validate did not finish, or what it reads has changed since" in summary(finished)


def test_the_summary_inside_an_experiment_does_not_speak_of_a_promotion(finished: Layout) -> None:
    for name in ("register", "deploy"):
        inputs = {key: finished.path(key) for key in BY_NAME[name].inputs}
        with write_artifact(finished.path(name), name, inputs, {}) as folder:
            write_json(folder / "receipt.json", {"skipped": "inside a DVC experiment"})
    assert "ALLOWED by the gate; production is untouched: inside a DVC experiment" in summary(finished)
    assert "PROMOTED" not in summary(finished)
