"""The visual search section shows what the real stage wrote: precision by model and kind, codes, categories."""

import csv
import re

import numpy as np
import pytest
from evaluation.retrieval_folder import SOURCES, Example, scattered, shop, source, write_inputs
from report.page import Page
from report.run_folders import build_run

from shoplens.evaluation.retrieval import evaluate_retrieval
from shoplens.files import read_json
from shoplens.params import EvaluateRetrievalParams

MODELS = {"candidate": scattered(1), "baseline": scattered(2), "reference": scattered(3, width=8)}


def evaluated(root, sources=SOURCES, examples=None, models=MODELS):
    """The output of a real stage."""
    inputs = write_inputs(root, sources, shop() if examples is None else examples, models)
    evaluate_retrieval(**inputs, out=root / "out", params=EvaluateRetrievalParams(resamples=100))
    return root / "out"


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    root = tmp_path_factory.mktemp("searched")
    return build_run(root / "run", retrieval=evaluated(root))


@pytest.fixture(scope="module")
def html(searched):
    return searched.report()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_without_sources_one_line_says_so(tmp_path):
    page = Page(build_run(tmp_path).report())
    assert "Retrieval was not evaluated: dataset.yaml names no sources." in page.text
    assert "Precision of visual search" not in page.text
    assert "retrieval/score" not in page.headings()


def test_every_source_stands_with_all_models_by_embeddings_and_by_codes(searched, page):
    measured = read_json(searched.path("evaluate-retrieval") / "metrics.json")["metrics"]
    metrics = {
        ("shop P@1", "embeddings"): "retrieval/shop_p_at_1",
        ("shop P@1", "codes"): "retrieval/shop_p_at_1_binary",
        ("street Avg P@20", "embeddings"): "retrieval/street_avg_p_at_20",
        ("street Avg P@20", "codes"): "retrieval/street_avg_p_at_20_binary",
        ("all sources each its own", "embeddings"): "retrieval/score",
        ("all sources each its own", "codes"): "retrieval/binary_score",
    }
    for start, metric in metrics.items():
        row = next(row for row in page.rows if tuple(row[:2]) == start)
        for cell, model in zip(row[2:6], ("candidate", "baseline", "reference", "chance"), strict=True):
            found = measured[metric][model]
            numbers = [float(text) for text in re.findall(r"[\d.]+", cell)]
            assert numbers[0] == pytest.approx(found["value"], abs=6e-3)
            assert numbers[-1] == pytest.approx(found["high"], abs=6e-3)
        assert row[7] == str(measured[metric]["candidate"]["n"])
    assert page.row("shop P@1")[6] == "1"
    assert page.row("retrieval/score")[-1] == "22 × query"
    assert page.row("retrieval/binary_score")[-1] == "22 × query"


def test_what_is_searched_says_what_cannot_be_found_and_what_training_knew(page):
    shop_row, street_row = (
        next(r for r in page.rows if r[:2] == pair) for pair in (["shop", "instance"], ["street", "look"])
    )
    assert shop_row[2:5] == ["12", "0", "5"]
    assert shop_row[6:] == ["63", "5"]
    assert street_row[3] == "4", "look-0 is not in the corpus"
    assert re.fullmatch(r"those of \d+\.\d% of the queries", street_row[5])


@pytest.mark.parametrize(
    ("trained", "said"), [("x", "all of them: known classes, other photos"), ("y", "none of them: new classes")]
)
def test_classes_are_all_known_or_all_new(tmp_path, trained, said):
    rows = [Example("a", "look", "x", "query", "q"), Example("a", "look", "x", "corpus", "c")]
    out = evaluated(tmp_path, [source("a", "look")], [*rows, Example("a", "look", trained, "train", "t")])
    source_page = Page(build_run(tmp_path / "run", retrieval=out).report())
    assert next(row for row in source_page.rows if row[:2] == ["a", "look"])[5] == said
    assert "all sources each its own" not in source_page.headings(), "a single source is all of them"


def test_codes_are_shown_with_their_size_and_bits(page):
    row = next(row for row in page.rows if row[:3] == ["shop", "candidate", "2"])
    assert row[3] == "64"
    assert re.fullmatch(r"0\.\d+ \[0\.\d+, 0\.\d+\]", row[4])
    assert row[5] == "0"


def test_categories_stand_with_the_other_model_the_change_and_the_difference(searched, page):
    with (searched.path("evaluate-retrieval") / "categories.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    for expected in table:
        row = next(row for row in page.rows if row[:2] == [expected["source"], expected["category"]])
        assert row[2] == expected["n"]
        assert float(row[3]) == pytest.approx(float(expected["candidate"]), abs=1e-3)
        assert float(row[4]) == pytest.approx(float(expected["other"]), abs=1e-3)
        assert (row[5] == "–") == (expected["delta"] == "")
        assert float(row[6].split(" ")[0]) == pytest.approx(float(expected["gain"]), abs=6e-2)
    head = next(row for row in page.rows if row[:2] == ["Source", "Category"])
    assert head[4] == "baseline"


def test_the_figures_draw_every_model_once(html):
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    precision = next(figure for figure in figures if "Precision of visual search" in figure)
    texts = re.findall(r">([^<>]+)</text>", precision)
    for label in ("candidate", "baseline", "ImageNet", "random order", "shop, embeddings", "all sources, codes"):
        assert texts.count(label) == 1
    bits = next(figure for figure in figures if "in which a bit is 1" in figure)
    assert {"candidate", "baseline", "ImageNet", "half"} <= set(re.findall(r">([^<>]+)</text>", bits))


def test_pictures_are_shown_with_words_and_the_page_stands_alone(searched, html, page):
    shown = read_json(searched.path("evaluate-retrieval") / "pictures.json")["pictures"]
    images = [attributes for tag, attributes in page.tags if tag == "img" and "first five results" in attributes["alt"]]
    assert len(images) == len(shown) == 2
    assert images[0]["alt"] == "Queries of shop with the first five results of the candidate and of baseline"
    assert all(attributes["src"].startswith("data:image/jpeg;base64,") for attributes in images)
    for entry in shown:
        assert f"{entry['source']}, from top to bottom: {'; '.join(entry['categories'])}" in page.text
    assert "://" not in html


def test_a_first_run_is_shown_beside_imagenet(tmp_path):
    out = evaluated(tmp_path, models={"candidate": scattered(1), "reference": scattered(3)})
    source_page = Page(build_run(tmp_path / "run", baseline=False, retrieval=out).report())
    assert next(row for row in source_page.rows if row[:2] == ["Source", "Category"])[4] == "ImageNet"
    assert next(row for row in source_page.rows if row[:2] == ["shop P@1", "embeddings"])[3] == "–"


def test_a_diverged_candidate_has_dashes_and_no_pictures(tmp_path):
    out = evaluated(tmp_path, models=MODELS | {"candidate": lambda crops: np.full((len(crops), 16), np.nan)})
    html = build_run(tmp_path / "run", retrieval=out, diverged=True).report()
    source_page = Page(html)
    assert next(row for row in source_page.rows if row[:2] == ["shop P@1", "codes"])[2] == "–"
    assert "Diverged: candidate; embeddings that are not finite find nothing." in source_page.text
    assert "What is found" not in source_page.text
    figure = next(part for part in re.findall(r"<svg.*?</svg>", html, re.DOTALL) if "Precision of visual" in part)
    drawn = {role: figure.count(f"fill: var(--{role})") for role in ("candidate", "baseline", "reference")}
    assert drawn["candidate"] < drawn["baseline"] == drawn["reference"]
    assert "nan" not in figure.lower()


def test_a_source_that_was_left_out_is_named(tmp_path):
    rows = [*shop(), Example("bare", "look", "x", "query", "b")]
    out = evaluated(tmp_path, [*SOURCES, source("bare", "look")], rows)
    text = Page(build_run(tmp_path / "run", retrieval=out).report()).text
    assert "Source bare was not evaluated: labels.parquet has no corpus rows of its task look." in text


def test_hostile_labels_stay_text(tmp_path):
    hostile = "<script>alert(1)</script>"
    rows = [Example("a", "look", hostile, "query", "q"), Example("a", "look", hostile, "corpus", "c")]
    out = evaluated(tmp_path, [source("a", "look")], rows)
    source_page = Page(build_run(tmp_path / "run", retrieval=out).report())
    assert not [tag for tag, _ in source_page.tags if tag == "script"]
    assert hostile in source_page.text
