"""What the pod that this process runs in has of its cluster, so that pods which help it get the same: its volumes that
many pods can mount, /dev/shm, where it may be scheduled, processors and memory.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplens.errors import ShoplensError

MANY_WRITE = "ReadWriteMany"
MANY_READ = "ReadOnlyMany"


@dataclass(frozen=True)
class OwnPod:
    """Parts of a pod, as in its manifest.

    Attributes:
        volumes: persistent volumes that many pods can mount at once, and the memory behind /dev/shm.
        mounts: where they are in this container.
        shared: folders of the persistent ones: what lies in them is seen by every pod that mounts them.
        node_selector, tolerations: where it may be scheduled.
        resources: limits of cpu and memory of this container; empty without any.
    """

    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    shared: tuple[Path, ...]
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    resources: dict[str, str]

    def shares(self, path: Path) -> bool:
        """Is it on storage that other pods see too?"""
        return any(path.resolve().is_relative_to(folder) for folder in self.shared)


def read_own_pod(core: Any, namespace: str, home: Path) -> OwnPod:
    """Ask the cluster what the pod of this process has.

    Args:
        core: a kubernetes CoreV1Api.
        namespace: the pod's.
        home: a folder that must be on a volume which many pods can write to.

    Raises:
        ShoplensError: if it is not, or there is no such pod, its service account may not ask, or the cluster fails.
    """
    from kubernetes.client import ApiClient  # type: ignore[import-untyped]

    name = os.environ.get("KFP_POD_NAME") or platform.node()  # a long name is cut off in the host's name
    pod = ApiClient().sanitize_for_serialization(_asked(core.read_namespaced_pod, "pod", name, namespace))
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    container = next((one for one in pod["spec"]["containers"] if _claim_at(one, volumes, home)), None)
    if container is None:
        raise ShoplensError(
            f"SHOPLENS_HOME {home} is not on a persistent volume of this pod, so other nodes do not see it: mount a "
            "claim there (cluster.yaml: stages.train.volumes)"
        )
    modes = {}
    for mount in container["volumeMounts"]:
        if claim := volumes[mount["name"]].get("persistentVolumeClaim"):
            found = _asked(
                core.read_namespaced_persistent_volume_claim, "persistentvolumeclaim", claim["claimName"], namespace
            )
            modes[mount["name"]] = found.spec.access_modes or []
    (own, claim_name) = _claim_at(container, volumes, home) or ("", "")
    if MANY_WRITE not in modes[own]:
        raise ShoplensError(
            f"the claim {claim_name} at {home} is {', '.join(modes[own])}: several nodes can only train on a "
            f"{MANY_WRITE} one"
        )
    many = [name for name, allowed in modes.items() if {MANY_WRITE, MANY_READ} & set(allowed)]
    mounts = [m for m in container["volumeMounts"] if m["name"] in many or m["mountPath"] == "/dev/shm"]
    limits = container.get("resources", {}).get("limits", {})
    return OwnPod(
        volumes=[volumes[name] for name in dict.fromkeys(mount["name"] for mount in mounts)],
        mounts=mounts,
        shared=tuple(Path(mount["mountPath"]).resolve() for mount in mounts if mount["name"] in many),
        node_selector=pod["spec"].get("nodeSelector") or {},
        tolerations=pod["spec"].get("tolerations") or [],
        resources={name: limits[name] for name in ("cpu", "memory") if name in limits},
    )


def _claim_at(container: Mapping[str, Any], volumes: Mapping[str, Any], path: Path) -> tuple[str, str] | None:
    """The names of the volume and of the claim that a path lies on, if it is a persistent one."""
    mounts = [m for m in container.get("volumeMounts", []) if path.resolve().is_relative_to(m["mountPath"])]
    if not mounts:
        return None
    name = max(mounts, key=lambda mount: len(mount["mountPath"]))["name"]
    claim = volumes[name].get("persistentVolumeClaim")
    return (name, claim["claimName"]) if claim else None


def _asked(read: Any, kind: str, name: str, namespace: str) -> Any:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return read(name, namespace)
    except HTTPError as error:
        raise ShoplensError(
            f"the cluster does not answer what {kind} {name} is ({error}): run the stage again when it does"
        ) from None
    except ApiException as error:
        if error.status in (401, 403):
            raise ShoplensError(
                f"the service account may not get {kind}s of namespace {namespace}: allow it (manifests/base/access)"
            ) from None
        if error.status == 404:
            raise ShoplensError(
                f"there is no {kind} {name} in namespace {namespace}: several nodes are started from inside a pod only"
            ) from None
        raise ShoplensError(
            f"{kind} {name} of namespace {namespace} could not be read ({error.status} {error.reason}): run the stage "
            "again when the cluster is well"
        ) from None
