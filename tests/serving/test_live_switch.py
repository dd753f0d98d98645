"""Versions switch in a running server without a wrong or missing answer; what is served survives every failure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from serving.live_answers import (
    check_a_lying_ranker_is_found_out,
    check_rank_command,
    check_search_command,
    check_wrong_codes_and_results_are_found_out,
)
from serving.live_server import (
    MODEL,
    PHOTOS,
    ranked_by,
    searched_by,
    served_by,
    serves_only_the_encoder,
    serving,
    url,
    wait_for,
)
from serving.tiny import SIZE, TinyEncoder, training_path

from shoplens.errors import ShoplensError
from shoplens.serving import live
from shoplens.serving.client import embed_gallery, loaded_models
from shoplens.serving.deploy import deploy_version
from shoplens.serving.examples import Answers, Gallery, check_answers
from shoplens.serving.rank import rank_query
from shoplens.serving.request_log import Requests, read_requests
from shoplens.serving.search import search_photo
from shoplens.serving.serve import embed_photos, serve


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, make_package: Callable[..., Path]) -> Iterator[Path]:
    """A home folder where encoder 1 with ranker and search was deployed as version 1 without a server; it stays so."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("live")
        patch.setenv("SHOPLENS_HOME", str(home))
        patch.delenv("DVC_EXP_NAME", raising=False)
        deploy_version(make_package(1, ranker=1, search=True), MODEL, "1")
        yield home


@pytest.mark.usefixtures("deployed")
def test_a_server_switches_beside_and_refuses_wrong_values(
    make_package: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    galleries: list[Gallery],
) -> None:
    with serving() as process:
        _switch_and_refuse(make_package, monkeypatch, capfd, tmp_path)
        _restart_after_a_workers_death()
        _a_killed_serve_takes_its_server_along(process)
    with serving() as process:
        running = live.running_server()
        assert running is not None
        with pytest.raises(ShoplensError, match=f"running already .process {running.pid}, .*{running.owner}"):
            serve(http=0, grpc=0, metrics=0)
        assert served_by(url()) == [1]
        process.terminate()
        assert process.wait(30) == 0
        assert not (live.folder() / "server.json").exists()
        assert not Path(f"/proc/{running.pid}").exists()
    logged, of_version_2 = read_requests(live.request_log(), "weights-1")
    asked = [PHOTOS, PHOTOS[:1], *(gallery.photos for gallery in galleries)]
    assert requests_in(logged["gallery"], asked) == list(range(len(asked)))
    assert of_version_2 > 0


def requests_in(log: Requests, asked: list[list[bytes]]) -> list[int]:
    """Which of the galleries that encoder 1 was asked for are in the log, each once; -1 is none of them.

    In a batch with others an answer may be rounded differently, and is then logged again.
    """
    embeddings = np.stack([training_path(TinyEncoder(1).eval(), photos, SIZE) for photos in asked])
    close = np.abs(log.embeddings[:, None] - embeddings).max(axis=2) < 1e-5
    assert (close.sum(axis=1) <= 1).all(), "two galleries have the same embedding"
    return sorted({row.argmax() if row.any() else -1 for row in close})


def _switch_and_refuse(
    make_package: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    at_start = live.running_server()
    assert served_by(url()) == [1]
    assert ranked_by(url()) == "as trained"
    assert searched_by(url()) == "as trained"
    new, lying = make_package(2), make_package(1, lie=True)
    answers: list[int | str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.extend(served_by(url()) or ["wrong"])
            except ShoplensError as error:
                answers.append(str(error))

    left = [live.repository() / "encoder_v9_killed", live.slot_folder("v9_killed")]
    for folder in left:
        folder.mkdir()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        deploy_version(new, MODEL, "2")
    finally:
        stop.set()
        asking.join()
    assert set(answers) <= {1, 2}, "a request failed or was answered wrongly during the switch"
    assert len(answers) > 10
    assert answers == sorted(answers), "the old version answered again after the new one"
    assert served_by(url()) == [2]
    assert not any(folder.exists() for folder in left), "what a killed deployment left is still there"
    assert serves_only_the_encoder(url()), (
        "a ranker or a search by the features of the encoder before goes on answering"
    )
    with pytest.raises(
        ShoplensError, match="version 2 of tiny was deployed without a ranker: its data has no search log"
    ):
        rank_query("sea", 3)
    with pytest.raises(
        ShoplensError, match="version 2 of tiny was deployed without visual search: its data has no image"
    ):
        search_photo(Path("lamp.jpg"), "lens", 3, None)
    embed_gallery(url(), PHOTOS, version="2")
    with pytest.raises(ShoplensError, match=r"does not serve this.*version 1"):
        embed_gallery(url(), PHOTOS, version="1")
    wait_for(lambda: len(loaded_models(url())) == 5, "unloading the old version")

    state = (live.folder() / "state.json").read_bytes()
    with pytest.raises(ShoplensError, match="not the packaged encoder's: cosine"):
        deploy_version(lying, MODEL, "3")
    assert served_by(url()) == [2]
    assert (live.folder() / "state.json").read_bytes() == state
    wait_for(lambda: len(loaded_models(url())) == 5, "unloading the refused version")
    assert not list(live.repository().glob("*_v3_*"))

    def wrong_after_the_switch(url: str, folder: Path, slot: str | None = None, **kind: float) -> Answers:
        if slot is None:
            switched.append((served_by(url), ranked_by(url) == searched_by(url) == "as trained"))
            raise ShoplensError("wrong after the switch")
        return check_answers(url, folder, slot, **kind)

    def refused_after_the_switch(package: Path, version: str) -> None:
        with monkeypatch.context() as patch, pytest.raises(ShoplensError, match="wrong after the switch"):
            patch.setattr("shoplens.serving.switch.check_answers", wrong_after_the_switch)
            deploy_version(package, MODEL, version)

    switched: list[tuple[list[int], bool]] = []
    refused_after_the_switch(make_package(1, ranker=1, search=True), "4")
    assert switched == [([1], True)]
    assert served_by(url()) == [2], "the switch was not taken back"
    assert serves_only_the_encoder(url()), "ranker or search of the refused version goes on answering"
    assert (live.folder() / "state.json").read_bytes() == state

    deploy_version(make_package(1, ranker=1, search=True), MODEL, "1")  # as a rollback does
    assert served_by(url()) == [1]
    assert ranked_by(url()) == searched_by(url()) == "as trained"

    refused_after_the_switch(new, "5")
    assert switched[1:] == [([2], False)]
    assert served_by(url()) == [1]
    assert ranked_by(url()) == searched_by(url()) == "as trained", "ranker and search did not come back"
    check_rank_command(capfd)
    check_search_command(capfd, tmp_path)
    check_a_lying_ranker_is_found_out(tmp_path / "ranker")
    check_wrong_codes_and_results_are_found_out(tmp_path / "search")

    assert live.running_server() == at_start, "the watchdog restarted a healthy server"


def _restart_after_a_workers_death() -> None:
    server = live.running_server()
    assert server is not None
    # Unloading returns at once: a worker of the version that was just replaced may still be on its way out, and
    # nobody misses that one.
    wait_for(lambda: len(_children(server.pid)) == 8, "the end of the replaced version's workers")
    os.kill(_children(server.pid)[0], signal.SIGKILL)
    wait_for(lambda: _record().get("pid") not in (None, server.pid), "the restart after a worker's death")
    wait_for(lambda: live.running_server() is not None, "the new server")
    assert served_by(url()) == [1]
    assert ranked_by(url()) == searched_by(url()) == "as trained"
    assert url() == server.url


def _a_killed_serve_takes_its_server_along(process: subprocess.Popen[bytes]) -> None:
    server = live.running_server()
    assert server is not None
    workers = _children(server.pid)
    assert len(workers) == 8
    process.kill()
    process.wait()
    wait_for(lambda: live.running_server() is None, "the end of the server")
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end of its workers")


def _record() -> dict[str, int]:
    path = live.folder() / "server.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def test_without_a_server_answers_are_checked_and_recorded_and_no_process_is_left(
    deployed: Path, make_package: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    served = live.read_live()
    assert served is not None
    assert (served.model, served.version, served.weights) == (MODEL, "1", "weights-1")
    assert list(served.answers) == ["listing-0", "listing-1", "listing-2"]
    assert served.answers["listing-2"] == {"used": 4, "corrupt": 0, "cosine": 1.0}
    state = (deployed / "serving" / "state.json").read_bytes()
    assert served.rankings["wood floor"] == {"scores": 5, "difference": 0.0}
    assert served.searches["lens/query-0"] == {"results": 5, "bits": 0}
    assert deploy_version(make_package(1, ranker=1, search=True), MODEL, "1") == served
    assert (deployed / "serving" / "state.json").read_bytes() == state

    (tmp_path / "good.jpg").write_bytes(PHOTOS[0])
    (tmp_path / "bad.jpg").write_bytes(b"x")
    capfd.readouterr()
    answer = embed_photos([tmp_path / "good.jpg", tmp_path / "bad.jpg"])
    assert "starting a temporary one" in capfd.readouterr().err
    assert (answer.version, answer.gallery.used, answer.gallery.corrupt) == ("1", 1, 1)
    np.testing.assert_allclose(answer.gallery.embedding, training_path(TinyEncoder(1), PHOTOS[:1], SIZE), atol=1e-5)
    np.testing.assert_array_equal(answer.photos[0].embedding, answer.gallery.embedding)
    assert answer.photos[1].embedding is None
    assert "not a readable JPEG" in str(answer.photos[1].problem)
    assert not [pid for pid in _children(os.getpid()) if b"triton" in Path(f"/proc/{pid}/cmdline").read_bytes()]
