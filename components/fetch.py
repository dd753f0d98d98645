"""Task fetch: the graph's counterpart of data.dvc."""

from kfp import dsl

from components.base import component


@component
def fetch(
    source: str,
    revision: str,
    fresh: str,  # noqa: ARG001
    sample_listings: int,
    data: dsl.Output[dsl.Dataset],
) -> None:
    """Get the contract folder of a revision with `dvc get`, or take a folder in place.

    Args:
        source: a git repository with data.dvc (address or path); with an empty revision, a contract folder.
        revision: of the repository; empty takes the folder.
        fresh: not empty where the two may mean other data tomorrow, so that the cache is not asked.
        sample_listings: take only so many listings, chosen by their ids; 0 takes all.
    """
    from pathlib import Path

    from shoplens.kubeflow.fetch import get_data

    found = get_data(source, revision, sample_listings, Path(data.path))
    if found != Path(data.path):
        data.uri = str(found)
