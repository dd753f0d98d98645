"""The command line of pipeline.py: compile the graph, or run it on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shoplens.contract.spec import read_spec
from shoplens.errors import ShoplensError, system_error
from shoplens.files import write_bytes
from shoplens.kubeflow.cluster import Cluster, read_cluster
from shoplens.kubeflow.local_run import run_graph
from shoplens.params import Params, read_params
from shoplens.promotion.policy import read_policy
from shoplens.stages import Layout
from shoplens.summary import summary

Build = Callable[[Params, str, Cluster], Any]
"""Makes the graph from the parameters and the policy's text, which become its default arguments, and cluster.yaml."""
EXAMPLES = """examples:
  python pipeline.py compile --image reg/shoplens@sha256:... pipeline.yaml, to upload in the Kubeflow UI
  python pipeline.py compile --params recipes/booking.yaml   the same with a recipe's parameters as defaults, and the
                                                             image that cluster.yaml names
  python pipeline.py run --data data --out /tmp/run          the whole graph on this machine, on a contract folder
  python pipeline.py run --data icons --out /tmp/icons --store /tmp/registry
                                                             the same, against the registry of an earlier run

exit codes of run: 0 promoted; 1 refused, or a stage failed; 2 not started (arguments, files)
"""


def compile_to(graph: Any, path: Path) -> None:
    """Write the graph as Kubeflow's YAML; the same graph gives the same bytes."""
    from kfp import compiler

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


def _parser(root: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="The Kubeflow pipeline.", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--params", type=Path, default=root / "params.yaml", help="parameters or a recipe")
    shared.add_argument("--policy", type=Path, default=root / "gate.yaml", help="promotion policy")
    shared.add_argument("--cluster", type=Path, default=root / "cluster.yaml", help="what tasks ask the cluster for")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compiling = commands.add_parser("compile", parents=[shared], help="write the pipeline for a cluster")
    compiling.add_argument("--out", type=Path, default=Path("pipeline.yaml"), help="default: pipeline.yaml")
    compiling.add_argument("--image", help="of all tasks, by digest (default: as in cluster.yaml)")
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


def main(build: Build, root: Path, argv: list[str] | None = None) -> int:
    """Parse, check what was given, compile or run; the exit codes are those of --help.

    Args:
        build: makes the graph.
        root: the folder whose params.yaml and gate.yaml are taken unless others are named.
        argv: arguments; None: those of the process.
    """
    args = _parser(root).parse_args(argv)
    try:
        params = read_params(args.params)
        read_policy(args.policy)
        cluster = read_cluster(args.cluster)
        if args.command == "compile":
            cluster = cluster.model_copy(update={"image": args.image or cluster.image})
            cluster.pinned_image()
        graph = build(params, args.policy.read_bytes().decode(), cluster)
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
