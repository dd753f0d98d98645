"""What a real server is asked is logged where that is wished, by every model that has a reference to compare with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from serving.tiny import SIZE, TinyEncoder, activations_of, make_photo, training_code, training_path

from shoplens.errors import ShoplensError
from shoplens.serving.client import embed_gallery, embed_photo, load_model, search, unload_model
from shoplens.serving.request_log import BOUND_VARIABLE, FOLDER_VARIABLE, Requests, read_requests
from shoplens.serving.server import Server, start_server, stop_server

ENCODER = TinyEncoder(1).eval()
MODELS = ("encoder", "gallery", "photo", "search")
GALLERIES = [[make_photo(10 * n + k, 120, 90) for k in range(1 + n)] for n in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "requests"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, make_package: Callable[..., Path], folder: Path
) -> Iterator[Server]:
    repository = make_package(1, search=True) / "repository" / "embedded"
    variables = {FOLDER_VARIABLE: str(folder), BOUND_VARIABLE: "1"}
    running = start_server(repository, tmp_path_factory.mktemp("server") / "log", variables=variables)
    try:
        for name in MODELS:
            load_model(running.url, name)
        yield running
    finally:
        stop_server(running)


def logged(folder: Path, kind: str, count: int) -> Requests:
    """The requests of a kind, once as many as expected were written."""
    deadline = time.monotonic() + 60
    while True:
        found, others = read_requests(folder, "weights-1")
        assert others == 0
        if kind in found and len(found[kind].times) >= count:
            return found[kind]
        assert time.monotonic() < deadline, f"{kind}: {count} requests were not logged"
        time.sleep(0.05)


def test_galleries_are_logged_as_they_were_answered(server: Server, folder: Path) -> None:
    before = time.time()
    answers = [embed_gallery(server.url, photos) for photos in GALLERIES]
    for _ in range(5):  # a canary asks the same again and again
        embed_gallery(server.url, GALLERIES[0])
    with pytest.raises(ShoplensError, match="no usable photo"):
        embed_gallery(server.url, [b"no photo"])
    embed_photo(server.url, GALLERIES[0][0])  # nothing to compare single photos with
    found = logged(folder, "gallery", 3)
    assert len(found.times) == 3
    assert before <= found.times.min() <= found.times.max() <= time.time()
    wanted = np.stack([training_path(ENCODER, photos, SIZE) for photos in GALLERIES])
    np.testing.assert_allclose(np.sort(found.embeddings, axis=0), np.sort(wanted, axis=0), atol=1e-5)
    codes = {tuple(training_code(ENCODER, photos, SIZE).tolist()) for photos in GALLERIES}
    assert {tuple(row) for row in found.codes.tolist()} == codes
    assert {answer.embedding.tobytes() for answer in answers} == {row.tobytes() for row in found.embeddings}


def test_searches_are_logged_by_source_and_crop(server: Server, folder: Path) -> None:
    photo, box = make_photo(77, 160, 120), (0.1, 0.2, 0.7, 0.9)
    search(server.url, photo, "lens", 3, box=box)
    with pytest.raises(ShoplensError, match="no source 'nothing'"):
        search(server.url, photo, "nothing", 3)
    found = logged(folder, "search/lens", 1)
    wanted = ENCODER.rectify(activations_of(ENCODER, [photo], SIZE, box=box)).numpy()
    np.testing.assert_allclose(found.embeddings, wanted, atol=1e-5)
    assert set(read_requests(folder, "weights-1")[0]) <= {"gallery", "search/lens"}


def test_unloading_a_model_loses_no_row_that_was_answered(server: Server, folder: Path) -> None:
    photos = [[make_photo(1000 + n, 60, 50)] for n in range(30)]
    for gallery in photos:
        embed_gallery(server.url, gallery)
    unload_model(server.url, "gallery")
    wanted = {np.round(training_path(ENCODER, gallery, SIZE)[0], 3) for gallery in photos}
    found = logged(folder, "gallery", 30)
    assert wanted <= {np.round(value, 3) for value in found.embeddings[:, 0]}


@pytest.mark.slow
def test_a_server_logs_nothing_unless_it_is_told_to(
    tmp_path: Path, make_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package's trial and a deployment's check are no requests, whatever this shell's environment says."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "requests"))
    running = start_server(make_package(1, search=True) / "repository" / "embedded", tmp_path / "log")
    try:
        for name in ("encoder", "gallery"):
            load_model(running.url, name)
        embed_gallery(running.url, GALLERIES[0])
    finally:
        stop_server(running)
    assert not (tmp_path / "requests").exists()
