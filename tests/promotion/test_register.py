"""Registration: a confirmed yes becomes the champion, everything else leaves production untouched."""

import json
import subprocess
import sys

import numpy as np
import pytest
from ranking.tiny_ranker import expected, small_plan
from stores.marks import on_every_registry

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, digest_folder, digest_json, read_json, write_json
from shoplens.home import tracking_uri
from shoplens.promotion import registry


def receipt(run):
    return read_json(run.path("register") / "receipt.json")


def mlflow_client():
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri(), tracking_uri())


def versions(run, model=None):
    found = mlflow_client().search_model_versions(f"name = '{model or run.params.model}'")
    return sorted(int(version.version) for version in found)


@on_every_registry
def test_a_first_model_becomes_champion_with_files_metrics_params_and_lineage(run):
    run.all("A")
    assert receipt(run)["version"] == run.champion == "1"
    assert receipt(run)["weights"] == digest_json("A")
    client = mlflow_client()
    found = client.get_model_version(run.params.model, "1")
    logged = client.get_run(found.run_id)
    files = {entry.path for entry in client.list_artifacts(found.run_id)}
    assert files == {"model", "encoder", "package", "decision.json", "report.html"}
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["stars/rps.candidate"] == pytest.approx(0.15, abs=0.01)
    assert logged.data.params["train.seed"] == "1"
    assert found.tags["shoplens.split"] == "split-1"
    assert found.tags["shoplens.dataset"] == "homes"
    assert found.tags["shoplens.data"] == read_artifact(run.path("prepare"), "prepare").inputs["data"]
    assert found.tags["shoplens.replaces"] == "none"
    assert {"shoplens.git_sha", "shoplens.git_dirty", "shoplens.policy", "shoplens.requirements"} <= set(found.tags)


def test_metrics_of_sources_are_logged_under_names_that_mlflow_takes(run):
    run.train("A").compare().evaluate().search(0.1, source="Möbel & (Co)").decide().promote()
    found = mlflow_client().get_model_version(run.params.model, "1")
    logged = mlflow_client().get_run(found.run_id).data.metrics
    assert logged["retrieval/score.candidate"] == logged["retrieval/Möbel _ _Co__p_at_1.candidate"] > 0.5


@on_every_registry
def test_the_registered_model_answers_through_mlflow_and_states_its_signature(run, monkeypatch):
    import mlflow

    run.all("A")
    # set_tracking_uri also sets this variable, for good; set here, it is put back after the test
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri())
    mlflow.set_tracking_uri(None)
    model = mlflow.pyfunc.load_model(f"models:/{run.params.model}@champion")
    pixels = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(model.predict({"pixels": pixels})["embedding"], pixels)
    assert model.metadata.signature.inputs.input_names() == ["pixels"]


def test_a_ranker_is_a_version_of_its_own_that_names_its_encoder(run):
    run.all("A").all("B", ranker=1)
    assert receipt(run)["ranker"] == {"model": run.params.ranker, "version": "1"}
    found = mlflow_client().get_model_version(run.params.ranker, "1")
    bundle = digest_folder(run.path("evaluate-ranking") / "ranker")
    assert found.tags["shoplens.identity"] == bundle
    assert found.tags["shoplens.weights"] == digest_json("B")
    assert found.tags["shoplens.encoder_version"] == run.champion == "2"
    assert found.run_id == registry.read_version(run.params.model, "2").run_id
    assert registry.read_version(run.params.model, "2").ranker == bundle
    assert registry.read_version(run.params.model, "1").ranker is None


def test_the_registered_ranker_scores_through_mlflow(run, registry_home, monkeypatch):
    import mlflow
    import pandas as pd

    run.all("A", ranker=1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{registry_home / 'mlflow.db'}")  # put back after the test
    mlflow.set_tracking_uri(None)
    model = mlflow.pyfunc.load_model(f"models:/{run.params.ranker}@champion")
    asked = [("wood floor", "barn"), ("sea view pool", "loft"), ("wood floor", "attic"), ("never seen", "loft")]
    scores = model.predict(pd.DataFrame(asked, columns=["query", "listing_id"]))
    np.testing.assert_allclose(scores, [expected(small_plan(1), *row) for row in asked], atol=1e-5)


@on_every_registry
def test_the_aliases_of_encoder_and_ranker_move_together_and_a_second_run_moves_neither(run, capfd):
    run.all("A", ranker=1).all("B", ranker=2)
    assert (run.champion, run.ranker) == ("2", "2")
    assert registry.read_version(run.params.ranker, "2").replaces == "1"
    before = digest_folder(run.path("register"))
    run.all("B", ranker=2)
    assert digest_folder(run.path("register")) == before
    assert (versions(run), versions(run, run.params.ranker)) == ([1, 2], [1, 2])

    capfd.readouterr()
    run.all("C")
    assert (run.champion, run.ranker, receipt(run)["ranker"]["version"]) == ("3", None, None)
    assert "shoplens-ranker@champion (version 2) is removed" in capfd.readouterr().err
    run.all("A", ranker=1)
    assert (run.champion, run.ranker) == ("1", "1")


def test_another_ranker_is_another_version_of_the_encoder_too(run):
    run.all("A", ranker=1).all("A", ranker=2)
    assert (run.champion, run.ranker) == ("2", "2")


def test_a_refused_encoder_leaves_the_ranker_as_it_was(run):
    run.all("A", ranker=1)
    with pytest.raises(ShoplensError, match="production is untouched"):
        run.all("B", loss=0.03, ranker=2)
    assert (run.ranker, versions(run, run.params.ranker)) == ("1", [1])


@pytest.mark.parametrize("killed_at", ["create_version_of ranker", "move_alias encoder", "move_alias ranker"])
def test_a_run_killed_before_the_ranker_was_moved_is_completed_by_the_next(run, monkeypatch, killed_at):
    run.all("A", ranker=1).ready("B", ranker=2)
    function, which = killed_at.split()
    original = getattr(registry, function)
    model = {"encoder": run.params.model, "ranker": run.params.ranker}[which]

    def dies(name, *args, **kwargs):
        if name == model:
            raise KeyboardInterrupt
        return original(name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(registry, function, dies)
        with pytest.raises(KeyboardInterrupt):
            run.promote()
    assert run.ranker == "1"
    run.promote()
    assert (run.champion, run.ranker, receipt(run)["ranker"]["version"]) == ("2", "2", "2")
    assert (versions(run), versions(run, run.params.ranker)) == ([1, 2], [1, 2])


def test_a_second_run_changes_nothing(run):
    run.all("A").all("B")
    before = {name: digest_folder(run.path(name)) for name in ("champion", "gate", "register")}
    run.all("B")
    assert {name: digest_folder(run.path(name)) for name in before} == before
    assert (run.champion, versions(run)) == ("2", [1, 2])


def test_the_candidate_is_compared_with_what_it_replaced_once_it_is_champion(run):
    run.all("A").all("B")
    assert read_json(run.path("champion") / "champion.json") == {"version": "1", "weights_digest": digest_json("A")}
    run.compare()
    assert read_json(run.path("champion") / "champion.json")["version"] == "1"
    assert (run.path("champion") / "encoder" / "encoder.safetensors").read_text() == "A"


@on_every_registry
def test_a_refusal_names_the_numbers_and_leaves_everything_as_it_was(run):
    run.all("A")
    with pytest.raises(ShoplensError) as caught:
        run.all("B", loss=0.03)
    message = str(caught.value)
    assert "production is untouched" in message
    assert "stars not worse: fail: stars/rps: candidate 0.1" in message
    assert "baseline 0.1" in message
    assert "may be worse by 0.01, n = 120" in message
    assert (run.champion, versions(run)) == ("1", [1])


@on_every_registry
def test_promoted_refused_promoted_and_back_to_the_first_is_decided_afresh(run):
    run.all("A")
    with pytest.raises(ShoplensError):
        run.all("B", loss=0.03)
    run.all("C", loss=-0.01)
    assert run.champion == "2"
    run.train("A").compare()
    assert read_json(run.path("champion") / "champion.json")["version"] == "2"
    run.all("A")
    assert (run.champion, versions(run), receipt(run)["version"]) == ("1", [1, 2], "1")
    assert registry.read_version(run.params.model, "1").replaces == "2"
    run.all("A")
    assert (run.champion, versions(run)) == ("1", [1, 2])


def test_the_same_weights_packaged_anew_are_a_new_version_compared_with_the_same_baseline(run):
    run.all("A").all("B").all("B", packaged="2")
    assert (run.champion, versions(run)) == ("3", [1, 2, 3])
    assert read_json(run.path("champion") / "champion.json")["version"] == "1"
    run.all("B", packaged="2")
    assert (run.champion, versions(run)) == ("3", [1, 2, 3])


def test_measured_times_of_the_package_do_not_make_a_new_version(run):
    run.all("A")
    metrics = read_json(run.path("package") / "metrics.json")
    metrics["metrics"]["package/latency_ms"] = {"direction": "lower", "unit": "ms", "candidate": {"value": 3.0}}
    write_json(run.path("package") / "metrics.json", metrics)
    passport = read_json(run.path("package") / "artifact.json")
    passport["files"]["metrics.json"] = digest_file(run.path("package") / "metrics.json")
    write_json(run.path("package") / "artifact.json", passport)
    run.decide().promote()
    assert versions(run) == [1]


def forge(run, **changes):
    """A gate artifact that is whole, but whose decision is not what the evidence gives."""
    decision = read_json(run.path("gate") / "decision.json") | changes
    with write_artifact(run.path("gate"), "gate", run.evidence.named(), {}) as folder:
        write_json(folder / "decision.json", decision)
    return run.report()


def test_a_decision_that_was_edited_is_not_believed(run):
    run.all("A").ready("B", loss=0.03)
    write_json(run.path("gate") / "decision.json", {"promote": True})
    with pytest.raises(ShoplensError, match=r"production is untouched: .*is not what stage gate wrote"):
        run.promote()


def test_a_forged_yes_is_decided_again_and_refused(run):
    run.all("A").ready("B", loss=0.03)
    with pytest.raises(ShoplensError, match=r"the gate says no, production is untouched"):
        forge(run, promote=True, reasons=[]).promote()
    assert (run.champion, versions(run)) == ("1", [1])


@pytest.mark.parametrize("changes", [{"promote": False}, {"split": "other"}, {"judged": {}}, {"rules": []}])
def test_a_decision_that_does_not_follow_from_the_evidence_is_refused(run, changes):
    run.ready("A")
    with pytest.raises(ShoplensError, match=r"production is untouched: .*is not the decision that the outcomes"):
        forge(run, **changes).promote()
    assert run.champion is None


def test_a_decision_from_before_the_outcomes_changed_is_refused(run):
    run.all("A")
    run.ready("B")
    run.evaluate(loss=0.001)
    with pytest.raises(ShoplensError, match=r"production is untouched: .*another evaluate-"):
        run.promote()
    assert run.champion == "1"


def test_a_policy_that_changed_after_the_gate_is_refused(run):
    run.ready("A")
    path = run.path("gate.yaml")
    path.write_text(path.read_text().replace("at_least: 0.01", "at_least: 0.001"))
    with pytest.raises(ShoplensError, match=r"production is untouched: .*another policy"):
        run.promote()
    assert run.champion is None


def test_a_report_of_another_decision_is_refused(run):
    run.ready("A")
    passport = read_json(run.path("report") / "artifact.json")
    write_json(run.path("report") / "artifact.json", passport | {"inputs": {"gate": "0" * 64}})
    with pytest.raises(ShoplensError, match=r"production is untouched: .*another gate"):
        run.promote()


@on_every_registry
def test_an_alias_that_somebody_moved_in_between_is_left_to_them(run):
    run.all("A").all("B")
    run.ready("C")
    registry.move_alias(run.params.model, run.params.alias, "1", expected="2")
    with pytest.raises(
        ShoplensError, match=r"compared with version 2, but .* now asks for a comparison with version 1"
    ):
        run.promote()
    assert (run.champion, versions(run)) == ("1", [1, 2])


@on_every_registry
def test_move_alias_refuses_when_the_alias_is_not_as_expected(run):
    run.all("A").all("B")
    with pytest.raises(ShoplensError, match="names version 2, not 7"):
        registry.move_alias(run.params.model, run.params.alias, "1", expected="7")
    assert run.champion == "2"


@on_every_registry
def test_a_run_killed_between_version_and_alias_is_completed_by_the_next(run, monkeypatch):
    run.all("A").ready("B")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "move_alias", lambda *_args, **_kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.promote()
    assert (run.champion, versions(run)) == ("1", [1, 2])
    run.promote()
    assert (run.champion, versions(run), receipt(run)["version"]) == ("2", [1, 2], "2")
    assert registry.read_version(run.params.model, "2").replaces == "1"


PROMOTE = """
import sys
from pathlib import Path
from shoplens.params import RegisterParams
from shoplens.promotion.register import register
from shoplens.stages import EVALUATED
stages = ("prepare", "train", "champion", *EVALUATED, "package", "gate", "report")
root = Path(sys.argv[1])
inputs = {name.replace("-", "_"): root / name for name in stages}
register(policy=root / "gate.yaml", **inputs, out=root / "register", params=RegisterParams())
"""


@on_every_registry
def test_two_registrations_at_once_promote_one_and_refuse_the_other(run, tmp_path):
    run.all("A")
    roots = [type(run)(tmp_path / name).ready(name).root for name in ("B", "C")]
    processes = [
        subprocess.Popen([sys.executable, "-c", PROMOTE, root], stderr=subprocess.PIPE, text=True) for root in roots
    ]
    answers = [process.communicate(timeout=120)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1]
    assert "now asks for a comparison with version 2" in answers[[p.returncode for p in processes].index(1)]
    assert (run.champion, versions(run)) == ("2", [1, 2])


def test_inside_a_dvc_experiment_nothing_is_registered_but_a_no_is_still_a_no(run, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "try-this")
    run.all("A")
    assert receipt(run) == {"skipped": "inside a DVC experiment"}
    assert run.champion is None
    with pytest.raises(ShoplensError, match="the gate says no"):
        run.all("B", loss=0.1)


def test_a_version_from_elsewhere_is_not_mistaken_for_a_baseline(run):
    run.all("A")
    client = mlflow_client()
    source = client.get_model_version(run.params.model, "1")
    client.create_model_version(run.params.model, source=source.source, run_id=source.run_id)
    client.set_registered_model_alias(run.params.model, run.params.alias, "2")
    with pytest.raises(ShoplensError, match=r"version 2 .* was not registered by shoplens"):
        run.train("B").compare()


def test_a_damaged_artifact_store_is_named(run, registry_home):
    run.all("A")
    for path in (registry_home / "mlartifacts").rglob("encoder/encoder.json"):
        path.write_text(json.dumps({"weights_digest": "other"}))
    with pytest.raises(ShoplensError, match="not the one that was registered"):
        run.train("B").compare()


def test_nothing_is_written_into_the_current_folder(run, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run.all("A")
    assert list(folder.iterdir()) == []
