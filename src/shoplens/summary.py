"""What a person wants to know after a run: decision, metrics with intervals, version, what Triton answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shoplens.artifacts import PASSPORT, digest_of
from shoplens.files import read_json
from shoplens.stages import BY_NAME, STAGES, Layout


def _read(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


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


def _ranking_line(measured: dict[str, Any]) -> str:
    if "skipped" in measured:
        return f"Ranking  not evaluated: {measured['skipped']}"
    models = measured["metrics"]["ranking/ndcg"]
    other, label = ("baseline", "the baseline") if "baseline" in models else ("reference", "ImageNet transfer")
    gain = measured["metrics"]["ranking/multimodal_gain"]["candidate"]
    return (
        f"Ranking  nDCG {_value(models['candidate'])}, with {label} {_value(models[other])}; "
        f"photos beside text gain {_interval(gain)} queries"
    )


def _retrieval_line(measured: dict[str, Any]) -> str:
    if "skipped" in measured:
        return f"Search   not evaluated: {measured['skipped']}"
    models, codes = measured["metrics"]["retrieval/score"], measured["metrics"]["retrieval/binary_score"]
    other, label = ("baseline", "the baseline") if "baseline" in models else ("reference", "ImageNet transfer")
    sources = len(measured["counts"]["sources"])
    return (
        f"Search   precision over {sources} sources {_interval(models['candidate'])} queries, "
        f"by codes {_value(codes['candidate'])}; with {label} {_value(models[other])}, by codes {_value(codes[other])}"
    )


def _value(entry: dict[str, Any]) -> str:
    return "-" if entry["value"] is None else f"{entry['value']:.4f}"


def _unfinished(layout: Layout) -> list[str]:
    """The stages whose output is missing or was made from other inputs than those at hand, and all that follow them.

    A stage that fails leaves the outputs of later stages as an earlier run wrote them.
    """
    paths = {name: layout.path(name) for name in ("data", "policy", *BY_NAME)}
    now = {name: digest_of(path) for name, path in paths.items() if path.exists()}
    found: list[str] = []
    for stage in STAGES:
        made_from = (_read(paths[stage.name] / PASSPORT) or {"inputs": {}})["inputs"]
        if any(name in found or name not in now or now[name] != made_from.get(name) for name in stage.inputs):
            found.append(stage.name)
    return found


def summary(layout: Layout) -> str:
    """A readable account of the last run in `layout.artifacts`; a run that stopped before the gate has none."""
    if not any((layout.path(stage.name) / PASSPORT).is_file() for stage in STAGES):
        return (
            f"No run in {layout.artifacts} yet: `make repro` or `dvc repro` starts one. "
            "--artifacts names the folder of another one."
        )
    unfinished = _unfinished(layout)
    if "gate" in unfinished:
        return (
            f"No decision in {layout.artifacts} about what is here now: stage {unfinished[0]} did not finish, or what "
            "it reads has changed since. Production is as it was."
        )
    decision = _read(layout.path("gate") / "decision.json")
    receipt, served = (
        None if stage in unfinished else _read(layout.path(stage) / "receipt.json") for stage in ("register", "deploy")
    )
    if not decision["promote"]:
        verdict = "REFUSED: production is untouched"
    elif receipt and "skipped" in receipt:
        verdict = f"ALLOWED by the gate; production is untouched: {receipt['skipped']}"
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
            if "skipped" in found:
                lines.append(f"  tasks: not evaluated: {found['skipped']}")
    ranking = _read(layout.path("evaluate-ranking") / "metrics.json")
    if ranking:
        lines.append(_ranking_line(ranking))
    retrieval = _read(layout.path("evaluate-retrieval") / "metrics.json")
    if retrieval:
        lines.append(_retrieval_line(retrieval))
    if receipt:
        known = "version" in receipt
        lines.append(
            f"Model    {receipt['model']} version {receipt['version']}, alias {receipt['alias']}"
            if known
            else f"Model    not registered: {receipt['skipped']}"
        )
        if known and receipt["ranker"]["version"]:
            lines.append("Ranker   {model} version {version}".format(**receipt["ranker"]))
    if served:
        known = "version" in served
        if known:
            answered = _answers(served["answers"]) + _rankings(served["rankings"]) + _searches(served["searches"])
            lines.append(f"Served   version {served['version']} by Triton: {answered}")
        else:
            lines.append(f"Served   nothing new: {served['skipped']}")
    if "report" not in unfinished:
        lines.append(f"Report   {layout.path('report') / 'report.html'}")
    return "\n".join(lines)


def _rankings(rankings: dict[str, dict[str, float]]) -> str:
    if not rankings:
        return ""
    worst = max(answer["difference"] for answer in rankings.values())
    return f"; {len(rankings)} rankings, scores at most {worst:.6f} from the training path's"


def _searches(searches: dict[str, dict[str, int]]) -> str:
    if not searches:
        return ""
    worst = max(answer["bits"] for answer in searches.values())
    return f"; {len(searches)} searches, codes at most {worst} bits from the training path's"


def _answers(answers: dict[str, dict[str, float]]) -> str:
    worst = min(answer["cosine"] for answer in answers.values())
    photos = sum(int(answer["used"]) for answer in answers.values())
    return (
        f"{len(answers)} galleries ({photos} photos sent as files) answered, "
        f"least cosine with the training path {worst:.6f}"
    )
