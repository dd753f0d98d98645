"""What came of a run, and its record: promoted, refused or unfinished, never what an earlier run left."""

import shutil
from pathlib import Path

import pytest
from ci.repository import Checkout, new_checkout
from ci.run_folder import judged, served, stage

from shoplens.ci.record import RECORD, read_record
from shoplens.ci.run import read_run
from shoplens.ci.state import state_of
from shoplens.cli import main
from shoplens.files import write_json
from shoplens.report.numbers import Estimate


def test_a_served_run_is_promoted(tmp_path: Path) -> None:
    run = read_run(served(tmp_path), tmp_path / "gate.yaml")
    assert (run.outcome, run.version) == ("promoted", "4")
    judged = run.judged
    assert judged is not None
    assert (judged.promote, judged.baseline, judged.passed, judged.short) == (True, "3", 3, 0)
    assert [metric.name for metric in judged.metrics] == ["package/served_cosine", "stars/rps"]
    assert judged.metrics[1].other == Estimate(0.0912, 0.0862, 0.0961, 420)  # the baseline's


def test_a_no_of_the_gate_is_refused(tmp_path: Path) -> None:
    run = read_run(judged(tmp_path, False, None, ("stars: fail",)), tmp_path / "gate.yaml")
    assert (run.outcome, run.version, run.reasons) == ("refused", None, ("stars: fail",))
    assert run.judged is not None
    assert (run.judged.promote, run.judged.baseline, run.judged.passed, run.judged.short) == (False, None, 2, 1)
    assert run.judged.metrics[1].other == Estimate(0.1, 0.09, 0.11, 420)  # there is no baseline: ImageNet transfer's


def test_a_yes_that_was_not_carried_out_is_unfinished(tmp_path: Path) -> None:
    artifacts, policy = served(tmp_path, {"skipped": "inside a DVC experiment"}), tmp_path / "gate.yaml"
    run = read_run(artifacts, policy)
    assert (run.outcome, "nothing was served: inside a DVC experiment" in run.why) == ("unfinished", True)
    shutil.rmtree(artifacts / "deploy")
    assert "not carried out" in read_run(artifacts, policy).why


def test_leftovers_of_an_earlier_run_do_not_count(tmp_path: Path) -> None:
    artifacts, policy = served(tmp_path), tmp_path / "gate.yaml"
    write_json(artifacts / "package" / "artifact.json", {"another": "package"})
    run = read_run(artifacts, policy)
    assert (run.outcome, run.judged) == ("unfinished", None)
    assert "was made from another package" in run.why
    served(tmp_path)
    policy.write_text("version: 2\n")
    assert "made from another policy" in read_run(artifacts, policy).why
    served(tmp_path)
    stage(artifacts, "register", {"gate": artifacts / "gate"}, receipt={"version": "5"})
    assert "was made from another register" in read_run(artifacts, policy).why
    served(tmp_path)
    judged(tmp_path, True, "4")
    assert "not carried out" in read_run(artifacts, policy).why


def test_a_run_that_broke_off_has_no_decision(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("version: 1\n")
    run = read_run(tmp_path / "artifacts", tmp_path / "gate.yaml")
    assert run.outcome == "unfinished"
    assert run.why == f"no stage has finished in {tmp_path / 'artifacts'}: `dvc repro` runs them"
    stage(tmp_path / "artifacts", "validate", {})
    run = read_run(tmp_path / "artifacts", tmp_path / "gate.yaml")
    assert run.outcome == "unfinished"
    assert run.why.startswith("it ended before the gate")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    found = new_checkout(tmp_path)
    monkeypatch.chdir(found.root)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    return found


@pytest.mark.parametrize("promote", [True, False])
def test_a_finished_run_is_put_on_record_and_a_refused_one_fails(
    checkout: Checkout, promote: bool, tmp_path: Path
) -> None:
    if promote:
        served(checkout.root)
    else:
        judged(checkout.root, False)
    with pytest.raises(SystemExit) as ended:
        main(["ci", "finish"])
    assert ended.value.code == (0 if promote else 1)
    record = read_record(checkout.root / RECORD)
    assert record is not None
    assert (record.commit, record.state) == (checkout.head, state_of(checkout.root, "HEAD"))
    assert record.decision == ("promoted" if promote else "refused")
    assert (tmp_path / "output").read_text() == f"decision={record.decision}\n"


def test_an_unfinished_run_leaves_no_record(
    checkout: Checkout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(checkout.root, True)
    with pytest.raises(SystemExit) as ended:
        main(["ci", "finish"])
    assert ended.value.code == 1
    assert "the run did not finish: the gate said yes" in capsys.readouterr().err
    assert not (checkout.root / RECORD).exists()
    assert not (tmp_path / "output").exists()
