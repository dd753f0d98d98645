"""Task divide: which task gets how many GPUs, and into how many shards the work goes."""

from typing import NamedTuple

from components.base import component


@component
def divide(gpus: int, embed_gpus: int, nodes: int, embed_shards: int, ranking_shards: int) -> NamedTuple(  # type: ignore[valid-type]
    "Division",
    [
        ("train_gpus", str),
        ("embed_gpus", str),
        ("shard_gpus", str),
        ("embed_parts", list[str]),
        ("ranking_parts", list[str]),
    ],
):
    """Divide the work; GPUs come out as text, for Kubeflow puts no other parameter into a pod's limits."""
    given = dict(locals())
    from shoplens.kubeflow import settings

    return settings.divide(**given)
