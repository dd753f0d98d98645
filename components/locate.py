"""Task locate: what the run is about, so that a branch that moves meanwhile changes nothing."""

from typing import NamedTuple

from kfp import dsl

from components.base import component


@component
def locate(source: str, revision: str, image: str, policy_json: str, policy: dsl.Output[dsl.Artifact]) -> NamedTuple(  # type: ignore[valid-type]
    "Origin", [("revision", str), ("fresh", str)]
):
    """Find the commit that the revision means now, and check the policy and write the very bytes of gate.yaml.

    Args:
        source: a git repository with data.dvc (address or path); with an empty revision, a contract folder.
        revision: commit, tag or branch of the repository.
        image: of all tasks; refused without a digest.
        policy_json: the text of gate.yaml as a JSON string (one line survives the UI and the compiler).
    """
    from pathlib import Path

    from shoplens.kubeflow import settings

    settings.write_policy(policy_json, Path(policy.path))
    return settings.locate(source, revision, image)
