"""One real `dvc repro` and one real `pipeline.py run` on a tiny world, with the real services."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from shoplens.artifacts import read_artifact
from shoplens.ci.run import read_run
from shoplens.kubeflow.gate_line import read_line
from shoplens.kubeflow.shown import numbers
from shoplens.params import Params, WorldParams
from shoplens.promotion.registry import champion_version
from shoplens.stages import EVALUATED, STAGES
from shoplens.world.render import render_world

ROOT = Path(__file__).parents[1]
WORLD = WorldParams(listings=160, seed=3, products=40)
PARAMS = {
    "world": WORLD.model_dump(),
    "train": {
        "frozen_blocks": 8,
        "image_size": 48,
        "embedding_dim": 16,
        "groups": 4,
        "head_width": 8,
        "batch_photos": 64,
        "sampled": {"shop_the_look/instance": 18},
        "max_epochs": 1,
        "learning_rate": 0.001,
    },
    "evaluate-stars": {"fractions": [1.0], "resamples": 200},
    "evaluate-tasks": {"resamples": 200},
    "evaluate-ranking": {"resamples": 200, "rates": [1.0], "l1": [0.0], "l2": [1.0], "min_pairs": 5},
    "evaluate-retrieval": {"resamples": 200},
    "package": {"examples": 2, "latency_requests": 20},
}
# A world this small proves nothing about quality: the policy only asks for what must hold at any size.
POLICY = {
    "version": 1,
    "bootstrap": True,
    "rules": [
        {"kind": "floor", "name": "served as trained", "metric": "package/served_cosine", "at_least": 0.9999},
        {"kind": "floor", "name": "searched as trained", "metric": "package/search_wrong", "at_most": 0.0},
        {"kind": "non_inferiority", "name": "stars", "metric": "stars/rps", "margin": 1.0, "min_n": 5},
    ],
}


def call(folder: Path, *command: str, home: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    dropped = ("MLFLOW_TRACKING_URI", "DVC_EXP_NAME")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    environment = {**inherited, "PATH": path, "SHOPLENS_HOME": str(home)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def metrics_of(artifacts: Path) -> dict[str, object]:
    names = ("evaluate-stars", "evaluate-ranking", "evaluate-retrieval", "evaluate-tasks", "train")
    return {name: json.loads((artifacts / name / "metrics.json").read_text()) for name in names}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a tiny world of its own: the committed dvc.yaml, other parameters."""
    folder = tmp_path_factory.mktemp("project")
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (folder / "params.yaml").write_text(yaml.safe_dump({**Params().model_dump(by_alias=True, mode="json"), **PARAMS}))
    (folder / "gate.yaml").write_text(yaml.safe_dump(POLICY))
    render_world(folder / "data", WORLD)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "add", "-q", "data"], ["git", "add", "-A"]):
        assert call(folder, *command, home=folder / ".shoplens").returncode == 0
    commit = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-q", "-m", "tiny world"]
    assert call(folder, *commit, home=folder / ".shoplens").returncode == 0
    return folder


@pytest.fixture(scope="module")
def reproduced(project: Path) -> Path:
    done = call(project, sys.executable, "-m", "dvc", "repro", home=project / ".shoplens")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_dvc_repro_runs_every_stage_and_serves_the_promoted_version(reproduced: Path) -> None:
    artifacts = reproduced / "artifacts"
    for stage in STAGES:
        inputs = {n: artifacts / n for n in stage.inputs if n not in ("data", "policy")}
        read_artifact(artifacts / stage.name, stage.name, inputs)
    assert json.loads((artifacts / "gate" / "decision.json").read_text())["promote"] is True
    served = json.loads((artifacts / "deploy" / "receipt.json").read_text())
    assert served["version"] == "1"
    assert min(answer["cosine"] for answer in served["answers"].values()) > 0.9999
    assert {name.split("/")[0] for name in served["searches"]} == {"flashlight", "lens", "shop_the_look"}
    assert max(found["bits"] for found in served["searches"].values()) == 0
    assert "promot" in (artifacts / "report" / "report.html").read_text().lower()


def test_a_second_repro_changes_nothing(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_HOME", str(reproduced / ".shoplens"))
    before = (reproduced / "dvc.lock").read_bytes()
    artifacts = {p: p.read_bytes() for p in (reproduced / "artifacts").rglob("artifact.json")}
    status = call(reproduced, "git", "status", "--porcelain", home=reproduced / ".shoplens").stdout
    done = call(reproduced, sys.executable, "-m", "dvc", "repro", home=reproduced / ".shoplens")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (reproduced / "dvc.lock").read_bytes() == before
    assert {p: p.read_bytes() for p in (reproduced / "artifacts").rglob("artifact.json")} == artifacts
    assert call(reproduced, "git", "status", "--porcelain", home=reproduced / ".shoplens").stdout == status
    assert champion_version("shoplens-encoder", "champion") == "1"
    assert "Running stage 'train'" not in done.stdout


def test_the_summary_says_what_a_person_wants_to_know(reproduced: Path) -> None:
    done = call(reproduced, "shoplens", "summary", home=reproduced / ".shoplens")
    for part in ("PROMOTED", "stars/rps", "shoplens-encoder version 1, alias champion", "report.html", "cosine"):
        assert part in done.stdout


def test_the_kubeflow_graph_gives_the_same_metrics_and_decision(reproduced: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = call(
        tmp_path,
        sys.executable,
        str(ROOT / "pipeline.py"),
        "run",
        *("--data", str(reproduced / "data"), "--out", str(out)),
        *("--params", str(reproduced / "params.yaml"), "--policy", str(reproduced / "gate.yaml")),
        *("--param", "embed_shards=2", "--param", "ranking_shards=2"),
        home=tmp_path / "store",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shards = [path.parts[-3] for path in out.glob("kubeflow/*/for-loop-*/*-shard/out/artifact.json")]
    assert sorted(shards) == ["embed-shard"] * 2 + ["ranking-shard"] * 2
    assert metrics_of(out / "artifacts") == metrics_of(reproduced / "artifacts")
    ours, theirs = (
        json.loads((folder / "artifacts" / "gate" / "decision.json").read_text()) for folder in (out, reproduced)
    )
    assert ours["promote"] is theirs["promote"] is True
    assert [rule["status"] for rule in ours["rules"]] == [rule["status"] for rule in theirs["rules"]]
    assert_shown(out)
    # What the comment about a run on a cluster is made from: task gate's line, with the numbers of the artifacts.
    told = read_line((out / "run.log").read_text())
    assert told == read_run(out / "artifacts", reproduced / "gate.yaml").judged
    assert told.metrics[0].name == "package/served_cosine" and len(told.metrics) == 3


def assert_shown(out: Path) -> None:
    """What the Kubeflow UI shows of a run is there, and has the numbers of the stages' own files."""
    [run] = (out / "kubeflow").iterdir()
    artifacts = out / "artifacts"

    def metadata(stage: str, name: str) -> dict[str, Any]:
        written = json.loads((run / stage / "executor_output.json").read_text())
        found: dict[str, Any] = written["artifacts"][name]["artifacts"][0]["metadata"]
        return found

    for stage in ("validate", "prepare", "train", "package", *EVALUATED):
        file = "split.json" if stage == "prepare" else "metrics.json"
        assert metadata(stage, "metrics") == numbers(json.loads((artifacts / stage / file).read_text())) != {}
    confusion = json.loads((artifacts / "evaluate-stars/confusion.json").read_text())
    matrix = metadata("evaluate-stars", "confusion")["confusionMatrix"]
    assert [row["row"] for row in matrix["rows"]] == confusion["counts"]
    assert (run / "gate/decision").read_text().startswith("# PROMOTE")
    assert "**version**: 1" in (run / "register/receipt").read_text()
    assert "**version**: 1" in (run / "deploy/receipt").read_text()
    assert "was promoted" in (run / "finish/outcome").read_text()
    assert (run / "report/page").read_bytes() == (artifacts / "report/report.html").read_bytes()
    for page in (run / "report/page", run / "validate/docs"):
        text = html.unescape(page.read_text())
        assert "</html>" in text
        assert not re.search(r"""<(script|link|img|iframe)\b[^>]*\s(src|href)=(?!["']?data:)""", text)
