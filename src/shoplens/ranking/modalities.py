"""What a ranking model looks at: text, image or both; and the choices that validation makes (section 3.2)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Modality = Literal["text", "image", "multimodal"]
MODALITIES: tuple[Modality, ...] = ("text", "multimodal", "image")
"""In the order that ties are resolved in: the cheaper text first, image alone last."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One kind of model that is trained for every query: a modality and, unless it is text, whose photos' features.

    `image` names the encoder (`candidate`, `reference`, ...); it is empty for text, which is the same for all of them.
    """

    modality: Modality
    image: str = ""

    @property
    def name(self) -> str:
        """As metrics.json has it: `text`, `candidate/multimodal`."""
        return f"{self.image}/{self.modality}" if self.image else self.modality


TEXT = Run("text")


def runs_by_modality(encoder: str) -> tuple[Run, ...]:
    """The runs with an encoder's photos, in the order of MODALITIES."""
    return tuple(Run(modality, "" if modality == "text" else encoder) for modality in MODALITIES)


def runs_of(encoders: Sequence[str]) -> tuple[Run, ...]:
    """Text once, then multimodal and image for each encoder."""
    return tuple(dict.fromkeys([TEXT, *(run for encoder in encoders for run in runs_by_modality(encoder))]))


@dataclass(frozen=True)
class GridPoint:
    """What tuning chooses from: learning rate (share of the largest stable step) and both regularisations."""

    rate: float
    l1: float
    l2: float


def grid(rates: Sequence[float], l1: Sequence[float], l2: Sequence[float]) -> tuple[GridPoint, ...]:
    """All combinations, the last argument changing fastest."""
    return tuple(GridPoint(*values) for values in itertools.product(rates, l1, l2))


def best_point(scores: Floats) -> int:
    """The grid point with the best mean over queries; ties, and no score at all: the first.

    Args:
        scores: (queries, points) validation nDCG; a query without one is a row of NaN.
    """
    known = ~np.isnan(scores).any(axis=1)
    return int(scores[known].mean(axis=0).argmax()) if known.any() else 0


def choose(scores: Floats) -> NDArray[np.int64]:
    """Each query's modality, as an index of MODALITIES: the best on validation, text where nothing is known.

    Args:
        scores: (queries, 3) validation nDCG in the order of MODALITIES; NaN where unknown.
    """
    chosen: NDArray[np.int64] = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
    return chosen
