"""Reads Dockerfiles and .dockerignore files, as far as this project's go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

Step = tuple[str, str]


def steps(path: Path) -> list[Step]:
    """Each instruction and its text, continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    split = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, text.strip()) for name, _, text in split]


def let_in(dockerignore: Path, files: Iterable[str]) -> list[str]:
    """The files that an engine would send to the build: the last pattern that fits a file or a folder of it decides."""
    patterns = [line for line in dockerignore.read_text().splitlines() if line and not line.startswith("#")]
    kept = []
    for file in files:
        ignored = False
        for pattern in patterns:
            if _fits(pattern.removeprefix("!"), PurePosixPath(file)):
                ignored = not pattern.startswith("!")
        if not ignored:
            kept.append(file)
    return kept


def _fits(pattern: str, file: PurePosixPath) -> bool:
    places = [str(place) for place in (file, *file.parents)][:-1]
    if pattern.startswith("**/"):
        return any(fnmatch(PurePosixPath(place).name, pattern[3:]) for place in places)
    return any(place.count("/") == pattern.count("/") and fnmatch(place, pattern) for place in places)
