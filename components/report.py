"""Stage report."""

from kfp import dsl

from components.base import component


@component
def report(
    validate: dsl.Input[dsl.Artifact],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Artifact],
    evaluate_tasks: dsl.Input[dsl.Artifact],
    evaluate_stars: dsl.Input[dsl.Artifact],
    evaluate_ranking: dsl.Input[dsl.Artifact],
    evaluate_retrieval: dsl.Input[dsl.Artifact],
    package: dsl.Input[dsl.Model],
    gate: dsl.Input[dsl.Artifact],
    out: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
) -> None:
    """Write the page that a person reads."""
    from shoplens.kubeflow.component import run_component

    run_component("report", locals())
