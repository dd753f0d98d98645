"""The Kubeflow pipeline: the graph, its compiler and its local run.

The tasks are the stages of src/shoplens/stages.py, wired as the table says (tests/test_pipeline.py compares), and three
of the graph's own: fetch brings data and policy, refuse ends a run that the gate stopped, finish runs last in any case.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kfp import compiler, dsl

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
from shoplens.contract.spec import read_spec
from shoplens.errors import ShoplensError, system_error
from shoplens.files import canonical_json, write_bytes
from shoplens.kubeflow import section_text
from shoplens.local_run import run_graph
from shoplens.params import Params, read_params
from shoplens.promotion.policy import read_policy
from shoplens.stages import Layout
from shoplens.summary import summary

ROOT = Path(__file__).parent

DESCRIPTION = "Retrain the encoder, judge it, and promote it if the gate says yes."
EXAMPLES = """examples:
  python pipeline.py compile                                 pipeline.yaml, to upload in the Kubeflow UI
  python pipeline.py compile --params recipes/booking.yaml   the same with a recipe's parameters as defaults
  python pipeline.py run --data data --out /tmp/run          the whole graph on this machine, on a contract folder
  python pipeline.py run --data icons --out /tmp/icons --store /tmp/registry
                                                             the same, against the registry of an earlier run

exit codes of run: 0 promoted; 1 refused, or a stage failed; 2 not started (arguments, files)
"""


def build(params: Params, policy: str) -> Any:
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


def compile_to(graph: Any, path: Path) -> None:
    """Write the graph as Kubeflow's YAML; the same graph gives the same bytes."""
    with TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(graph, str(package))
        write_bytes(path, package.read_bytes())


def run(graph: Any, layout: Layout) -> int:
    """Run the graph on this machine, print what came of it, and return the exit code."""
    failure = run_graph(graph, {"source": str(layout.data)}, layout.artifacts.parent)
    print(summary(layout))
    if failure and failure.task != "refuse":  # the summary has the reasons of a refusal
        print(f"\nTask {failure.task} failed: {failure.message}")
    elif not failure and not (layout.artifacts / "deploy").exists():
        print(f"\nNothing was promoted, and no task failed: see {layout.artifacts.parent / 'run.log'}")
        return 1
    return 1 if failure else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="The Kubeflow pipeline.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--params", type=Path, default=ROOT / "params.yaml", help="parameters or a recipe")
    shared.add_argument("--policy", type=Path, default=ROOT / "gate.yaml", help="promotion policy")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compiling = commands.add_parser("compile", parents=[shared], help="write the pipeline for a cluster")
    compiling.add_argument("--out", type=Path, default=Path("pipeline.yaml"), help="default: pipeline.yaml")
    running = commands.add_parser("run", parents=[shared], help="run the pipeline on this machine")
    running.add_argument("--data", type=Path, required=True, help="contract folder, used in place")
    running.add_argument(
        "--out", type=Path, required=True, help="folder to write: artifacts/ (a link a stage), run.log, kubeflow/"
    )
    running.add_argument(
        "--store",
        type=Path,
        help="registry, live models, caches and checkpoints (default: SHOPLENS_HOME if it is set, else OUT/store)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse, check what was given, compile or run; the exit codes are those of --help."""
    args = _parser().parse_args(argv)
    try:
        params = read_params(args.params)
        read_policy(args.policy)
        graph = build(params, args.policy.read_bytes().decode())
        if args.command == "compile":
            compile_to(graph, args.out)
            print(f"wrote {args.out}")
            return 0
        read_spec(args.data)
        out = args.out.absolute()
        store = args.store or os.environ.get("SHOPLENS_HOME") or out / "store"
        os.environ["SHOPLENS_HOME"] = str(Path(store).absolute())
        return run(graph, Layout(args.data.absolute(), args.policy, out / "artifacts"))
    except ShoplensError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the next run goes on where this one stopped", file=sys.stderr)
        return 130
    except OSError as error:
        readable = system_error(error)
        if readable is None:
            raise
        print(readable, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
