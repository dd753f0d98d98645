"""How often each query is typed, and when."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from shoplens.world.chance import Rng

START = datetime(2025, 3, 3, tzinfo=UTC)
"""A Monday; the log covers the two weeks from here, so that one whole week trains and another one judges."""
DAYS = 14
DAY_WEIGHTS = (1.0, 0.95, 0.95, 1.0, 0.9, 1.15, 1.35)
"""Monday to Sunday."""
HOUR_WEIGHTS = (4, 2, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 11, 10, 8, 8, 8, 9, 11, 14, 17, 17, 13, 8)
ZIPF = 0.4
"""The query of rank r has a share proportional to r ** -ZIPF."""
_SECOND = 1_000_000


def shares(queries: int) -> NDArray[np.float64]:
    """Shares of the traffic, most frequent query first, (Q,)."""
    weights = np.arange(1, queries + 1) ** -ZIPF
    return np.asarray(weights / weights.sum())


def times(rng: Rng, sessions: int) -> NDArray[np.int64]:
    """When each session took place: microseconds since 1970, whole seconds, (S,)."""
    weights = np.outer(np.resize(DAY_WEIGHTS, DAYS), HOUR_WEIGHTS).ravel()
    hours = rng.choice(len(weights), size=sessions, p=weights / weights.sum())
    seconds = int(START.timestamp()) + 3600 * hours + rng.integers(0, 3600, size=sessions)
    return np.asarray(seconds * _SECOND)
