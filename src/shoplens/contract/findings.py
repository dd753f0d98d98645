"""What a check found: one value a problem, made from the registry of checks, and its text for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoplens.contract.registry import CHECKS
from shoplens.errors import ShoplensError

SHOWN_ROWS = 5
"""Findings of one check on one column that are shown row by row; the rest is one finding with a count."""


@dataclass(frozen=True)
class Finding:
    """One problem of a data folder.

    `row` is the 0-based row of the Parquet file (None: the whole file or column), `file` is relative to the folder.
    """

    level: Literal["error", "warning"]
    check: str
    file: str
    row: int | None
    column: str | None
    message: str
    remedy: str


def found(check: str, file: str, message: str, *, row: int | None = None, column: str | None = None) -> Finding:
    """A finding of a registered check; level and remedy come from the registry."""
    return Finding(CHECKS[check].level, check, file, row, column, message, CHECKS[check].remedy)


def found_rows(
    check: str, file: str, column: str | None, rows: np.ndarray, describe: Callable[[int], str]
) -> list[Finding]:
    """Findings for `rows` (integers, in any order): the first few one by one, the rest as one finding with a count.

    Args:
        describe: row -> message; called only for the rows that are shown.
    """
    rows = np.sort(rows)
    shown = [found(check, file, describe(int(row)), row=int(row), column=column) for row in rows[:SHOWN_ROWS]]
    if len(rows) > SHOWN_ROWS:
        rest = rows[SHOWN_ROWS:]
        shown.append(
            found(check, file, f"the same in {len(rest):,} more rows (from row {rest[0]} to {rest[-1]})", column=column)
        )
    return shown


def format_findings(findings: Sequence[Finding]) -> str:
    """The findings as text: errors first, one paragraph a check, its remedy once, and a closing line of counts."""
    lines: list[str] = []
    for level in ("error", "warning"):
        chosen = [finding for finding in findings if finding.level == level]
        for check in dict.fromkeys(finding.check for finding in chosen):
            group = [finding for finding in chosen if finding.check == check]
            for finding in group:
                row = "" if finding.row is None else f", row {finding.row}"
                column = "" if finding.column is None else f", column {finding.column}"
                lines.append(f"{level} [{check}] {finding.file}{row}{column}: {finding.message}")
            lines.append(f"  remedy: {group[0].remedy}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    stops = "; warnings stop no run" if warnings else ""
    lines.append(f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}{stops}")
    return "\n".join(lines)


def raise_errors(findings: Sequence[Finding]) -> None:
    """Raise if there is an error among the findings.

    Raises:
        ShoplensError: with the text of the errors.
    """
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise ShoplensError(format_findings(errors))
