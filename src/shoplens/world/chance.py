"""Random streams and choices. Everything random in the world comes from here."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np

Rng = np.random.Generator


def stream(seed: int, *key: int) -> Rng:
    """The random stream of `key` in the world of `seed`, independent of every other key's."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=key)))


def name_of(what: str, seed: int, *key: int) -> str:
    """An id that tells nothing: 12 hex digits of a hash."""
    return hashlib.sha256(f"{what}/{seed}/{'/'.join(map(str, key))}".encode()).hexdigest()[:12]


def pick(rng: Rng, weights: Sequence[float]) -> int:
    """An index with probability proportional to its weight; always one draw."""
    place = rng.random() * sum(weights)
    for index, weight in enumerate(weights):
        place -= weight
        if place < 0:
            return index
    return len(weights) - 1


def chance(rng: Rng, logit: float) -> bool:
    """True with the probability that `logit` stands for; always one draw."""
    return bool(rng.random() < 1 / (1 + math.exp(-logit)))
