"""Stage evaluate-tasks."""

from kfp import dsl

from components.base import component


@component
def evaluate_tasks(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Artifact],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Measure every training task on the test listings.

    Args:
        params: section `evaluate-tasks` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("evaluate-tasks", locals())
