"""The options of pipeline.py, and what its --help says."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from shoplens.kubeflow.server import TOKEN, TOKEN_PATH, VOLUME

EXAMPLES = """examples:
  python pipeline.py compile --image reg/shoplens@sha256:...
                                                             writes pipeline.yaml, to upload in the Kubeflow UI
  python pipeline.py compile --params recipes/booking.yaml   the same with a recipe's parameters as defaults, and the
                                                             image that cluster.yaml names
  python pipeline.py run --data data --out /tmp/run          the whole graph on this machine, on a contract folder
  python pipeline.py run --data icons --out /tmp/icons --store /tmp/registry
                                                             the same, against the registry of an earlier run
  python pipeline.py submit --host http://localhost:8888 --source https://git.example.com/shop --revision main --wait
                                                             on a cluster, on that repository's data, to its end
  python pipeline.py follow --host http://localhost:8888 --run 1f0c2ab4-...
                                                             go on following a run

exit codes of run: 0 promoted; 1 refused, or a stage failed; 2 not started (arguments, files)
exit codes of submit and follow: 0 promoted, or started without --wait; 1 refused, or a task failed; 2 not started;
  3 not followed to its end (no connection, an expired token, --timeout); 130 interrupted. After 3 and 130 a run
  that was started goes on.
"""
SUBMIT = f"""What was submitted before is not started twice: the same commit, data, graph and arguments are one run,
which is found and followed, unless it broke off. A refused one counts as a result. The graph is uploaded once, as a
version named by its digest.

The token is that of --token-file, else of ${TOKEN}, else of the file ${TOKEN_PATH}, else of
{VOLUME}, else none. Files are read again for every request.

The server's API has no reasons: those of a refusal or failure are read from the log of the task, if the cluster still
has it; if not, the run's page is named. --summary has the gate's numbers too, from the log of task Gate.
"""


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return value


def parser(root: Path) -> argparse.ArgumentParser:
    """The parser; `root` is the folder whose params.yaml, gate.yaml and cluster.yaml are taken by default."""
    raw = argparse.RawDescriptionHelpFormatter
    found = argparse.ArgumentParser(
        description="Compile the Kubeflow pipeline, run it on this machine or on a cluster.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    graph = argparse.ArgumentParser(add_help=False)
    beside = "(default: %s beside pipeline.py)"
    graph.add_argument(
        "--params", type=Path, default=root / "params.yaml", help=f"parameters or a recipe {beside % 'params.yaml'}"
    )
    graph.add_argument(
        "--policy", type=Path, default=root / "gate.yaml", help=f"promotion policy {beside % 'gate.yaml'}"
    )
    image = argparse.ArgumentParser(add_help=False)
    image.add_argument(
        "--cluster",
        type=Path,
        default=root / "cluster.yaml",
        help=f"what tasks ask the cluster for {beside % 'cluster.yaml'}",
    )
    image.add_argument("--image", help="of all tasks, by digest (default: as in cluster.yaml)")
    cluster = argparse.ArgumentParser(add_help=False)
    cluster.add_argument(
        "--host",
        default=os.environ.get("KF_PIPELINES_ENDPOINT"),
        help="address of Kubeflow Pipelines (default: $KF_PIPELINES_ENDPOINT)",
    )
    cluster.add_argument("--namespace", help="the namespace to work in, on a server for several users")
    cluster.add_argument("--token-file", type=Path, help="file with a bearer token")
    cluster.add_argument("--ca", type=Path, help="certificates (PEM) to trust instead of the public ones")
    cluster.add_argument(
        "--poll", type=_seconds, default=10.0, metavar="SECONDS", help="between questions (default: 10)"
    )
    cluster.add_argument(
        "--timeout",
        type=_seconds,
        default=172_800.0,
        metavar="SECONDS",
        help="to follow at most (default: 172800, two days)",
    )
    cluster.add_argument("--summary", type=Path, metavar="FILE", help="write what came of the run as JSON")
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compiling = commands.add_parser(
        "compile",
        parents=[graph, image],
        help="write the pipeline for a cluster",
        description="Write the pipeline for a cluster, to upload in the Kubeflow UI.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    compiling.add_argument("--out", type=Path, default=Path("pipeline.yaml"), help="default: pipeline.yaml")
    running = commands.add_parser(
        "run",
        parents=[graph],
        help="run the pipeline on this machine",
        description="Run the pipeline on this machine, and print what came of it.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    running.add_argument("--data", type=Path, required=True, help="contract folder, used in place")
    running.add_argument(
        "--out", type=Path, required=True, help="folder to write: artifacts/ (a link a stage), run.log, kubeflow/"
    )
    running.add_argument(
        "--store",
        type=Path,
        help="registry, live models, caches and checkpoints (default: SHOPLENS_HOME if it is set, else OUT/store)",
    )
    submitting = commands.add_parser(
        "submit",
        parents=[graph, image, cluster],
        help="start a run on a cluster",
        description="Start a run on a cluster.",
        epilog=f"{SUBMIT}\n{EXAMPLES}",
        formatter_class=raw,
    )
    for started in (running, submitting):
        started.add_argument(
            "--param", action="append", default=[], metavar="NAME=VALUE", help="of the graph; as often as needed"
        )
    submitting.add_argument("--source", required=True, help="git repository with data.dvc, as the cluster reaches it")
    submitting.add_argument("--revision", required=True, help="branch, tag or full id of a commit of the source")
    submitting.add_argument("--experiment", help="where the UI lists the run (default: the pipeline's name)")
    submitting.add_argument("--service-account", help="of the run's pods (default: the server's)")
    submitting.add_argument("--wait", action="store_true", help="follow the run to its end")
    submitting.add_argument("--again", action="store_true", help="start it although the same was submitted before")
    following = commands.add_parser(
        "follow",
        parents=[cluster],
        help="follow a run on a cluster",
        description="Follow a run on a cluster to its end.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    following.add_argument("--run", required=True, metavar="ID", help="of the run")
    return found
