"""The result of a human judgement as rows and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shoplens.judgement.answers import PRECISION, REPLICAS


def score_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for all queries (category empty) and one a category; undefined is empty."""
    rows = []
    for name, comparison in (("", result["overall"]), *result["categories"].items()):
        row = {"category": name, "n": comparison["n"]}
        for field in ("one", "other", "difference", "delta", "win", "lose", "draw"):
            found = comparison[field]
            model = result[field] if field in ("one", "other") else None
            label = f"p@5_{model}" if model else "delta_percent" if field == "delta" else field
            row |= {label: found["value"], f"{label}_low": found["low"], f"{label}_high": found["high"]}
        rows.append({column: "" if value is None else value for column, value in row.items()})
    return rows


def score_text(result: Mapping[str, Any]) -> str:
    """The result in words: what was judged, Table 5's line, Table 6's table, and what was left out."""
    one, other, overall, counted = result["one"], result["other"], result["overall"], result["questions"]
    lines = [
        f"{one} against {other}, source {result['source']}, {result['kind']} results, {overall['n']} queries; "
        "[95% interval]",
        "",
        *(f"{name.title():<6} {_interval(overall[name])} of queries" for name in ("win", "lose", "draw")),
        "",
    ]
    header = ("category", "n", f"P@5 {other}", f"P@5 {one}", "difference", "delta")
    rows = [
        (
            name,
            str(row["n"]),
            percent(row["other"]["value"]),
            percent(row["one"]["value"]),
            _interval(row["difference"], sign=True),
            _interval(row["delta"], sign=True, scale=1),
        )
        for name, row in (("overall", overall), *result["categories"].items())
    ]
    widths = [max(len(line[at]) for line in (header, *rows)) for at in range(len(header))]
    for line in (header, *rows):
        cells = [
            line[0].ljust(widths[0]),
            *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    lines += ["", f"difference in points of P@5, delta in percent of {other}'s P@5"]
    found = result["consistency"]
    if found["n"]:
        lines.append(
            f"worker consistency {_interval(found)} of {found['n']} questions that a worker met in several jobs"
        )
    lines.append(
        f"{counted['asked']} questions: {counted['fewer_than_five']} with fewer than {REPLICAS} answers, "
        f"{counted['unanswered']} with none, {counted['even_split']} split evenly (counted as not relevant)"
    )
    if result["queries"]["unanswered"]:
        lines.append(f"{result['queries']['unanswered']} queries left out: a question of theirs has no answer")
    dropped = [worker for worker in result["workers"] if not worker["kept"]]
    for worker in dropped:
        why = "met no golden question" if worker["precision"] is None else f"{percent(worker['precision'])} right"
        lines.append(f"dropped: {worker['worker']} ({why}; {PRECISION:.0%} of the golden questions are needed)")
    if not result["golden_questions"]:
        lines.append("no golden questions were asked, so no worker was checked")
    return "\n".join(lines)


def percent(value: float | None, *, sign: bool = False, scale: float = 100.0) -> str:
    """A share in percent; a dash where it is undefined."""
    return "–" if value is None else f"{scale * value:{'+' if sign else ''}.1f}%"


def _interval(found: Mapping[str, Any], *, sign: bool = False, scale: float = 100.0) -> str:
    value, low, high = (percent(found[name], sign=sign, scale=scale) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
