"""A step's outputs, as GitHub Actions reads them from the file that GITHUB_OUTPUT names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_outputs(values: Mapping[str, str]) -> None:
    """Append `name=value` lines (a value is one line); nothing happens outside of GitHub Actions."""
    file = os.environ.get("GITHUB_OUTPUT")
    if file:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in values.items())
