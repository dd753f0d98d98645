"""The one comment about a run, in GitHub's Markdown: decision, metrics beside the baseline's, links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoplens.ci.run import Run
from shoplens.report.numbers import ABSENT, Estimate, finite, interval

MARKER = "<!-- shoplens: retraining -->"
"""First line of the comment, by which the next run finds it."""
SHOWN = 20
"""Reasons that the comment gives; GitHub takes 65,536 characters, and the page has them all."""
LONGEST = 400
"""Characters of one reason."""
HEADLINES = {"promoted": "Promoted", "refused": "Refused", "unfinished": "Not finished"}


def comment_text(run: Run, commit: str, log: str | None, report: str | None) -> str:
    """The comment.

    Args:
        run: what came of it.
        commit: full id of what was trained.
        log: address of the workflow's run.
        report: address of the report page.
    """
    lines = [MARKER, f"### Retraining of {commit[:7]}: {HEADLINES[run.outcome]}", "", _sentence(run), ""]
    if run.outcome == "refused":
        lines += [f"- {_plain(reason)}" for reason in run.reasons[:SHOWN]]
        lines += [f"- and {len(run.reasons) - SHOWN} more"] if len(run.reasons) > SHOWN else []
        lines.append("")
    if run.metrics:
        lines += [*_table(run), ""]
    addresses = (("Report", report), ("Run", run.page), ("Log", log))
    links = [f"[{name}]({address})" for name, address in addresses if address]
    return "\n".join([*lines, " · ".join(links)]).rstrip() + "\n"


def _sentence(run: Run) -> str:
    if run.page and run.outcome == "promoted":
        return "The candidate is served. Metrics and report are on the run's page."
    if run.page and run.outcome == "refused":
        return f"Production is as it was. {'The gate said:' if run.reasons else 'The reasons are on the run page.'}"
    passed = sum(rule["status"] == "pass" for rule in run.rules)
    compared = f"version {run.baseline}" if run.baseline else "no earlier version"
    if run.outcome == "promoted":
        return f"Version {run.version} is served. {passed} rules passed, compared with {compared}."
    if run.outcome == "refused":
        short = sum(rule["status"] in ("fail", "inconclusive") for rule in run.rules)
        return f"Production is as it was. {short} of {short + passed} rules did not pass, compared with {compared}:"
    why = _plain(run.why).rstrip(".")
    return f"{why[:1].upper()}{why[1:]}. The log says more; the next event or schedule tries again."


def _table(run: Run) -> list[str]:
    """Rows of Markdown: the judged metrics of candidate and baseline, or of ImageNet transfer while there is none."""
    other, label = ("baseline", f"version {run.baseline}") if run.baseline else ("reference", "ImageNet transfer")
    rows = [f"| metric | better | candidate | {label} | n |", "|---|---|---|---|---|"]
    for name, entry in run.metrics:
        candidate, compared = _estimate(entry.get("candidate")), _estimate(entry.get(other))
        n = candidate.n if candidate and candidate.n is not None else ABSENT
        rows.append(_row([name, entry["direction"], interval(candidate), interval(compared), n]))
    return rows


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(_plain(str(cell)) for cell in cells)} |"


def _estimate(entry: dict[str, Any] | None) -> Estimate | None:
    if entry is None:
        return None
    value, low, high = (finite(entry.get(key)) for key in ("value", "low", "high"))
    return Estimate(value, low, high, entry.get("n"))


def _plain(text: str) -> str:
    """Text as it is, on one line: names from data may hold what Markdown or GitHub would act on."""
    one_line = " ".join(text.split())
    if len(one_line) > LONGEST:
        one_line = one_line[:LONGEST] + "…"
    for sign in "\\`*_[]|~#":
        one_line = one_line.replace(sign, "\\" + sign)
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\N{ZERO WIDTH SPACE}")
