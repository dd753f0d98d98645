"""Stage evaluate-ranking."""

from kfp import dsl

from components.base import component


@component
def evaluate_ranking(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    out: dsl.Output[dsl.Artifact],
) -> None:
    """Learn to rank the search log's queries with text, photos and both, and measure nDCG.

    Args:
        params: section `evaluate-ranking` of params.yaml, as canonical JSON.
    """
    from shoplens.kubeflow.component import run_component

    run_component("evaluate-ranking", locals())
