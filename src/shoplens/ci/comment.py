"""The one comment about a run, in GitHub's Markdown: decision, metrics beside the baseline's, links."""

from __future__ import annotations

from collections.abc import Sequence

from shoplens.ci.run import Run
from shoplens.report.judged import Judged
from shoplens.report.numbers import ABSENT, interval

MARKER = "<!-- shoplens: retraining -->"
"""First line of the comment, by which the next run finds it."""
SHOWN = 20
"""Reasons, and metrics, that the comment gives; GitHub takes 65,536 characters, and the page has them all."""
LONGEST, LONGEST_CELL = 400, 100
"""Characters of one reason, and of a cell of the table."""
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
    if run.outcome == "refused" and run.reasons:
        lines += [f"- {_plain(reason)}" for reason in run.reasons[:SHOWN]]
        lines += [f"- and {len(run.reasons) - SHOWN} more"] if len(run.reasons) > SHOWN else []
        lines.append("")
    if run.judged and run.judged.metrics:
        lines += [*_table(run.judged), ""]
    if run.no_metrics:
        lines += [f"No metrics here ({_plain(run.no_metrics)}): they are on the run's page.", ""]
    addresses = (("Report", report), ("Run", run.page), ("Log", log))
    links = [f"[{name}]({address})" for name, address in addresses if address]
    return "\n".join([*lines, " · ".join(links)]).rstrip() + "\n"


def _sentence(run: Run) -> str:
    if run.outcome == "unfinished":
        why = _plain(run.why).rstrip(".")
        return f"{why[:1].upper()}{why[1:]}. The log says more; the next event or schedule tries again."
    judged = run.judged
    compared = f", compared with {_plain(_label(judged)) or 'no earlier version'}" if judged else ""
    if run.outcome == "promoted":
        served = f"{f'Version {run.version}' if run.version else 'The candidate'} is served."
        passed = f" {judged.passed} rules passed{compared}." if judged else ""
        return served + passed + (" The report is on the run's page." if run.page else "")
    said = (
        f"{judged.short} of {judged.short + judged.passed} rules did not pass{compared}" if judged else "The gate said"
    )
    if not run.reasons:
        said = f"{said}; the reasons are" if judged else "The reasons are"
        return f"Production is as it was. {said} on the run's page."
    return f"Production is as it was. {said}:"


def _table(judged: Judged) -> list[str]:
    """Rows of Markdown: the judged metrics of candidate and baseline, or of ImageNet transfer while there is none."""
    rows = [
        _row(["metric", "better", "candidate", _label(judged) or "ImageNet transfer", "n"]),
        "|---|---|---|---|---|",
    ]
    for metric in judged.metrics[:SHOWN]:
        n = metric.candidate.n if metric.candidate and metric.candidate.n is not None else ABSENT
        rows.append(_row([metric.name, metric.better, interval(metric.candidate), interval(metric.other), n]))
    more = len(judged.metrics) + judged.left_out - min(SHOWN, len(judged.metrics))
    return [*rows, "", f"and {more} more metrics"] if more else rows


def _label(judged: Judged) -> str:
    """The baseline; empty while there is none."""
    return f"version {judged.baseline}" if judged.baseline else ""


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(_plain(str(cell), LONGEST_CELL) for cell in cells)} |"


def _plain(text: str, longest: int = LONGEST) -> str:
    """Text as it is, on one line: names from data may hold what Markdown or GitHub would act on."""
    one_line = " ".join(text.split())
    if len(one_line) > longest:
        one_line = one_line[:longest] + "…"
    for sign in "\\`*_[]|~#":
        one_line = one_line.replace(sign, "\\" + sign)
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\N{ZERO WIDTH SPACE}")
