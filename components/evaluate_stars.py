"""Stage evaluate-stars."""

from kfp import dsl

from components.base import component


@component
def evaluate_stars(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Measure the hold-out task, which no encoder was trained on.

    Args:
        params: section `evaluate-stars` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("evaluate-stars", locals())
