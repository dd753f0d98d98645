"""Task finish: runs last whatever happened, and says how the run ended."""

from kfp import dsl

from components.base import component


@component
def finish(source: str, revision: str, status: dsl.PipelineTaskFinalStatus, outcome: dsl.Output[dsl.Markdown]) -> None:
    """Say how the run ended, and where to look.

    Args:
        source: what the run was started on.
        revision: of the source; empty for a local folder.
        status: filled in by Kubeflow.
    """
    from pathlib import Path

    from shoplens.kubeflow.shown import outcome_text
    from shoplens.progress import say

    text = outcome_text(source, revision, status.state, status.error_message)
    Path(outcome.path).write_text(text)
    say(text)
