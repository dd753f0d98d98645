"""Stage train as a TrainJob: what it asks a cluster for, and what comes of success, failure and waiting.

The cluster is a fake of the Kubernetes API (training.fake_kubernetes); the SDK and the client that talk to it are real.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.csv as csv
import pytest
from training.fake_kubernetes import OWN_POD, FakeJob, FakeKubernetes, run_nodes, served
from training.small import PARAMS

from manifests.check import custom_problems, kept_schemas
from shoplens.artifacts import digest_of, read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder, write_json
from shoplens.params import TrainParams, read_params
from shoplens.training import follow_job
from shoplens.training.torchrun import LAUNCHER, ONE_MACHINE, arguments, lay_out, train_in_processes
from shoplens.training.train_job import train_on_cluster

IMAGE = "registry.example/shoplens@sha256:" + "a" * 64
RECIPES = Path(__file__).parents[2] / "recipes"
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
ENVIRONMENT = {"SHOPLENS_HOME", "NCCL_SOCKET_IFNAME"}


class Cluster:
    """The fake, the stage's inputs beside it, and a home folder on a claim of its own."""

    def __init__(self, fake: FakeKubernetes, root: Path) -> None:
        self.fake, self.root, self.out = fake, root, root / "out"
        self.inputs = {"data": root / "pod/data", "prepare": root / "pod/prepare"}
        self.inputs["data"].mkdir(parents=True)
        (self.inputs["data"] / "listings.parquet").write_bytes(b"rows")
        with write_artifact(self.inputs["prepare"], "prepare", {"data": self.inputs["data"]}, {}):
            pass

    def train(self, params: TrainParams = PARAMS, nodes: int = 2, gpus: int = 8, **waiting: float) -> None:
        waiting = {"poll_s": 0.02} | waiting
        train_on_cluster(self.inputs, self.out, params, nodes=nodes, gpus=gpus, image=IMAGE, **waiting)

    @property
    def job(self) -> FakeJob:
        """The only one."""
        (job,) = self.fake.jobs.values()
        return job


def folder_of(job: FakeJob) -> Path:
    return Path(job.trainer["args"][job.trainer["args"].index("--params") + 1]).parent


def trained(job: FakeJob) -> None:
    """Play a job whose first node writes what stage train writes."""
    folder = folder_of(job)
    inputs = {"data": folder / "data", "prepare": folder / "artifacts/prepare"}
    params = read_params(folder / "params.yaml").train
    with write_artifact(folder / "artifacts/train", "train", inputs, params.model_dump(mode="json")) as out:
        write_json(out / "metrics.json", {"epochs": 1})
    job.logs[0] = "Epoch 1: training loss 0.5\n"
    job.end("Complete")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    home = tmp_path / "volume" / "home"
    home.mkdir(parents=True)
    mounts = {"team-home": str(home.parent), "shared-memory": "/dev/shm", "scratch": str(tmp_path / "pod")}
    own_pod = {
        "metadata": {"name": OWN_POD},
        "spec": {
            "nodeSelector": {"gpu": "H200"},
            "tolerations": [TOLERATION],
            "volumes": [
                {"name": "team-home", "persistentVolumeClaim": {"claimName": "shoplens-home"}},
                {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
                {"name": "scratch", "emptyDir": {}},
            ],
            "containers": [
                {"name": "wait", "image": "argo"},
                {
                    "name": "main",
                    "image": IMAGE,
                    "resources": {"limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}},
                    "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
                },
            ],
        },
    }
    fake = FakeKubernetes(own_pod, {"shoplens-home": ["ReadWriteMany"]}, trained)
    monkeypatch.setenv("SHOPLENS_HOME", str(home))
    monkeypatch.setenv("KFP_POD_NAME", OWN_POD)
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "eth0")
    for name in [name for name in os.environ if name.startswith(("OMP_", "HF_", "TORCH_", "GLOO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", "a secret, which no manifest may hold")
    with served(fake, tmp_path) as kubeconfig:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield Cluster(fake, tmp_path)


# --- what is asked for -----------------------------------------------------------------------------------------------


def kept(cluster: Cluster) -> Callable[[FakeJob], None]:
    """Play a job that succeeds, and keep it for the test although it is deleted."""

    def play(job: FakeJob) -> None:
        cluster.seen = job  # type: ignore[attr-defined]
        trained(job)

    return play


def submitted(cluster: Cluster, **arguments: Any) -> dict[str, Any]:
    cluster.fake.play = kept(cluster)
    cluster.train(**arguments)
    return dict(cluster.seen.manifest)  # type: ignore[attr-defined]


def test_the_nodes_run_the_arguments_of_two_local_processes_but_for_where_they_meet(cluster: Cluster) -> None:
    """tests/training/test_processes.py runs these arguments in two processes."""
    trainer = submitted(cluster, gpus=2)["spec"]["trainer"]
    folder = next(Path(word).parent for word in trainer["args"] if word.endswith("params.yaml"))
    local = [*LAUNCHER, *ONE_MACHINE, *arguments(folder, 2)]
    assert trainer["command"][0] == "python"
    assert [*trainer["command"][1:], *ONE_MACHINE, *trainer["args"]] == local


def test_a_job_asks_for_nodes_gpus_image_and_what_its_own_pod_has(cluster: Cluster) -> None:
    spec = submitted(cluster, nodes=3)["spec"]
    trainer = spec["trainer"]
    assert (trainer["numNodes"], trainer["image"]) == (3, IMAGE)
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "8"}
    assert {variable["name"] for variable in trainer["env"]} == ENVIRONMENT
    assert {"name": "SHOPLENS_HOME", "value": os.environ["SHOPLENS_HOME"]} in trainer["env"]
    assert spec["runtimeRef"] == {"name": "shoplens-torch", "kind": "TrainingRuntime"}
    (patch,) = spec["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["team-home", "shared-memory"], "no other pod sees scratch"
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]][1] == "/dev/shm"
    assert (node["name"], pod["containers"][0]["name"]) == ("node", "node")
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"gpu": "H200"}, [TOLERATION])


def test_the_nodes_ask_for_the_accelerator_that_cluster_yaml_names(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPLENS_ACCELERATOR", "example.com/gpu")
    trainer = submitted(cluster)["spec"]["trainer"]
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "8", "memory": "32Gi", "example.com/gpu": "8"}


def test_without_gpus_a_node_trains_in_one_process(cluster: Cluster) -> None:
    trainer = submitted(cluster, gpus=0)["spec"]["trainer"]
    assert "nvidia.com/gpu" not in trainer["resourcesPerNode"]["limits"]
    assert trainer["args"][:2] == ["--nproc-per-node", "1"]


def test_the_manifest_is_valid_by_trainer_s_own_schema(cluster: Cluster) -> None:
    assert custom_problems([submitted(cluster)], kept_schemas()) == []


def test_the_pinterest_recipe_trains_on_two_nodes_of_eight_gpus(cluster: Cluster) -> None:
    recipe = read_params(RECIPES / "pinterest.yaml").train
    seen: list[TrainParams] = []

    def play(job: FakeJob) -> None:
        seen.append(read_params(folder_of(job) / "params.yaml").train)
        trained(job)

    cluster.fake.play = play
    cluster.train(recipe)
    assert seen == [recipe]
    assert read_artifact(cluster.out, "train").params == recipe.model_dump(mode="json")


# --- success ---------------------------------------------------------------------------------------------------------


def test_the_result_is_collected_and_what_was_lent_is_given_back(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.train()
    found = read_artifact(cluster.out, "train", cluster.inputs)
    assert found.params == PARAMS.model_dump(mode="json")
    assert list((cluster.root / "volume/home/trainjobs").iterdir()) == [], "copies of inputs"
    assert len(cluster.fake.deleted) == 1 and not cluster.fake.jobs
    said = capfd.readouterr().err
    assert "is started" in said
    assert "Epoch 1: training loss 0.5" in said, "the first node speaks"


def test_inputs_on_the_volume_are_used_in_place_and_others_are_copied(cluster: Cluster) -> None:
    shared = cluster.root / "volume" / "data"
    cluster.inputs["data"].rename(shared)
    cluster.inputs["data"] = shared
    links: dict[str, bool] = {}

    def play(job: FakeJob) -> None:
        folder = folder_of(job)
        links.update(data=(folder / "data").is_symlink(), prepare=(folder / "artifacts/prepare").is_symlink())
        assert digest_of(folder / "artifacts/prepare") == digest_of(cluster.inputs["prepare"])
        trained(job)

    cluster.fake.play = play
    cluster.train()
    assert links == {"data": True, "prepare": False}
    assert digest_folder(shared), "what is linked is not removed with the links"
    read_artifact(cluster.out, "train", cluster.inputs)


def test_progress_says_how_many_nodes_run(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    def play(job: FakeJob) -> None:
        pods, looks = job.pods, itertools.count()

        def one_look_further() -> list[dict[str, Any]]:
            look = next(looks)
            if look < 10:
                job.phases = ["Running", "Running" if look else "Pending"]
            elif not job.condition:
                trained(job)
            return pods()

        job.pods = one_look_further  # type: ignore[method-assign]

    cluster.fake.play = play
    cluster.train()
    assert re.findall(r"(\d) of 2 nodes run", capfd.readouterr().err) == ["1", "2"]


def test_a_link_of_an_earlier_try_to_what_has_gone_is_made_anew(tmp_path: Path) -> None:
    folder, inputs = tmp_path / "job", {"data": tmp_path / "data"}
    inputs["data"].mkdir()
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path / "a pod that has ended")
    lay_out(folder, inputs, PARAMS)
    assert (folder / "data").resolve() == inputs["data"]


def test_a_job_that_runs_already_is_followed_and_not_started_twice(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    """As after the death of the pod that started it."""
    started: list[FakeJob] = []
    cluster.fake.play = started.append
    with pytest.raises(ShoplensError, match="only 0 of 2"):
        cluster.train(pending_s=0.0)
    (job,) = started
    trained_again = FakeJob(job.manifest)
    cluster.fake.jobs[job.name] = trained_again
    cluster.fake.deleted.clear()
    places = [folder_of(job) / name for name in ("params.yaml", "data", "artifacts/prepare")]

    def finish() -> None:
        while not all(place.exists() for place in places):
            time.sleep(0.01)
        trained(trained_again)

    threading.Thread(target=finish, daemon=True).start()
    cluster.train()
    assert len(started) == 1
    assert "is there already" in capfd.readouterr().err
    read_artifact(cluster.out, "train", cluster.inputs)


# --- failure ---------------------------------------------------------------------------------------------------------


def failed(job: FakeJob) -> None:
    """The second node fails, and its torchrun reports that at length."""
    said = [*(f"line {i}" for i in range(300)), "shoplens: training loss is nan in epoch 1"]
    torchrun = ["E1121 x/torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1)", *["..."] * 40]
    job.logs = {1: "\n".join([*said, *torchrun])}
    job.end("Failed", "jobset failed due to one or more job failures")
    job.phases[0] = "Running"


def test_a_failure_gives_the_trainer_s_message_and_the_failed_node_s_last_lines(cluster: Cluster) -> None:
    cluster.fake.play = failed
    with pytest.raises(ShoplensError, match="failed: jobset failed due to one or more job failures") as caught:
        cluster.train()
    assert str(caught.value).endswith("shoplens: training loss is nan in epoch 1")
    assert f"{cluster.job.pod_name(1)} said last:\nline 281\n" in str(caught.value)
    assert cluster.fake.deleted == [], "it is left to be looked at"
    assert not cluster.out.exists()


def test_after_a_failure_the_next_run_starts_a_job_of_the_same_training(cluster: Cluster) -> None:
    """It finds the checkpoint by parameters, digests and number of processes, in the same home folder."""
    cluster.fake.play = failed
    with pytest.raises(ShoplensError, match="failed"):
        cluster.train()
    first = cluster.job
    cluster.fake.play = kept(cluster)
    cluster.train()
    second: FakeJob = cluster.seen  # type: ignore[attr-defined]
    assert second.name != first.name
    assert second.manifest["spec"] == first.manifest["spec"]


def test_other_parameters_are_another_job(cluster: Cluster) -> None:
    cluster.fake.play = failed
    for seed in (1, 2):
        with pytest.raises(ShoplensError, match="failed"):
            cluster.train(PARAMS.model_copy(update={"seed": seed}))
    assert len(cluster.fake.jobs) == 2
    assert all(name.endswith("-1") for name in cluster.fake.jobs)


def test_a_job_that_is_never_scheduled_is_given_up_with_the_scheduler_s_reason(cluster: Cluster) -> None:
    def play(job: FakeJob) -> None:
        job.phases, job.reason = ["Pending", "Pending"], "0/5 nodes are available: 5 Insufficient nvidia.com/gpu."

    cluster.fake.play = play
    with pytest.raises(ShoplensError, match=r"only 0 of 2 nodes run after 0 s: 0/5 nodes .* Insufficient nvidia"):
        cluster.train(pending_s=0.2)
    assert not cluster.fake.jobs and len(cluster.fake.deleted) == 1


def test_a_job_that_somebody_deletes_is_missed(cluster: Cluster) -> None:
    cluster.fake.play = lambda job: threading.Timer(0.2, lambda: cluster.fake.jobs.pop(job.name)).start()
    with pytest.raises(ShoplensError, match="was deleted while it trained"):
        cluster.train()


def test_what_the_cluster_refuses_is_said(cluster: Cluster) -> None:
    cluster.fake.refusal = "exceeded quota: gpus"
    with pytest.raises(ShoplensError, match=r"Failed to create TrainJob: team/shoplens-train-.*exceeded quota: gpus"):
        cluster.train()


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (403, "must be allowed to get trainjobs of trainer.kubeflow.org and to list pods (manifests/base/access)"),
        (500, "run the stage again when the cluster is well"),
    ],
)
def test_a_cluster_that_does_not_tell_whether_there_is_a_job_is_said(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    answer = cluster.fake.answer
    monkeypatch.setattr(
        cluster.fake,
        "answer",
        lambda method, url, body: (code, "not told") if "/trainjobs/" in url else answer(method, url, body),
    )
    with pytest.raises(ShoplensError) as refused:
        cluster.train()
    said = str(refused.value)
    assert said.startswith("whether there is a TrainJob shoplens-train-") and said.endswith(remedy)
    assert "in namespace team" in said and f"({code} " in said and "not told" in said
    assert cluster.fake.jobs == {}


def test_an_api_that_is_away_for_a_moment_does_not_end_the_training(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, broken = cluster.fake.answer, iter([500, 503])

    def shaky(method: str, url: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        code = next(broken, None) if "trainjobs/" in url and cluster.fake.jobs else None
        return (code, {"message": "away"}) if code else answer(method, url, body)

    monkeypatch.setattr(cluster.fake, "answer", shaky)
    cluster.train()
    assert next(broken, None) is None
    read_artifact(cluster.out, "train", cluster.inputs)


def test_a_cluster_that_stays_away_is_given_up_and_the_job_is_left_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = cluster.fake.answer
    monkeypatch.setattr(follow_job, "LOST_S", 0.1)
    monkeypatch.setattr(
        cluster.fake,
        "answer",
        lambda *call: (500, {"message": "away"}) if cluster.fake.jobs else answer(*call),
    )
    with pytest.raises(ShoplensError, match=r"out of sight \(ApiException\); it may still train: run the stage again"):
        cluster.train()
    assert cluster.fake.deleted == [] and len(cluster.fake.jobs) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_the_end_of_the_pod_end_the_job(cluster: Cluster, number: int) -> None:
    def play(job: FakeJob) -> None:
        job.phases = ["Running", "Running"]
        threading.Timer(0.3, lambda: os.kill(os.getpid(), number)).start()

    cluster.fake.play = play
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        cluster.train()
    assert not cluster.fake.jobs and len(cluster.fake.deleted) == 1
    assert signal.getsignal(signal.SIGTERM) is before
    assert not cluster.out.exists()


# --- storage that all nodes see --------------------------------------------------------------------------------------


def test_a_home_folder_on_no_persistent_volume_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_HOME", str(cluster.root / "pod" / "home"))
    with pytest.raises(ShoplensError, match=r"is not on a persistent volume of this pod, .* stages.train.volumes"):
        cluster.train()
    assert not cluster.fake.jobs


def test_a_claim_that_one_node_alone_can_mount_is_refused(cluster: Cluster) -> None:
    cluster.fake.access_modes["shoplens-home"] = ["ReadWriteOnce"]
    with pytest.raises(ShoplensError, match=r"claim shoplens-home at .* is ReadWriteOnce: .* on a ReadWriteMany one"):
        cluster.train()
    assert not cluster.fake.jobs


def test_outside_of_a_pod_it_is_said_so(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_POD_NAME", "laptop")
    with pytest.raises(ShoplensError, match=r"no pod laptop in namespace team: .* from inside a pod only"):
        cluster.train()


def test_a_right_that_is_missing_is_named(cluster: Cluster) -> None:
    cluster.fake.forbidden = "/persistentvolumeclaims"
    with pytest.raises(ShoplensError, match="may not get persistentvolumeclaims of namespace team"):
        cluster.train()


@pytest.mark.parametrize("asked", ["/pods/", "/trainjobs/"])
def test_a_cluster_that_does_not_answer_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    answer = cluster.fake.answer

    def away(method: str, url: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        if asked in url:
            raise ConnectionResetError  # the connection ends without an answer
        return answer(method, url, body)

    monkeypatch.setattr(cluster.fake, "answer", away)
    with pytest.raises(ShoplensError, match=r"does not answer .*: run the stage again when it does$"):
        cluster.train()
    assert cluster.fake.jobs == {}


def test_without_a_cluster_it_is_said_so(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere")
    with pytest.raises(ShoplensError, match="there is no Kubernetes to train on"):
        cluster.train()


# --- for real --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_nodes_that_are_killed_train_to_the_end_when_they_are_started_again(
    cluster: Cluster, marketplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The manifest's own command, as two torchruns that meet as Trainer tells them; killed at the first checkpoint."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    params = PARAMS.model_copy(update={"batch_photos": 18, "max_epochs": 8})
    cluster.inputs = {"data": marketplace / "data", "prepare": marketplace / "artifacts/prepare"}
    checkpoints = cluster.root / "volume/home/checkpoints"
    cluster.fake.play = lambda job: run_nodes(job, lambda: any(checkpoints.rglob("checkpoint.pt")))
    with pytest.raises(ShoplensError, match="failed: jobset failed due to one or more job failures") as killed:
        cluster.train(params, gpus=0, pending_s=600)
    assert "Epoch 1: training loss" in str(killed.value)
    cluster.fake.play = run_nodes
    cluster.train(params, gpus=0, pending_s=600)
    said = capfd.readouterr().err
    assert "Resuming at epoch" in said
    assert "on cpu and 1 more: " in said, "the two nodes train one model"
    read_artifact(cluster.out, "train", cluster.inputs)
    assert csv.read_csv(cluster.out / "history.csv")["epoch"].to_pylist() == list(range(1, 9))


def test_processes_of_this_machine_that_fail_leave_no_output(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shoplens.training.torchrun.LAUNCHER", ("-c", "raise SystemExit(3)"))
    with pytest.raises(ShoplensError, match="training in 2 processes failed: the reason stands above"):
        train_in_processes(cluster.inputs, tmp_path / "local", PARAMS, 2)
    assert not (tmp_path / "local").exists()
    assert list((cluster.root / "volume/home").iterdir()) == []
