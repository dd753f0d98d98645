"""The ranking section: Table 1 beside the paper's, nDCG by model, what was left out, and the two pictures."""

import re
from pathlib import Path

import numpy as np
import pytest
from evaluation.ranking_world import Taste, make_world, search_log, write_inputs
from report.page import Page
from report.run_folders import build_run

from shoplens.evaluation.ranking import evaluate_ranking
from shoplens.files import read_json
from shoplens.params import EvaluateRankingParams
from shoplens.report.ranking import MEASURED, p_value


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    return build_run(tmp_path_factory.mktemp("ranked"), ranking=True)


@pytest.fixture(scope="module")
def source(ranked):
    return ranked.report()


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_without_a_search_log_one_line_says_so(tmp_path):
    page = Page(build_run(tmp_path).report())
    assert "Ranking was not evaluated: data has no search_log.parquet." in page.text
    assert "Lift over text" not in page.text
    assert "ranking/ndcg" not in page.headings()


def test_table_1_has_all_queries_and_those_that_moved_beside_the_papers(page):
    start = next(i for i, row in enumerate(page.rows) if row and "Text and photos (%)" in row)
    assert page.rows[start + 1 : start + 6] == [
        ["candidate", "all queries", "12 (100.0%)", "-5.0 [-6.5, -3.5]", "< 0.0001", "3.5 [2.0, 5.0]", "0.031"],
        ["candidate", "moved to photos too", "6 (50.0%)", "-5.0 [-6.5, -3.5]", "< 0.0001", "3.5 [2.0, 5.0]", "0.031"],
        ["ImageNet", "all queries", "12 (100.0%)", "-6.0 [-7.5, -4.5]", "< 0.0001", "2.5 [1.0, 4.0]", "0.031"],
        ["ImageNet", "moved to photos too", "6 (50.0%)", "-6.0 [-7.5, -4.5]", "< 0.0001", "2.5 [1.0, 4.0]", "0.031"],
        ["Etsy paper, Table 1", "moved to photos too", "of 1,394 (51.4%)", "-2.2", "< 0.0001", "1.7", "< 0.0001"],
    ]


def test_every_metric_stands_with_its_models_interval_and_unit(ranked, page):
    measured = read_json(ranked.path("evaluate-ranking") / "metrics.json")["metrics"]
    row = page.row("text and photos")
    for cell, model in zip(row[1:4], ("candidate", "baseline", "reference"), strict=True):
        found = measured["ranking/multimodal_ndcg"][model]
        numbers = [float(text) for text in re.findall(r"[\d.]+", cell)]
        assert numbers == pytest.approx([found["value"], found["low"], found["high"]], abs=1e-3)
    assert row[4:] == ["–", "12 × query"]
    assert page.row("text")[2:4] == ["–", "–"], "text needs no encoder"
    assert page.row("each query as it chose")[4].startswith("0.4"), "a random order"
    assert page.row("ranking/ndcg")[-1] == "12 × query"
    assert page.row("stars/rps")[-1] == "120 × listing"
    assert {"order as shown", "unseen listings: text", "FairPairs ordered right"} <= set(page.headings())


def test_the_figure_draws_each_model_once_and_what_needs_no_photos_apart(source):
    figure = next(part for part in re.findall(r"<svg.*?</svg>", source, re.DOTALL) if "by modality and model" in part)
    texts = re.findall(r">([^<>]+)</text>", figure)
    for label in ("candidate", "baseline", "ImageNet", "no photos used", "text and photos", "order as shown"):
        assert texts.count(label) == 1
    assert "random order" in texts
    for role in ("candidate", "baseline", "reference", "ink"):
        points = re.findall(rf"<use [^>]*fill: var\(--{role}\)", figure)
        assert len(points) == 4 + 1, f"{role}: four rows and the legend"


def test_a_first_run_draws_no_baseline(tmp_path):
    source = build_run(tmp_path, ranking=True, baseline=False).report()
    figure = next(part for part in re.findall(r"<svg.*?</svg>", source, re.DOTALL) if "by modality and model" in part)
    assert "var(--baseline)" not in figure
    assert Page(source).row("text and photos")[2] == "–"


def test_a_diverged_candidate_has_dashes_and_no_point(tmp_path):
    source = build_run(tmp_path, ranking=True, diverged=True).report()
    page = Page(source)
    assert page.row("text and photos")[1] == "–"
    assert page.row("candidate")[1:] == ["all queries", "12 (100.0%)", "–", "–", "–", "–"]
    figure = next(part for part in re.findall(r"<svg.*?</svg>", source, re.DOTALL) if "by modality and model" in part)
    drawn = {role: figure.count(f"fill: var(--{role})") for role in ("candidate", "baseline", "reference")}
    assert drawn["candidate"] < drawn["baseline"] == drawn["reference"]
    assert "nan" not in figure.lower()
    assert "candidate: embeddings that are not finite rank nothing" in page.text
    assert "Close by text" not in page.text


def test_what_was_left_out_is_counted(page):
    assert "1,600 to train, 800 to validate, 790 to test" in page.text
    assert "333 test sessions; 1 of 12 queries have none" in page.text
    assert "7 test sessions with one result, 450 test sessions without a relevant result" in page.text
    assert "10 queries have their own, 2 are answered by the one over all queries" in page.text
    assert "text 4, photos 2, text and photos 6" in page.text
    assert "1,234 to train: FairPairs for 11 queries, neighbours in position for 1 (these also learn" in page.text
    assert "21 clicks, which count as not relevant" in page.text
    assert "900, 3 without photos and 5 without text" in page.text
    assert "17 of 19,000 results shown" in page.text
    assert ["text", "1", "0.1", "10"] in page.rows


def test_a_pair_shows_both_listings_with_the_words_they_share_in_bold(source, page):
    assert source.count("<b>Villa</b>") == source.count("<b>Pool</b>") == 2
    assert "<b>with</b>" not in source
    assert "Text ranks them 2 apart" in page.text
    assert "is 394 ranks higher. nDCG of the query: +3.1%." in page.text
    assert page.text.index("Villa 0 with Pool") < page.text.index("Villa 6 with Pool")


def test_the_bands_show_five_rows_of_listings_under_both_models(page):
    assert [row[0] for row in page.rows if row[0] in {"90", "80", "70", "60", "50"}] == ["90", "80", "70", "60", "50"]
    assert "“sea view pool” from the 90th to the 50th percentile" in page.text
    titles = [attributes["alt"] for tag, attributes in page.tags if tag == "img" and "Villa" in attributes["alt"]]
    assert len(titles) == 1 + 5 * 11
    assert page.text.count("no photo ") == 1 + 5, "a listing without photos keeps its place"


def test_what_serving_the_ranker_measured_stands_with_the_encoders(page):
    assert page.row("largest difference of ranking scores, served against trained")[1] == "1.25e-05"
    assert page.row("latency of a rank request, median (ms)")[1:] == ["3.25", "8 × request"]


def test_the_page_with_pictures_stands_alone_and_is_small(source, page):
    assert "://" not in source
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name == "src"]
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert len(source.encode()) < 1_000_000


def test_hostile_queries_and_titles_stay_text(tmp_path):
    hostile = '<script>alert("{}")</script>'
    source = build_run(tmp_path, ranking=True, query="<img src=x onerror=alert(1)>", title=hostile).report()
    page = Page(source)
    assert not [tag for tag, attributes in page.tags if tag == "script" or "onerror" in attributes]
    assert '<script>alert("0")</script>' in page.text
    assert "“<img src=x onerror=alert(1)>” from the 90th" in page.text


def test_what_the_real_stage_writes_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path / "home"))
    world = make_world(400)
    tastes = [Taste("stay", word=1, looks=1, sessions=300), Taste("number", looks=1), Taste("cosy stay", sessions=40)]
    looks = {"candidate": world.looks, "reference": np.random.default_rng(1).normal(size=world.looks.shape)}
    inputs = write_inputs(tmp_path / "in", world, search_log(world, tastes), looks, photos=350)
    params = EvaluateRankingParams(rates=(1.0,), l1=(0.0,), l2=(1.0,), min_pairs=50, resamples=200, workers=1)
    evaluate_ranking(**inputs, out=tmp_path / "out", params=params)
    page = Page(build_run(tmp_path / "run", ranking=tmp_path / "out", baseline=False).report())
    counts = read_json(tmp_path / "out" / "metrics.json")["counts"]
    assert f"{counts['scored_sessions']} test sessions; 0 of 3 queries have none" in page.text
    assert "2 queries have their own, 1 are answered by the one over all queries" in page.text
    assert "400, 50 without photos and 0 without text" in page.text
    assert page.row("candidate")[1:3] == ["all queries", "3 (100.0%)"]
    assert {"text", "photos", "text and photos", "FairPairs ordered right"} <= set(page.headings())
    assert "Close by text, far apart with photos" in page.text
    # looks decide this query alone, so photos gain most there
    assert "“number” from the 90th to the 50th percentile" in page.text


def test_the_manual_explains_every_metric_and_every_setting():
    manual = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text()
    for metric in MEASURED:
        assert f"`{metric.removeprefix('ranking/')}`" in manual
    for setting in EvaluateRankingParams.model_fields:
        assert f"`{setting}`" in manual


@pytest.mark.parametrize(("p", "shown"), [(None, "–"), (0.03125, "0.031"), (1e-4, "0.0001"), (9.9e-5, "< 0.0001")])
def test_a_p_value_has_two_digits_down_to_the_papers_level(p, shown):
    assert p_value(p) == shown
