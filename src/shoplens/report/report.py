"""Stage report: the one page that a person reads after a run, also after a refused one.

The page is a single file without scripts or addresses, so that it can be mailed, archived or shown by a pipeline's
user interface. The same artifacts give the same bytes.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.files import read_json, write_text

HEADLINE_METRICS = (
    "stars/rps",
    "stars/log_loss",
    "stars/squared_error",
    "stars/accuracy",
    "tasks/score",
    "ranking/ndcg",
    "ranking/multimodal_ndcg",
    "retrieval/score",
    "retrieval/binary_score",
)


def report(
    *,
    validate: Path,
    prepare: Path,
    train: Path,
    champion: Path,
    evaluate_tasks: Path,
    evaluate_stars: Path,
    evaluate_ranking: Path,
    evaluate_retrieval: Path,
    package: Path,
    gate: Path,
    out: Path,
) -> None:
    """Write `report.html`.

    Raises:
        ShoplensError: if an artifact is missing, changed, or made from other inputs than those at hand.
    """
    judged = {
        "prepare": prepare,
        "train": train,
        "champion": champion,
        "evaluate-tasks": evaluate_tasks,
        "evaluate-stars": evaluate_stars,
        "evaluate-ranking": evaluate_ranking,
        "evaluate-retrieval": evaluate_retrieval,
        "package": package,
    }
    inputs = {"validate": validate, **judged, "gate": gate}
    validated = read_artifact(validate, "validate")
    prepared = read_artifact(prepare, "prepare", {"validate": validate})
    trained = read_artifact(train, "train", {"prepare": prepare})
    compared = read_artifact(champion, "champion", {"train": train})
    # The gate has checked that what it judged belongs together; its passport names the digests of all of it.
    decided = read_artifact(gate, "gate", judged)
    tasks = read_artifact(evaluate_tasks, "evaluate-tasks")
    stars = read_artifact(evaluate_stars, "evaluate-stars")
    ranked = read_artifact(evaluate_ranking, "evaluate-ranking")
    searched = read_artifact(evaluate_retrieval, "evaluate-retrieval")
    packaged = read_artifact(package, "package")

    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from shoplens.report.facts import read_data, read_origins, read_serving, read_strips
    from shoplens.report.numbers import interval, number, short
    from shoplens.report.ranking import MODALITIES, POPULATIONS, read_ranking
    from shoplens.report.results import FITTED, LABELS, read_holdout, read_tasks, read_training
    from shoplens.report.retrieval import read_retrieval
    from shoplens.report.verdict import metric_row, read_models, read_verdict

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    # Only figures pass unescaped: matplotlib has written them and escaped their texts.
    environment.filters |= {"number": number, "interval": interval, "short": short, "figure": Markup}
    page = environment.from_string(resources.files("shoplens.report").joinpath("page.html").read_text("utf-8"))
    metrics: dict[str, Any] = {}
    for artifact in (stars, tasks, ranked, searched, packaged):
        metrics |= read_json(artifact.path / "metrics.json")["metrics"]
    models = read_models(train, champion, prepare)
    artifacts = (validated, prepared, trained, compared, tasks, stars, ranked, searched, packaged, decided)
    text = page.render(
        models=models,
        verdict=read_verdict(gate, models, {name: block["direction"] for name, block in metrics.items()}),
        headline=[metric_row(name, metrics[name]) for name in HEADLINE_METRICS if name in metrics],
        model_names=[*(LABELS[name] for name in FITTED), "chance"],
        holdout=read_holdout(evaluate_stars),
        labels=LABELS,
        tasks=read_tasks(tasks),
        ranking=read_ranking(ranked),
        retrieval=read_retrieval(searched),
        modalities=MODALITIES,
        populations=POPULATIONS,
        training=read_training(trained),
        data=read_data(validate, prepare),
        serving=read_serving(package),
        strips=read_strips(package),
        origins=read_origins(artifacts),
    )
    with write_artifact(out, "report", inputs, {}) as folder:
        write_text(folder / "report.html", text)
