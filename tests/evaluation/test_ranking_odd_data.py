"""Stage evaluate-ranking on data that is valid and strange: it ranks and says what is missing, or why it cannot."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from evaluation.ranking_world import START, Taste, World, make_world, search_log, write_inputs

from shoplens.errors import ShoplensError
from shoplens.evaluation.ranking import evaluate_ranking
from shoplens.files import read_json
from shoplens.params import EvaluateRankingParams
from shoplens.ranking.scoring import load_ranker, score

PARAMS = EvaluateRankingParams(workers=1, resamples=100, min_pairs=10, rates=(1.0,), l1=(0.0,), l2=(1.0,), steps=30)
TASTES = [Taste("first stay", looks=1.0, sessions=60), Taste("second stay", looks=1.0, sessions=60)]
WORLD = make_world(60)


class Silent(World):
    """Listings without a word."""

    def rows(self) -> dict[str, Any]:
        n = len(self.ids)
        return super().rows() | {"title": [""] * n, "tags": pa.array([[]] * n, pa.list_(pa.string()))}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    return tmp_path / "evaluate-ranking"


def run(out: Path, log: list[dict[str, Any]], world: World = WORLD) -> dict[str, Any]:
    """The counts."""
    inputs = write_inputs(out.parent, world, log, {"candidate": world.looks, "reference": -world.looks}, 50)
    evaluate_ranking(**inputs, out=out, params=PARAMS)
    return dict(read_json(out / "metrics.json")["counts"])


def check_examples(out: Path) -> None:
    """The served ranker can be checked: by every query, and with the scores of training."""
    ranker = load_ranker(out / "ranker")
    examples = read_json(out / "ranker/examples.json")
    assert {example["query"] for example in examples} >= set(ranker.queries)
    for example in examples:
        answer = score(ranker, example["query"], example["listing_ids"])
        assert len(answer.scores) == 20
        assert answer.known.all()
        assert np.abs(answer.scores - example["scores"]).max() < 1e-5


def test_listings_without_a_word_are_ranked_by_their_photos(out: Path) -> None:
    counts = run(out, search_log(WORLD, TASTES), Silent(WORLD.ids, WORLD.cosy, WORLD.looks))
    assert counts["listings_without_text"] == 60
    assert counts["not_retrieved"] == counts["shown"]
    check_examples(out)


@pytest.mark.parametrize(
    "query",
    [
        "nowhere",
        "stay " * 2000,
        "\N{BEACH WITH UMBRELLA}\N{SWIMMER}",
        "\u0130stanbul \u6d77",
        "a\0b \"',;",
        "\u200b",
        "x",
    ],
    ids=["retrieves nothing", "10,000 characters", "emoji", "not ASCII", "quotes", "no letter", "one letter"],
)
def test_any_query_has_its_row_its_model_and_an_example(out: Path, query: str) -> None:
    run(out, [row | {"query": query} if row["query"] == "first stay" else row for row in search_log(WORLD, TASTES)])
    assert query.lower().strip() in load_ranker(out / "ranker").queries
    check_examples(out)


def test_a_log_of_empty_queries_alone_is_refused_for_that(out: Path) -> None:
    with pytest.raises(ShoplensError, match=r"search_log\.parquet: the query of every session is empty"):
        run(out, [row | {"query": " \t"} for row in search_log(WORLD, TASTES)])


def test_a_log_without_validation_sessions_takes_text_and_says_so(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tests(row: dict[str, Any]) -> bool:
        return bool(sha256(row["session_id"].encode()).digest()[-1] % 2)

    log = [row for row in search_log(WORLD, TASTES) if row["shown_at"] < START + timedelta(days=6.5) or tests(row)]
    counts = run(out, log)
    assert counts["sessions"]["validation"] == 0
    assert counts["modalities"] == {"text": 2, "image": 0, "multimodal": 0}
    assert "no validation session" in capsys.readouterr().err
