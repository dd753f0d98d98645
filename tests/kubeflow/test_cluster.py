"""cluster.yaml: what is given for a stage replaces the defaults, what is wrong is named, and an image has a digest."""

from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.kubeflow.cluster import OWN_TASKS, Cluster, SecretKey, read_cluster
from shoplens.stages import STAGES

ROOT = Path(__file__).parents[2]
TEXT = """
defaults:
  memory: 4Gi
  env: {MLFLOW_TRACKING_URI: "http://mlflow:5000"}
  secrets: {KEY: {secret: storage, key: id}}
  retries: {times: 2, wait: 5m, factor: 1}
stages:
  train:
    gpus: 2
    retries: {times: 4}
    env: {WORKERS: "8"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_a_stage_has_the_defaults_and_what_is_its_own(tmp_path: Path) -> None:
    cluster = read_cluster(written(tmp_path, TEXT))
    train, embed = cluster.needs("train"), cluster.needs("embed")
    assert (train.memory, train.gpus) == ("4Gi", 2)
    assert train.env == {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "WORKERS": "8"}
    assert train.secrets == embed.secrets == {"KEY": SecretKey(secret="storage", key="id")}
    assert train.retries.model_dump() == {"times": 4, "wait": "5m", "factor": 1}
    assert (embed.gpus, embed.env) == (0, {"MLFLOW_TRACKING_URI": "http://mlflow:5000"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imgae: x", r"cluster.yaml: imgae: unknown key; did you mean 'image'\?"),
        ("stages: {trian: {gpus: 1}}", r"stages.trian: unknown task; did you mean 'train'\?"),
        ("stages: {train: {gpu: 1}}", r"stages.train.gpu: unknown key; did you mean 'gpus'\?"),
        ("defaults: {memory: 4G}", r"defaults.memory: .*pattern"),
        ("defaults: {timeout: 90}", r"defaults.timeout: "),
        ("defaults: {secrets: {KEY: abc}}", r"defaults.secrets.KEY: must be keys with values"),
        ("defaults: {env: {KEY: a}, secrets: {KEY: {secret: s, key: k}}}", r"KEY: given as env and as a secret"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=message):
        read_cluster(written(tmp_path, text))


def test_a_stage_cannot_turn_a_secret_of_all_into_plain_text(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=r"stages\.embed: KEY: given as env and as a secret"):
        read_cluster(written(tmp_path, f"{TEXT}  embed: {{env: {{KEY: plain}}}}\n"))


def test_an_image_needs_its_digest() -> None:
    pinned = f"registry.example.com:5000/team/shoplens@sha256:{'0a' * 32}"
    assert Cluster(image=pinned).pinned_image() == pinned
    for image in (None, "shoplens", "shoplens:1.0", "shoplens@sha256:12", f"shoplens@sha256:{'A' * 64}"):
        with pytest.raises(ShoplensError, match=r"(?s)make image.*sha256|sha256.*make image"):
            Cluster(image=image).pinned_image()


def test_the_longest_time_with_retries_counts_tries_and_waits() -> None:
    retries = Cluster.model_validate(
        {"defaults": {"retries": {"times": 3, "wait": "1m", "factor": 2}}}
    ).defaults.retries
    assert retries.longest_s(timeout_s=100) == 4 * 100 + 60 + 120 + 240


def test_the_committed_file_names_only_what_there_is() -> None:
    cluster = read_cluster(ROOT / "cluster.yaml")
    assert cluster.image is None  # every team builds its own
    assert set(cluster.stages) <= {stage.name for stage in STAGES} | set(OWN_TASKS)
    assert cluster.needs("refuse").retries.times == 0
    for task in (*OWN_TASKS, *(stage.name for stage in STAGES)):
        needs = cluster.needs(task)
        assert not [name for name in needs.env if "KEY" in name or "TOKEN" in name or "PASSWORD" in name]
