"""Stage evaluate-stars."""

from kfp import dsl

from components.base import component


@component
def evaluate_stars(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    out: dsl.Output[dsl.Artifact],
) -> None:
    """Measure the hold-out task, which no encoder was trained on.

    Args:
        params: section `evaluate-stars` of params.yaml, as canonical JSON.
    """
    from shoplens.kubeflow.component import run_component

    run_component("evaluate-stars", locals())
