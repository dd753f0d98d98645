"""What people do with a page of results: look, click, stay, put into the cart, buy.

The model is the examination hypothesis: whether a result is looked at depends on its position alone, what happens then
on how much it appeals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoplens.world.chance import Rng

DECAY = 0.6
"""Position p is looked at with probability p ** -DECAY."""
MOOD, PERSON, GLANCE = 1.2, 0.7, 0.6
"""Spreads, in logits: of a session's readiness, of one person's liking of one listing, and of what a glance at the page
mistakes about it."""
CLICK, CART, PURCHASE = -2.0, -3.6, -4.6
"""Logits of clicking what was looked at, and of putting into the cart and of buying what was clicked, at appeal 0."""
DWELL_S, DWELL_SLOPE, DWELL_SPREAD = 15.0, 0.5, 0.8
"""Seconds on the page of a listing with appeal 0, and by how much the logarithm grows a logit and varies."""
LOST = 0.04
"""Share of clicks whose dwell time was not recorded."""


@dataclass(frozen=True)
class Actions:
    """What happened to each result, all (S, K). `dwell_s` is NaN where there was no click or no record."""

    clicked: NDArray[np.bool_]
    dwell_s: NDArray[np.float64]
    carted: NDArray[np.bool_]
    purchased: NDArray[np.bool_]


def _chance(rng: Rng, logits: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(rng.random(logits.shape) < 1 / (1 + np.exp(-logits)))


def browse(rng: Rng, appeal: NDArray[np.float64]) -> Actions:
    """Let one person browse each page.

    Args:
        rng: the query's stream.
        appeal: (S, K) logits of the results in the order shown.
    """
    sessions, length = appeal.shape
    examined = rng.random(appeal.shape) < np.arange(1, length + 1) ** -DECAY
    liking = appeal + MOOD * rng.standard_normal((sessions, 1)) + PERSON * rng.standard_normal(appeal.shape)
    clicked = examined & _chance(rng, liking + GLANCE * rng.standard_normal(appeal.shape) + CLICK)
    seconds = DWELL_S * np.exp(DWELL_SLOPE * liking + DWELL_SPREAD * rng.standard_normal(appeal.shape))
    recorded = clicked & (rng.random(appeal.shape) >= LOST)
    return Actions(
        clicked=clicked,
        dwell_s=np.where(recorded, np.round(seconds, 1), np.nan),
        carted=clicked & _chance(rng, liking + CART),
        purchased=clicked & _chance(rng, liking + PURCHASE),
    )
