"""Stage deploy."""

from kfp import dsl

from components.base import component


@component
def deploy(
    package: dsl.Input[dsl.Model],
    register: dsl.Input[dsl.Artifact],
    params: str,
    recipe: str,
    out: dsl.Output[dsl.Artifact],
    receipt: dsl.Output[dsl.Markdown],
) -> None:
    """Load the promoted model beside the old one, compare, switch.

    Args:
        params: section `register` of params.yaml, as canonical JSON.
        recipe: name of a recipe whose section is taken instead; empty for none.
    """
    from shoplens.kubeflow.component import run_component

    run_component("deploy", locals())
