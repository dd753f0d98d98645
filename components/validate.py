"""Stage validate."""

from kfp import dsl

from components.base import component


@component
def validate(
    data: dsl.Input[dsl.Dataset],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    docs: dsl.Output[dsl.HTML],
) -> None:
    """Check the data contract with Great Expectations.

    Args:
        params: section `validate` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("validate", locals())
