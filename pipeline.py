"""The Kubeflow pipeline: the graph, which src/shoplens/kubeflow compiles and runs.

The tasks are the stages of src/shoplens/stages.py, wired as the table says (tests/test_pipeline.py compares), and the
graph's own: check-params, locate, divide and parts check what a run is given, fetch brings the data, embed-shard and
ranking-shard do a part of a stage, refuse ends a run that the gate stopped, finish runs last in any case.
"""

import sys
from pathlib import Path
from typing import Any

from kfp import dsl

from components.champion import champion
from components.check_params import check_params
from components.deploy import deploy
from components.divide import divide
from components.embed import embed
from components.embed_shard import embed_shard
from components.evaluate_ranking import evaluate_ranking
from components.evaluate_retrieval import evaluate_retrieval
from components.evaluate_stars import evaluate_stars
from components.evaluate_tasks import evaluate_tasks
from components.fetch import fetch
from components.finish import finish
from components.gate import gate
from components.locate import locate
from components.package import package
from components.parts import parts
from components.prepare import prepare
from components.ranking_shard import ranking_shard
from components.refuse import refuse
from components.register import register
from components.report import report
from components.train import train
from components.validate import validate
from shoplens.files import canonical_json
from shoplens.kubeflow import command
from shoplens.kubeflow.cluster import Cluster, ask
from shoplens.kubeflow.component import section_text
from shoplens.params import Params

DESCRIPTION = "Retrain the encoder, judge it, and promote it if the gate says yes."


def build(params: Params, policy: str, cluster: Cluster) -> Any:
    """The pipeline, with default values from the given parameters, policy text and cluster.yaml.

    Each stage gets its own section of the parameters, so that changing one leaves the cached results of the others.
    """

    def defaults(section: str) -> str:
        return section_text(params, section)

    def shoplens(
        source: str,
        revision: str = "",
        sample_listings: int = 0,
        recipe: str = "",
        image: str = cluster.image or "",
        gpus: int = cluster.needs("train").gpus,
        nodes: int = cluster.nodes,
        embed_gpus: int = cluster.needs("embed").gpus,
        embed_shards: int = cluster.embed_shards,
        ranking_shards: int = cluster.ranking_shards,
        policy_json: str = canonical_json(policy),
        validate_params: str = defaults("validate"),
        prepare_params: str = defaults("prepare"),
        train_params: str = defaults("train"),
        embed_params: str = defaults("embed"),
        evaluate_tasks_params: str = defaults("evaluate-tasks"),
        evaluate_stars_params: str = defaults("evaluate-stars"),
        evaluate_ranking_params: str = defaults("evaluate-ranking"),
        evaluate_retrieval_params: str = defaults("evaluate-retrieval"),
        package_params: str = defaults("package"),
        register_params: str = defaults("register"),
    ) -> None:
        """Retrain the encoder.

        Args:
            source: a git repository with data.dvc, or with an empty revision a contract folder.
            revision: commit, tag or branch of the source; empty for a folder.
            sample_listings: try the run on so many listings, chosen by their ids; 0 for all.
            recipe: booking, etsy or pinterest takes all parameters from that recipe; empty takes the sections below.
            image: of all tasks, by digest.
            gpus: that train asks for, on each node; 0 for none.
            nodes: machines that train; more than 1 are a TrainJob of Kubeflow Trainer.
            embed_gpus: that embed asks for, or each of its shards; 0 for none.
            embed_shards: tasks that embed the listings side by side; 0 or 1 for the stage alone.
            ranking_shards: tasks that learn to rank the queries side by side; 0 or 1 for the stage alone.
            policy_json: the text of gate.yaml as a JSON string, on one line as the UI needs it.
            validate_params: section validate of params.yaml as JSON.
            prepare_params: section prepare of params.yaml as JSON.
            train_params: section train of params.yaml as JSON.
            embed_params: section embed of params.yaml as JSON.
            evaluate_tasks_params: section evaluate-tasks of params.yaml as JSON.
            evaluate_stars_params: section evaluate-stars of params.yaml as JSON.
            evaluate_ranking_params: section evaluate-ranking of params.yaml as JSON.
            evaluate_retrieval_params: section evaluate-retrieval of params.yaml as JSON.
            package_params: section package of params.yaml as JSON.
            register_params: section register of params.yaml as JSON.
        """

        def task(made: Any, name: str, cached: bool = True, gpus: Any = None) -> Any:
            """Name a task, and make it ask for what cluster.yaml says; `gpus` is text that the graph works out."""
            made.set_display_name(name.replace("-", " ").capitalize()).set_caching_options(cached)
            made.set_container_image(image)
            ask(made, name, cluster, gpus)
            return made

        last = task(finish(source=source, revision=revision), "finish", cached=False)
        with dsl.ExitHandler(last, name="retrain"):
            checked_params = task(
                check_params(
                    recipe=recipe,
                    validate=validate_params,
                    prepare=prepare_params,
                    train=train_params,
                    embed=embed_params,
                    evaluate_tasks=evaluate_tasks_params,
                    evaluate_stars=evaluate_stars_params,
                    evaluate_ranking=evaluate_ranking_params,
                    evaluate_retrieval=evaluate_retrieval_params,
                    package=package_params,
                    register=register_params,
                ),
                "check-params",
            )
            # Not cached: a branch moves, and a folder changes in place.
            origin = task(
                locate(source=source, revision=revision, image=image, policy_json=policy_json), "locate", cached=False
            ).outputs
            rules = origin["policy"]
            division = task(
                divide(gpus=gpus, embed_gpus=embed_gpus, nodes=nodes, embed_shards=embed_shards), "divide"
            ).outputs
            embed_parts = task(parts(shards=embed_shards), "parts").set_display_name("Embed parts").output
            ranking_parts = task(parts(shards=ranking_shards), "parts").set_display_name("Ranking parts").output
            data = task(
                fetch(
                    source=source,
                    revision=origin["revision"],
                    fresh=origin["fresh"],
                    sample_listings=sample_listings,
                ).after(checked_params),
                "fetch",
            ).output
            checked = task(validate(data=data, params=validate_params, recipe=recipe), "validate").outputs["out"]
            split = task(prepare(data=data, validate=checked, params=prepare_params, recipe=recipe), "prepare").outputs[
                "out"
            ]
            candidate = task(
                train(
                    data=data,
                    prepare=split,
                    params=train_params,
                    recipe=recipe,
                    nodes=nodes,
                    gpus=gpus,
                    image=image,
                ),
                "train",
                gpus=division["train_gpus"],
            ).outputs["out"]
            baseline = task(
                champion(train=candidate, params=register_params, recipe=recipe), "champion", cached=False
            ).outputs["out"]
            encoded = {"data": data, "prepare": split, "train": candidate, "champion": baseline}
            with dsl.ParallelFor(embed_parts, name="embed shards") as part:
                shard = task(
                    embed_shard(**encoded, params=embed_params, recipe=recipe, part=part),
                    "embed-shard",
                    gpus=division["shard_gpus"],
                )
            embedded = task(
                embed(**encoded, params=embed_params, recipe=recipe, parts=dsl.Collected(shard.output)),
                "embed",
                gpus=division["embed_gpus"],
            ).outputs["out"]
            tasks = task(
                evaluate_tasks(**encoded, embed=embedded, params=evaluate_tasks_params, recipe=recipe),
                "evaluate-tasks",
            ).outputs["out"]
            measured = {"data": data, "prepare": split, "embed": embedded}
            stars = task(
                evaluate_stars(**measured, params=evaluate_stars_params, recipe=recipe), "evaluate-stars"
            ).outputs["out"]
            with dsl.ParallelFor(ranking_parts, name="ranking shards") as part:
                shard = task(
                    ranking_shard(**measured, params=evaluate_ranking_params, recipe=recipe, part=part),
                    "ranking-shard",
                )
            ranking = task(
                evaluate_ranking(
                    **measured, params=evaluate_ranking_params, recipe=recipe, parts=dsl.Collected(shard.output)
                ),
                "evaluate-ranking",
            ).outputs["out"]
            retrieval = task(
                evaluate_retrieval(**measured, params=evaluate_retrieval_params, recipe=recipe), "evaluate-retrieval"
            ).outputs["out"]
            packed = task(
                package(
                    data=data,
                    prepare=split,
                    train=candidate,
                    embed=embedded,
                    evaluate_ranking=ranking,
                    params=package_params,
                    recipe=recipe,
                ),
                "package",
            ).outputs["out"]
            judged = {
                "prepare": split,
                "train": candidate,
                "champion": baseline,
                "evaluate_tasks": tasks,
                "evaluate_stars": stars,
                "evaluate_ranking": ranking,
                "evaluate_retrieval": retrieval,
                "package": packed,
            }
            decision = task(gate(policy=rules, **judged), "gate", cached=False)
            verdict = decision.outputs["out"]
            page = task(report(validate=checked, gate=verdict, **judged), "report")
            # A boolean, for a text with an apostrophe would skip both branches (and register judges again).
            with dsl.If(decision.outputs["promote"] == True, name="promoted"):  # noqa: E712
                registered = task(
                    register(
                        policy=rules,
                        gate=verdict,
                        report=page.outputs["out"],
                        params=register_params,
                        recipe=recipe,
                        **judged,
                    ),
                    "register",
                    cached=False,
                ).outputs["out"]
                task(
                    deploy(package=packed, register=registered, params=register_params, recipe=recipe),
                    "deploy",
                    cached=False,
                )
            with dsl.Else(name="refused"):
                # After the report, so that the page of a refused run exists.
                task(refuse(gate=verdict).after(page), "refuse", cached=False)

    return dsl.pipeline(shoplens, name="shoplens", display_name="shoplens", description=DESCRIPTION)


def main(argv: list[str] | None = None) -> int:
    """Compile or run the graph; the exit codes are those of --help."""
    return command.main(build, Path(__file__).parent, argv)


if __name__ == "__main__":
    sys.exit(main())
