"""Stage evaluate-retrieval against sums by hand; what it counts, leaves out and refuses; what it shows."""

import csv
import io
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation.retrieval_folder import SOURCES, Example, examples_table, named, scattered, shop, source, write_inputs
from oracles.retrieval import bits_apart, mean_precision_by_loops, mean_precision_by_ranx, nearest, squared_distances
from PIL import Image

from shoplens.artifacts import digest_of, write_artifact
from shoplens.contract.spec import EvalSpec
from shoplens.data.examples import crops_of
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import read_outcomes
from shoplens.evaluation.retrieval import evaluate_retrieval
from shoplens.evaluation.retrieval_sources import METRICS, MOST_CATEGORIES, unit_ids
from shoplens.files import read_json
from shoplens.params import EvaluateRetrievalParams

PARAMS = EvaluateRetrievalParams(resamples=100)
MODELS = {
    "candidate": scattered(1, coarse=True),
    "baseline": scattered(2, width=20),
    "reference": scattered(3, width=8),
}


def evaluate(root, sources=SOURCES, examples=None, models=MODELS, params=PARAMS):
    """Run the stage on inputs of its own; its folder."""
    inputs = write_inputs(root, sources, shop() if examples is None else examples, models)
    evaluate_retrieval(**inputs, out=root / "out", params=params)
    return root / "out"


def rows_of(folder, name):
    with (folder / name).open(newline="") as handle:
        return list(csv.DictReader(handle))


def row_of(folder, name, **wanted):
    return next(row for row in rows_of(folder, name) if wanted.items() <= row.items())


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("retrieval"))


def by_hand(folder, name, task, model, kind):
    """Every query of a source with the places of its results and whether they are relevant, from the definitions."""
    rows = [e for e in shop() if e.source == name and e.task == task]
    crops, _ = crops_of(examples_table([e for e in shop() if e.role in ("query", "corpus")]))
    boxes = [None if np.isnan(box[0]) else tuple(box) for box in crops.boxes.tolist()]
    places = list(zip(crops.image_ids.tolist(), boxes, strict=True))
    embed = folder.parent / "embed"
    vectors = np.load(embed / f"{model}_crops.npy") if kind == "float" else np.load(embed / f"{model}_crop_codes.npy")
    labels = {role: {} for role in ("query", "corpus")}
    for row in rows:
        if row.role in labels:
            labels[row.role].setdefault(places.index((row.image_id, row.box)), set()).update({row.label} - {None})
    corpus, queries = sorted(labels["corpus"]), sorted(labels["query"])
    distances = (squared_distances if kind == "float" else bits_apart)(vectors[corpus], vectors[queries])
    found = []
    for query, row, order in zip(queries, distances, nearest(distances, len(corpus)), strict=True):
        order = [place for place in order if corpus[place] != query][:20]
        hits = [bool(labels["corpus"][corpus[place]] & labels["query"][query]) for place in order]
        found.append((places[query], [(places[corpus[place]], float(row[place])) for place in order], hits))
    return found


@pytest.mark.parametrize("kind", ["float", "binary"])
@pytest.mark.parametrize("model", ["candidate", "baseline"])
@pytest.mark.parametrize(
    ("name", "task", "metric", "depth"), [("shop", "instance", "p_at_1", 1), ("street", "look", "avg_p_at_20", 20)]
)
def test_outcomes_and_results_are_those_of_the_definitions(out, name, task, metric, depth, model, kind):
    outcomes = read_outcomes(out / "outcomes.parquet")
    suffix = {"float": "", "binary": "_binary"}[kind]
    scores = outcomes[f"retrieval/{name}_{metric}{suffix}"][model]
    overall = outcomes[{"float": "retrieval/score", "binary": "retrieval/binary_score"}[kind]][model]
    values = dict(zip(scores.units, scores.values, strict=True))
    all_values = dict(zip(overall.units, overall.values, strict=True))
    results = pq.read_table(out / "results.parquet").to_pylist()
    hand = by_hand(out, name, task, model, kind)
    assert len(hand) == len(values) > 5
    for (image_id, box), expected, hits in hand:
        unit = f"{name}/{image_id}" + ("" if box is None else f"#{box[0]:g},{box[1]:g},{box[2]:g},{box[3]:g}")
        assert values[unit] == all_values[unit] == pytest.approx(mean_precision_by_loops(hits, depth))
        rows = [r for r in results if (r["query"], r["model"], r["kind"]) == (unit, model, kind)]
        assert [row["rank"] for row in rows] == list(range(1, len(expected) + 1))
        assert [row["relevant"] for row in rows] == hits
        boxes = [None if row["x0"] is None else tuple(row[side] for side in ("x0", "y0", "x1", "y1")) for row in rows]
        assert list(zip([row["image_id"] for row in rows], boxes, strict=True)) == [place for place, _ in expected]
        assert [row["distance"] for row in rows] == pytest.approx([distance for _, distance in expected])
        assert {(row["source"], row["task"]) for row in rows} == {(name, task)}


def test_the_scores_of_results_equal_ranx(tmp_path):
    rng = np.random.default_rng(0)
    rows = [Example("a", "look", f"{rng.integers(4)}", "query", f"q{i:02}") for i in range(20)]
    rows += [Example("a", "look", f"{i % 5}", "corpus", f"c{i:02}") for i in range(50)]
    out = evaluate(tmp_path, [source("a", "look", metric="avg_p@20")], rows, {m: scattered(9) for m in MODELS})
    table = pq.read_table(out / "results.parquet").to_pylist()
    ids = [row["image_id"] for row in table if (row["model"], row["kind"]) == ("candidate", "float")]
    neighbours = np.array([int(image_id[1:]) for image_id in ids]).reshape(20, 20)
    relevant = [np.arange(50)[np.arange(50) % 5 == int(row.label)].tolist() for row in rows[:20]]
    values = read_outcomes(out / "outcomes.parquet")["retrieval/a_avg_p_at_20"]["candidate"].values
    assert values == pytest.approx(mean_precision_by_ranx(neighbours, relevant, 20))


def test_every_outcome_has_its_source_and_chance_stands_beside(out):
    outcomes = read_outcomes(out / "outcomes.parquet")
    assert set(outcomes) == {
        *("retrieval/score", "retrieval/binary_score", "retrieval/shop_p_at_1", "retrieval/shop_p_at_1_binary"),
        *("retrieval/street_avg_p_at_20", "retrieval/street_avg_p_at_20_binary"),
    }
    for models in outcomes.values():
        assert set(models) == {"candidate", "baseline", "reference", "chance"}
        for scores in models.values():
            assert [unit.split("/")[0] for unit in scores.units] == scores.slices["source"].tolist()
    chance = outcomes["retrieval/street_avg_p_at_20"]["chance"]
    assert sorted(set(chance.values.tolist())) == [0.0, 0.5], "look-0 is not in the corpus, the others are half of it"
    metrics = read_json(out / "metrics.json")
    assert metrics["metrics"]["retrieval/score"]["candidate"]["n"] == 22
    assert {block["unit"] for block in metrics["metrics"].values()} == {"query"}
    assert metrics["split"] == "split-1"


def test_the_table_says_how_far_a_score_can_go_and_what_codes_cost(out):
    row = row_of(out, "retrieval.csv", source="shop", model="baseline", kind="binary")
    assert (row["n"], row["bytes_per_item"], row["task"], row["metric"]) == ("12", "3", "instance", "p_at_1")
    assert (row["corpus"], row["distractors"], row["unmatched"]) == ("63", "5", "0")
    assert float(row["best_reachable"]) == 1.0
    assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    assert 0 <= float(row["least_bit"]) <= float(row["bit_density"]) <= float(row["greatest_bit"]) <= 1
    row = row_of(out, "retrieval.csv", source="shop", model="baseline", kind="float")
    assert (row["bytes_per_item"], row["dead_bits"]) == ("80", "")
    assert len(rows_of(out, "retrieval.csv")) == 2 * 3 * 2


def test_bits_that_never_change_are_counted(tmp_path):
    def constant(crops):
        found = scattered(1)(crops)
        found[:, 3], found[:, 5] = 1.0, -1.0
        return found

    out = evaluate(tmp_path, models={"candidate": constant, "reference": scattered(3)})
    assert row_of(out, "retrieval.csv", source="street", model="candidate", kind="binary")["dead_bits"] == "2"
    bits = pq.read_table(out / "bits.parquet").to_pylist()
    density = {row["bit"]: row["density"] for row in bits if row["model"] == "candidate"}
    assert (density[3], density[5], len(density)) == (1.0, 0.0, 16)


def test_it_says_whether_evaluated_classes_occur_in_training(out):
    queries = pq.read_table(out / "queries.parquet").to_pylist()
    for row in queries:
        known = {"shop": ("item-0", "item-1"), "street": ("look-0", "look-1")}[row["source"]]
        assert row["in_training"] == (row["label"] in known), "a validation example does not train"
    counts = read_json(out / "metrics.json")["counts"]
    share = np.mean([row["in_training"] for row in queries if row["source"] == "street"])
    assert counts["sources"]["street"]["in_training"] == pytest.approx(share)
    assert counts["sources"]["street"]["classes"] == 3
    assert {row["source"] for row in queries} == {"shop", "street"}


def test_categories_come_from_the_other_task_or_are_the_classes_themselves(out):
    queries = pq.read_table(out / "queries.parquet").to_pylist()
    for row in queries:
        expected = f"kind-{int(row['label'][-1]) % 2}" if row["source"] == "shop" else row["label"]
        assert row["category"] == expected
    rows = rows_of(out, "categories.csv")
    assert {(row["source"], row["category"]) for row in rows} == {(row["source"], row["category"]) for row in queries}
    row = rows[0]
    scores = read_outcomes(out / "outcomes.parquet")["retrieval/shop_p_at_1"]
    chosen = {q["query"] for q in queries if q["category"] == row["category"]}
    means = {}
    for model in ("candidate", "baseline"):
        units = zip(scores[model].units, scores[model].values, strict=True)
        means[model] = np.mean([value for unit, value in units if unit in chosen])
    assert int(row["n"]) == len(chosen)
    assert row["model"] == "baseline"
    assert float(row["candidate"]) == pytest.approx(means["candidate"])
    assert float(row["other"]) == pytest.approx(means["baseline"])
    assert float(row["gain"]) == pytest.approx(means["candidate"] - means["baseline"])
    if means["baseline"]:
        assert float(row["delta"]) == pytest.approx(100 * (means["candidate"] / means["baseline"] - 1))
    else:
        assert row["delta"] == ""


def test_too_many_classes_of_a_single_task_are_no_categories(tmp_path):
    rows = [Example("a", "look", f"{i}", "query", f"q{i:03}") for i in range(MOST_CATEGORIES + 1)]
    rows += [Example("a", "look", f"{i}", "corpus", f"c{i:03}") for i in range(MOST_CATEGORIES + 1)]
    out = evaluate(tmp_path, [source("a", "look")], rows)
    assert pq.read_table(out / "queries.parquet")["category"].null_count == MOST_CATEGORIES + 1
    assert not (out / "categories.csv").exists()


def test_a_first_run_is_compared_with_the_reference(tmp_path):
    out = evaluate(tmp_path, models={"candidate": scattered(1), "reference": scattered(3)})
    assert {row["model"] for row in rows_of(out, "categories.csv")} == {"reference"}
    assert read_json(out / "pictures.json")["other"] == "reference"


def test_a_query_without_a_match_scores_0_and_is_counted(tmp_path):
    rows = [Example("a", "look", "here", "query", "q1"), Example("a", "look", "nowhere", "query", "q2")]
    rows += [Example("a", "look", "here", "corpus", "c1"), Example("a", "look", None, "corpus", "c2")]
    places = {"q1": (1, 1), "q2": (1, 1), "c1": (1, 1), "c2": (9, 9)}
    out = evaluate(tmp_path, [source("a", "look")], rows, {"candidate": named(places), "reference": named(places)})
    found = read_outcomes(out / "outcomes.parquet")["retrieval/score"]
    assert found["candidate"].values.tolist() == [1.0, 0.0]
    assert found["chance"].values.tolist() == [0.5, 0.0]
    counts = read_json(out / "metrics.json")["counts"]["sources"]["a"]
    assert (counts["unmatched"], counts["distractors"], counts["best_reachable"]) == (1, 1, 0.5)


def test_a_photo_with_two_labels_is_one_result_and_a_query_with_two_is_one_query(tmp_path):
    rows = [Example("a", "look", label, "query", "q1") for label in ("red", "blue")]
    rows += [Example("a", "look", label, "corpus", "c1") for label in ("blue", "green")]
    rows += [Example("a", "look", None, "corpus", "c2"), Example("a", "look", "red", "corpus", "c2")]
    places = {"q1": (1, 0), "c1": (1, 0), "c2": (0, 1)}
    models = {model: named(places) for model in ("candidate", "reference")}
    out = evaluate(tmp_path, [source("a", "look", metric="avg_p@20")], rows, models)
    results = pq.read_table(out / "results.parquet").to_pylist()
    found = [r for r in results if (r["model"], r["kind"]) == ("candidate", "float")]
    assert [(row["image_id"], row["relevant"]) for row in found] == [("c1", True), ("c2", True)]
    assert pq.read_table(out / "queries.parquet")["label"].to_pylist() == ["blue + red"]
    assert read_json(out / "metrics.json")["counts"]["sources"]["a"]["distractors"] == 0


def test_a_query_does_not_find_itself_but_other_crops_of_its_photo(tmp_path):
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    rows = [Example("a", "look", "x", "query", "p", left), Example("a", "look", "x", "corpus", "p", left)]
    rows += [Example("a", "look", "x", "corpus", "p", right), Example("a", "look", "x", "corpus", "p")]
    models = {model: named({"p": (1, 2)}) for model in ("candidate", "reference")}
    out = evaluate(tmp_path, [source("a", "look")], rows, models)
    results = [r for r in pq.read_table(out / "results.parquet").to_pylist() if r["model"] == "candidate"]
    assert [(row["kind"], row["x0"]) for row in results] == [(k, x) for k in ("float", "binary") for x in (None, 0.5)]
    assert read_outcomes(out / "outcomes.parquet")["retrieval/score"]["chance"].values.tolist() == [1.0]


@pytest.mark.parametrize(("role", "missing"), [("query", "corpus"), ("corpus", "query")])
def test_a_source_without_queries_or_corpus_is_left_out_and_said(tmp_path, capsys, role, missing):
    rows = [*shop(), Example("bare", "look", "x", role, "b1"), Example("bare", "look", "x", "train", "b2")]
    out = evaluate(tmp_path, [*SOURCES, source("bare", "look")], rows)
    reason = f"labels.parquet has no {missing} rows of its task look"
    assert read_json(out / "metrics.json")["counts"]["left_out"] == {"bare": reason}
    assert f"retrieval not evaluated on source bare: {reason}" in capsys.readouterr().err
    assert set(read_json(out / "metrics.json")["counts"]["sources"]) == {"shop", "street"}


@pytest.mark.parametrize(
    ("sources", "examples", "reason"),
    [
        (SOURCES, None, "data has no labels.parquet"),
        ((), None, "dataset.yaml names no sources"),
        (
            (source("bare", "look"),),
            [Example("bare", "look", "x", "train", "b")],
            "bare: labels.parquet has no query rows and no corpus rows of its task look",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_skipped_and_said(tmp_path, capsys, sources, examples, reason):
    inputs = write_inputs(tmp_path, sources, examples, MODELS)
    evaluate_retrieval(**inputs, out=tmp_path / "out", params=PARAMS)
    assert read_json(tmp_path / "out" / "metrics.json") == {"split": "split-1", "skipped": reason, "metrics": {}}
    assert f"retrieval not evaluated: {reason}" in capsys.readouterr().err
    assert not (tmp_path / "out" / "outcomes.parquet").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e19])
def test_a_diverged_candidate_has_outcomes_that_no_rule_passes(tmp_path, capsys, value):
    def diverged(crops):
        found = scattered(1)(crops)
        found[0, 0] = value
        return found

    out = evaluate(tmp_path, models={**MODELS, "candidate": diverged})
    outcomes = read_outcomes(out / "outcomes.parquet")
    assert np.isnan(outcomes["retrieval/score"]["candidate"].values).all()
    assert np.isnan(outcomes["retrieval/binary_score"]["candidate"].values).all()
    assert np.isfinite(outcomes["retrieval/score"]["baseline"].values).all()
    measured = read_json(out / "metrics.json")
    assert measured["metrics"]["retrieval/score"]["candidate"]["value"] is None
    assert measured["counts"]["diverged"] == ["candidate"]
    assert row_of(out, "retrieval.csv", model="candidate", kind="binary")["value"] == ""
    assert row_of(out, "categories.csv", source="shop")["candidate"] == ""
    assert "candidate" not in pq.read_table(out / "results.parquet")["model"].to_pylist()
    assert read_json(out / "pictures.json")["pictures"] == []
    assert "the candidate's embeddings are not finite" in capsys.readouterr().err


def test_all_models_may_have_diverged(tmp_path):
    models = {model: lambda crops: np.full((len(crops), 8), np.nan) for model in ("candidate", "reference")}
    out = evaluate(tmp_path, models=models)
    assert pq.read_table(out / "results.parquet").num_rows == pq.read_table(out / "bits.parquet").num_rows == 0


def test_embeddings_of_other_crops_are_refused(tmp_path):
    inputs = write_inputs(tmp_path, SOURCES, shop(), MODELS)
    crops = pq.read_table(inputs["embed"] / "crops.parquet")
    for name, table in {
        "fewer": crops.slice(1),
        "moved": crops.take(np.roll(np.arange(len(crops)), 1)),
        "none": None,
    }.items():
        chain = {"data": inputs["data"], "prepare": inputs["prepare"]}
        with write_artifact(tmp_path / name, "embed", chain, {}) as folder:
            if table is not None:
                pq.write_table(table, folder / "crops.parquet")
        with pytest.raises(ShoplensError, match=r"crops.parquet.*run embed again"):
            evaluate_retrieval(**inputs | {"embed": tmp_path / name}, out=tmp_path / "out", params=PARAMS)


def test_too_few_embeddings_are_refused(tmp_path):
    models = MODELS | {"baseline": lambda crops: scattered(1)(crops)[1:]}
    with pytest.raises(ShoplensError, match=r"embeddings and .* codes of the baseline for .* crops: run embed again"):
        evaluate(tmp_path, models=models)


def test_artifacts_of_other_data_are_refused(tmp_path):
    inputs = write_inputs(tmp_path / "a", SOURCES, shop(), MODELS)
    other = write_inputs(tmp_path / "b", SOURCES[::-1], shop(), MODELS)
    with pytest.raises(ShoplensError, match="another data than"):
        evaluate_retrieval(**inputs | {"data": other["data"]}, out=tmp_path / "out", params=PARAMS)


def test_the_same_inputs_give_the_same_bytes(out, tmp_path):
    assert digest_of(evaluate(tmp_path)) == digest_of(out)


def test_units_tell_boxes_apart_that_six_digits_do_not():
    boxes = [None, (0.0, 0.0, 0.25, 1.0), (0.1234567, 0.0, 1.0, 1.0), (0.1234568, 0.0, 1.0, 1.0)]
    crops, _ = crops_of(examples_table([Example("a", "t", "x", "query", "p", box) for box in boxes]))
    units = unit_ids("a", crops, np.arange(4)).tolist()
    assert units[:2] == ["a/p", "a/p#0,0,0.25,1"]
    assert len(set(units)) == 4
    assert [float(unit.split("#")[1].split(",")[0]) for unit in units[2:]] == [0.1234567, 0.1234568]


def test_pictures_mark_relevant_results_by_colour_and_by_a_tick(out):
    shown = read_json(out / "pictures.json")
    assert [entry["source"] for entry in shown["pictures"]] == ["shop", "street"]
    entry = shown["pictures"][0]
    assert len(entry["queries"]) == len(entry["labels"]) == 3
    image = np.asarray(Image.open(io.BytesIO((out / entry["picture"]).read_bytes())).convert("RGB")).astype(int)
    table = pq.read_table(out / "results.parquet").to_pylist()
    for place, query in enumerate(entry["queries"]):
        for line, model in enumerate(("candidate", "baseline")):
            found = [r for r in table if (r["query"], r["model"], r["kind"]) == (query, model, "float")][:5]
            for rank, row in enumerate(found):
                x, y = 20 + 186 + 98 * rank, 10 + 206 * place + 98 * line
                frame = image[[y + 2, y + 44, y + 85, y + 44], [x + 44, x + 2, x + 44, x + 85]]
                corner = image[y + 67 : y + 86, x + 67 : x + 86]
                green = np.abs(frame - (17, 99, 41)).max() < 60
                assert green == row["relevant"]
                assert (green and corner.min(axis=2).max() > 200) or not row["relevant"], "a white tick"


def test_every_metric_that_dataset_yaml_may_name_is_known():
    assert set(get_args(EvalSpec.model_fields["metric"].annotation)) == set(METRICS)


def test_the_manual_explains_every_file_and_every_setting(out):
    manual = (Path(__file__).parents[2] / "docs" / "retrieval.md").read_text()
    for name in {path.relative_to(out).parts[0] for path in out.rglob("*")} - {"artifact.json", "pictures.json"}:
        assert f"`{name}" in manual
    for setting in EvaluateRetrievalParams.model_fields:
        assert f"`{setting}`" in manual
