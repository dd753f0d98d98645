"""Stage train."""

from kfp import dsl

from components.base import component


@component
def train(
    data: dsl.Input[dsl.Dataset], prepare: dsl.Input[dsl.Dataset], params: str, out: dsl.Output[dsl.Model]
) -> None:
    """Train the gallery encoder on all tasks at once.

    Args:
        params: section `train` of params.yaml, as canonical JSON.
    """
    from shoplens.kubeflow.component import run_component

    run_component("train", locals())
