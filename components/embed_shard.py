"""Task embed-shard: embeds one shard of the listings; stage embed puts the shards together."""

from kfp import dsl

from components.base import component


@component
def embed_shard(
    data: dsl.Input[dsl.Dataset],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Artifact],
    params: str,
    recipe: str,
    part: str,
    out: dsl.Output[dsl.Dataset],
) -> None:
    """Embed one shard of the galleries; with a single shard nothing is done here.

    Args:
        params: section `embed` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
        part: which shard, of how many: `0/2`.
    """
    from shoplens.kubeflow.component import run_part

    run_part("embed", locals())
