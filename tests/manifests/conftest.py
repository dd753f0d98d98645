"""The rendered overlays, and the schemas of custom resources."""

from __future__ import annotations

import pytest

from manifests.check import OVERLAYS, Object, kept_schemas, render


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """The objects of each overlay, by its name. Copy before changing one."""
    return {overlay.name: render(overlay) for overlay in sorted(OVERLAYS.iterdir())}


@pytest.fixture(scope="session")
def schemas() -> dict[tuple[str, str], Object]:
    """The schemas of custom resources that are kept here, by apiVersion and kind."""
    return kept_schemas()
