"""deploy --target and rollback --target against real tritonserver processes with the manifests' own arguments."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from serving.remote import KEY, MANIFESTS, Pod, manifest_arguments, running, workers
from serving.test_deploy_stage import register_version
from serving.tiny import SIZE, TinyEncoder, make_photo, training_path

from shoplens.artifacts import digest_of, write_artifact
from shoplens.cli import main
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.promotion import registry
from shoplens.serving import live, switch
from shoplens.serving.client import embed_gallery, loaded_models, served_slot
from shoplens.serving.deploy import deploy_version
from shoplens.serving.examples import Answers, check_answers
from shoplens.serving.target import HEADER_PREFIX, Target, choosing, chosen, place_of
from shoplens.strict import read_yaml

MODEL = "tiny"
PHOTOS = [make_photo(seed, 180, 140) for seed in (1, 2, 3)]
HEADERS = {f"{HEADER_PREFIX}shoplens-admin": KEY}
MakePackage = Callable[..., Path]


@pytest.fixture
def deployer(live_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows the servers' key and has a home of its own."""
    monkeypatch.setenv("TRITON_ADMIN_KEY", KEY)
    return live_home


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The folder that all pods mount."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def pod(volume: Path) -> Iterator[Pod]:
    yield from (pods[0] for pods in running(volume))


@pytest.fixture
def two_pods(volume: Path) -> Iterator[tuple[Pod, ...]]:
    yield from running(volume, volume)


def target_file(folder: Path, *pods: Pod, wait_s: float = 30.0) -> Path:
    path = folder.parent / "target.yaml"
    target = {
        "servers": [pod.url for pod in pods],
        "repository": str(folder),
        "variant": "embedded",
        "key": {"header": "shoplens-admin", "variable": "TRITON_ADMIN_KEY"},
        "wait_s": wait_s,
    }
    path.write_text(yaml.safe_dump(target))
    return path


def deploy_to(file: Path, package: Path, version: str) -> None:
    with choosing(file):
        deploy_version(package, MODEL, version)


def served_by(pod: Pod) -> list[int]:
    """Which of the tiny encoders gives the answer that the server gives."""
    answer = embed_gallery(pod.url, PHOTOS).embedding
    seeds = (1, 2, 3)
    return [s for s in seeds if np.allclose(answer, training_path(TinyEncoder(s).eval(), PHOTOS, SIZE), atol=1e-5)]


def loaded(pod: Pod, version: str) -> bool:
    return any(f"_v{version}_" in name for name in loaded_models(pod.url, HEADERS))


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within a minute"
        time.sleep(0.05)


VALID = {"servers": ["triton-pods:8001"], "repository": "."}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"server": "x:1"}, "target.yaml: server: unknown key; did you mean 'servers'?"),
        ({"servers": []}, "target.yaml: servers: has too few entries"),
        ({"servers": ["http://triton:8000"]}, "'http://triton:8000' is not host:port, the gRPC address of a server"),
        ({"servers": ["triton"]}, "'triton' is not host:port"),
        ({"repository": "gs://models"}, "'gs://models' is neither a folder nor s3://bucket/prefix"),
        ({"repository": "none"}, "none is not a folder: mount the volume"),
        ({"variant": "cpu"}, "target.yaml: variant:"),
        ({"wait_s": -1}, "target.yaml: wait_s:"),
        ({"key": {"header": "shoplens-admin"}}, "target.yaml: key.variable:"),
        ({"key": {"header": "a", "variable": "sesame!"}}, "target.yaml: key.variable:"),
        ({"key": {"header": "a", "variable": "NOT_SET"}}, "the environment has no NOT_SET: set it to the key"),
    ],
)
def test_a_target_that_cannot_be_meant_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("target.yaml").write_text(yaml.safe_dump(VALID | change))
    with pytest.raises(ShoplensError, match=re.escape(problem)):
        place_of(Path("target.yaml"))


def test_a_target_of_servers_and_a_repository_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("target.yaml").write_text(yaml.safe_dump(VALID))
    place = place_of(Path("target.yaml"))
    assert (place.variant, place.fleet.headers, place.store.where) == ("gpu", {}, ".")


@pytest.mark.parametrize("path", sorted(MANIFESTS.rglob("target.yaml")), ids=lambda path: path.parent.name)
def test_the_manifests_targets_fit_their_triton(path: Path) -> None:
    found = read_yaml(Target, path)
    assert found.key is not None
    key = f"{found.key.header}=$({found.key.variable})"
    restricted = [text for text in manifest_arguments() if text.startswith("--grpc-restricted-protocol=")]
    assert [text.endswith(f"model-repository,shared-memory,trace,logging:{key}") for text in restricted] == [True]
    if not found.repository.startswith("s3://"):  # overlay s3 replaces this argument: tests/manifests/test_overlays.py
        assert f"--model-repository={found.repository}/repository" in manifest_arguments()


def test_the_option_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(yaml.safe_dump(VALID))
    monkeypatch.delenv("SHOPLENS_TARGET", raising=False)
    assert chosen() is None
    with choosing(Path("a.yaml")):
        assert chosen() == Path("a.yaml")
    assert chosen() is None
    monkeypatch.setenv("SHOPLENS_TARGET", "b.yaml")
    with choosing(None):
        assert chosen() == Path("b.yaml")
    with pytest.raises(RuntimeError), choosing(Path("a.yaml")):
        raise RuntimeError
    assert chosen() == Path("b.yaml")


def test_a_target_that_is_not_there_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOPLENS_TARGET", raising=False)
    nope = tmp_path / "nope.yaml"
    with pytest.raises(ShoplensError, match=r"nope\.yaml is missing: name another one"), choosing(nope):
        raise AssertionError("the block has run")
    assert chosen() is None


@pytest.mark.slow
@pytest.mark.usefixtures("deployer")
def test_a_package_is_published_and_switched_on_a_server_that_wants_a_key(
    pod: Pod,
    volume: Path,
    make_package: MakePackage,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = target_file(volume, pod)
    deploy_to(file, make_package(1), "1")
    assert served_by(pod) == [1]
    deploy_to(file, make_package(2), "2")
    assert served_by(pod) == [2]
    assert str(served_slot(pod.url)).startswith("v2_"), "the server itself does not say which version it serves"
    embed_gallery(pod.url, PHOTOS, version="2")
    assert read_json(volume / "state.json")["version"] == "2"
    assert live.read_live() is None, "the live repository of this machine was touched"
    wait_for(lambda: not loaded(pod, "1"), "unloading the version before")

    state = {path: path.stat().st_mtime_ns for path in volume.rglob("*") if path.is_file() and path.name != ".lock"}
    capfd.readouterr()
    deploy_to(file, make_package(2), "2")
    assert "version 2 is served already" in capfd.readouterr().err
    assert all(path.stat().st_mtime_ns == changed for path, changed in state.items())

    monkeypatch.setenv("TRITON_ADMIN_KEY", "open")
    with pytest.raises(ShoplensError, match="lets nobody load models who does not know its key") as error:
        deploy_to(file, make_package(1), "3")
    assert f"Now: {pod.url} serves version 2" in str(error.value)
    assert not list(volume.glob("slots/v3_*")), "it was published although nobody could load it"
    assert served_by(pod) == [2]


@pytest.mark.slow
@pytest.mark.usefixtures("deployer")
def test_wrong_values_are_undone_and_a_server_that_starts_anew_serves_what_is_deployed(
    pod: Pod, volume: Path, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, first = target_file(volume, pod), make_package(1, ranker=1, search=True)
    with pytest.raises(ShoplensError, match="not the packaged encoder's") as error:
        deploy_to(file, make_package(1, lie=True), "1")
    assert f"Now: {pod.url} serves nothing" in str(error.value)
    assert [path.name for path in volume.glob("slots/*")] == []
    deploy_to(file, first, "1")
    state = (volume / "state.json").read_bytes()

    pointed = (volume / "repository" / "gallery" / "config.pbtxt").stat().st_mtime_ns
    with pytest.raises(ShoplensError, match="not the packaged encoder's") as error:
        deploy_to(file, make_package(2, lie=True), "2")
    assert f"Now: {pod.url} serves version 1" in str(error.value)
    now = (volume / "repository" / "gallery" / "config.pbtxt").stat().st_mtime_ns
    assert now == pointed, "it was switched before its values were compared"

    def tampered_after_the_switch(url: str, folder: Path, slot: str | None = None, **kind: float) -> Answers:
        if slot is None:
            assert served_by(pod) == [2]
            for worker in workers(pod, "encoder_v2_"):
                os.kill(worker, signal.SIGKILL)
        return check_answers(url, folder, slot, **kind)

    with monkeypatch.context() as patch, pytest.raises(ShoplensError, match="failed") as error:
        patch.setattr(switch, "check_answers", tampered_after_the_switch)
        deploy_to(file, make_package(2), "2")
    assert f"Now: {pod.url} serves version 1" in str(error.value)

    def is_as_before() -> None:
        assert served_by(pod) == [1]
        check_answers(pod.url, first / "examples")  # ranker and search as well
        assert (volume / "state.json").read_bytes() == state
        assert [path.name[:3] for path in volume.glob("slots/*")] == ["v1_"]
        assert not list(volume.glob("repository/*_v2_*"))

    is_as_before()
    wait_for(lambda: not loaded(pod, "2"), "unloading the refused version")
    deploy_to(file, make_package(2), "3")
    deploy_to(file, first, "1")
    state = (volume / "state.json").read_bytes()
    pod.kill()
    pod.start()
    pod.wait()
    assert served_by(pod) == [1]
    assert loaded(pod, "3"), "a server that starts loads all that is there"
    deploy_to(file, first, "1")
    wait_for(lambda: not loaded(pod, "3"), "giving back the memory of the version before")
    assert served_by(pod) == [1]
    assert (volume / "state.json").read_bytes() == state


@pytest.mark.slow
@pytest.mark.usefixtures("deployer")
def test_a_lost_server_is_waited_for_or_all_are_taken_back_until_a_second_run_completes(
    two_pods: tuple[Pod, Pod], volume: Path, make_package: MakePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_pods
    deploy_to(target_file(volume, one, other), make_package(1), "1")
    assert served_by(one) == served_by(other) == [1]

    killed: list[str] = []

    def dies(at_the_switch: bool, after_s: float | None) -> Callable[..., Answers]:
        """The other server dies once, beside or at the switch; it may be started again later."""

        def check(url: str, folder: Path, slot: str | None = None, **kind: float) -> Answers:
            if url == other.url and (slot is None) == at_the_switch and not killed:
                killed.append(url)
                other.kill()
                if after_s is not None:
                    threading.Timer(after_s, other.start).start()
            return check_answers(url, folder, slot, **kind)

        return check

    monkeypatch.setattr(switch, "check_answers", dies(at_the_switch=False, after_s=1.0))
    deploy_to(target_file(volume, one, other), make_package(2), "2")
    assert killed
    assert served_by(one) == served_by(other) == [2]

    killed.clear()
    file = target_file(volume, one, other, wait_s=0.5)
    monkeypatch.setattr(switch, "check_answers", dies(at_the_switch=True, after_s=None))
    with pytest.raises(ShoplensError, match=f"no Triton server answers at {other.url}") as error:
        deploy_to(file, make_package(1), "3")
    assert f"{one.url} serves version 2" in str(error.value)
    assert f"{other.url} does not answer" in str(error.value)
    assert f"A server that starts again takes version 2 from {volume}" in str(error.value)
    assert f"`shoplens deploy --target {file}`" in str(error.value)
    assert served_by(one) == [2]
    assert read_json(volume / "state.json")["version"] == "2"

    other.start()
    other.wait()
    assert served_by(other) == [2], "a server that starts again does not take what the error said"
    deploy_to(file, make_package(1), "3")
    assert served_by(one) == served_by(other) == [1]
    assert read_json(volume / "state.json")["version"] == "3"


@pytest.mark.slow
@pytest.mark.usefixtures("deployer")
def test_one_server_that_fails_takes_all_back(volume: Path, tmp_path: Path, make_package: MakePackage) -> None:
    (tmp_path / "another").mkdir()
    pods = running(volume, tmp_path / "another")
    one, other = next(pods)
    try:
        deploy_to(target_file(volume, one), make_package(1), "1")
        with pytest.raises(ShoplensError, match=f"(?s){other.url}.*failed to poll") as error:
            deploy_to(target_file(volume, one, other), make_package(2), "2")
        assert f"{one.url} serves version 1" in str(error.value)
        assert f"{other.url} serves nothing" in str(error.value)
        assert served_by(one) == [1]
        wait_for(lambda: not loaded(one, "2"), "unloading what was loaded beside")
        assert not list(volume.glob("*/*v2_*"))

        # A killed run left the server with another version than the record names: the next run puts that right.
        deploy_to(target_file(volume, one), make_package(2), "2")
        record = read_json(volume / "state.json")
        deploy_to(target_file(volume, one), make_package(1), "1")
        write_json(volume / "state.json", record)
        deploy_to(target_file(volume, one), make_package(2), "2")
        assert served_by(one) == [2]
    finally:
        pods.close()


@pytest.mark.slow
@pytest.mark.usefixtures("deployer")
def test_stage_deploy_and_rollback_take_the_target(
    pod: Pod,
    volume: Path,
    tmp_path: Path,
    make_package: MakePackage,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file, artifacts, params = target_file(volume, pod), tmp_path / "artifacts", tmp_path / "params.yaml"
    params.write_text("register: {model: tiny}\n")

    def said(*words: str | Path) -> str:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "--params", str(params)])
        streams = capfd.readouterr()
        assert ended.value.code == 0, streams.err
        return streams.out

    for seed in (1, 2):
        package = make_package(seed)
        shutil.rmtree(tmp_path / "files", ignore_errors=True)
        shutil.copytree(package, tmp_path / "files" / "package")
        version = register_version(package, tmp_path / "files")
        receipt = {"model": MODEL, "alias": "champion", "version": version, "package": digest_of(package)}
        with write_artifact(artifacts / "register", "register", {"package": package}, {}) as folder:
            write_json(folder / "receipt.json", receipt | {"ranker": {"model": "shoplens-ranker", "version": None}})
        (artifacts / "package").unlink(missing_ok=True)
        (artifacts / "package").symlink_to(package)
        if seed == 1:
            said("deploy", "--artifacts", artifacts, "--target", file)
        else:
            with monkeypatch.context() as patch:
                patch.setenv("SHOPLENS_TARGET", str(file))
                said("deploy", "--artifacts", artifacts)
        assert read_json(artifacts / "deploy" / "receipt.json")["version"] == version
        assert served_by(pod) == [seed]
    assert "Version 1 of tiny is the champion again" in said("rollback", "--to", "1", "--target", file)
    assert served_by(pod) == [1]
    assert registry.champion_version(MODEL, "champion") == "1"
    assert live.read_live() is None
    assert "SHOPLENS_TARGET" not in os.environ
