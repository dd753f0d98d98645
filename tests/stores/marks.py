"""Marks of tests that must pass on the default store and on a team's, which is in the slow tier."""

import pytest

on_every_registry = pytest.mark.parametrize(
    "registry_home", ["sqlite", pytest.param("postgresql and s3", marks=pytest.mark.slow)], indirect=True
)
