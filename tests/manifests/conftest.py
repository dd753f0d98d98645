"""The rendered overlays."""

from __future__ import annotations

import pytest

from manifests.check import OVERLAYS, Object, render


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """The objects of each overlay, by its name. Copy before changing one."""
    return {overlay.name: render(overlay) for overlay in sorted(OVERLAYS.iterdir())}
