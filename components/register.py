"""Stage register."""

from kfp import dsl

from components.base import component


@component
def register(
    policy: dsl.Input[dsl.Artifact],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Artifact],
    evaluate_tasks: dsl.Input[dsl.Artifact],
    evaluate_stars: dsl.Input[dsl.Artifact],
    evaluate_ranking: dsl.Input[dsl.Artifact],
    evaluate_retrieval: dsl.Input[dsl.Artifact],
    package: dsl.Input[dsl.Model],
    gate: dsl.Input[dsl.Artifact],
    report: dsl.Input[dsl.Artifact],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    receipt: dsl.Output[dsl.Markdown],
) -> None:
    """Register the model in MLflow and move the champion alias, or refuse."""

    from shoplens.kubeflow.component import run_component

    run_component("register", locals())
