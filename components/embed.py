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
    recipe: str,
    parts: dsl.Input[list[dsl.Dataset]],
    out: dsl.Output[dsl.Dataset],
    receipt: dsl.Output[dsl.Markdown],
) -> None:
    """Embed every gallery with the candidate, the baseline and the ImageNet reference.

    Args:
        params: section `embed` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
        parts: what tasks embed-shard wrote; a single one is no shard, and the stage does everything here.
    """
    from shoplens.kubeflow.component import run_component

    run_component("embed", locals())
