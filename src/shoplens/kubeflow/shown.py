"""What the Kubeflow UI shows of a stage, from the stage's own files: numbers, tables and pages.

A component that shows something has an output of one of these names; the UI draws it by its type.

metrics     dsl.Metrics                the stage's numbers, of candidate and baseline
confusion   dsl.ClassificationMetrics  the hold-out's levels, true and predicted
decision    dsl.Markdown               the gate's verdict, reasons and rules
receipt     dsl.Markdown               what was done to, or found in, the outside world
docs        dsl.HTML                   Great Expectations' Data Docs, all pages in one
page        dsl.HTML                   the report
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shoplens.files import read_json, write_text

METRICS_FILES = ("metrics.json", "split.json")
RECEIPT_FILES = ("receipt.json", "champion.json", "embed.json")
SHOWN_MODELS = {"candidate": "", "baseline": " of the baseline"}
_EXTERNAL = re.compile(r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|@import[^;]*;|url\([^)]*\)", re.DOTALL)
_LEADS_AWAY = re.compile(r"""\s(?:href|src)=(["'])(?!#).*?\1""", re.DOTALL)


def show(out: Path, arguments: Mapping[str, Any]) -> None:
    """Fill the visual artifacts among a component's arguments.

    Args:
        out: the stage's folder.
        arguments: of the component; those with the names above are artifacts to fill.
    """
    for name, fill in _VIEWS.items():
        if name in arguments:
            fill(out, arguments[name])


def numbers(value: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in a stage's metrics.json, by readable names; what is null has none.

    `{"metrics": {"stars/rps": {"candidate": {"value": 0.1}}}}` gives `{"stars/rps": 0.1}`, and nested counts such as
    `{"photos": {"test": 3}}` give `{"photos.test": 3.0}`.
    """
    if "metrics" not in value:
        return {name: float(number) for name, number in _leaves(value) if _is_number(number)}
    return {
        f"{metric}{suffix}": float(entry[model]["value"])
        for metric, entry in value["metrics"].items()
        for model, suffix in SHOWN_MODELS.items()
        if _is_number((entry.get(model) or {}).get("value"))
    }


def decision_text(decision: Mapping[str, Any]) -> str:
    """The gate's decision.json as Markdown."""
    verdict = "PROMOTE" if decision["promote"] else "REFUSE"
    reasons = [f"- {_plain(reason)}" for reason in decision["reasons"]]
    rows = [
        [rule["name"], rule["slice"] or "all", rule["metric"], rule["candidate"], rule["other"], rule["status"]]
        for rule in decision["rules"]
    ]
    head = ["rule", "slice", "metric", "candidate", "compared with", "status"]
    lines = [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]
    return "\n".join([f"# {verdict}", "", *reasons, "", *table]) + "\n"


def outcome_text(source: str, revision: str, state: str, error: str | None) -> str:
    """How a run ended, and where to look: all that an exit task can tell.

    It is given no artifacts, and Kubeflow 2.17 tells it the state alone, neither which task failed nor why. A run that
    ends well has promoted: one that the gate refuses fails in task refuse, with the reasons.

    Args:
        source: what the run was started on.
        revision: of the source; empty for a folder.
        state: of the group of all other tasks: `COMPLETE`, `FAILED`, or `RUNNING` if a pod was gone before it could
            report (backend/src/v2/driver/resolve.go); kfp's local runner says `SUCCEEDED` or `FAILED`.
        error: what is said about the failure; empty on a cluster.
    """
    where = f"{source} at {revision}" if revision else source
    said = f": {error}" if error else ""
    promoted = "The candidate was promoted and is served. What was measured: the report of task Report."
    meant = {
        "SUCCEEDED": promoted,
        "COMPLETE": promoted,
        "FAILED": "Nothing that is served was changed before task Deploy. If task Refuse failed, the gate said no: its "
        "reasons are there and in the decision of task Gate, and task Report has the page. Else see the failed task.",
    }
    return f"run on {where} ended: {state}{said}\n\n{meant.get(state, 'For what its tasks finished, see the graph.')}\n"


def single_page(docs: Path) -> str:
    """Great Expectations' Data Docs as one page that needs nothing else: a frame a table, no scripts, no links away."""
    pages = sorted((docs / "validations").rglob("*.html"))
    style = "".join(path.read_text(encoding="utf-8") for path in sorted((docs / "static/styles").glob("*default*.css")))
    frames = [
        f"<details open><summary>{html.escape(page.relative_to(docs / 'validations').parts[0])}</summary>"
        f'<iframe sandbox srcdoc="{html.escape(_standing_alone(page, style))}"></iframe></details>'
        for page in pages
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
        "<style>body{font-family:sans-serif}iframe{width:100%;height:90vh;border:1px solid #ccc}"
        "summary{font-size:1.2em;cursor:pointer}</style></head><body>" + "".join(frames) + "</body></html>\n"
    )


def _standing_alone(page: Path, style: str) -> str:
    text = _LEADS_AWAY.sub("", _EXTERNAL.sub("", page.read_text(encoding="utf-8")))
    return text.replace("</head>", f"<style>{_EXTERNAL.sub('', style)}</style></head>", 1)


def _metrics(out: Path, artifact: Any) -> None:
    for file in METRICS_FILES:
        if (out / file).is_file():
            for name, value in numbers(read_json(out / file)).items():
                artifact.log_metric(name, value)


def _confusion(out: Path, artifact: Any) -> None:
    if (out / "confusion.json").is_file():  # a hold-out that is a number has none
        found = read_json(out / "confusion.json")
        artifact.log_confusion_matrix(found["classes"], found["counts"])


def _decision(out: Path, artifact: Any) -> None:
    write_text(Path(artifact.path), decision_text(read_json(out / "decision.json")))


def _receipt(out: Path, artifact: Any) -> None:
    lines = [
        f"- **{name}**: {_plain(value)}"
        for file in RECEIPT_FILES
        if (out / file).is_file()
        for name, value in _leaves(read_json(out / file))
    ]
    write_text(Path(artifact.path), "\n".join(lines) + "\n")


def _docs(out: Path, artifact: Any) -> None:
    write_text(Path(artifact.path), single_page(out / "data_docs"))


def _page(out: Path, artifact: Any) -> None:
    write_text(Path(artifact.path), (out / "report.html").read_text(encoding="utf-8"))


_VIEWS: Mapping[str, Callable[[Path, Any], None]] = {
    "metrics": _metrics,
    "confusion": _confusion,
    "decision": _decision,
    "receipt": _receipt,
    "docs": _docs,
    "page": _page,
}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{name}.{key}" if name else str(key))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> str:
    """A value in Markdown: rounded if it is a number, and no sign that would change the table."""
    if value is None:
        return "none"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return re.sub(r"([\\|*_<>`])", r"\\\1", text.replace("\n", " "))
