"""What a program said last: the message of its exception, or its last lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shoplens.errors import ShoplensError

LAUNCHER = re.compile(r'[IWEF]\d{4} \d\d:\d\d:\d\d|time="|Error: exit status ')
"""How lines of Kubeflow's launcher start, which prints into the same log."""


def last_words(lines: Sequence[str]) -> str:
    """The message of the last traceback, from its exception's name to the end; without a traceback the last lines."""
    own = [line.rstrip() for line in lines if not LAUNCHER.match(line)]
    starts = [i for i, line in enumerate(own) if line.startswith("Traceback (most recent call last):")]
    if not starts:
        return "\n".join(own[-5:]).strip()
    rest = own[starts[-1] + 1 :]
    first = next((i for i, line in enumerate(rest) if line and not line.startswith(" ")), 0)
    return "\n".join(rest[first:]).strip().removeprefix(f"{ShoplensError.__module__}.{ShoplensError.__name__}: ")
