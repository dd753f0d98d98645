"""The readiness probe: what it asks, and what a real Triton makes of it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from serving.tiny import SIZE, TinyEncoder, make_photo, training_code, training_path

from manifests.base.probe import probe
from manifests.check import OVERLAYS
from shoplens.files import write_text
from shoplens.serving.client import load_model, unload_model
from shoplens.serving.examples import Gallery, write_embeddings, write_examples
from shoplens.serving.onnx_export import export_onnx
from shoplens.serving.repository import Description, config_text, in_slot, switch_config, write_repository
from shoplens.serving.server import Server, running_server

ENCODER = TinyEncoder(2).eval()
DESCRIPTION = Description(SIZE, None, 16, max_batch=4, codes=True)
GALLERIES = [Gallery(f"listing-{n}", [make_photo(10 * n + k) for k in range(3 - n)]) for n in range(2)]
SLOT = "v7_1a2b3c4d"


def write_slot(folder: Path, slot: str, embeddings: np.ndarray) -> None:
    """Examples as a deployment lays them down, with the answers that the package claims."""
    examples = folder / "slots" / slot / "examples"
    examples.mkdir(parents=True, exist_ok=True)
    write_examples(examples, GALLERIES, [[f"{n}.jpg" for n in range(len(g.photos))] for g in GALLERIES])
    codes = np.stack([training_code(ENCODER, gallery.photos, SIZE) for gallery in GALLERIES])
    write_embeddings(examples, "served", embeddings, codes)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.stack([training_path(ENCODER, gallery.photos, SIZE) for gallery in GALLERIES])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Version 7 in a live repository, nothing of it loaded."""
    root = tmp_path_factory.mktemp("live")
    export_onnx(ENCODER, SIZE, root / "encoder.onnx")
    write_repository(root / "package", DESCRIPTION, "embedded", root / "encoder.onnx")
    (root / "repository").mkdir()
    for name in DESCRIPTION.models:
        (root / "package" / name).rename(root / "repository" / in_slot(name, SLOT))
    (root / "repository" / "gallery" / "7").mkdir(parents=True)
    switch = config_text(switch_config(DESCRIPTION, "gallery", "7", SLOT))
    write_text(root / "repository" / "gallery" / "config.pbtxt", switch)
    with running_server(root / "repository", root / "server.log") as running:
        yield running


@pytest.fixture
def loaded(server: Server) -> Server:
    for name in ("encoder", "photo", "gallery"):
        load_model(server.url, in_slot(name, SLOT))
    load_model(server.url, "gallery")
    return server


def http(server: Server) -> str:
    return f"http://127.0.0.1:{server.ports.http}"


def test_a_server_without_a_model_is_alive_and_not_ready(server: Server, tmp_path: Path) -> None:
    assert probe.main("alive", str(tmp_path), http(server)) == 0
    assert probe.main("ready", str(tmp_path), http(server)) == 1


def test_the_promised_answer_is_ready(loaded: Server, tmp_path: Path, truth: np.ndarray) -> None:
    write_slot(tmp_path, SLOT, truth)
    assert probe.check(str(tmp_path), http(loaded)) == "7"
    assert probe.main("ready", str(tmp_path), http(loaded)) == probe.main("alive", str(tmp_path), http(loaded)) == 0


def test_another_answer_is_neither_ready_nor_alive(
    loaded: Server, tmp_path: Path, truth: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    write_slot(tmp_path, SLOT, truth[:, ::-1])
    assert probe.main("ready", str(tmp_path), http(loaded)) == probe.main("alive", str(tmp_path), http(loaded)) == 1
    assert "version 7: cosine 0." in capsys.readouterr().out


def test_a_version_that_was_packaged_again_answers_as_one_of_its_packages(
    loaded: Server, tmp_path: Path, truth: np.ndarray
) -> None:
    write_slot(tmp_path, "v7_00000000", truth[:, ::-1])
    write_slot(tmp_path, SLOT, truth)
    write_slot(tmp_path, "v70_00000000", truth)  # another version that begins alike
    assert probe.main("ready", str(tmp_path), http(loaded)) == 0


def test_examples_of_another_version_promise_nothing(loaded: Server, tmp_path: Path, truth: np.ndarray) -> None:
    write_slot(tmp_path, "v70_00000000", truth)
    assert probe.main("ready", str(tmp_path), http(loaded)) == 1


def test_an_error_is_neither_ready_nor_alive(
    loaded: Server, tmp_path: Path, truth: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    write_slot(tmp_path, SLOT, truth)
    for photo in (tmp_path / "slots" / SLOT / "examples").rglob("*.jpg"):
        photo.write_bytes(b"no photo")
    assert probe.main("ready", str(tmp_path), http(loaded)) == probe.main("alive", str(tmp_path), http(loaded)) == 1
    assert "version 7 answers 4" in capsys.readouterr().out


def test_the_server_counts_what_the_rules_and_the_dashboard_read(
    loaded: Server, tmp_path: Path, truth: np.ndarray
) -> None:
    write_slot(tmp_path, SLOT, truth)
    probe.check(str(tmp_path), http(loaded))
    with urlopen(f"http://127.0.0.1:{loaded.ports.metrics}/metrics") as answer:
        counted = answer.read().decode()
    shown = "".join((OVERLAYS.parent / "monitoring" / name).read_text() for name in ("rules.yaml", "dashboard.json"))
    for metric in set(re.findall(r"nv_inference_[a-z_]+", shown)):
        assert f'{metric}{{model="gallery"' in counted
    assert f'nv_inference_exec_count{{model="encoder_{SLOT}"' in counted  # encoder_.* on the dashboard


def test_a_name_that_was_unloaded_is_alive_and_not_ready(loaded: Server, tmp_path: Path) -> None:
    unload_model(loaded.url, "gallery")
    assert probe.main("alive", str(tmp_path), http(loaded)) == 0
    assert probe.main("ready", str(tmp_path), http(loaded)) == 1


def test_no_answer_is_not_ready_but_load_alone_kills_nobody(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert probe.main("ready", str(tmp_path), address) == 1
        assert probe.main("alive", str(tmp_path), address) == 0


def test_the_request_is_json_then_length_and_bytes_of_each_photo() -> None:
    headers, body = probe.infer_request([b"abc", b"\xff"])
    at = int(headers["Inference-Header-Content-Length"])
    [tensor] = json.loads(body[:at])["inputs"]
    assert body[at:] == b"\x03\0\0\0abc\x01\0\0\0\xff"
    assert tensor["shape"] == [2] and tensor["parameters"] == {"binary_data_size": len(body) - at}


@pytest.mark.parametrize("bad", [[0.0, 0.0], [float("nan"), 1.0], [1.0], [float("inf"), 1.0]])
def test_no_embedding_is_close_to_nothing(bad: list[float]) -> None:
    assert probe.cosine(bad, [1.0, 1.0]) == 0.0
    assert probe.cosine([2.0, 2.0], [1.0, 1.0]) == pytest.approx(1.0)
