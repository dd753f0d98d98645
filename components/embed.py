"""Stage embed."""

from kfp import dsl

from components.base import component


@component
def embed(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Artifact],
    params: str,
    out: dsl.Output[dsl.Dataset],
) -> None:
    """Embed every gallery with the candidate, the baseline and the ImageNet reference.

    Args:
        params: section `embed` of params.yaml, as canonical JSON.
    """
    from shoplens.kubeflow.component import run_component

    run_component("embed", locals())
