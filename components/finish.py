"""Task finish: runs last whatever happened, and says how the run ended."""

from kfp import dsl

from components.base import component


@component
def finish(source: str, revision: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """Say how the run ended.

    Args:
        source: what the run was started on.
        revision: of the source; empty for a local folder.
        status: filled in by Kubeflow.
    """
    from shoplens.progress import say

    where = f"{source} at {revision}" if revision else source
    say(f"run on {where} ended: {status.state} {status.error_message or ''}".rstrip())
