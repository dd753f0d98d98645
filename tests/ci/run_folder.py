"""Artifacts as a run leaves them, as far as its JSON files go: passports, decision, metrics, receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shoplens.artifacts import write_artifact
from shoplens.files import write_json

STARS = {
    "direction": "lower",
    "candidate": {"value": 0.0841, "low": 0.0801, "high": 0.0889, "n": 420},
    "baseline": {"value": 0.0912, "low": 0.0862, "high": 0.0961, "n": 420},
    "reference": {"value": 0.1, "low": 0.09, "high": 0.11, "n": 420},
}
COSINE = {"direction": "higher", "candidate": {"value": 0.9999987, "low": None, "high": None, "n": 8}}


def rule(name: str, metric: str, status: str) -> dict[str, Any]:
    return {"name": name, "metric": metric, "status": status, "reason": f"{metric}: {status}"}


def stage(artifacts: Path, name: str, inputs: dict[str, Path], **files: object) -> Path:
    with write_artifact(artifacts / name, name, inputs, {}) as folder:
        for file, value in files.items():
            write_json(folder / f"{file}.json", value)
    return artifacts / name


def judged(root: Path, promote: bool, version: str | None = "3", reasons: tuple[str, ...] = ()) -> Path:
    """A run up to the gate: root/artifacts, with root/gate.yaml; its artifacts folder."""
    artifacts, policy = root / "artifacts", root / "gate.yaml"
    policy.write_text("version: 1\n")
    champion = stage(artifacts, "champion", {}, champion={"version": version})
    stars = stage(artifacts, "evaluate-stars", {}, metrics={"metrics": {"stars/rps": STARS, "stars/accuracy": STARS}})
    package = stage(artifacts, "package", {}, metrics={"metrics": {"package/served_cosine": COSINE}})
    rules = [
        rule("served as trained", "package/served_cosine", "pass"),
        rule("stars not worse", "stars/rps", "pass" if promote else "inconclusive"),
        rule("in Rome", "stars/rps", "pass"),
        rule("ranking", "ranking/ndcg", "skipped"),
    ]
    decision = {"promote": promote, "reasons": list(reasons), "rules": rules}
    inputs = {"policy": policy, "champion": champion, "evaluate-stars": stars, "package": package}
    stage(artifacts, "gate", inputs, decision=decision)
    return artifacts


def served(root: Path, receipt: dict[str, object] | None = None) -> Path:
    """A run to its end; its artifacts folder."""
    artifacts = judged(root, True)
    register = stage(artifacts, "register", {"gate": artifacts / "gate"}, receipt={"version": "4"})
    stage(artifacts, "deploy", {"register": register}, receipt=receipt or {"version": "4"})
    return artifacts
