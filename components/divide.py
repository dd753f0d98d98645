"""Task divide: which task gets how many GPUs."""

from typing import NamedTuple

from components.base import component


@component
def divide(gpus: int, embed_gpus: int, nodes: int, embed_shards: int) -> NamedTuple(  # type: ignore[valid-type]
    "Division", [("train_gpus", str), ("embed_gpus", str), ("shard_gpus", str)]
):
    """Divide the GPUs among the tasks; they come out as text, for Kubeflow puts no other parameter into a pod's limits.

    Args:
        gpus: of training, on each node.
        embed_gpus: of embed, or each of its shards.
        nodes: that train.
        embed_shards: of embed; 0 or 1 for none.
    """
    given = dict(locals())
    from shoplens.kubeflow import settings

    return settings.divide(**given)
