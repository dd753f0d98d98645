"""Task ranking-shard: learns to rank one shard of the queries; stage evaluate-ranking puts the shards together."""

from kfp import dsl

from components.base import component


@component
def ranking_shard(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    embed: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    part: str,
    out: dsl.Output[dsl.Artifact],
) -> None:
    """Learn to rank one shard of the queries; with a single shard nothing is done here.

    Args:
        params: section `evaluate-ranking` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
        part: which shard, of how many: `0/2`.
    """
    from shoplens.kubeflow.component import run_part

    run_part("evaluate-ranking", locals())
