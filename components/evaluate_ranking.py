"""Stage evaluate-ranking."""

from kfp import dsl

from components.base import component


@component
def evaluate_ranking(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    parts: dsl.Input[list[dsl.Artifact]],
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Learn to rank the search log's queries with text, photos and both, and measure nDCG.

    Args:
        params: section `evaluate-ranking` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
        parts: what tasks ranking-shard wrote; a single one is no shard, and the stage does everything here.
    """
    from shoplens.kubeflow.component import run_component

    run_component("evaluate-ranking", locals())
