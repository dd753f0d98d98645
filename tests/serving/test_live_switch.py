"""Versions switch in a running server without a wrong or missing answer; what is served survives every failure."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ranking.tiny_ranker import expected, small_plan
from serving.tiny import SIZE, TinyEncoder, make_photo, training_code, training_path
from serving.tiny_search import CROP, found_in, some_corpora

from shoplens.artifacts import digest_of, write_artifact
from shoplens.cli import main
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import RegisterParams
from shoplens.serving import live
from shoplens.serving.client import embed_gallery, loaded_models, rank, search
from shoplens.serving.deploy import deploy, deploy_version
from shoplens.serving.examples import (
    Answers,
    check_answers,
    read_codes,
    read_embeddings,
    read_rankings,
    read_searches,
    write_embeddings,
    write_rankings,
    write_searches,
)
from shoplens.serving.rank import rank_query
from shoplens.serving.request_log import read_requests
from shoplens.serving.search import search_photo
from shoplens.serving.serve import embed_photos, serve

PLAN = small_plan(1)
PHOTOS = [make_photo(seed, 180, 140) for seed in (1, 2, 3)]
MODEL = "tiny"
SERVE = "import shoplens.serving.serve as s; s.CANARY_S = 0.3; s.serve(http=0, grpc=0, metrics=0)"


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


def wanted(seed: int) -> np.ndarray:
    return training_path(TinyEncoder(seed).eval(), PHOTOS, SIZE)


def served_by(url: str) -> list[int]:
    """Which of the tiny encoders gives the answer that the server gives."""
    answer = embed_gallery(url, PHOTOS).embedding
    return [seed for seed in (1, 2, 3) if np.allclose(answer, wanted(seed), atol=1e-5)]


def ranked_by(url: str) -> str:
    """Whether the ranker of encoder 1 answers, or why no ranker does."""
    try:
        scores = rank(url, "sea view pool", list(PLAN.titles)).scores
    except ShoplensError as error:
        return str(error)
    wanted = [expected(PLAN, "sea view pool", listing) for listing in PLAN.titles]
    return "as trained" if np.allclose(scores, wanted, atol=1e-5) else "wrong"


def searched_by(url: str) -> str:
    """Whether the search of encoder 1 answers, or why none does."""
    try:
        answer = search(url, PHOTOS[0], "lens", 5)
    except ShoplensError as error:
        return str(error)
    wanted = found_in(some_corpora()["lens"], training_code(TinyEncoder(1).eval(), PHOTOS[:1], SIZE), 5)
    found = list(zip(answer.image_ids, answer.boxes.tolist(), answer.distances.tolist(), strict=True))
    return "as trained" if found == wanted else "wrong"


def serves_only_the_encoder(url: str) -> bool:
    answers = {"ranker": ranked_by(url), "search": searched_by(url)}
    return all(
        "does not serve this" in answer and not (live.repository() / name).exists() for name, answer in answers.items()
    )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, make_package: Callable[..., Path]) -> Iterator[Path]:
    """A home folder where encoder 1 with ranker and search was deployed as version 1 without a server; it stays so."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("live")
        patch.setenv("SHOPLENS_HOME", str(home))
        patch.delenv("DVC_EXP_NAME", raising=False)
        deploy_version(make_package(1, ranker=1, search=True), MODEL, "1")
        yield home


@contextlib.contextmanager
def serving() -> Iterator[subprocess.Popen[bytes]]:
    """`shoplens serve` in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", SERVE])
    try:
        wait_for(lambda: live.running_server() is not None, "shoplens serve")
        yield process
    finally:
        process.terminate()
        process.wait(30)


def url() -> str:
    running = live.running_server()
    assert running is not None
    return running.url


@pytest.mark.usefixtures("deployed")
def test_a_server_switches_beside_and_refuses_wrong_values(
    make_package: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
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
    # Four galleries, asked hundreds of times; in a batch with others an answer may be rounded differently.
    assert 1 <= len(logged["gallery"].times) <= 20
    assert of_version_2 > 0


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
    _rank_command(capfd)
    _search_command(capfd, tmp_path)
    _a_lying_ranker_is_found_out(tmp_path / "ranker")
    _wrong_codes_and_results_are_found_out(tmp_path / "search")

    assert live.running_server() == at_start, "the watchdog restarted a healthy server"


def _command(capfd: pytest.CaptureFixture[str], *words: str | Path) -> tuple[object, str, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    streams = capfd.readouterr()
    return ended.value.code, streams.out, streams.err


def _rank_command(capfd: pytest.CaptureFixture[str]) -> None:
    said = partial(_command, capfd, "rank")

    found = [listing for listing in PLAN.titles if listing in ("attic", "bungalow-ä", "loft")]
    best = sorted(found, key=lambda listing: -expected(PLAN, "sea view pool", listing))
    code, out, _ = said("sea view pool", "--top", "2")
    assert code == 0
    assert "'sea view pool' by the query's own model, on multimodal features, version 1: 2 of 3 retrieved" in out
    assert [line.split()[::2] for line in out.splitlines()[1:]] == [["1", best[0]], ["2", best[1]]]
    answer = json.loads(said("Wood  FLOOR", "--json")[1])
    assert answer.pop("listings") == [
        {"rank": 1, "listing_id": "barn", "score": pytest.approx(expected(PLAN, "wood floor", "barn"), abs=1e-5)}
    ]
    said_of_it = {"query": "Wood  FLOOR", "version": "1", "model": "own", "modality": "text", "retrieved": 1}
    assert answer == said_of_it
    assert "by the model over all queries" in said("old pool")[1]
    assert said("castle") == (
        1,
        "",
        "shoplens: nothing is retrieved: no listing's title or tags hold 'castle'; try other words\n",
    )
    assert "'?' holds no word of two letters" in said("?")[2]
    assert "'0' is not a whole number of at least 1" in said("sea", "--top", "0")[2]


def _search_command(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    photo = folder / "query.jpg"
    photo.write_bytes(PHOTOS[0])
    said = partial(_command, capfd, "search", photo)
    whole, crop = (
        found_in(some_corpora()["lens"], training_code(TinyEncoder(1).eval(), PHOTOS[:1], SIZE, box=box), 3)
        for box in (None, CROP)
    )
    code, out, _ = said("--source", "lens", "--top", "3")
    assert code == 0
    head, *rows = out.splitlines()
    assert head == f"{photo} in lens, version 1: bits of 16 that differ"
    assert [row.split()[:3] for row in rows] == [[str(at), str(bits), i] for at, (i, _, bits) in enumerate(whole, 1)]

    answer = json.loads(said("--source", "lens", "--top", "3", "--json", "--box", *map(str, CROP))[1])
    hits = answer.pop("hits")
    assert answer == {"photo": str(photo), "source": "lens", "version": "1", "bits": 16}
    assert [(hit["image_id"], hit["distance"]) for hit in hits] == [(image_id, bits) for image_id, _, bits in crop]
    assert [hit["box"] for hit in hits] == [None if box == [0, 0, 1, 1] else box for _, box, _ in crop]
    rows = np.array([int(hit["image_id"].removeprefix("lens-")) for hit in hits])
    labels = [label.decode() or None for label in some_corpora()["lens"].labels[rows]]
    assert [hit["label"] for hit in hits] == labels

    known = "there is lens, the look/ä\n"
    assert said("--source", "shop") == (1, "", f"shoplens: there is no source 'shop' to search: {known}")
    assert said() == (1, "", f"shoplens: name the source to search with --source: {known}")
    assert "has no pixel of 180x140" in said("--source", "lens", "--box", "0", "0", "0", "1")[2]
    assert "cannot be read: No such file" in _command(capfd, "search", folder / "no.jpg", "--source", "lens")[2]
    assert json.loads(_command(capfd, "embed", photo, "--codes")[1])["code"] == (
        training_code(TinyEncoder(1).eval(), PHOTOS[:1], SIZE).tobytes().hex()
    )


def _examples_to_change(folder: Path) -> Path:
    """A copy of the served version's examples: those in place are what the watchdog compares with."""
    served = live.read_live()
    assert served is not None
    return Path(shutil.copytree(live.slot_folder(served.slot) / "examples", folder))


def _wrong_codes_and_results_are_found_out(folder: Path) -> None:
    examples = _examples_to_change(folder)
    assert check_answers(url(), examples).searches == {
        "lens/query-0": {"results": 5, "bits": 0},
        "lens/query-1#0.25,0,0.75,0.5": {"results": 5, "bits": 0},
        "the look/ä/query-2": {"results": 2, "bits": 0},
    }
    first, *_ = searches = read_searches(examples)
    embeddings, codes = read_embeddings(examples, "served"), read_codes(examples, "served")
    assert codes is not None
    wrong = {
        "code": (bytes.fromhex(first.code)[::-1].hex(), "the server's code for the photo lens/query-0 is not"),
        "distances": ([bits + 1 for bits in first.distances], "results for the photo lens/query-0 are not"),
        "image_ids": (first.image_ids[::-1], "results for the photo lens/query-0 are not"),
        "boxes": ([[0.0, 0.0, 0.5, 0.5]] * 5, "results for the photo lens/query-0 are not"),
    }
    for field, (value, reason) in wrong.items():
        write_searches(examples, [dataclasses.replace(first, **{field: value})], ["query.jpg"])  # type: ignore[arg-type]
        with pytest.raises(ShoplensError, match=reason):
            check_answers(url(), examples, limit=1)
    write_searches(examples, searches, ["query.jpg"] * len(searches))
    write_embeddings(examples, "served", embeddings, ~codes)
    with pytest.raises(ShoplensError, match=r"code for listing listing-0 is not .*: 16 bits differ, at most 0 wanted"):
        check_answers(url(), examples, limit=1)


def _a_lying_ranker_is_found_out(folder: Path) -> None:
    examples = _examples_to_change(folder)
    assert check_answers(url(), examples).rankings["sea view pool"] == {"scores": 5, "difference": 0.0}
    rankings = read_rankings(examples)
    write_rankings(examples, [dataclasses.replace(rankings[0], served=rankings[1].served)])
    with pytest.raises(ShoplensError, match="scores for the query 'sea view pool' are not the packaged ranker's"):
        check_answers(url(), examples, limit=1)
    write_rankings(examples, [dataclasses.replace(rankings[0], served=[None] * 5)])
    with pytest.raises(ShoplensError, match="they differ by nan"):
        check_answers(url(), examples, limit=1)


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


@pytest.mark.slow
@pytest.mark.usefixtures("live_home")
def test_a_first_deployment_that_answers_wrongly_leaves_nothing_served(make_package: Callable[..., Path]) -> None:
    with pytest.raises(ShoplensError, match="nothing is deployed"):
        embed_photos([])
    with pytest.raises(ShoplensError, match="not the packaged encoder's"):
        deploy_version(make_package(1, lie=True), MODEL, "1")
    assert live.read_live() is None
    assert not list(live.repository().glob("*_v1_*"))


@pytest.mark.usefixtures("live_home")
def test_experiments_and_unregistered_runs_deploy_nothing(
    make_package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(1)
    with write_artifact(tmp_path / "register", "register", {"package": package}, {}) as folder:
        write_json(folder / "receipt.json", {"skipped": "inside a DVC experiment"})

    def run() -> dict[str, str]:
        deploy(package=package, register=tmp_path / "register", out=tmp_path / "deploy", params=RegisterParams())
        return read_json(tmp_path / "deploy" / "receipt.json")

    assert run() == {"skipped": "inside a DVC experiment"}
    monkeypatch.setenv("DVC_EXP_NAME", "try")
    assert run() == {"skipped": "inside a DVC experiment"}
    assert live.read_live() is None


@pytest.mark.usefixtures("live_home")
def test_a_receipt_for_another_package_is_refused(make_package: Callable[..., Path], tmp_path: Path) -> None:
    other = make_package(2)
    with write_artifact(tmp_path / "register", "register", {"package": other}, {}) as folder:
        write_json(folder / "receipt.json", {"model": MODEL, "version": "1", "package": digest_of(other)})
    with pytest.raises(ShoplensError, match="made from another package"):
        deploy(
            package=make_package(1),
            register=tmp_path / "register",
            out=tmp_path / "deploy",
            params=RegisterParams(model=MODEL),
        )
    assert live.read_live() is None
