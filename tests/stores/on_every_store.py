"""Marks of tests that must pass on the defaults and on what a team has; the latter in the slow tier."""

import pytest

SLOW = pytest.mark.slow
on_every_registry = pytest.mark.parametrize(
    "registry_home", ["sqlite", pytest.param("postgresql and s3", marks=SLOW)], indirect=True
)
on_every_remote = pytest.mark.parametrize("remote", ["folder", pytest.param("s3", marks=SLOW)], indirect=True)
