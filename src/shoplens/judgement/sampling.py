"""A traffic-weighted sample of queries (Pinterest, section 4.3), without replacement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoplens.errors import ShoplensError
from shoplens.judgement.sheets import read_sheet

Floats = NDArray[np.float64]


def read_traffic(path: Path) -> dict[str, float]:
    """Columns `image_id` and `weight` of a CSV file: how often a photo is searched with, in any unit.

    Raises:
        ShoplensError: if a weight is no finite number of at least 0, or a photo stands there twice.
    """
    sheet = read_sheet(path, ("image_id", "weight"))
    traffic: dict[str, float] = {}
    for at, (image, text) in enumerate(zip(sheet.columns["image_id"], sheet.columns["weight"], strict=True)):
        try:
            weight = float(text)
        except ValueError:
            weight = np.nan
        if not (np.isfinite(weight) and weight >= 0):
            raise ShoplensError(f"{sheet.place(at, 'weight')}: {text!r} is no number of at least 0; correct it")
        if image in traffic:
            raise ShoplensError(f"{sheet.place(at, 'image_id')}: photo {image} stands there twice; add the rows up")
        traffic[image] = weight
    return traffic


def query_weights(images: Sequence[str], traffic: Mapping[str, float] | None) -> Floats:
    """The weight of each query, (Q,).

    Args:
        images: (Q,) the photo of each query.
        traffic: photo -> weight, which all queries with that photo share in equal parts (so that a scene with ten
            crops is not drawn ten times as often as people look at it); None gives all queries the same weight. A
            photo that is absent has no traffic.
    """
    if traffic is None:
        return np.ones(len(images))
    crops = Counter(images)
    return np.array([traffic.get(image, 0.0) / crops[image] for image in images], dtype=np.float64)


def weighted_sample(weights: Floats, size: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows drawn one after the other, each with a chance in proportion to its weight among those left, ascending.

    Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006): the rows with the largest keys u^(1/w).
    In logarithms that is log(w) plus a Gumbel draw, which no small weight makes overflow. A row of weight 0 is never
    drawn.

    Args:
        weights: (Q,), finite, at least 0.
        size: how many, at most the rows of positive weight.
        generator: draws one number a row.

    Raises:
        ValueError: if there are too few rows of positive weight.
    """
    possible = np.flatnonzero(weights > 0)
    if not 0 <= size <= len(possible):
        raise ValueError(f"{size} of {len(possible)} rows")
    keys = np.log(weights[possible]) + generator.gumbel(size=len(weights))[possible]
    return np.sort(possible[np.argsort(-keys, kind="stable")[:size]])
