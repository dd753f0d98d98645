"""What cluster.yaml asks for is in the manifests: claims, config maps, secrets, services, accounts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from images.dockerfile import steps

from manifests.check import SECRETS, Object, core_problems, pods, policy_problems, reference_problems, render
from shoplens.cli import parser as cli_parser
from shoplens.kubeflow.cluster import Needs, read_cluster
from shoplens.kubeflow.options import parser
from shoplens.serving.target import Target
from shoplens.strict import parse

ROOT = Path(__file__).parents[2]
Rendered = dict[str, list[Object]]


@pytest.fixture(scope="module")
def needs() -> list[Needs]:
    """Of every task that cluster.yaml names."""
    cluster = read_cluster(ROOT / "cluster.yaml")
    return [cluster.needs(task) for task in cluster.stages]


def names(objects: list[Object], kind: str) -> set[str]:
    return {found["metadata"]["name"] for found in objects if found["kind"] == kind}


def named(objects: list[Object], kind: str, name: str) -> Object:
    [found] = [found for found in objects if (found["kind"], found["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("overlay", ["gpu", "local"])
def test_what_tasks_mount_is_there(rendered: Rendered, needs: list[Needs], overlay: str) -> None:
    assert {claim for need in needs for claim in need.volumes} <= names(rendered[overlay], "PersistentVolumeClaim")
    assert {name for need in needs for name in need.config_maps} <= names(rendered[overlay], "ConfigMap")


@pytest.mark.parametrize("overlay", ["gpu", "local"])
def test_volumes_are_writable_for_the_user_of_the_image_whoever_mounts_them(rendered: Rendered, overlay: str) -> None:
    [user] = re.findall(r"^USER (\d+):\1$", (ROOT / "images" / "train.Dockerfile").read_text(), re.MULTILINE)
    for pod in pods(rendered[overlay]):
        claims = {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod.spec.get("volumes", [])}
        if claims & {"shoplens-home", "triton-repository"}:
            assert pod.spec["securityContext"]["fsGroup"] == int(user), pod.where


def test_no_volume_of_a_task_hides_a_part_of_the_image(needs: list[Needs]) -> None:
    dockerfile = ROOT / "images" / "train.Dockerfile"
    copied = {
        text.split()[-1] for name, text in steps(dockerfile) if name == "COPY" and text.split()[-1].startswith("/")
    }
    mounted = {folder for need in needs for folder in (*need.volumes.values(), *need.config_maps.values())}
    assert copied and not [
        (part, folder) for part in copied for folder in mounted if f"{part}/".startswith(f"{folder}/")
    ]


def test_secrets_of_tasks_are_among_those_that_the_docs_make(needs: list[Needs]) -> None:
    used = {(key.secret, key.key) for need in needs for key in need.secrets.values()}
    assert {secret for secret, _ in used} <= SECRETS
    said = (ROOT / "docs" / "kubeflow.md").read_text()
    for secret, key in used:
        [made] = [part for part in said.split("kubectl ") if f"create secret generic {secret} " in part]
        assert f"--from-literal={key}=" in made


@pytest.mark.parametrize("overlay", ["gpu", "local"])
def test_the_registry_that_tasks_write_to_is_a_service(rendered: Rendered, needs: list[Needs], overlay: str) -> None:
    for need in needs:
        address = urlsplit(need.env["MLFLOW_TRACKING_URI"])
        ports = named(rendered[overlay], "Service", str(address.hostname))["spec"]["ports"]
        assert address.port in [port["port"] for port in ports]


@pytest.mark.parametrize(("overlay", "variant"), [("gpu", "gpu"), ("local", "embedded")])
def test_the_servers_that_a_run_deploys_to_are_triton_s_pods(rendered: Rendered, overlay: str, variant: str) -> None:
    text = named(rendered[overlay], "ConfigMap", "shoplens-target")["data"]["target.yaml"]
    target = parse(Target, yaml.safe_load(text), "target.yaml")
    [address] = target.servers
    service = named(rendered[overlay], "Service", address.partition(":")[0])
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
    assert int(address.partition(":")[2]) in [port["port"] for port in service["spec"]["ports"]]
    assert target.variant == variant
    deploy = read_cluster(ROOT / "cluster.yaml").needs("deploy")
    assert deploy.volumes["triton-repository"] == target.repository
    assert target.key is not None and target.key.variable in deploy.secrets
    [triton] = named(rendered[overlay], "Deployment", "triton")["spec"]["template"]["spec"]["containers"]
    assert any(f":{target.key.header}=$(" in argument for argument in triton["args"])


def test_a_rollback_by_hand_finds_all_it_needs_in_either_overlay(rendered: Rendered) -> None:
    [job] = render(ROOT / "manifests" / "rollback")
    for overlay in ("gpu", "local"):
        objects = [*rendered[overlay], job]
        assert [*core_problems([job]), *reference_problems(objects), *policy_problems([job])] == []
        target = parse(
            Target, yaml.safe_load(named(objects, "ConfigMap", "shoplens-target")["data"]["target.yaml"]), ""
        )
        [container] = job["spec"]["template"]["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["repository"] == target.repository
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values["SHOPLENS_TARGET"] == f"{mounts['target']}/target.yaml"
    assert cli_parser().parse_args([*container["command"][1:], *container["args"]]).command == "rollback"


@pytest.fixture(scope="module")
def deploying_to_s3(tmp_path_factory: pytest.TempPathFactory) -> Needs:
    """Of stage deploy, with the lines of the page in cluster.yaml."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    [lines] = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "AWS_ENDPOINT_URL" in block]
    whole = (ROOT / "cluster.yaml").read_text()
    changed = tmp_path_factory.mktemp("cluster") / "cluster.yaml"
    changed.write_text(whole[: whole.index("  deploy:\n")] + lines)  # it is the last stage
    return read_cluster(changed).needs("deploy")


def test_with_models_on_s3_stage_deploy_writes_where_triton_reads(rendered: Rendered, deploying_to_s3: Needs) -> None:
    storage = next(found["data"] for found in rendered["s3"] if found["metadata"]["name"].startswith("triton-storage-"))
    assert not deploying_to_s3.volumes and set(deploying_to_s3.config_maps) <= names(rendered["s3"], "ConfigMap")
    assert deploying_to_s3.env["AWS_ENDPOINT_URL"] == storage["endpoint"]
    assert deploying_to_s3.env["AWS_DEFAULT_REGION"] == storage["region"]
    text = named(rendered["s3"], "ConfigMap", "shoplens-target")["data"]["target.yaml"]
    target = parse(Target, yaml.safe_load(text), "target.yaml")
    assert target.key is not None
    assert set(deploying_to_s3.secrets) == {target.key.variable, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert target.repository == f"s3://{storage['bucket']}/{storage['prefix']}"


def test_with_models_on_s3_a_rollback_by_hand_takes_the_component_and_no_volume(
    rendered: Rendered, deploying_to_s3: Needs, tmp_path: Path
) -> None:
    for folder in ("images", "rollback", "s3"):
        shutil.copytree(ROOT / "manifests" / folder, tmp_path / folder)
    chosen = tmp_path / "rollback" / "kustomization.yaml"
    chosen.write_text(chosen.read_text() + "  - ../s3\n")  # components come last
    objects = render(tmp_path / "rollback")
    assert [*core_problems(objects), *policy_problems(objects)] == []
    assert reference_problems([*rendered["s3"], *objects]) == []
    job = named(objects, "Job", "shoplens-rollback")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert "triton-repository" not in str(job) and "/srv/shoplens" not in str(container["volumeMounts"])
    given = {variable["name"] for variable in container["env"]}
    assert given >= {*deploying_to_s3.env, *deploying_to_s3.secrets} - {"GX_ANALYTICS_ENABLED"}


def test_the_nightly_run_submits_with_its_own_image_and_the_token_that_submit_looks_for(rendered: Rendered) -> None:
    pod = named(rendered["gpu"], "CronJob", "shoplens-nightly")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values["IMAGE"] == container["image"]
    arguments = parser(ROOT).parse_args([*container["command"][2:], *container["args"]])
    assert arguments.service_account in names(rendered["gpu"], "ServiceAccount")
    [mount] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "token"]
    [token] = [volume["projected"]["sources"][0] for volume in pod["volumes"] if volume["name"] == "token"]
    assert f"{mount}/{token['serviceAccountToken']['path']}" == "/var/run/secrets/kubeflow/pipelines/token"
