"""A `shoplens serve` that the tests ask: whose encoder, ranker and search it answers with."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from ranking.tiny_ranker import expected, small_plan
from serving.tiny import SIZE, TinyEncoder, make_photo, training_code, training_path
from serving.tiny_search import found_in, some_corpora

from shoplens.errors import ShoplensError
from shoplens.serving import live
from shoplens.serving.client import embed_gallery, rank, search

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
