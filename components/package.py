"""Stage package."""

from kfp import dsl

from components.base import component


@component
def package(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    embed: dsl.Input[dsl.Dataset],
    evaluate_ranking: dsl.Input[dsl.Artifact],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Export to ONNX, build the Triton repository and try it in a real server.

    Args:
        params: section `package` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("package", locals())
