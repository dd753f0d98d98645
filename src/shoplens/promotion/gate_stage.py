"""Stage gate: reads what the evaluations left, decides, and writes decision.json. A no is a result, not an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from shoplens.artifacts import Artifact, digest_of, read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Outcomes, merge, read_outcomes
from shoplens.files import read_json, write_json
from shoplens.progress import say
from shoplens.promotion.gate import Decision, Measurements, decide, decision_json, decision_text
from shoplens.promotion.policy import Policy, read_policy
from shoplens.promotion.rules import Measurement


@dataclass(frozen=True)
class Evidence:
    """The paths that a decision is made from."""

    policy: Path
    prepare: Path
    train: Path
    champion: Path
    evaluate_tasks: Path
    evaluate_stars: Path
    evaluate_ranking: Path
    evaluate_retrieval: Path
    package: Path

    def named(self) -> dict[str, Path]:
        """Input name -> path, as in passports."""
        return {field.name.replace("_", "-"): getattr(self, field.name) for field in fields(self)}


def measure(evidence: Evidence) -> Measurements:
    """Open the artifacts, check that they belong together, and collect their numbers.

    Raises:
        ShoplensError: if an artifact is missing, changed, or made from other inputs or on another split than the rest.
    """
    chain = {"prepare": evidence.prepare, "train": evidence.train, "champion": evidence.champion}
    prepare = read_artifact(evidence.prepare, "prepare")
    read_artifact(evidence.train, "train", {"prepare": evidence.prepare})
    read_artifact(evidence.champion, "champion", {"train": evidence.train})
    tasks = read_artifact(evidence.evaluate_tasks, "evaluate-tasks", chain)
    stars = read_artifact(evidence.evaluate_stars, "evaluate-stars", {"prepare": evidence.prepare})
    ranking = read_artifact(evidence.evaluate_ranking, "evaluate-ranking", {"prepare": evidence.prepare})
    retrieval = read_artifact(evidence.evaluate_retrieval, "evaluate-retrieval", {"prepare": evidence.prepare})
    served = {"prepare": evidence.prepare, "train": evidence.train, "evaluate-ranking": evidence.evaluate_ranking}
    package = read_artifact(evidence.package, "package", served)
    for artifact in (stars, ranking, retrieval, package):
        _same(artifact, tasks, "embed")
    for artifact in (tasks, stars, ranking, retrieval, package):
        _same(artifact, prepare, "data")
    split = read_json(evidence.prepare / "split.json")["hash"]
    metrics: dict[str, Measurement] = {}
    # Without tasks, a search log or image sources there are no such outcomes; a rule on them fails, or is optional.
    found = [artifact for artifact in (tasks, ranking, retrieval) if (artifact.path / "outcomes.parquet").exists()]
    evaluated = [stars, *found]
    outcomes = merge(read_outcomes(artifact.path / "outcomes.parquet") for artifact in evaluated)
    for artifact in (tasks, stars, ranking, retrieval, package):
        summary = read_json(artifact.path / "metrics.json")
        if summary.get("split", split) != split:
            raise ShoplensError(
                f"{artifact.path / 'metrics.json'} was measured on another split than {evidence.prepare}: "
                f"run {artifact.stage} again"
            )
        metrics |= _measurements(summary["metrics"], outcomes)
    baseline = read_json(evidence.champion / "champion.json")["version"]
    judged = {name: digest_of(path) for name, path in evidence.named().items()}
    return Measurements(split, judged, baseline is not None, metrics)


class Paths(Protocol):
    """Knows where each input of a stage is."""

    def path(self, name: str) -> Path:
        """The path of `policy` or of a stage's artifact."""


def collected(paths: Paths) -> tuple[Measurements, Policy]:
    """What a finished run measured, and the policy: what `shoplens power` starts from.

    Raises:
        ShoplensError: as `measure`, and if the policy is not valid.
    """
    evidence = Evidence(*(paths.path(field.name.replace("_", "-")) for field in fields(Evidence)))
    return measure(evidence), read_policy(evidence.policy)


def judge(evidence: Evidence) -> Decision:
    """Decide from the per-unit outcomes and the policy; the gate and the registration both do this.

    Raises:
        ShoplensError: as `measure`, and if the policy is not valid.
    """
    policy = read_policy(evidence.policy)
    return decide(measure(evidence), policy)


def gate(
    *,
    policy: Path,
    prepare: Path,
    train: Path,
    champion: Path,
    evaluate_tasks: Path,
    evaluate_stars: Path,
    evaluate_ranking: Path,
    evaluate_retrieval: Path,
    package: Path,
    out: Path,
) -> None:
    """Write decision.json and print the decision. Returns normally on a no as well: registration refuses.

    Raises:
        ShoplensError: as `judge`.
    """
    evaluated = (evaluate_tasks, evaluate_stars, evaluate_ranking, evaluate_retrieval)
    evidence = Evidence(policy, prepare, train, champion, *evaluated, package)
    decision = judge(evidence)
    with write_artifact(out, "gate", evidence.named(), {}) as folder:
        write_json(folder / "decision.json", decision_json(decision))
    say(decision_text(decision))


def _same(artifact: Artifact, other: Artifact, name: str) -> None:
    if artifact.inputs.get(name) != other.inputs.get(name):
        raise ShoplensError(
            f"{artifact.path} was made from another {name} than {other.path}: run {artifact.stage} again"
        )


def _measurements(summary: Mapping[str, Any], outcomes: Outcomes) -> dict[str, Measurement]:
    found = {}
    for name, block in summary.items():
        scores = outcomes.get(name, {})
        scalars = {} if scores else {m: _number(v) for m, v in block.items() if isinstance(v, Mapping)}
        found[name] = Measurement(block["direction"], scores, scalars)
    return found


def _number(entry: Mapping[str, Any]) -> float | None:
    value = entry.get("value")
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
