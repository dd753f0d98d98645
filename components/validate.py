"""Stage validate."""

from kfp import dsl

from components.base import component


@component
def validate(data: dsl.Input[dsl.Dataset], params: str, out: dsl.Output[dsl.Artifact]) -> None:
    """Check the data contract with Great Expectations.

    Args:
        params: section `validate` of params.yaml, as canonical JSON.
    """
    from shoplens.kubeflow.component import run_component

    run_component("validate", locals())
