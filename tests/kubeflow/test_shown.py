"""What the Kubeflow UI shows has the stage's own numbers, and pages need nothing from elsewhere."""

import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from kfp import dsl

from shoplens.contract.data_docs import run_suites
from shoplens.contract.expectations import Expectation, Suite
from shoplens.files import write_json, write_text
from shoplens.kubeflow.shown import decision_text, numbers, outcome_text, show, single_page
from shoplens.stages import STAGES


def test_metrics_are_of_candidate_and_baseline_and_leave_out_what_is_null() -> None:
    value = {"value": 0.25, "low": 0.1, "high": 0.4, "n": 7}
    measured = {
        "stars/rps": {"direction": "lower", "candidate": value, "baseline": {**value, "value": 1}, "chance": value},
        "stars/accuracy": {"direction": "higher", "candidate": {**value, "value": None}, "baseline": None},
    }
    assert numbers({"split": "abc", "metrics": measured}) == {"stars/rps": 0.25, "stars/rps of the baseline": 1.0}


def test_counts_are_named_by_their_place() -> None:
    assert numbers({"hash": "abc", "photos": {"test": 3, "train": 9}, "best_epoch": 4, "frozen": True}) == {
        "photos.test": 3.0,
        "photos.train": 9.0,
        "best_epoch": 4.0,
    }


def rule(**changes: Any) -> dict[str, Any]:
    filled = {"name": "stars", "slice": None, "metric": "stars/rps", "candidate": 0.123456789, "other": None}
    return {**filled, "status": "pass", **changes}


def test_a_decision_is_a_table_that_no_text_breaks() -> None:
    odd = "worse | much\n*worse* <script>"
    text = decision_text({"promote": False, "reasons": [odd], "rules": [rule(), rule(name=odd, slice="north")]})
    head, *lines = text.splitlines()
    assert head == "# REFUSE"
    assert r"- worse \| much \*worse\* \<script\>" in lines
    rows = [line for line in lines if line.startswith("|")]
    assert rows[2] == "| stars | all | stars/rps | 0.123457 | none | pass |"
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert decision_text({"promote": True, "reasons": [], "rules": []}).startswith("# PROMOTE\n")


def test_every_view_of_a_stage_is_filled_from_its_files(tmp_path: Path) -> None:
    out = tmp_path / "stage"
    write_json(out / "metrics.json", {"listings": 3})
    write_json(out / "confusion.json", {"classes": ["1", "2"], "counts": [[5, 1], [0, 4]]})
    write_json(out / "decision.json", {"promote": True, "reasons": [], "rules": []})
    write_json(out / "receipt.json", {"version": "7", "answers": {"cosine": 0.99999999}})
    write_text(out / "report.html", "<p>page</p>")
    views = {
        "metrics": dsl.Metrics(),
        "confusion": dsl.ClassificationMetrics(),
        **{name: SimpleNamespace(path=str(tmp_path / name)) for name in ("decision", "receipt", "page")},
    }
    show(out, {**views, "params": "{}", "out": None})
    assert views["metrics"].metadata == {"listings": 3.0}
    matrix = views["confusion"].metadata["confusionMatrix"]
    assert matrix["annotationSpecs"] == [{"displayName": "1"}, {"displayName": "2"}]
    assert matrix["rows"] == [{"row": [5, 1]}, {"row": [0, 4]}]
    assert (tmp_path / "decision").read_text().startswith("# PROMOTE")
    assert (tmp_path / "receipt").read_text() == "- **answers.cosine**: 1\n- **version**: 7\n"
    assert (tmp_path / "page").read_text() == "<p>page</p>"


def test_a_hold_out_without_levels_shows_no_matrix(tmp_path: Path) -> None:
    view = dsl.ClassificationMetrics()
    show(tmp_path, {"confusion": view})
    assert view.metadata == {}


def test_data_docs_are_one_page_that_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    frame = pd.DataFrame({"price": [1.0, 2.0, -3.0]})
    limits = Expectation("ExpectColumnValuesToBeBetween", {"column": "price", "min_value": 0}, "warning")
    run_suites([Suite("listings.parquet", frame, [limits])], "run", tmp_path / "docs")
    page = single_page(tmp_path / "docs")
    [inner] = [html.unescape(found) for found in re.findall(r'srcdoc="([^"]*)"', page)]
    assert "price" in inner and "listings" in page
    assert inner.count("<style") == inner.count("</style>")  # nothing that is taken out takes more along
    for text in (page, inner):
        assert not re.search(r"<script|<link|<img|@import|url\(|https?://", text)
        assert not re.search(r"""\s(src|href)=["'](?!#)""", text)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_shows_something(stage: Any) -> None:
    text = (Path(__file__).parents[2] / f"components/{stage.keyword}.py").read_text()
    assert re.search(r"dsl\.Output\[dsl\.(Metrics|ClassificationMetrics|Markdown|HTML)\]", text)


def test_the_outcome_of_a_run_says_where_to_look() -> None:
    for state in ("SUCCEEDED", "COMPLETE"):  # of kfp's local runner, and of the server (2.17)
        assert "was promoted" in outcome_text("shop", "v1", state, None)
    lost = outcome_text("shop", "", "RUNNING", None)  # on a cluster, when a pod was gone before it could report
    assert "see the graph" in lost and "promoted" not in lost
    refused = outcome_text("shop", "", "FAILED", "Task refuse failed.")
    assert refused.startswith("run on shop ended: FAILED: Task refuse failed.") and "gate said no" in refused
