"""Checks rendered manifests without a cluster: Kubernetes' schemas, references between objects, and our own policy.

    python -m manifests.check                              all overlays
    kubectl get customresourcedefinitions --output yaml > crds.yaml
    python -m manifests.check my-overlay --crds crds.yaml  one, and its custom resources by a cluster's own schemas

Exit status 1 if there is a problem. Core objects are validated strictly against the schemas of the Kubernetes release
that the package kubernetes-validate brings, custom resources against those in manifests/schemas: an unknown field is a
problem, and so is a kind without a schema.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

OVERLAYS = Path(__file__).parent / "overlays"
SCHEMAS = Path(__file__).parent / "schemas"
CORE_GROUPS = {"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"}
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ServingRuntime"}
SECRETS = {"triton-admin", "mlflow-postgres", "object-storage", "models-storage", "git"}
"""Made by hand (docs/kubernetes.md): no manifest has their values."""
UNBUILT = "sha256:" + 64 * "0"
"""The digest of an image that was not built yet."""

_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|(^|_)KEY(_ID)?$", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(r"://[^/\s:@]+:(?!\$\()[^/\s@]+@")


@dataclass(frozen=True)
class Pod:
    """The pods of one object: what names it in messages, labels, and the pod's specification."""

    where: str
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        """Init containers as well."""
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]


def render(overlay: Path) -> list[Object]:
    """The objects of an overlay.

    Raises:
        subprocess.CalledProcessError: if kustomize refuses it; the reason is on standard error.
    """
    done = subprocess.run(["kubectl", "kustomize", str(overlay)], check=True, stdout=subprocess.PIPE, text=True)
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def name_of(found: Object) -> str:
    """Kind and name, for messages."""
    return f"{found['kind']} {found['metadata']['name']}"


def group_of(found: Object) -> str:
    """The API group; empty for the core group."""
    return str(found["apiVersion"]).rpartition("/")[0]


def pods(objects: list[Object]) -> Iterator[Pod]:
    """The pods that these objects start. KServe adds to the runtime's pod what the service says; both are checked."""
    for found in objects:
        if found["kind"] == "TrainingRuntime":
            for job in found["spec"]["template"]["spec"]["replicatedJobs"]:
                template = job["template"]["spec"]["template"]
                yield Pod(name_of(found), template.get("metadata", {}).get("labels", {}), template["spec"])
        if found["kind"] not in WORKLOADS:
            continue
        spec = found["spec"]
        if found["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if found["kind"] == "ServingRuntime":
            yield Pod(name_of(found), spec.get("labels", {}), spec)
            continue
        template = found if found["kind"] == "Pod" else spec["template"]
        yield Pod(name_of(found), template["metadata"].get("labels", {}), template["spec"])


def policy_problems(objects: list[Object]) -> list[str]:
    """What breaks our rules for containers, secrets and access."""
    problems = [f"{pod.where}: {problem}" for pod in pods(objects) for problem in _pod_problems(pod)]
    for found in objects:
        if found["kind"] == "Secret" and (found.get("data") or found.get("stringData")):
            problems.append(f"{name_of(found)}: a secret's values are in the manifests")
        for rule in found.get("rules") or []:
            problems += [f"{name_of(found)}: {problem}" for problem in _access_problems(rule)]
        if found["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            problems.append(f"{name_of(found)}: access beyond the namespace")
    return problems


def _pod_problems(pod: Pod) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key):
            yield f"{key} is on"
    for volume in pod.spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is a folder of the node"
    for container in pod.containers:
        for problem in (*_image_problems(container), *_right_problems(pod, container), *_secret_problems(container)):
            yield f"container {container['name']}: {problem}"
        resources = container.get("resources", {})
        for kind in ("requests", "limits"):
            for unit in ("cpu", "memory"):
                if unit not in resources.get(kind, {}):
                    yield f"container {container['name']}: no {unit} in its {kind}"


def _image_problems(container: Object) -> Iterator[str]:
    image = container.get("image", "")
    if image.partition("@")[0].endswith(":latest"):
        yield f"image {image} is whatever is the latest"
    if not _DIGEST.fullmatch(image):
        yield f"image {image} is not named by its digest"


def _right_problems(pod: Pod, container: Object) -> Iterator[str]:
    own, shared = container.get("securityContext", {}), pod.spec.get("securityContext", {})
    both = shared | own
    if not both.get("runAsNonRoot") or both.get("runAsUser", 0) == 0:
        yield "may run as root"
    if not own.get("readOnlyRootFilesystem"):
        yield "its root file system is writable"
    if own.get("allowPrivilegeEscalation", True):
        yield "may gain privileges"
    if own.get("privileged"):
        yield "is privileged"
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "keeps capabilities"
    if both.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "is not under the runtime's seccomp profile"


def _secret_problems(container: Object) -> Iterator[str]:
    for variable in container.get("env", []):
        if variable.get("value") and _SECRET_NAME.search(variable["name"]):
            yield f"{variable['name']} has its value in the manifest"
    texts = [variable.get("value", "") for variable in container.get("env", [])]
    for text in (*texts, *container.get("command", []), *container.get("args", [])):
        if _SECRET_IN_TEXT.search(text):
            yield "an address has a password in it"


def _access_problems(rule: Object) -> Iterator[str]:
    if any("*" in rule.get(key, []) for key in ("apiGroups", "resources", "verbs")):
        yield "a rule allows everything of a kind"
    if "secrets" in rule.get("resources", []) and not rule.get("resourceNames"):
        yield "may read all secrets"


def reference_problems(objects: list[Object]) -> list[str]:
    """What is named and not there: config maps, volumes, accounts, roles, pods of a selector, what is scaled."""
    there = {(found["kind"], found["metadata"]["name"]) for found in objects} | {("Secret", name) for name in SECRETS}
    problems = []
    all_pods = list(pods(objects))
    for pod in all_pods:
        for kind, name in _named_by(pod):
            if (kind, name) not in there:
                problems.append(f"{pod.where}: {kind} {name} does not exist")
        declared = {volume["name"] for volume in pod.spec.get("volumes", [])} | _claims(objects, pod.where)
        for container in pod.containers:
            mounted = [mount["name"] for mount in container.get("volumeMounts", [])]
            problems += [f"{pod.where}: volume {name} does not exist" for name in mounted if name not in declared]
    for found in objects:
        problems += [
            f"{name_of(found)}: no pod has the labels {labels}"
            for labels in _selectors(found)
            if not any(labels.items() <= pod.labels.items() for pod in all_pods)
        ]
        for kind, name in _named_beside(found):
            if (kind, name) not in there:
                problems.append(f"{name_of(found)}: {kind} {name} does not exist")
    return problems


def _named_by(pod: Pod) -> Iterator[tuple[str, str]]:
    if "serviceAccountName" in pod.spec:
        yield "ServiceAccount", pod.spec["serviceAccountName"]
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in pod.containers:
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "configMapKeyRef" in source:
                yield "ConfigMap", source["configMapKeyRef"]["name"]
            if "secretKeyRef" in source:
                yield "Secret", source["secretKeyRef"]["name"]


def _claims(objects: list[Object], where: str) -> set[str]:
    templates = [found["spec"].get("volumeClaimTemplates", []) for found in objects if name_of(found) == where]
    return {claim["metadata"]["name"] for claims in templates for claim in claims}


def _selectors(found: Object) -> Iterator[dict[str, str]]:
    if found["kind"] == "Service" and "selector" in found["spec"]:
        yield found["spec"]["selector"]
    if found["kind"] in ("PodDisruptionBudget", "PodMonitor"):
        yield found["spec"]["selector"]["matchLabels"]
    if found["kind"] == "NetworkPolicy":
        yield found["spec"]["podSelector"].get("matchLabels", {})


def _named_beside(found: Object) -> Iterator[tuple[str, str]]:
    if found["kind"] == "ServiceAccount":
        for secret in found.get("secrets", []):
            yield "Secret", secret["name"]
    if found["kind"] == "RoleBinding":
        yield found["roleRef"]["kind"], found["roleRef"]["name"]
        for subject in found["subjects"]:
            yield subject["kind"], subject["name"]
    if found["kind"] == "HorizontalPodAutoscaler":
        yield found["spec"]["scaleTargetRef"]["kind"], found["spec"]["scaleTargetRef"]["name"]
    if found["kind"] == "InferenceService":
        yield "ServingRuntime", found["spec"]["predictor"]["model"]["runtime"]
        yield "ServiceAccount", found["spec"]["predictor"]["serviceAccountName"]


def core_problems(objects: list[Object]) -> list[str]:
    """What Kubernetes' own schemas refuse, unknown fields included."""
    import kubernetes_validate

    problems = []
    for found in objects:
        if group_of(found) not in CORE_GROUPS:
            continue
        try:
            kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{name_of(found)}: {'.'.join(str(part) for part in error.path)}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError:
            problems.append(f"{name_of(found)}: Kubernetes has no {found['apiVersion']} {found['kind']}")
    return problems


def read_crds(path: Path) -> dict[tuple[str, str], Object]:
    """The schema of each served version, by apiVersion and kind, from CustomResourceDefinitions in a YAML file.

    A List, as kubectl writes it, and several documents are read alike.
    """
    schemas = {}
    for document in yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        for crd in document.get("items", [document]) if document else []:
            if crd.get("kind") != "CustomResourceDefinition":
                continue
            for version in crd["spec"]["versions"]:
                api = f"{crd['spec']['group']}/{version['name']}"
                schemas[(api, crd["spec"]["names"]["kind"])] = _strict(version["schema"]["openAPIV3Schema"])
    return schemas


def kept_schemas() -> dict[tuple[str, str], Object]:
    """The schemas in manifests/schemas, by apiVersion and kind; README.md there says where they are from."""
    return {key: schema for file in sorted(SCHEMAS.glob("*.yaml")) for key, schema in read_crds(file).items()}


def _strict(schema: Any) -> Any:
    """The same schema, in which a field that it does not name is an error: the API server would drop it silently."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not open_ended:
        strict.setdefault("additionalProperties", False)
    return strict


def custom_problems(objects: list[Object], schemas: dict[tuple[str, str], Object]) -> list[str]:
    """What the schemas of custom resources refuse; a kind without a schema is a problem."""
    import jsonschema

    problems = []
    for found in objects:
        if group_of(found) in CORE_GROUPS:
            continue
        schema = schemas.get((found["apiVersion"], found["kind"]))
        if schema is None:
            problems.append(f"{name_of(found)}: no schema for {found['apiVersion']} {found['kind']}")
            continue
        # metadata is Kubernetes' own, which a custom resource's schema only names
        body = {key: value for key, value in found.items() if key != "metadata"}
        errors = jsonschema.Draft202012Validator(schema).iter_errors(body)
        problems += [f"{name_of(found)}: {error.json_path}: {error.message}" for error in errors]
    return problems


def unbuilt(objects: list[Object]) -> list[str]:
    """The images that this project builds, and that nobody built yet."""
    images = {container["image"] for pod in pods(objects) for container in pod.containers}
    return sorted(image.partition("@")[0] for image in images if image.endswith(UNBUILT))


def main(argv: list[str] | None = None) -> int:
    """Check overlays, print what was found."""
    parser = argparse.ArgumentParser(prog="python -m manifests.check", description="Check manifests without a cluster.")
    parser.add_argument("overlays", nargs="*", type=Path, default=sorted(OVERLAYS.iterdir()), metavar="OVERLAY")
    parser.add_argument("--crds", type=Path, help="YAML of CustomResourceDefinitions to validate custom resources by")
    arguments = parser.parse_args(argv)
    schemas = kept_schemas() | (read_crds(arguments.crds) if arguments.crds else {})
    failed = False
    for overlay in arguments.overlays:
        objects = render(overlay)
        problems = [
            *core_problems(objects),
            *custom_problems(objects, schemas),
            *reference_problems(objects),
            *policy_problems(objects),
        ]
        for problem in problems:
            print(f"{overlay.name}: PROBLEM {problem}")
        for image in unbuilt(objects):
            print(f"{overlay.name}: note: {image}: not built yet (docs/kubernetes.md, Images)")
        print(f"{overlay.name}: {len(objects)} objects, {len(problems)} problems")
        failed = failed or bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
