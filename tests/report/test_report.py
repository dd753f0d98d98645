"""The report page: what a reader must find in it, and that it is safe, whole and reproducible."""

import html
import re

import pytest
from report.page import Page
from report.run_folders import WEIGHTS, build_run

from shoplens.artifacts import digest_of
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import read_outcomes
from shoplens.files import read_json, write_json
from shoplens.stages import EVALUATED


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    return build_run(tmp_path_factory.mktemp("refused"), worse=0.06)


@pytest.fixture(scope="module")
def refused_page(refused):
    return refused.report()


def test_a_refused_run_says_no_first_and_why_with_metric_candidate_baseline_and_interval(refused, refused_page):
    page = Page(refused_page)
    decision = read_json(refused.path("gate") / "decision.json")
    rule = next(line for line in decision["rules"] if line["status"] == "fail")
    assert not decision["promote"]
    assert "Refused: candidate cccccccccccc is not promoted, because 1 of 4 checks did not pass" in page.text
    assert "(baseline version 3). Production stays as it is." in page.text
    assert page.text.index("Refused: candidate cccccccccccc is not promoted") < page.text.index(decision["reasons"][0])
    assert page.text.index(decision["reasons"][0]) < page.text.index("Candidate and baseline")

    name, outcome, metric, candidate, other, interval, margin, n = page.row("stars not worse")
    assert (name, outcome, metric, n) == ("stars not worse", "fail", "stars/rps", "120")
    assert float(candidate) == pytest.approx(rule["candidate"], abs=1e-4)
    assert float(other.removeprefix("baseline ")) == pytest.approx(rule["other"], abs=1e-4)
    numbers = [float(text) for text in re.findall(r"-?[\d.]+", interval.removeprefix("gain "))]
    assert numbers == pytest.approx([rule["improvement"], rule["low"], rule["high"]], abs=1e-4)
    assert margin == "gain at least -0.02"


def test_a_run_without_tasks_says_so_in_their_place(tmp_path):
    page = Page(build_run(tmp_path, tasks=()).report())
    assert "Tasks were not evaluated: the encoder learned none." in page.text
    assert "Measure" not in page.text[page.text.index("Training tasks") : page.text.index("Ranking")]


def test_floors_stand_in_the_rule_table_in_their_own_terms(refused_page):
    page = Page(refused_page)
    assert page.row("served as trained")[1:7] == [
        "pass",
        "package/served_cosine",
        "0.999987",
        "floor 0.9999",
        "–",
        "at least 0.9999",
    ]
    assert page.row("fast")[6] == "at most 900"
    assert page.row("beats chance")[6] == "gain at least 0.01"


def test_a_promoted_run_says_yes(tmp_path):
    page = Page(build_run(tmp_path).report())
    assert "Promote candidate cccccccccccc: all 4 checks passed (baseline version 3)." in page.text
    assert "Refused" not in page.text
    assert WEIGHTS["candidate"] in page.text
    assert WEIGHTS["baseline"] in page.text


def test_a_missing_baseline_is_said_and_leaves_no_invented_number(tmp_path):
    page = Page(build_run(tmp_path, baseline=False).report())
    assert "all 3 checks passed, 1 skipped (no baseline yet)" in page.text
    assert "none yet: nothing was in production" in page.text
    assert page.row("stars not worse")[1:3] == ["skipped", "stars/rps"]
    assert page.row("stars not worse")[3].startswith("stars/rps: no baseline yet")
    assert page.row("stars/rps")[3] == "–"
    assert "baseline" not in [row[1] for row in page.rows if len(row) > 1 and row[0].endswith("%)")]


def test_the_hold_out_table_has_a_row_for_each_size_and_model_with_its_n(refused_page):
    page = Page(refused_page)
    rows = [row for row in page.rows if row and row[0].endswith("%)")]
    assert [row[:2] for row in rows] == [
        [size, model]
        for size in ("160 (20%)", "480 (60%)", "800 (100%)")
        for model in ("candidate", "baseline", "ImageNet")
    ]
    assert {row[-1] for row in rows} == {"120"}
    assert rows[-3][2] == "0.210 [0.200, 0.220]"


@pytest.mark.parametrize(
    ("score", "title", "figures"), [("log_loss", "Log loss", 2), ("squared_error", "Squared error", 1)]
)
def test_other_kinds_of_hold_out_are_shown_under_their_own_score(tmp_path, score, title, figures):
    source = build_run(tmp_path, score=score, worse=0.06, fractions=(1.0,)).report()
    page = Page(source)
    assert f"stars not worse: fail: stars/{score}" in page.text
    assert title in next(row for row in page.rows if row and row[0] == "Training listings")
    assert source.count('aria-label="Hold-out ') - source.count('aria-label="Hold-out task by') == figures
    assert ("Accuracy" in next(row for row in page.rows if row and row[0] == "Training listings")) is (figures == 2)


def test_tasks_are_sorted_by_the_share_of_the_errors_that_the_candidate_removes(refused_page):
    page = Page(refused_page)
    names = [name for name in page.headings() if name in ("has_pool", "country", "price")]
    assert names == ["has_pool", "country", "price"]
    removed = [float(page.row(name)[-2].split()[0]) for name in names]
    assert removed == sorted(removed, reverse=True)
    figure = next(part for part in re.findall(r"<svg.*?</svg>", refused_page, re.DOTALL) if "task by task" in part)
    assert [t for t in re.findall(r">(\w+)</text>", figure) if t in names] == names


def test_the_share_of_errors_removed_is_that_of_the_outcomes(refused, refused_page):
    outcomes = read_outcomes(refused.path("evaluate-tasks") / "outcomes.parquet")["tasks/country"]
    errors = {model: 1 - outcomes[model].values.mean() for model in ("candidate", "chance")}
    shown = float(Page(refused_page).row("country")[-2].split()[0])
    assert shown == pytest.approx(1 - errors["candidate"] / errors["chance"], abs=0.01)


def test_data_serving_and_provenance_are_complete(refused, refused_page):
    assert "<h2>Data: homes (sample of 7 listings)</h2>" in refused_page
    page = Page(refused_page)
    assert "7: equal in bytes to a test photo" in page.text
    assert page.row("warning") == [
        "warning",
        "listings.parquet, row 3, title",
        "a listing has no title",
        "write a title",
    ]
    assert "0 of 1 expectations hold; not: images.parquet width expect_few_large_photos" in page.text
    assert "validate/data_docs/index.html" in page.text
    assert "Not trained, because their training labels are all equal or unknown: always_true." in page.text
    assert page.row("latency of a gallery request, median (ms)")[1] == "41.7"
    for stage in ("validate", "prepare", "train", "champion", *EVALUATED, "package", "gate"):
        assert page.row(stage)[1] == digest_of(refused.path(stage))
    for name, path in (("policy", "gate.yaml"), ("data", "data"), ("embed", "embed")):
        assert page.row(name)[1] == digest_of(refused.path(path))


def test_example_galleries_are_shown_and_an_unreadable_photo_is_counted(refused_page):
    page = Page(refused_page)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 3 + 4 + 5
    assert all(image["src"].startswith("data:image/jpeg;base64,") and image["alt"] for image in images)
    assert "listing-1: 5 photos, cosine 1, 1 not readable" in page.text
    assert "+2" in page.text


def test_the_page_stands_alone_and_is_small(refused_page):
    page = Page(refused_page)
    assert "://" not in refused_page
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith(("#", "data:image/jpeg;base64,")), (tag, name, value)
    assert len(refused_page.encode()) < 1_000_000
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_artifacts_give_the_same_bytes(refused, refused_page):
    assert refused.report("again") == refused_page


def test_hostile_text_stays_text(tmp_path):
    hostile = "<script>alert(1)</script>"
    tasks = ((hostile, "binary"), ("$\\frac{$", "multiclass"), ("</svg>&amp;\"'", "regression"), ("x" * 300, "binary"))
    source = build_run(tmp_path, tasks=tasks, message="<img src=x onerror=alert(1)> {{ 7 * 7 }}").report()
    page = Page(source)
    assert not [tag for tag, attributes in page.tags if tag == "script" or "onerror" in attributes]
    for name, _ in tasks:
        assert name in page.headings()
    figure = next(part for part in re.findall(r"<svg.*?</svg>", source, re.DOTALL) if "task by task" in part)
    assert html.escape("$\\frac{$", quote=False) in figure
    assert "<img src=x onerror=alert(1)> {{ 7 * 7 }}" in page.text


def test_a_diverged_candidate_still_gets_its_page(tmp_path):
    page = Page(build_run(tmp_path, diverged=True).report())
    assert "Refused" in page.text
    assert "1 of 120 values of the candidate are NaN or infinite" in page.text
    assert page.row("stars/rps")[2] == "–"


def test_artifacts_that_do_not_belong_together_are_refused(tmp_path):
    run = build_run(tmp_path)
    run.path("gate").rename(run.path("old-gate"))
    other = build_run(tmp_path / "other", worse=0.06)
    other.path("gate").rename(run.path("gate"))
    with pytest.raises(ShoplensError, match="made from another evaluate-stars"):
        run.report()
    assert not run.path("report").exists()


def test_a_changed_input_is_refused(tmp_path):
    run = build_run(tmp_path)
    write_json(run.path("gate") / "decision.json", {"promote": True})
    with pytest.raises(ShoplensError, match="not what stage gate wrote"):
        run.report()
