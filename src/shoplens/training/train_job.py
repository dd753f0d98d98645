"""Stage train on several nodes: a TrainJob of Kubeflow Trainer, whose pods run the command of one machine.

Inputs, checkpoints and the result are in SHOPLENS_HOME, on a volume that all nodes mount; what is not there yet is
copied. A job's name says what it trains, so that whoever starts the same again follows a running job and does not start
a second one; after a failure the next one goes on from the checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from shoplens.artifacts import digest_of
from shoplens.errors import ShoplensError
from shoplens.files import digest_json, replacing_folder
from shoplens.home import home
from shoplens.params import TrainParams
from shoplens.progress import say
from shoplens.training.follow_job import NODE, JobGone, delete, follow, last_words, look, reason_of
from shoplens.training.own_pod import OwnPod, read_own_pod
from shoplens.training.torchrun import LAUNCHER, arguments, collect, lay_out, place_of

RUNTIME = "shoplens-torch"
"""The TrainingRuntime: what Trainer's pods have besides what is patched here (docs/training.md)."""
ACCELERATOR = "SHOPLENS_ACCELERATOR"
"""Variable with the resource that stands for a GPU, as cluster.yaml names it; without it NVIDIA's."""
PASSED_ON = ("NCCL_", "GLOO_", "OMP_", "TORCH_", "HF_HOME", "HF_HUB_OFFLINE")
"""Variables that decide how processes talk, compute and download, by how they begin; HF_TOKEN is a secret."""


def train_on_cluster(
    inputs: Mapping[str, Path],
    out: Path,
    params: TrainParams,
    *,
    nodes: int,
    gpus: int,
    image: str,
    pending_s: float = 3600.0,
    poll_s: float = 5.0,
) -> None:
    """Run stage train on several nodes of the cluster that this process is a pod of.

    The nodes get what this pod has: volumes, cpu and memory, node selector, tolerations.

    Args:
        inputs: those of stage train, by name.
        out: the folder to write.
        params: the stage's.
        nodes: how many machines.
        gpus: on each of them; 0 trains in one process a node, on the processor.
        image: that the nodes run: the one of this pod.
        pending_s: how long to wait until all nodes run.
        poll_s: seconds between two looks at the job.

    Raises:
        ShoplensError: if there is no cluster, or no volume that all nodes see; if the job fails (with the trainer's
            message and a node's last lines), is not scheduled in time, or is lost sight of.
    """
    client = _client()
    pod = read_own_pod(client.backend.core_api, client.backend.namespace, home())
    digests = {name: digest_of(path) for name, path in inputs.items()}
    key = digest_json([params.model_dump(mode="json"), digests, nodes, gpus, image])[:12]
    folder = home() / "trainjobs" / key
    _bring(inputs, folder, pod)
    lay_out(folder, inputs, params)
    name = _running_or_new(client, key, folder, lambda name: _start(client, name, folder, pod, nodes, gpus, image))
    with _ended_with_us(client, name, folder):
        state = follow(client, name, nodes, pending_s, poll_s)
    if state.ended == "Failed":
        shutil.rmtree(folder, ignore_errors=True)
        raise ShoplensError(f"TrainJob {name} failed: {state.message}{last_words(client, state)}")
    collect(folder, inputs, out)
    delete(client, name)
    shutil.rmtree(folder, ignore_errors=True)


def _client() -> Any:
    from kubeflow.trainer import TrainerClient
    from kubernetes.config import ConfigException  # type: ignore[import-untyped]

    # Its warning that it cannot read Trainer's version in another namespace, which is none of our business there.
    logging.getLogger("kubeflow.trainer.backends.kubernetes.backend").setLevel(logging.ERROR)
    try:
        return TrainerClient()
    except ConfigException as error:
        raise ShoplensError(f"there is no Kubernetes to train on ({error}): several nodes need a cluster") from None


def _bring(inputs: Mapping[str, Path], folder: Path, pod: OwnPod) -> None:
    """Copy the inputs that other nodes do not see to the folder, whose name says what they are."""
    for name, path in inputs.items():
        place = place_of(folder, name)
        if not pod.shares(path) and not place.exists():
            say(f"copying {name} to {place}, where all nodes see it")
            with replacing_folder(place) as copy:
                shutil.copytree(path, copy, dirs_exist_ok=True)


def _running_or_new(client: Any, key: str, folder: Path, start: Callable[[str], None]) -> str:
    """The name of the job with this key that runs or has left its result in the folder, or else of a new one.

    Raises:
        ShoplensError: if the cluster does not say whether there is one.
    """
    from kubernetes.client import ApiException  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    attempt = 0
    while True:
        attempt += 1
        name = f"shoplens-train-{key}-{attempt}"
        try:
            ended = look(client, name).ended
        except HTTPError as error:
            raise ShoplensError(
                f"the cluster does not answer whether there is a TrainJob {name} ({error}): run the stage again when "
                "it does"
            ) from None
        except ApiException as error:
            if error.status != 404:
                raise ShoplensError(_not_told(client, name, error)) from None
            start(name)
            say(f"TrainJob {name} is started")
            return name
        if not ended or (ended == "Complete" and place_of(folder, "train").exists()):
            say(f"TrainJob {name} is there already")
            return name


def _not_told(client: Any, name: str, error: Any) -> str:
    remedy = (
        "its service account must be allowed to get trainjobs of trainer.kubeflow.org and to list pods "
        "(manifests/base/access)"
        if error.status in (401, 403)
        else "run the stage again when the cluster is well"
    )
    return (
        f"whether there is a TrainJob {name} in namespace {client.backend.namespace} could not be read "
        f"({error.status} {error.reason}: {str(error.body).strip()}): {remedy}"
    )


def _start(client: Any, name: str, folder: Path, pod: OwnPod, nodes: int, gpus: int, image: str) -> None:
    from kubeflow.trainer import CustomTrainerContainer, options

    accelerator = os.environ.get(ACCELERATOR, "nvidia.com/gpu")
    variables = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
    trainer = CustomTrainerContainer(
        image=image,
        num_nodes=nodes,
        resources_per_node={**pod.resources, **({accelerator: str(gpus)} if gpus else {})} or None,
        env={"SHOPLENS_HOME": str(home()), **variables},
    )
    spec = options.PodSpecPatch(
        volumes=pod.volumes,
        containers=[options.ContainerPatch(name=NODE, volume_mounts=pod.mounts)],
        node_selector=pod.node_selector or None,
        tolerations=pod.tolerations or None,
    )
    template = options.JobTemplatePatch(spec=options.JobSpecPatch(template=options.PodTemplatePatch(spec=spec)))
    jobs = options.JobSetSpecPatch(replicated_jobs=[options.ReplicatedJobPatch(name=NODE, template=template)])
    patch = options.TrainingRuntimeSpecPatch(template=options.JobSetTemplatePatch(spec=jobs))
    try:
        client.train(
            runtime=RUNTIME,
            trainer=trainer,
            options=[
                options.Name(name),
                options.TrainerCommand(["python", *LAUNCHER]),
                options.TrainerArgs(arguments(folder, max(1, gpus))),
                options.RuntimePatch(patch),
            ],
        )
    except (RuntimeError, TimeoutError) as error:
        raise ShoplensError(f"{error}: {reason_of(error)}") from None


@contextlib.contextmanager
def _ended_with_us(client: Any, name: str, folder: Path) -> Iterator[None]:
    """End the job if this process is told to end: by Ctrl-C, or as Kubernetes ends a pod, with SIGTERM."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        say(f"interrupted: TrainJob {name} is deleted; its checkpoint stays")
        delete(client, name)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except JobGone:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
