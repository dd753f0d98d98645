"""Promoted, refused, promoted, back to the first inputs, rolled back: with the real DVC and a live server.

The steps happen once, in order, in the fixture `history`, which notes what was to be seen after each; the tests read
the notes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from end_to_end.production import (
    HERE,
    PARAMS,
    POLICY,
    Production,
    Shown,
    baseline_of,
    changed,
    check_searches,
    cosines,
    decision_of,
    run_stages,
    shown_photos,
    trained_answers,
)

from shoplens.files import digest_file
from shoplens.params import Params
from shoplens.promotion.registry import read_version
from shoplens.stages import EVALUATED, Layout

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
REFUSED = 255  # what dvc repro makes of any failed stage

# One epoch of half as many batches: a sixth of the steps.
SHORT = changed(max_epochs=1, batch_photos=416)
BARELY = changed(max_epochs=1, batch_photos=416, learning_rate=1e-5)
FULL = PARAMS


@dataclass(frozen=True)
class Step:
    """What was to be seen after one step: exit code, output, alias, served galleries and searches, the artifacts."""

    code: int
    output: str
    alias: str | None
    answers: np.ndarray
    distances: np.ndarray
    artifacts: Path


class Project:
    """A git repository with DVC, made from the project's own files, and a production of its own."""

    def __init__(self, folder: Path, world: Path, cached: Production) -> None:
        """Commit code, pipeline, policy and data; what the frozen part of the encoder makes of the photos is there."""
        self.folder = folder
        self.layout = Layout(folder / "data", folder / "gate.yaml", folder / "artifacts")
        self.production = Production(folder / ".shoplens").take_cache(cached)
        for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml"):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        shutil.copy(POLICY, folder / "gate.yaml")
        shutil.copytree(world, folder / "data")
        self.params(SHORT)
        self._must("git", "init", "-q")
        self._must(sys.executable, "-m", "dvc", "add", "-q", "data")
        self.commit("the small world")

    def params(self, params: Params) -> Path:
        """Write params.yaml."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump(params.model_dump(by_alias=True, mode="json")))
        return path

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self._must("git", "add", "-A")
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        self._must("git", *identity, "commit", "-q", "--allow-empty", "-m", message)

    def _must(self, *command: str) -> None:
        done = self.production.call(*command, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def repro(self, params: Params, message: str) -> tuple[int, str]:
        """Change the parameters, `dvc repro`, commit; exit code and output."""
        self.params(params)
        done = self.production.call(sys.executable, "-m", "dvc", "repro", cwd=self.folder)
        self.commit(message)
        return done.returncode, done.stdout + done.stderr

    def note(self, name: str, code: int, output: str, shown: Shown) -> Step:
        """Look at everything; the artifacts are copied."""
        kept = self.folder.parent / "kept" / name / "artifacts"
        shutil.copytree(self.layout.artifacts, kept)
        live = self.production
        return Step(code, output, live.alias(), live.answers(shown), live.distances(shown), kept)


@dataclass(frozen=True)
class History:
    """The steps by name."""

    project: Project
    shown: Shown
    steps: dict[str, Step]

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, judged: tuple[Layout, Production]) -> Iterator[History]:
    """All the steps."""
    layout, production = judged
    project = Project(tmp_path_factory.mktemp("history") / "project", layout.data, production)
    code, output = project.repro(SHORT, "short training")
    assert code == 0, output
    shown = shown_photos(project.layout)
    with project.production.serving():
        steps = {"short": project.note("short", code, output, shown)}
        for name, params in (("barely", BARELY), ("full", FULL), ("short again", SHORT)):
            steps[name] = project.note(name, *project.repro(params, name), shown)
        done = project.production.call("shoplens", "rollback", cwd=project.folder)
        steps["rollback"] = project.note("rollback", done.returncode, done.stdout + done.stderr, shown)
        steps["full again"] = project.note("full again", *project.repro(FULL, "full again"), shown)
        yield History(project, shown, steps)


def serves_the_same(a: Step, b: Step) -> bool:
    return np.allclose(a.answers, b.answers, atol=1e-6) and np.array_equal(a.distances, b.distances)


def check_serves_its_candidate(history: History, name: str) -> None:
    step = history[name]
    assert cosines(step.answers, trained_answers(step.artifacts, history.shown)).min() > 0.9999
    check_searches(step.distances, step.artifacts, history.shown)


def test_the_first_candidate_is_promoted_on_the_floors(history: History) -> None:
    step = history["short"]
    assert (step.code, step.alias, baseline_of(step.artifacts)) == (0, "1", None)
    check_serves_its_candidate(history, "short")


def test_a_barely_trained_one_is_refused_and_production_stays(history: History) -> None:
    step = history["barely"]
    assert (step.code, step.alias, baseline_of(step.artifacts)) == (REFUSED, "1", "1"), step.output
    assert decision_of(step.artifacts)["promote"] is False
    assert "the gate says no, production is untouched" in step.output
    assert "failed to reproduce 'register'" in step.output
    assert "Running stage 'deploy'" not in step.output
    assert serves_the_same(step, history["short"])


def test_a_better_one_is_promoted_against_the_first(history: History) -> None:
    step = history["full"]
    assert (step.code, step.alias, baseline_of(step.artifacts)) == (0, "2", "1"), step.output
    assert decision_of(step.artifacts)["promote"] is True
    check_serves_its_candidate(history, "full")
    assert not np.allclose(step.answers, history["short"].answers, atol=1e-6)
    assert not np.array_equal(step.distances, history["short"].distances)


def test_back_at_the_first_inputs_the_decision_is_made_afresh_against_the_new_champion(history: History) -> None:
    step = history["short again"]
    assert "Stage 'train' is cached - skipping run" in step.output, "the run cache was to be tempted"
    assert baseline_of(step.artifacts) == "2"
    weights = [
        json.loads((history[name].artifacts / "train/encoder/encoder.json").read_text())["weights_digest"]
        for name in ("short", "short again")
    ]
    assert weights[0] == weights[1]
    assert (step.code, step.alias) == (REFUSED, "2"), step.output
    assert decision_of(step.artifacts)["promote"] is False
    assert any("tasks/score: candidate" in reason for reason in decision_of(step.artifacts)["reasons"])
    assert serves_the_same(step, history["full"])


def test_a_rollback_serves_the_version_before_and_register_does_not_undo_it(history: History) -> None:
    step = history["rollback"]
    assert (step.code, step.alias) == (0, "1"), step.output
    assert serves_the_same(step, history["short"])
    again = history["full again"]
    assert decision_of(again.artifacts)["promote"] is True
    assert "this is version 2 of shoplens-encoder, which was rolled back" in again.output
    assert (again.code, again.alias) == (REFUSED, "1")
    assert serves_the_same(again, history["short"])
    with history.project.production.here():
        assert read_version("shoplens-encoder", "2").rolled_back


def test_the_kubeflow_graph_gives_the_same_metrics_and_decision_from_the_same_baseline(
    history: History, tmp_path: Path
) -> None:
    other = Production(tmp_path / "store").take_cache(history.project.production)
    first = Layout(history.project.layout.data, POLICY, history["short"].artifacts)
    with other.here():
        run_stages(first, SHORT, "register", "deploy")
    done = other.call(
        sys.executable,
        ROOT / "pipeline.py",
        "run",
        *("--data", first.data, "--out", tmp_path / "run"),
        *("--params", HERE / "small_world.yaml", "--policy", POLICY),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = history["full"].artifacts, tmp_path / "run" / "artifacts"
    for stage in ("validate", "train", *EVALUATED):
        name = f"{stage}/metrics.json"
        assert json.loads((ours / name).read_text()) == json.loads((theirs / name).read_text())
    for name in (*(f"{stage}/outcomes.parquet" for stage in EVALUATED), "champion/artifact.json"):
        assert digest_file(ours / name) == digest_file(theirs / name)
    assert baseline_of(theirs) == "1"
    assert _without_package(decision_of(ours)) == _without_package(decision_of(theirs))
    assert other.alias() == "2"
    served = json.loads((theirs / "deploy" / "receipt.json").read_text())
    assert served == json.loads((ours / "deploy" / "receipt.json").read_text())


def _without_package(decision: dict[str, Any]) -> dict[str, Any]:
    """Its timings differ from run to run, and with them its digest."""
    judged = {name: digest for name, digest in decision["judged"].items() if name != "package"}
    return decision | {"judged": judged}
