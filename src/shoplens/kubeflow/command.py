"""The command line of pipeline.py: compile the graph, run it on this machine, or submit it to a cluster."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from shoplens.contract.spec import read_spec
from shoplens.errors import ShoplensError, system_error
from shoplens.files import write_bytes
from shoplens.kubeflow.arguments import parse_arguments
from shoplens.kubeflow.cluster import Cluster, read_cluster
from shoplens.kubeflow.local_run import run_graph
from shoplens.kubeflow.options import parser
from shoplens.kubeflow.references import check_package
from shoplens.kubeflow.remote_run import INTERRUPTED, NOT_STARTED, Watch, follow_run, submit_run
from shoplens.kubeflow.server import Server, connect, find_token
from shoplens.kubeflow.settings import RECIPES, resolved_params
from shoplens.kubeflow.source import read_source
from shoplens.kubeflow.submission import Submission
from shoplens.params import Params, read_params
from shoplens.promotion.policy import read_policy
from shoplens.stages import Layout
from shoplens.summary import summary

Build = Callable[[Params, str, Cluster], Any]
"""Makes the graph from the parameters and the policy's text, which become its default arguments, and cluster.yaml."""


def compiled(graph: Any) -> bytes:
    """The graph as Kubeflow's YAML; the same graph gives the same bytes.

    Raises:
        ShoplensError: if it could not run on a cluster, because a reference in it leads nowhere.
    """
    from kfp import compiler

    with TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(graph, str(path))
        package = path.read_bytes()
    check_package(package)
    return package


def run(graph: Any, arguments: Mapping[str, Any], layout: Layout) -> int:
    """Run the graph on this machine, print what came of it, and return the exit code."""
    failure = run_graph(graph, arguments, layout.artifacts.parent)
    print(summary(layout))
    if failure and failure.task != "refuse":  # the summary has the reasons of a refusal
        print(f"\nTask {failure.task} failed: {failure.message}")
    elif not failure and not (layout.artifacts / "deploy").exists():
        print(f"\nNothing was promoted, and no task failed: see {layout.artifacts.parent / 'run.log'}")
        return 1
    return 1 if failure else 0


def local_arguments(graph: Any, args: argparse.Namespace) -> dict[str, Any]:
    """The arguments that `run` was asked for.

    Raises:
        ShoplensError: if a parameter is not the graph's, there is no such recipe, or a cluster is needed.
    """
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

    found = parse_arguments(MessageToDict(graph.pipeline_spec), args.param, {"source": str(args.data.absolute())})
    resolved_params(found.get("recipe", ""), {})
    if found.get("nodes", 1) > 1:
        raise ShoplensError("--param nodes: more than 1 train on a cluster only")
    return found


def submission_of(package: bytes, args: argparse.Namespace) -> Submission:
    """What `submit` was asked for, checked as far as this goes without a server.

    Raises:
        ShoplensError: if a parameter is not the graph's, or the source cannot be read.
    """
    spec = next(yaml.safe_load_all(package))
    fixed = {"source": args.source, "revision": args.revision}
    arguments = parse_arguments(spec, args.param, fixed)
    source = read_source(args.source, args.revision)
    info = spec["pipelineInfo"]
    return Submission(
        pipeline=info["name"],
        description=info.get("description", ""),
        package=package,
        arguments={**arguments, "revision": source.commit},
        source=source,
        experiment=args.experiment or info["name"],
        service_account=args.service_account,
    )


def _server(args: argparse.Namespace) -> Server:
    if not args.host:
        raise ShoplensError("no server: give --host, or set KF_PIPELINES_ENDPOINT")
    return connect(args.host, args.namespace, find_token(args.token_file), args.ca)


def _watch(args: argparse.Namespace) -> Watch:
    words = ["python", "pipeline.py", "follow", "--host", args.host]
    for option, value in (("--namespace", args.namespace), ("--token-file", args.token_file), ("--ca", args.ca)):
        words += [option, str(value)] if value else []
    return Watch(args.poll, args.timeout, shlex.join(words), args.summary)


def main(build: Build, root: Path, argv: list[str] | None = None) -> int:
    """Parse, check what was given, and do it; the exit codes are those of --help.

    Args:
        build: makes the graph.
        root: the folder whose params.yaml, gate.yaml and cluster.yaml are taken unless others are named.
        argv: arguments; None: those of the process.
    """
    args = parser(root).parse_args(argv)
    try:
        if args.command in ("submit", "follow") and args.summary is not None:
            args.summary.unlink(missing_ok=True)  # an earlier run's would pass for that of a run that is not started
        if args.command == "follow":
            return follow_run(_server(args), args.run, _watch(args))
        params = read_params(args.params)
        read_policy(args.policy)
        cluster = Cluster()  # a run on this machine asks for nothing: least of all for the cluster's environment
        if args.command != "run":
            cluster = read_cluster(args.cluster)
            cluster = cluster.model_copy(update={"image": args.image or cluster.image})
            cluster.pinned_image()
        graph = build(params, args.policy.read_bytes().decode(), cluster)
        if args.command == "compile":
            write_bytes(args.out, compiled(graph))
            print(f"wrote {args.out}")
            return 0
        if args.command == "submit":
            server = _server(args)
            return submit_run(server, submission_of(compiled(graph), args), args.again, args.wait, _watch(args))
        read_spec(args.data)
        os.environ[RECIPES] = os.environ.get(RECIPES) or str(root / "recipes")
        arguments = local_arguments(graph, args)
        out = args.out.absolute()
        store = args.store or os.environ.get("SHOPLENS_HOME") or out / "store"
        os.environ["SHOPLENS_HOME"] = str(Path(store).absolute())
        return run(graph, arguments, Layout(args.data.absolute(), args.policy, out / "artifacts"))
    except ShoplensError as error:
        print(error, file=sys.stderr)
        return NOT_STARTED
    except KeyboardInterrupt:
        print("interrupted; the same command again goes on where this one stopped", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        readable = system_error(error)
        if readable is None:
            raise
        print(readable, file=sys.stderr)
        return NOT_STARTED
