"""The line by which task gate hands out its numbers: Kubeflow's API has no outputs of tasks, so they go by the log.

Runtimes split lines of a log at 16 KiB, and whatever a task runs may print into the middle of one. So a line is bounded
(LONGEST), all ASCII, and has a digest of its content; one that is not whole does not count.
"""

from __future__ import annotations

import json
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.files import digest_json
from shoplens.report.judged import Judged
from shoplens.strict import parse

LONGEST = 8192
"""Characters of a line; metrics that do not fit are left out, the last ones first, and counted."""
MARK = '{"shoplens-gate":'
"""How it begins. Text within JSON cannot hold this: there its quotes are escaped."""


def line_of(judged: Judged) -> str:
    """The line, without its end."""
    line = _line(judged)
    while len(line) > LONGEST and judged.metrics:
        judged = judged.model_copy(update={"metrics": judged.metrics[:-1], "left_out": judged.left_out + 1})
        line = _line(judged)
    return line


def read_line(log: str) -> Judged:
    """Find the line in a log, whatever stands before or behind it.

    Raises:
        ShoplensError: saying what is wrong with it, if there is not exactly one that is whole.
    """
    found = [text[text.index(MARK) :] for text in log.splitlines() if MARK in text]
    whole = {digest_json(content): content for content in map(_content, found) if content is not None}
    if not found:
        raise ShoplensError("it has no line with the numbers, as if an earlier image had run")
    if not whole:
        raise ShoplensError("its line with the numbers is cut off or mixed with other lines")
    if len(whole) > 1:
        raise ShoplensError("it has several lines with numbers that differ")
    (content,) = whole.values()
    return parse(Judged, content, "its line with the numbers")


def _line(judged: Judged) -> str:
    content = judged.model_dump(mode="json")
    whole = {"shoplens-gate": content, "sha256": digest_json(content)}
    return json.dumps(whole, separators=(",", ":"), allow_nan=False)


def _content(text: str) -> Any:
    """What a line says, or None if it is not as it was written."""
    try:
        whole, _ = json.JSONDecoder().raw_decode(text[:LONGEST])
        return whole["shoplens-gate"] if whole["sha256"] == digest_json(whole["shoplens-gate"]) else None
    except (ValueError, KeyError, RecursionError):
        return None
