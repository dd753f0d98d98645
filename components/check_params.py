"""Task check-params: a wrong parameter ends the run here, not hours later in the stage that it is for."""

from components.base import component


@component
def check_params(
    recipe: str,
    validate: str,
    prepare: str,
    train: str,
    embed: str,
    evaluate_tasks: str,
    evaluate_stars: str,
    evaluate_ranking: str,
    evaluate_retrieval: str,
    package: str,
    register: str,
) -> None:
    """Check all parameters of the run: the recipe if one is named, else the sections, each as canonical JSON."""
    given = {name.replace("_", "-"): text for name, text in locals().items() if name != "recipe"}
    from shoplens.kubeflow.settings import resolved_params

    resolved_params(recipe, given)
