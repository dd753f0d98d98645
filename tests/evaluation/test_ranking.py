"""Stage evaluate-ranking on a log whose answer is known: what sells by a word, by looks, by both, and by nothing."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation.ranking_world import (
    START,
    Taste,
    World,
    impression,
    make_world,
    search_log,
    write_embeddings,
    write_inputs,
)
from PIL import Image
from scipy.stats import wilcoxon

from shoplens.artifacts import PASSPORT, read_artifact
from shoplens.contract.split import splits_of
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import read_outcomes
from shoplens.evaluation.ranking import evaluate_ranking
from shoplens.files import digest_folder, read_json
from shoplens.params import EvaluateRankingParams
from shoplens.ranking.scoring import candidates, load_ranker, score

WORDS = [f"{name} word stay" for name in ("first", "second", "third")]
LOOKS = [f"{name} looks stay" for name in ("first", "second", "third")]
TASTES = [
    *(Taste(query, word=1.0) for query in WORDS),
    *(Taste(query, looks=1.0) for query in LOOKS),
    Taste("both stay", word=0.7, looks=0.7),
    Taste("dull stay"),
    Taste("rare stay", looks=1.0, sessions=8),
]
PARAMS = EvaluateRankingParams(
    workers=1, resamples=200, min_pairs=10, rates=(1.0,), l1=(0.0, 0.1), l2=(1.0, 10.0), steps=100
)
LISTINGS, PHOTOS = 400, 390


class Run:
    """The stage's inputs in a folder of its own, and what it wrote."""

    def __init__(
        self, root: Path, world: World, log: list[dict[str, Any]] | None, embeddings: Mapping[str, np.ndarray]
    ) -> None:
        self.root, self.world = root, world
        self.inputs = write_inputs(root, world, log, embeddings, PHOTOS)
        self.out = root / "evaluate-ranking"

    def go(self, params: EvaluateRankingParams = PARAMS) -> Run:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SHOPLENS_HOME", str(self.root / "home"))
            evaluate_ranking(**self.inputs, out=self.out, params=params)
        return self

    @property
    def metrics(self) -> dict[str, Any]:
        return dict(read_json(self.out / "metrics.json")["metrics"])

    @property
    def counts(self) -> dict[str, Any]:
        return dict(read_json(self.out / "metrics.json")["counts"])

    def value(self, metric: str, model: str = "candidate") -> float:
        return float(self.metrics[f"ranking/{metric}"][model]["value"])

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.out / name).open(newline="", encoding="utf-8") as handle:
            return list(csv.DictReader(handle))

    def contents(self) -> dict[str, bytes]:
        """Every file but the passport, which names parameters that must not matter."""
        files = (path for path in self.out.rglob("*") if path.is_file() and path.name != PASSPORT)
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in files}


def noise(world: World, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=world.looks.shape)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(LISTINGS)


@pytest.fixture(scope="module")
def log(world: World) -> list[dict[str, Any]]:
    return search_log(world, TASTES)


@pytest.fixture(scope="module")
def known(world: World, log: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The candidate sees the looks, the baseline sees them through noise, the reference sees nothing."""
    blurred = world.looks + noise(world, 8)
    embeddings = {"candidate": world.looks, "baseline": blurred, "reference": noise(world)}
    return Run(tmp_path_factory.mktemp("known"), world, log, embeddings).go()


Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path, world: World, log: list[dict[str, Any]]) -> Make:
    """A run on other embeddings, or another log."""

    def build(rows: list[dict[str, Any]] | None = log, **embeddings: np.ndarray) -> Run:
        return Run(tmp_path, world, rows, {"candidate": world.looks, "reference": noise(world)} | embeddings)

    return build


# --- what is found ---------------------------------------------------------------------------------------------------


def test_photos_that_show_what_sells_gain_over_text_and_noise_does_not(known: Run) -> None:
    gain = known.metrics["ranking/multimodal_gain"]
    assert gain["direction"] == "higher"
    assert gain["unit"] == "query"
    assert gain["candidate"]["low"] > 0
    assert gain["reference"]["high"] < gain["candidate"]["value"]


def test_better_embeddings_rank_better_in_every_metric(known: Run) -> None:
    for metric in ("ndcg", "multimodal_ndcg", "image_ndcg", "fair_pair_accuracy", "unseen_multimodal_ndcg"):
        assert known.value(metric) > known.value(metric, "reference"), metric


def test_photos_that_show_nothing_rank_like_a_random_order(known: Run) -> None:
    chance = known.value("ndcg", "chance")
    assert known.value("image_ndcg", "reference") == pytest.approx(chance, abs=0.04)
    assert known.value("shown_ndcg") == pytest.approx(chance, abs=0.04), "the log shows results in a random order"
    assert known.value("fair_pair_accuracy", "chance") == 0.5
    assert known.value("ndcg") > chance + 0.05


def test_photos_of_other_listings_do_not_gain(make: Make, world: World) -> None:
    run = make(candidate=world.looks[np.random.default_rng(4).permutation(LISTINGS)]).go()
    assert run.metrics["ranking/multimodal_gain"]["candidate"]["low"] < 0
    assert run.value("image_ndcg") == pytest.approx(run.value("ndcg", "chance"), abs=0.04)


def test_a_query_takes_the_modality_in_which_its_signal_is_visible(known: Run, make: Make) -> None:
    seen = {row["query"]: row["modality"] for row in known.rows("queries.csv")}
    assert {seen[query] for query in LOOKS} <= {"image", "multimodal"}
    assert {seen[query] for query in WORDS} <= {"text", "multimodal"}
    assert "image" in {seen[query] for query in LOOKS}
    # Photos that show nothing, and loudly: what goes by a word is better off without them.
    many = np.random.default_rng(2).normal(size=(LISTINGS, 60))
    loud = make(candidate=many).go(PARAMS.model_copy(update={"image_scale": 10.0}))
    unseen = {row["query"]: row["modality"] for row in loud.rows("queries.csv")}
    assert {unseen[query] for query in WORDS} == {"text"}


def test_text_is_the_same_whatever_the_photos_are(known: Run, make: Make, world: World) -> None:
    run = make(candidate=noise(world, 3)).go()
    assert run.metrics["ranking/text_ndcg"] == known.metrics["ranking/text_ndcg"]
    assert run.metrics["ranking/unseen_text_ndcg"] == known.metrics["ranking/unseen_text_ndcg"]


# --- what is written -------------------------------------------------------------------------------------------------


def test_the_chosen_modality_s_values_are_those_of_that_modality(known: Run) -> None:
    outcomes = read_outcomes(known.out / "outcomes.parquet")
    chosen = outcomes["ranking/ndcg"]["candidate"]
    rows = {row["query"]: row for row in known.rows("queries.csv")}
    assert chosen.units.tolist() == sorted(rows)
    for query, value in zip(chosen.units, chosen.values, strict=True):
        assert value == pytest.approx(float(rows[query][f"test_{rows[query]['modality']}"]))


def test_every_model_has_the_same_queries_so_that_they_can_be_paired(known: Run) -> None:
    for metric, models in read_outcomes(known.out / "outcomes.parquet").items():
        units = [scores.units.tolist() for scores in models.values()]
        assert all(other == units[0] for other in units), metric


def test_query_values_are_means_over_their_sessions(known: Run) -> None:
    table = pq.read_table(known.out / "sessions.parquet").to_pylist()
    assert len({row["session_id"] for row in table}) == known.counts["scored_sessions"]
    assert all(row["results"] == 6 and 1 <= row["relevant"] <= 6 for row in table)
    both = read_outcomes(known.out / "outcomes.parquet")["ranking/multimodal_ndcg"]
    for model in ("candidate", "baseline", "reference"):
        for query, value in zip(both[model].units, both[model].values, strict=True):
            mine = [
                row["ndcg"]
                for row in table
                if (row["query"], row["model"], row["modality"]) == (query, model, "multimodal")
            ]
            assert value == pytest.approx(np.mean(mine))


def test_sessions_are_split_and_left_out_by_reason(known: Run, log: list[dict[str, Any]]) -> None:
    counts = known.counts
    bought = Counter(row["session_id"] for row in log if row["purchased"])
    assert sum(counts["sessions"].values()) == len({row["session_id"] for row in log})
    assert counts["sessions"]["train"] == sum(taste.sessions // 2 for taste in TASTES)
    rows = known.rows("queries.csv")
    assert sum(int(row["test_sessions"]) for row in rows) == counts["scored_sessions"]
    left_out = counts["excluded"]["test sessions without a relevant result"]
    assert counts["sessions"]["test"] - left_out == counts["scored_sessions"]
    assert left_out > 0
    assert len(bought) < sum(counts["sessions"].values())
    assert counts["shown"] == len(log)
    assert counts["listings_without_photos"] == LISTINGS - PHOTOS
    assert counts["not_retrieved"] == 0, "every title holds a word of every query"


def test_a_query_with_few_pairs_is_answered_by_the_global_model_and_says_so(known: Run) -> None:
    rows = {row["query"]: row for row in known.rows("queries.csv")}
    assert rows["rare stay"]["model"] == "global"
    assert rows["rare stay"]["validation_multimodal"] == ""
    assert {row["model"] for query, row in rows.items() if query != "rare stay"} == {"own"}
    assert (known.counts["own"], known.counts["global"]) == (8, 1)
    assert {"global text", "global candidate/multimodal", "candidate/multimodal"} <= set(known.counts["grid"])
    assert sum(known.counts["modalities"].values()) == 9


def test_table_1_shows_all_queries_and_those_that_moved(known: Run) -> None:
    table = {(row["model"], row["population"], row["modality"]): row for row in known.rows("table1.csv")}
    assert len(table) == 3 * 2 * 3
    whole = table["candidate", "all", "multimodal"]
    text, both = known.value("text_ndcg"), known.value("multimodal_ndcg")
    assert float(whole["lift"]) == pytest.approx(100 * (both / text - 1))
    assert float(whole["low"]) < float(whole["lift"]) < float(whole["high"])
    outcomes = read_outcomes(known.out / "outcomes.parquet")
    values = [outcomes[f"ranking/{name}_ndcg"]["candidate"].values for name in ("multimodal", "text")]
    assert float(whole["wilcoxon_p"]) == pytest.approx(wilcoxon(*values).pvalue)
    assert whole["sessions"] == str(known.counts["scored_sessions"])
    moved = table["candidate", "moved", "multimodal"]
    chose = sum(row["modality"] == "multimodal" for row in known.rows("queries.csv"))
    assert int(moved["queries"]) == chose
    assert float(moved["share"]) == pytest.approx(chose / 9)
    assert (table["candidate", "all", "text"]["lift"], table["candidate", "all", "text"]["wilcoxon_p"]) == ("0.0", "")


def test_pictures_show_retrieved_listings_with_their_photos(known: Run) -> None:
    pictures = read_json(known.out / "pictures.json")
    cards = [card for row in pictures["bands"]["rows"] for side in ("text", "multimodal") for card in row[side]]
    assert [row["percentile"] for row in pictures["bands"]["rows"]] == [90, 80, 70, 60, 50]
    assert len(cards) == 5 * 2 * 6
    assert pictures["bands"]["lift"] > 0
    assert 1 <= len(pictures["pairs"]) <= 3
    for pair in pictures["pairs"]:
        assert pair["text_distance"] <= 5 < pair["multimodal_distance"]
        assert {"stay", "number"} <= set(pair["shared"])
        cards += [pair["left"], pair["right"]]
    assert [pair["multimodal_distance"] for pair in pictures["pairs"]] == sorted(
        (pair["multimodal_distance"] for pair in pictures["pairs"]), reverse=True
    )
    for card in cards:
        place = known.world.ids.index(card["listing_id"])
        assert card["title"] == f"stay number n{place:03d}"
        assert (card["photo"] is None) == (place >= PHOTOS)
        if card["photo"]:
            with Image.open(known.out / card["photo"]) as image:
                assert (image.format, max(image.size)) == ("JPEG", 160)


def test_the_right_listing_of_a_pair_was_bought_and_ranks_above_the_ignored_left_one(
    known: Run, log: list[dict[str, Any]]
) -> None:
    ranker = load_ranker(known.out / "ranker")
    for pair in read_json(known.out / "pictures.json")["pairs"]:
        sessions: dict[str, dict[str, bool]] = {}
        for row in log:
            if row["query"] == pair["query"]:
                sessions.setdefault(row["session_id"], {})[row["listing_id"]] = row["purchased"]
        right, left = pair["right"]["listing_id"], pair["left"]["listing_id"]
        assert any(shown.get(right) is True and shown.get(left) is False for shown in sessions.values())
        found = candidates(ranker, pair["query"])
        answer = score(ranker, pair["query"], found)
        assert answer.modality == "multimodal"
        ranked = [found[row] for row in np.argsort(-answer.scores, kind="stable")]
        assert ranked.index(left) - ranked.index(right) == pair["multimodal_distance"]


def test_the_served_ranker_scores_as_training_does(known: Run) -> None:
    ranker = load_ranker(known.out / "ranker")
    examples = read_json(known.out / "ranker/examples.json")
    chosen = {row["query"]: row for row in known.rows("queries.csv")}
    assert len(examples) == 9
    for example in examples:
        answer = score(ranker, example["query"], example["listing_ids"])
        assert answer.known.all()
        assert len(answer.scores) == 20
        assert np.abs(answer.scores - example["scores"]).max() < 1e-5
        if example["query"] in chosen:
            assert answer.modality == chosen[example["query"]]["modality"]
            assert answer.model == chosen[example["query"]]["model"]
        else:
            assert answer.model == "global"
    assert read_json(known.out / "ranker/ranker.json")["encoder"] == "weights of candidate"
    assert set(read_json(known.out / "ranker/queries.json")) == set(chosen)


def ndcg_by_hand(results: list[dict[str, Any]], scores: np.ndarray) -> float:
    """Ties in order of listing id."""
    gains = np.array([result["purchased"] for result in results], float)
    order = sorted(range(len(results)), key=lambda at: (-scores[at], results[at]["listing_id"]))
    discounts = 1 / np.log2(np.arange(len(results)) + 2)
    return float((gains[order] @ discounts) / (np.sort(gains)[::-1] @ discounts))


def by_session(log: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    shown: dict[str, list[dict[str, Any]]] = {}
    for row in log:
        shown.setdefault(row["session_id"], []).append(row)
    return shown


def test_served_weights_rank_the_test_sessions_as_measured(known: Run, log: list[dict[str, Any]]) -> None:
    """nDCG once more, from the bundle and the log alone."""
    ranker = load_ranker(known.out / "ranker")
    chosen = {row["query"]: row["modality"] for row in known.rows("queries.csv")}
    shown = by_session(log)
    measured = [
        row
        for row in pq.read_table(known.out / "sessions.parquet").to_pylist()
        if row["modality"] == chosen[row["query"]] and row["model"] == "candidate"
    ]
    assert len(measured) == known.counts["scored_sessions"]
    for row in measured[::7]:
        results = shown[row["session_id"]]
        scores = score(ranker, row["query"], [result["listing_id"] for result in results]).scores
        assert row["ndcg"] == pytest.approx(ndcg_by_hand(results, scores), abs=1e-9)


# --- that it can be trusted ------------------------------------------------------------------------------------------


def test_test_sessions_decide_nothing(known: Run, make: Make, log: list[dict[str, Any]]) -> None:
    """With every purchase of the test sessions turned around, all models and choices are as before."""
    tested = set(pq.read_table(known.out / "sessions.parquet")["session_id"].to_pylist())
    turned = [
        row | dict.fromkeys(("clicked", "purchased"), not row["purchased"]) if row["session_id"] in tested else row
        for row in log
    ]
    run = make(turned, baseline=known.world.looks + noise(known.world, 8)).go()
    assert digest_folder(run.out / "ranker") == digest_folder(known.out / "ranker")
    assert run.counts["grid"] == known.counts["grid"]
    assert run.value("fair_pair_accuracy") == pytest.approx(1 - known.value("fair_pair_accuracy"))


def test_words_and_listings_of_the_second_week_alone_are_no_features(make: Make, log: list[dict[str, Any]]) -> None:
    late, stand_in = "listing-7", "listing-11"
    half = START + timedelta(days=7)
    rows = [
        row | {"listing_id": stand_in} if row["listing_id"] == late and row["shown_at"] < half else row for row in log
    ]
    run = make(rows).go()
    features = np.diff(np.load(run.out / "ranker/text_indptr.npy"))
    at = run.world.ids.index
    # stay, number, n000, stay number, number n000, a tag, the listing, its shop
    assert features[at(stand_in)] == 8
    assert features[at(late)] == 5, "its shop and the words that others have"


def test_results_do_not_depend_on_the_number_of_processes(known: Run, make: Make) -> None:
    run = make(baseline=known.world.looks + noise(known.world, 8)).go(PARAMS.model_copy(update={"workers": 2}))
    assert run.contents() == known.contents()


def test_the_order_of_the_log_s_rows_does_not_matter(known: Run, make: Make, log: list[dict[str, Any]]) -> None:
    mixed = [log[row] for row in np.random.default_rng(0).permutation(len(log))]
    run = make(mixed, baseline=known.world.looks + noise(known.world, 8)).go()
    assert run.contents() == known.contents()


def test_the_passport_names_all_inputs(known: Run) -> None:
    assert set(read_artifact(known.out, "evaluate-ranking", known.inputs).inputs) == {"data", "prepare", "embed"}


def test_finished_queries_are_kept_and_only_what_decides_them_asks_for_new_ones(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoplens.ranking import svm

    fits: list[int] = []
    fit = svm.fit_ranking_svm

    def spy(*arguments: Any, **settings: Any) -> svm.Fit:
        fits.append(1)
        return fit(*arguments, **settings)

    monkeypatch.setattr(svm, "fit_ranking_svm", spy)
    run = make().go()
    assert fits
    first = run.contents()
    fits.clear()
    shutil.rmtree(run.out)
    assert run.go(PARAMS.model_copy(update={"resamples": 100})).contents().keys() == first.keys()
    assert not fits
    run.go(PARAMS.model_copy(update={"steps": 50}))
    assert fits
    fits.clear()
    write_embeddings(run.root, run.world, {"candidate": noise(run.world), "reference": noise(run.world)}, PHOTOS)
    run.go()
    assert fits, "other photos, other models"
    assert not list((run.root / "home/cache/ranking").glob("arrays*")), "the arrays are as large as the data"


class Stopped(BaseException):
    """What a test raises in the middle, as Ctrl-C does."""


def test_an_interrupted_run_goes_on_where_it_was(
    make: Make, known: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shoplens.ranking import train

    task_of, left = train.Tune.__call__, iter(range(7))

    def stopping(self: train.Tune, job: train.Job) -> train.Arrays:
        if next(left, None) is None:
            raise Stopped
        return task_of(self, job)

    run = make(baseline=known.world.looks + noise(known.world, 8))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(train.Tune, "__call__", stopping)
        run.go()
    assert not run.out.exists()
    capsys.readouterr()
    assert run.go().contents() == known.contents()
    assert "7 of 15 are there from an earlier run" in capsys.readouterr().err


# --- logs and models that are not as they should be ------------------------------------------------------------------


def test_data_without_a_search_log_is_skipped_and_said(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(None).go()
    reason = "data has no search_log.parquet"
    assert read_json(run.out / "metrics.json") == {"split": "split-1", "skipped": reason, "metrics": {}}
    assert f"ranking not evaluated: {reason}" in capsys.readouterr().err
    assert {path.name for path in run.out.iterdir()} == {"metrics.json", PASSPORT}


@pytest.mark.parametrize("diverged", ["candidate", "baseline", "reference"])
def test_a_diverged_model_is_judged_and_the_others_are_as_before(known: Run, make: Make, diverged: str) -> None:
    broken = known.world.looks.copy()
    broken[7, 0] = np.nan
    models = {"baseline": known.world.looks + noise(known.world, 8)} | {diverged: broken}
    run = make(**models).go()
    outcomes = read_outcomes(run.out / "outcomes.parquet")
    for metric in ("ndcg", "ndcg_at_10", "multimodal_ndcg", "image_ndcg", "multimodal_gain", "fair_pair_accuracy"):
        assert np.isnan(outcomes[f"ranking/{metric}"][diverged].values).all(), metric
        assert run.metrics[f"ranking/{metric}"][diverged]["value"] is None
        for model in {"candidate", "baseline", "reference"} - {diverged}:
            assert run.metrics[f"ranking/{metric}"][model] == known.metrics[f"ranking/{metric}"][model]
    assert run.value("text_ndcg") == known.value("text_ndcg")
    assert run.counts["diverged"] == [diverged]
    lifts = [row["lift"] for row in run.rows("table1.csv") if row["model"] == diverged and row["modality"] != "text"]
    assert set(lifts) == {""}
    ranker = load_ranker(run.out / "ranker")
    for example in read_json(run.out / "ranker/examples.json"):
        answer = score(ranker, example["query"], example["listing_ids"])
        assert np.abs(answer.scores - example["scores"]).max() < 1e-5
    if diverged == "candidate":
        assert read_json(run.out / "pictures.json") == {"pairs": [], "bands": None}
        assert not ranker.image.any(), "no NaN is served"


def test_listings_outside_the_encoder_s_training_are_ranked_by_themselves(
    known: Run, log: list[dict[str, Any]]
) -> None:
    unseen = {name for name, split in zip(known.world.ids, splits_of(known.world.ids), strict=True) if split != "train"}
    ranker = load_ranker(known.out / "ranker")
    shown = by_session([row for row in log if row["listing_id"] in unseen])
    expected: dict[str, list[float]] = {}
    for name in dict.fromkeys(pq.read_table(known.out / "sessions.parquet")["session_id"].to_pylist()):
        results = shown.get(name, [])
        if len(results) > 1 and any(result["purchased"] for result in results):
            query = results[0]["query"]
            scores = score(ranker, query, [result["listing_id"] for result in results]).scores
            expected.setdefault(query, []).append(ndcg_by_hand(results, scores))
    found = read_outcomes(known.out / "outcomes.parquet")["ranking/unseen_multimodal_ndcg"]["candidate"]
    values = dict(zip(found.units.tolist(), found.values.tolist(), strict=True))
    assert values.keys() == expected.keys()
    moved = [row["query"] for row in known.rows("queries.csv") if row["modality"] == "multimodal"]
    assert values.keys() & set(moved)
    for query in values.keys() & set(moved):
        assert values[query] == pytest.approx(np.mean(expected[query]), abs=1e-9)


def test_sessions_with_one_result_and_queries_with_one_class_of_judgement_are_counted(
    make: Make, log: list[dict[str, Any]], world: World
) -> None:
    last = max(row["shown_at"] for row in log)
    single = [impression(f"single-{i}", "dull stay", last, 1, world.ids[i], True, fair=False) for i in range(9)]
    loved = [
        impression(f"loved-{i}", "loved stay", START + i * (last - START) / 39, place, world.ids[i + place], True)
        for i in range(40)
        for place in (1, 2)
    ]
    run = make([*log, *single, *loved]).go()
    excluded = run.counts["excluded"]
    assert excluded["validation sessions with one result"] + excluded["test sessions with one result"] == 9
    row = next(row for row in run.rows("queries.csv") if row["query"] == "loved stay")
    assert (row["training_pairs"], row["model"]) == ("0", "global")
    assert row["test_text"] == "1.0", "whatever the order"


def test_empty_queries_and_odd_titles_are_counted_and_ranked(make: Make, log: list[dict[str, Any]]) -> None:
    odd = [row | {"session_id": f"{row['session_id']}-e", "query": "  "} for row in log if row["query"] == "rare stay"]
    run = make([*log, *odd])
    path = run.inputs["data"] / "listings.parquet"
    table = pq.read_table(path)
    titles = ["", "ÉTÉ à la mer 海の家", *table["title"].to_pylist()[2:]]
    tags = pa.array([[], *table["tags"].to_pylist()[1:]], pa.list_(pa.string()))
    at = table.column_names.index
    table = table.set_column(at("title"), "title", pa.array(titles)).set_column(at("tags"), "tags", tags)
    log_path = run.inputs["data"] / "search_log.parquet"
    rows = pq.read_table(log_path).to_pylist()
    shutil.rmtree(run.root)
    run = Run(run.root, run.world, rows, {"candidate": run.world.looks, "reference": noise(run.world)})
    pq.write_table(table, path)
    restamp(run)
    run.go()
    assert run.counts["excluded"]["sessions with an empty query"] == 8
    assert run.counts["listings_without_text"] == 1
    assert run.counts["not_retrieved"] > 0


def restamp(run: Run) -> None:
    """Split and embeddings of the data as it is now."""
    from shoplens.artifacts import write_artifact
    from shoplens.files import write_json

    with write_artifact(run.inputs["prepare"], "prepare", {"data": run.inputs["data"]}, {}) as folder:
        write_json(folder / "split.json", {"hash": "split-1"})
    write_embeddings(run.root, run.world, {"candidate": run.world.looks, "reference": noise(run.world)}, PHOTOS)


def test_a_log_without_fair_pairs_learns_from_neighbours_and_says_so(
    make: Make, log: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make([row | {"fair_pair": None} for row in log]).go()
    assert run.counts["pairs_from"] == {"fair_pair": 0, "neighbours": 9}
    assert {row["pairs_from"] for row in run.rows("queries.csv")} == {"neighbours"}
    assert "ranking/fair_pair_accuracy" not in run.metrics
    assert "presentation bias" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("since", "message"),
    [
        (START, "nothing to learn from"),
        (START + timedelta(days=6.5), "nothing to judge by"),
    ],
    ids=["nobody buys", "nobody buys in the second week"],
)
def test_a_log_that_teaches_or_tests_nothing_is_refused_with_a_remedy(
    make: Make, log: list[dict[str, Any]], since: datetime, message: str
) -> None:
    run = make([row | {"clicked": False, "purchased": False} if row["shown_at"] >= since else row for row in log])
    with pytest.raises(ShoplensError, match=message) as caught:
        run.go()
    assert str(caught.value).startswith("search_log.parquet: ")
    assert "log more sessions, or leave the file out" in str(caught.value)
    assert not run.out.exists()


def test_embeddings_of_another_split_are_refused(make: Make) -> None:
    run = make()
    (run.inputs["prepare"] / "split.json").write_text("{}")
    with pytest.raises(ShoplensError, match="run the stage again"):
        run.go()
