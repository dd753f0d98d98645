"""What the team's cluster gives each task: cluster.yaml, and how a task of the graph asks for it.

Resources, scheduling, retries and the image are Kubeflow's; what only Kubernetes knows (secrets, volumes, /dev/shm,
tolerations, deadlines) goes through kfp-kubernetes. A run on this machine ignores all of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shoplens.errors import ShoplensError
from shoplens.stages import BY_NAME
from shoplens.strict import StrictModel, read_yaml
from shoplens.training.train_job import ACCELERATOR

OWN_TASKS = ("check-params", "locate", "divide", "parts", "fetch", "embed-shard", "ranking-shard", "refuse", "finish")
"""Tasks of the graph that are no stages."""
DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
UNITS = {"s": 1, "m": 60, "h": 3600}

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Cpu = Annotated[str, Field(pattern=r"^([0-9]*\.)?[0-9]+m?$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$")]
Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*[smh]$")]
Folder = Annotated[str, Field(pattern=r"^/\S*[^/\s]$")]


class SecretKey(StrictModel):
    """A key of a Kubernetes secret: never its value."""

    secret: Name
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class Toleration(StrictModel):
    """A taint that a task puts up with, as in a pod's specification."""

    key: str
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Retries(StrictModel):
    """How often a failed task starts again, and how long it waits before that."""

    times: int = Field(0, ge=0, le=20)
    wait: Duration = "30s"
    factor: float = Field(2.0, ge=1)

    def longest_s(self, timeout_s: int) -> int:
        """Seconds from the first start to the last end, if every try takes its whole time."""
        waits = sum(seconds(self.wait) * self.factor**n for n in range(self.times))
        return (self.times + 1) * timeout_s + round(waits)


class Needs(StrictModel):
    """What one task asks the cluster for. Requests equal limits, so that no task is evicted for what others use."""

    cpu: Cpu = "1"
    memory: Memory = "2Gi"
    shm: Memory | None = None
    gpus: int = Field(0, ge=0)
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    retries: Retries = Retries()
    timeout: Duration = "1h"
    env: Mapping[Variable, str] = Field(default_factory=dict)
    secrets: Mapping[Variable, SecretKey] = Field(default_factory=dict)
    volumes: Mapping[Name, Folder] = Field(default_factory=dict)
    config_maps: Mapping[Name, Folder] = Field(default_factory=dict)


class Cluster(StrictModel):
    """cluster.yaml as a whole.

    `defaults` holds for every task. What a stage names replaces it, in mappings key by key.
    """

    image: str | None = None
    accelerator: str = "nvidia.com/gpu"
    nodes: int = Field(1, ge=1)
    embed_shards: int = Field(1, ge=1)
    ranking_shards: int = Field(1, ge=1)
    defaults: Needs = Needs()
    stages: Mapping[str, Needs] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        known = [*BY_NAME, *OWN_TASKS]
        for name in self.stages:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                meant = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise ValueError(f"stages.{name}: unknown task; {meant}")
        for place, needs in (
            ("defaults", self.defaults),
            *((f"stages.{name}", self.needs(name)) for name in self.stages),
        ):
            if both := sorted(set(needs.env) & set(needs.secrets)):
                raise ValueError(f"{place}: {', '.join(both)}: given as env and as a secret; keep the secret")
        return self

    def needs(self, task: str) -> Needs:
        """What a task asks for: the defaults with what is given for it."""
        own = self.stages.get(task, Needs())
        changed = {}
        for name in own.model_fields_set:
            value, default = getattr(own, name), getattr(self.defaults, name)
            if isinstance(value, Mapping):
                value = {**default, **value}
            elif isinstance(value, Retries):
                value = default.model_copy(update={key: getattr(value, key) for key in value.model_fields_set})
            changed[name] = value
        return self.defaults.model_copy(update=changed)

    def pinned_image(self) -> str:
        """The image of all tasks.

        Raises:
            ShoplensError: if there is none, or it is not named by its digest.
        """
        if self.image is None:
            raise ShoplensError(
                "no image is named: `make image REGISTRY=...` builds and pushes one and prints its digest; then give "
                "--image REGISTRY/shoplens@sha256:..., or write it into cluster.yaml"
            )
        if not DIGEST.fullmatch(self.image):
            raise ShoplensError(
                f"image {self.image!r} is not named by its digest, so runs could differ that look alike: give "
                "REGISTRY/shoplens@sha256:... (64 hex digits), which `make image REGISTRY=...` prints"
            )
        return self.image


def read_cluster(path: Path) -> Cluster:
    """Read cluster.yaml.

    Raises:
        ShoplensError: with one line a problem.
    """
    return read_yaml(Cluster, path)


def seconds(duration: str) -> int:
    """A duration of cluster.yaml (`90s`, `15m`, `8h`) in seconds."""
    return int(duration[:-1]) * UNITS[duration[-1]]


def ask(task: Any, name: str, cluster: Cluster, gpus: Any = None) -> None:
    """Make a task of the graph ask for what cluster.yaml says.

    Args:
        task: a kfp task.
        name: the stage's, or one of OWN_TASKS.
        cluster: what cluster.yaml says.
        gpus: an output of another task that says how many GPUs, as text; None for the number in cluster.yaml.
    """
    from kfp import kubernetes

    needs = cluster.needs(name)
    task.set_cpu_request(needs.cpu).set_cpu_limit(needs.cpu)
    task.set_memory_request(needs.memory).set_memory_limit(needs.memory)
    if gpus is not None:
        task.set_accelerator_type(cluster.accelerator).set_accelerator_limit(gpus)
        task.register_pipeline_channels([gpus])  # else it is no input of the task, and the cluster cannot find it
    elif needs.gpus:
        task.set_accelerator_type(cluster.accelerator).set_accelerator_limit(needs.gpus)
    kubernetes.set_timeout(task, seconds(needs.timeout))
    if name == "train":
        task.set_env_variable(ACCELERATOR, cluster.accelerator)  # for the TrainJob of several nodes that it may start
    for key, value in sorted(needs.env.items()):
        task.set_env_variable(key, value)
    for variable, reference in sorted(needs.secrets.items()):
        kubernetes.use_secret_as_env(task, reference.secret, {reference.key: variable})
    for claim, folder in sorted(needs.volumes.items()):
        kubernetes.mount_pvc(task, claim, folder)
    for config_map, folder in sorted(needs.config_maps.items()):
        kubernetes.use_config_map_as_volume(task, config_map, folder)
    if needs.shm:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=needs.shm)
    for key, value in sorted(needs.node_selector.items()):
        kubernetes.add_node_selector(task, key, value)
    for toleration in needs.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump(exclude_none=True))
    if needs.retries.times:
        task.set_retry(
            needs.retries.times,
            f"{seconds(needs.retries.wait)}s",
            needs.retries.factor,
            # Counted from the first start: Kubeflow's own hour would leave a task of several hours without a retry.
            f"{needs.retries.longest_s(seconds(needs.timeout))}s",
        )
