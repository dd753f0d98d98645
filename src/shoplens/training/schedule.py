"""What each epoch learns, how fast and in which batches (Pinterest, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from shoplens.params import TrainParams

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
DECAY = 0.1
"""SGD with "momentum of 0.9, weight decay of 1e-4, and gamma of 0.1"."""


@dataclass(frozen=True)
class Epoch:
    """One epoch's plan: learning rates of network and sampled proxies, photos a batch and process, what learns."""

    rate: float
    proxy_rate: float
    batch_photos: int
    new_parameters_only: bool


def plan_epoch(params: TrainParams, epoch: int, processes: int) -> Epoch:
    """The plan of epoch `epoch` (0-based).

    The base rate is multiplied by the number of processes ("0.01 x 8 from the linear scaling heuristic"). The first
    `warm_up_epochs` update "only new parameters for better initialization"; from then on the rate falls every
    `decay_every` epochs.
    """
    warming = epoch < params.warm_up_epochs
    falls = 0 if warming or params.decay_every is None else (epoch - params.warm_up_epochs) // params.decay_every
    factor = processes * DECAY**falls
    return Epoch(
        rate=params.learning_rate * factor,
        proxy_rate=(params.proxy_learning_rate or params.learning_rate) * factor,
        batch_photos=params.warm_up_batch_photos if warming else params.batch_photos,
        new_parameters_only=warming,
    )
