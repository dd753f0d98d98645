"""Stage champion."""

from kfp import dsl

from components.base import component


@component
def champion(
    train: dsl.Input[dsl.Model],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    receipt: dsl.Output[dsl.Markdown],
) -> None:
    """Fetch the baseline: the model that the candidate must not fall behind.

    Args:
        params: section `register` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("champion", locals())
