"""Stage gate: writes its decision and ends normally on a no; refuses artifacts that do not belong together."""

import pytest

from shoplens.artifacts import digest_of, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json, write_text
from shoplens.params import RegisterParams
from shoplens.promotion.gate_stage import collected
from shoplens.promotion.power import policy_power
from shoplens.strict import parse


def decision(run):
    return read_json(run.path("gate") / "decision.json")


def test_a_yes_is_written_with_the_digests_of_what_was_judged(run):
    run.ready("A")
    found = decision(run)
    assert found["promote"] is True
    assert found["split"] == "split-1"
    assert found["judged"] == {name: digest_of(path) for name, path in run.evidence.named().items()}
    assert [rule["status"] for rule in found["rules"]] == ["pass", "skipped", "pass"]


def test_a_no_is_written_printed_and_not_an_error(run, capsys):
    run.ready("A", loss=0.045)
    assert decision(run)["promote"] is False
    printed = capsys.readouterr().err
    assert "DO NOT PROMOTE" in printed
    assert "stars beat chance" in printed


def test_tasks_that_were_not_evaluated_leave_the_other_rules_their_numbers(run):
    run.ready("A")
    chain = {name: run.path(name) for name in ("data", "prepare", "train", "champion")} | {"embed": run.path("train")}
    with write_artifact(run.path("evaluate-tasks"), "evaluate-tasks", chain, {}) as folder:
        write_json(folder / "metrics.json", {"split": "split-1", "skipped": "no tasks", "metrics": {}})
    assert [rule["status"] for rule in decision(run.decide())["rules"]] == ["pass", "skipped", "pass"]


def test_the_power_of_the_policy_is_computed_from_a_finished_run(run):
    run.all("A").ready("B")
    (run.root / "policy").symlink_to(run.path("gate.yaml"))
    power = policy_power(*collected(run))
    assert [row.rule for row in power.rows] == ["stars beat chance", "stars not worse"]
    assert power.all_rules == 1.0


def test_the_same_evidence_gives_the_same_bytes(run):
    before = digest_of(run.ready("A").path("gate"))
    assert digest_of(run.decide().path("gate")) == before


def test_evaluations_of_another_model_are_refused(run):
    run.ready("A").train("B").compare()
    with pytest.raises(ShoplensError, match="another train than"):
        run.decide()


def test_stars_from_other_embeddings_than_the_tasks_are_refused(run):
    run.ready("A")
    write_text(run.path("embed") / "x", "others")
    chain = {"data": run.path("data"), "prepare": run.path("prepare"), "embed": run.path("embed")}
    with write_artifact(run.path("evaluate-stars"), "evaluate-stars", chain, {}) as folder:
        write_text(folder / "metrics.json", "{}")
    with pytest.raises(ShoplensError, match="another embed than"):
        run.decide()


def test_numbers_from_another_split_are_refused(run):
    run.train("A").compare().evaluate(split="split-2")
    with pytest.raises(ShoplensError, match="measured on another split"):
        run.decide()


def test_a_metric_that_is_not_a_number_is_a_no(run):
    run.ready("A")
    package = run.path("package")
    chain = {name: run.path(name) for name in ("data", "prepare", "train", "evaluate-ranking")}
    with write_artifact(package, "package", chain | {"embed": run.path("train")}, {}) as folder:
        served = {"direction": "higher", "unit": "photo", "candidate": {"value": None}}
        write_json(folder / "metrics.json", {"split": "split-1", "metrics": {"package/served_cosine": served}})
    run.decide()
    assert decision(run)["reasons"][0].startswith("served as trained: fail: package/served_cosine: candidate None")


SEARCHED = """
version: 1
bootstrap: true
resamples: 300
rules:
  - {kind: floor, name: beats chance, metric: retrieval/score, against: chance, at_least: 0.05, min_n: 100}
  - {kind: non_inferiority, name: not worse, metric: retrieval/score, margin: 0.05,
     slices: {column: source, margin: 0.1, min_n: 50}}
"""


@pytest.mark.parametrize(("gain", "status"), [(0.0, "pass"), (-0.07, "fail")])
def test_retrieval_is_judged_over_all_queries_and_by_source(run, gain, status):
    run.all("A").train("B").compare().evaluate().search(gain)
    write_text(run.path("gate.yaml"), SEARCHED)
    run.decide()
    lines = [(rule["name"], rule["slice"], rule["status"], rule["n"]) for rule in decision(run)["rules"]]
    assert lines == [
        ("beats chance", None, "pass", 120),
        ("not worse", None, status, 120),
        ("not worse", "source=shop", "pass", 120),
    ]


def test_retrieval_that_was_not_evaluated_is_a_no(run):
    run.train("A").compare().evaluate()
    write_text(run.path("gate.yaml"), SEARCHED)
    run.decide()
    assert decision(run)["reasons"][0].startswith("beats chance: fail: retrieval/score: not evaluated")


def test_retrieval_by_other_embeddings_or_on_another_split_is_refused(run):
    run.train("A").compare().evaluate()
    write_text(run.path("embed") / "x", "others")
    with pytest.raises(ShoplensError, match="another embed than"):
        run.search(0.0, embed="embed").decide()
    with pytest.raises(ShoplensError, match="measured on another split"):
        run.search(0.0, split="split-2").decide()


@pytest.mark.parametrize("alias", ["latest", "v1", "12", "with space"])
def test_aliases_that_mlflow_reserves_are_refused(alias):
    with pytest.raises(ShoplensError, match="alias"):
        parse(RegisterParams, {"alias": alias}, "params.yaml")
