"""The Kubeflow pipeline: the graph, which src/shoplens/kubeflow compiles and runs.

The tasks are the stages of src/shoplens/stages.py, wired as the table says (tests/test_pipeline.py compares), and three
of the graph's own: fetch brings data and policy, refuse ends a run that the gate stopped, finish runs last in any case.
"""

import sys
from pathlib import Path
from typing import Any

from kfp import dsl

from components.champion import champion
from components.deploy import deploy
from components.embed import embed
from components.evaluate_ranking import evaluate_ranking
from components.evaluate_retrieval import evaluate_retrieval
from components.evaluate_stars import evaluate_stars
from components.evaluate_tasks import evaluate_tasks
from components.fetch import fetch
from components.finish import finish
from components.gate import gate
from components.package import package
from components.prepare import prepare
from components.refuse import refuse
from components.register import register
from components.report import report
from components.train import train
from components.validate import validate
from shoplens.files import canonical_json
from shoplens.kubeflow import command
from shoplens.kubeflow.cluster import Cluster
from shoplens.kubeflow.component import section_text
from shoplens.params import Params

DESCRIPTION = "Retrain the encoder, judge it, and promote it if the gate says yes."


def build(params: Params, policy: str, cluster: Cluster) -> Any:
    """The pipeline, with default values from the given parameters and policy text.

    Each stage gets its own section of the parameters, so that changing one leaves the cached results of the others.
    """

    def defaults(section: str) -> str:
        return section_text(params, section)

    def shoplens(
        source: str,
        revision: str = "",
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
        accelerator: str = "nvidia.com/gpu",
        accelerators: str = "0",
    ) -> None:
        """Retrain the encoder.

        Args:
            source: a git repository with data.dvc, or with an empty revision a contract folder.
            revision: commit, tag or branch of the source; empty for a folder.
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
            accelerator: resource name of the GPUs that train and embed ask for.
            accelerators: how many of them, as text; 0 for none.
        """
        last = finish(source=source, revision=revision).set_display_name("Finish")
        with dsl.ExitHandler(last, name="retrain"):
            # Not cached: a branch moves, and a folder changes in place.
            fetched = _task(fetch(source=source, revision=revision, policy_json=policy_json), "Fetch", cached=False)
            data, rules = fetched.outputs["data"], fetched.outputs["policy"]
            checked = _task(validate(data=data, params=validate_params), "Validate").output
            split = _task(prepare(data=data, validate=checked, params=prepare_params), "Prepare").output
            training = _task(train(data=data, prepare=split, params=train_params), "Train")
            candidate = _on_gpu(training, accelerator, accelerators).output
            baseline = _task(champion(train=candidate, params=register_params), "Champion", cached=False).output
            embedding = _task(
                embed(data=data, prepare=split, train=candidate, champion=baseline, params=embed_params), "Embed"
            )
            embedded = _on_gpu(embedding, accelerator, accelerators).output
            tasks = _task(
                evaluate_tasks(
                    data=data,
                    prepare=split,
                    train=candidate,
                    champion=baseline,
                    embed=embedded,
                    params=evaluate_tasks_params,
                ),
                "Evaluate tasks",
            ).output
            stars = _task(
                evaluate_stars(data=data, prepare=split, embed=embedded, params=evaluate_stars_params), "Evaluate stars"
            ).output
            ranking = _task(
                evaluate_ranking(data=data, prepare=split, embed=embedded, params=evaluate_ranking_params),
                "Evaluate ranking",
            ).output
            retrieval = _task(
                evaluate_retrieval(data=data, prepare=split, embed=embedded, params=evaluate_retrieval_params),
                "Evaluate retrieval",
            ).output
            packed = _task(
                package(
                    data=data,
                    prepare=split,
                    train=candidate,
                    embed=embedded,
                    evaluate_ranking=ranking,
                    params=package_params,
                ),
                "Package",
            ).output
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
            decision = _task(gate(policy=rules, **judged), "Gate", cached=False)
            verdict = decision.outputs["out"]
            page = _task(report(validate=checked, gate=verdict, **judged), "Report")
            # A boolean, for a text with an apostrophe would skip both branches (and register judges again).
            with dsl.If(decision.outputs["promote"] == True, name="promoted"):  # noqa: E712
                receipt = _task(
                    register(policy=rules, gate=verdict, report=page.output, params=register_params, **judged),
                    "Register",
                    cached=False,
                ).output
                _task(deploy(package=packed, register=receipt, params=register_params), "Deploy", cached=False)
            with dsl.Else(name="refused"):
                _task(refuse(gate=verdict), "Refuse", cached=False).after(page)  # the page of a refused run exists

    return dsl.pipeline(shoplens, name="shoplens", display_name="shoplens", description=DESCRIPTION)


def _task(task: Any, name: str, cached: bool = True) -> Any:
    return task.set_display_name(name).set_caching_options(cached)


def _on_gpu(task: Any, accelerator: Any, accelerators: Any) -> Any:
    task.set_accelerator_type(accelerator).set_accelerator_limit(accelerators)
    # Without this, kfp does not hand the two parameters into the exit handler's group, and the task cannot find them.
    task.register_pipeline_channels([accelerator, accelerators])
    return task


def main(argv: list[str] | None = None) -> int:
    """Compile or run the graph; the exit codes are those of --help."""
    return command.main(build, Path(__file__).parent, argv)


if __name__ == "__main__":
    sys.exit(main())
