"""Stage gate."""

from typing import NamedTuple

from kfp import dsl

from components.base import component


@component
def gate(
    policy: dsl.Input[dsl.Artifact],
    prepare: dsl.Input[dsl.Dataset],
    train: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Artifact],
    evaluate_tasks: dsl.Input[dsl.Artifact],
    evaluate_stars: dsl.Input[dsl.Artifact],
    evaluate_ranking: dsl.Input[dsl.Artifact],
    evaluate_retrieval: dsl.Input[dsl.Artifact],
    package: dsl.Input[dsl.Model],
    out: dsl.Output[dsl.Artifact],
    decision: dsl.Output[dsl.Markdown],
) -> NamedTuple("Verdict", [("promote", bool)]):  # type: ignore[valid-type]
    """Decide whether the candidate may be promoted."""
    from shoplens.kubeflow.component import promotes, run_component, tell_judged

    run_component("gate", locals())
    tell_judged(locals())
    return (promotes(out.path),)
