"""Stage train."""

from kfp import dsl

from components.base import component


@component
def train(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    nodes: int,
    gpus: int,
    image: str,
    out: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Train the gallery encoder on all tasks at once.

    Args:
        params: section `train` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
        nodes: how many machines train; more than 1 are a TrainJob of Kubeflow Trainer.
        gpus: on each node, a process each; several nodes run the image.
    """
    from shoplens.kubeflow.component import run_component

    run_component("train", locals())
