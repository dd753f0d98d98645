"""The small world, rendered once, and a production in which an honest candidate is live."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from end_to_end.production import JUDGED, PARAMS, POLICY, Production, Shown, run_stages, shown_photos

from shoplens.stages import Layout
from shoplens.world.render import render_world


@dataclass(frozen=True)
class Honest:
    """The honest candidate's run, the production that it was promoted to, and what that answered then."""

    layout: Layout
    production: Production
    shown: Shown
    answers: np.ndarray
    distances: np.ndarray
    alias: str | None

    def check_untouched(self) -> None:
        """Production is as the honest candidate left it: the alias, and the values of embeddings and searches."""
        assert self.production.alias() == self.alias
        np.testing.assert_allclose(self.production.answers(self.shown), self.answers, atol=1e-6)
        np.testing.assert_array_equal(self.production.distances(self.shown), self.distances)

    def sibling(self, folder: Path, data: Path | None = None) -> Layout:
        """A run's folders; on the same data, what was prepared is taken over."""
        layout = Layout(data or self.layout.data, POLICY, folder / "artifacts")
        if data is None:
            for name in ("validate", "prepare"):
                shutil.copytree(self.layout.path(name), layout.path(name))
        return layout


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contract folder of small_world.yaml."""
    folder = tmp_path_factory.mktemp("small_world") / "data"
    render_world(folder, PARAMS.world)
    return folder


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory, small_world: Path) -> tuple[Layout, Production]:
    """The honest candidate trained, measured and judged; nothing promoted yet."""
    folder = tmp_path_factory.mktemp("honest")
    layout, production = Layout(small_world, POLICY, folder / "artifacts"), Production(folder / "home")
    with production.here():
        run_stages(layout, PARAMS, "validate", "prepare", "train", *JUDGED)
    return layout, production


@pytest.fixture(scope="session")
def honest(judged: tuple[Layout, Production]) -> Iterator[Honest]:
    """The honest candidate promoted and live on a running server."""
    layout, production = judged
    with production.here():
        run_stages(layout, PARAMS, "register", "deploy")
    shown = shown_photos(layout)
    with production.serving():
        answers, distances = production.answers(shown), production.distances(shown)
        yield Honest(layout, production, shown, answers, distances, production.alias())
