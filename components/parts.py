"""Task parts: the shards of a stage, which a loop goes through."""

from components.base import component


@component
def parts(shards: int) -> list[str]:
    """Name the shards of a stage: `0/2`, `1/2`.

    The only output, because a run on this machine finds the items of a loop nowhere else.

    Args:
        shards: how many; 0 and 1 are the stage alone.
    """
    from shoplens.kubeflow import settings

    return settings.parts(shards)
