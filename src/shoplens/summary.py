"""What a person wants to know after a run: decision, metrics with intervals, version, what Triton answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def summary(layout: Layout) -> str:
    """A readable account of the last run in `layout.artifacts`; stages that did not run are named as such."""
    decision = _read(layout.path("gate") / "decision.json")
    if decision is None:
        return f"No decision in {layout.artifacts}: the run stopped before the gate."
    lines = ["", "PROMOTED" if decision["promote"] else "REFUSED: production is untouched"]
    lines += [f"  {reason}" for reason in decision["reasons"]]
    lines.append("Metrics on the test listings, with 95% intervals")
    for stage in ("evaluate-stars", "evaluate-tasks", "package"):
        found = _read(layout.path(stage) / "metrics.json")
        if found:
            lines += _metric_lines(found["metrics"])
    receipt, served = (_read(layout.path(stage) / "receipt.json") for stage in ("register", "deploy"))
    if receipt and "version" in receipt:
        lines.append(f"Model    {receipt['model']} version {receipt['version']}, alias {receipt['alias']}")
    elif receipt:
        lines.append(f"Model    not registered: {receipt.get('skipped')}")
    if served and "version" in served:
        lines.append(f"Served   version {served['version']} by Triton: {_answers(served)}")
    elif served:
        lines.append(f"Served   nothing new: {served.get('skipped')}")
    lines.append(f"Report   {layout.path('report') / 'report.html'}")
    return "\n".join(lines)


def _answers(served: dict[str, Any]) -> str:
    return json.dumps(served.get("answers"), sort_keys=True)
