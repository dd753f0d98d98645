"""Stage evaluate-retrieval."""

from kfp import dsl

from components.base import component


@component
def evaluate_retrieval(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Search each image source's corpus by embedding and by code, and measure P@1 or Avg P@20.

    Args:
        params: section `evaluate-retrieval` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("evaluate-retrieval", locals())
