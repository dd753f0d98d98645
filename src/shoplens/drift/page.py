"""The page of a comparison: one file without scripts or addresses. The same comparison gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from shoplens.drift.findings import FLOORS, Comparison

DRAWN = 300
"""Points of each cloud in a figure."""
WIDTH, HEIGHT, MARGIN = 420, 300, 12

Clouds = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def comparison_page(comparison: Comparison, clouds: Clouds) -> str:
    """The page as HTML.

    Args:
        comparison: what was found.
        clouds: by what they are called, the reference's embeddings and those that came, float32 (n, dim).
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files("shoplens.drift").joinpath("page.html").read_text("utf-8")
    largest = max([2.0, *(one.effect / one.floor for one in comparison.findings)])
    figures = {name: Markup(scatter(*pair)) for name, pair in clouds.items() if min(map(len, pair)) > 1}
    return environment.from_string(template).render(
        comparison=comparison, floors=FLOORS, largest=largest, figures=figures
    )


def scatter(reference: NDArray[np.float32], incoming: NDArray[np.float32]) -> str:
    """Two clouds on the two directions in which they vary most, as an `<svg>` element; at most DRAWN points of each."""
    old, new = (_spread(cloud) for cloud in (reference, incoming))
    points = np.concatenate([old, new]).astype(np.float64)
    points -= points.mean(axis=0)
    _, _, directions = np.linalg.svd(points, full_matrices=False)
    flat = points @ directions[:2].T
    if flat.shape[1] < 2:
        flat = np.column_stack([flat, np.zeros(len(flat))])
    low, high = flat.min(axis=0), flat.max(axis=0)
    places = (flat - low) / np.maximum(high - low, 1e-12)
    places = MARGIN + places * (WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN)
    kinds = ["old"] * len(old) + ["new"] * len(new)
    circles = "".join(
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for kind, (x, y) in zip(kinds, places, strict=True)
    )
    label = "Embeddings of the reference and of what came, on the two directions in which they vary most"
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{circles}</svg>'


def _spread(cloud: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.linspace(0, len(cloud) - 1, min(DRAWN, len(cloud))).astype(int)
    return np.asarray(cloud[rows])
