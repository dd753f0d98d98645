"""Stage prepare."""

from kfp import dsl

from components.base import component


@component
def prepare(
    data: dsl.Input[dsl.Dataset],
    validate: dsl.Input[dsl.Artifact],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Split the listings and leave out near duplicates.

    Args:
        params: section `prepare` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("prepare", locals())
