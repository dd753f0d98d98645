"""What a person wants to know after a run: decision, metrics with intervals, version, what Triton answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shoplens.artifacts import PASSPORT, digest_of
from shoplens.stages import Layout


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def _interval(entry: dict[str, Any] | None) -> str:
    if not entry or entry.get("value") is None:
        return "-"
    if entry.get("low") is None:
        return f"{entry['value']:.4f}"
    return f"{entry['value']:.4f} [{entry['low']:.4f}, {entry['high']:.4f}] n={entry['n']}"


def _metric_lines(metrics: dict[str, Any]) -> list[str]:
    lines = []
    for name, entry in sorted(metrics.items()):
        if name.startswith("tasks/") and name != "tasks/score":
            continue
        better = {"lower": "lower is better", "higher": "higher is better"}[entry["direction"]]
        lines.append(f"  {name} ({better})")
        for model in ("candidate", "baseline", "reference", "chance"):
            if model in entry:
                label = {"reference": "ImageNet transfer"}.get(model, model)
                lines.append(f"    {label:18} {_interval(entry[model])}")
    return lines


def _of_this_run(layout: Layout, stage: str, source: str) -> Any:
    """A stage's receipt if it was made from `source` as it is now, else None: it did not run, or failed."""
    passport = _read(layout.path(stage) / PASSPORT)
    if passport is None or passport["inputs"].get(source) != digest_of(layout.path(source)):
        return None
    return _read(layout.path(stage) / "receipt.json")


def summary(layout: Layout) -> str:
    """A readable account of the last run in `layout.artifacts`; stages that did not run are named as such."""
    decision = _read(layout.path("gate") / "decision.json")
    if decision is None:
        return f"No decision in {layout.artifacts}: the run stopped before the gate."
    receipt = _of_this_run(layout, "register", "gate")
    served = _of_this_run(layout, "deploy", "register") if receipt else None
    if not decision["promote"]:
        verdict = "REFUSED: production is untouched"
    elif served:
        verdict = "PROMOTED"
    else:
        verdict = f"ALLOWED by the gate, but stage {'deploy' if receipt else 'register'} did not finish"
    lines = ["", verdict, *(f"  {reason}" for reason in decision["reasons"])]
    lines.append("Metrics on the test listings, with 95% intervals")
    for stage in ("evaluate-stars", "evaluate-tasks", "package"):
        found = _read(layout.path(stage) / "metrics.json")
        if found:
            lines += _metric_lines(found["metrics"])
    if receipt:
        known = "version" in receipt
        lines.append(
            f"Model    {receipt['model']} version {receipt['version']}, alias {receipt['alias']}"
            if known
            else f"Model    not registered: {receipt['skipped']}"
        )
    if served:
        known = "version" in served
        lines.append(
            f"Served   version {served['version']} by Triton: {_answers(served['answers'])}"
            if known
            else f"Served   nothing new: {served['skipped']}"
        )
    lines.append(f"Report   {layout.path('report') / 'report.html'}")
    return "\n".join(lines)


def _answers(answers: dict[str, dict[str, float]]) -> str:
    worst = min(answer["cosine"] for answer in answers.values())
    photos = sum(int(answer["used"]) for answer in answers.values())
    return (
        f"{len(answers)} galleries ({photos} photos sent as files) answered, "
        f"least cosine with the training path {worst:.6f}"
    )
