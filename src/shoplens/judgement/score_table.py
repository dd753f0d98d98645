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
    """The result in words: what was judged, Table 5's shares, Table 6's table, and what was left out."""
    one, other, overall = result["one"], result["other"], result["overall"]
    head = f"{one} against {other}, source {result['source']}, {result['kind']} results, {overall['n']} queries"
    shares = [f"{name.title():<6} {_interval(overall[name])} of queries" for name in ("win", "lose", "draw")]
    table = [*_table_6(result), f"difference in points, delta in percent of {other}'s P@5; [95% interval]"]
    return "\n".join([head, "", *shares, "", *table, "", *_notes(result)])


def _table_6(result: Mapping[str, Any]) -> list[str]:
    header = ("category", "n", f"P@5 {result['other']}", f"P@5 {result['one']}", "difference", "delta")
    rows = [
        (
            name,
            str(row["n"]),
            percent(row["other"]["value"]),
            percent(row["one"]["value"]),
            _interval(row["difference"], "{:+.1f}"),
            _interval(row["delta"], "{:+.1f}%", scale=1),
        )
        for name, row in (("overall", result["overall"]), *result["categories"].items())
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in (header, *rows)
    ]


def _notes(result: Mapping[str, Any]) -> list[str]:
    counted, repeated, unanswered = result["questions"], result["consistency"], result["queries"]["unanswered"]
    notes = [
        f"{counted['asked']} questions: {counted['fewer_than_five']} with fewer than {REPLICAS} answers, "
        f"{counted['unanswered']} with none, {counted['even_split']} split evenly (counted as not relevant)"
    ]
    if not result["by_traffic"]:
        notes.append("no traffic was given, so every query was as likely to be asked about")
    if unanswered:
        notes.append(f"left out, because a question has no answer: {unanswered} queries")
    if repeated["n"]:
        notes.append(f"worker consistency {_interval(repeated)}; {repeated['n']} questions met again in another job")
    for worker in result["workers"]:
        if not worker["kept"]:
            why = "met no golden question" if worker["precision"] is None else f"{percent(worker['precision'])} right"
            notes.append(f"dropped: {worker['worker']} ({why}; {PRECISION:.0%} of the golden questions are needed)")
    if not result["golden_questions"]:
        notes.append("no golden questions were asked, so no worker was checked")
    return notes


def percent(value: float | None) -> str:
    """A share in percent; a dash where it is undefined."""
    return _number(value, "{:.1f}%", 100)


def _number(value: float | None, form: str, scale: float) -> str:
    return "–" if value is None else form.format(scale * value)


def _interval(found: Mapping[str, Any], form: str = "{:.1f}%", scale: float = 100) -> str:
    value, low, high = (_number(found[name], form, scale) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
