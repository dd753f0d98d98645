"""What the commands answer from a live server of encoder 1, and that wrong answers of it are found out."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ranking.tiny_ranker import expected
from serving.live_server import PHOTOS, PLAN, url
from serving.tiny import SIZE, TinyEncoder, training_code
from serving.tiny_search import CROP, found_in, some_corpora

from shoplens.cli import main
from shoplens.errors import ShoplensError
from shoplens.serving import live
from shoplens.serving.examples import (
    check_answers,
    read_codes,
    read_embeddings,
    read_rankings,
    read_searches,
    write_embeddings,
    write_rankings,
    write_searches,
)


def _command(capfd: pytest.CaptureFixture[str], *words: str | Path) -> tuple[object, str, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    streams = capfd.readouterr()
    return ended.value.code, streams.out, streams.err


def check_rank_command(capfd: pytest.CaptureFixture[str]) -> None:
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


def check_search_command(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
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


def check_wrong_codes_and_results_are_found_out(folder: Path) -> None:
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


def check_a_lying_ranker_is_found_out(folder: Path) -> None:
    examples = _examples_to_change(folder)
    assert check_answers(url(), examples).rankings["sea view pool"] == {"scores": 5, "difference": 0.0}
    rankings = read_rankings(examples)
    write_rankings(examples, [dataclasses.replace(rankings[0], served=rankings[1].served)])
    with pytest.raises(ShoplensError, match="scores for the query 'sea view pool' are not the packaged ranker's"):
        check_answers(url(), examples, limit=1)
    write_rankings(examples, [dataclasses.replace(rankings[0], served=[None] * 5)])
    with pytest.raises(ShoplensError, match="they differ by nan"):
        check_answers(url(), examples, limit=1)
