"""From training to the live server: an honest candidate is promoted, spoiled ones are refused, production untouched."""

from __future__ import annotations

import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from end_to_end.conftest import Honest
from end_to_end.production import (
    HERE,
    JUDGED,
    PARAMS,
    Production,
    baseline_of,
    changed,
    check_searches,
    cosines,
    decision_of,
    run_stages,
    trained_answers,
)

from benchmarks.shuffled import shuffle_training
from shoplens.errors import ShoplensError
from shoplens.stages import Layout
from shoplens.world.render import render_world

pytestmark = pytest.mark.slow
NUMBER = r"-?[\d.]+(e-\d+)?"


def check_refused(layout: Layout, metric: str, against: str) -> dict[str, Any]:
    """The decision is a no; a failed rule names metric, candidate, opponent and interval; the page shows it."""
    decision = decision_of(layout.artifacts)
    assert decision["promote"] is False
    pattern = (
        rf": fail: {metric}: candidate {NUMBER}, {against} {NUMBER}: (better|worse) by {NUMBER} "
        rf"\(95% bounds {NUMBER} \.\. {NUMBER}\), m\w+ be (better|worse) by {NUMBER}, n = \d+"
    )
    reasons = [reason for reason in decision["reasons"] if re.search(pattern, reason)]
    assert reasons, f"no reason like {pattern} in {decision['reasons']}"
    page = html.unescape((layout.path("report") / "report.html").read_text())
    for reason in decision["reasons"]:
        assert reason.split(": ", 2)[2] in page
    return decision


def check_registration_refuses(layout: Layout) -> None:
    """Register raises with the reasons and writes nothing, and deploy has nothing to work on."""
    with pytest.raises(ShoplensError, match="the gate says no, production is untouched") as refusal:
        run_stages(layout, PARAMS, "register")
    for reason in decision_of(layout.artifacts)["reasons"]:
        assert reason in str(refusal.value)
    with pytest.raises(ShoplensError, match=r"register.* missing: run the stage"):
        run_stages(layout, PARAMS, "deploy")


def shuffle_labels(data: Path, role: str) -> None:
    """Give every photo of this role in the image sources the label of another one of its source and task."""
    labels = pq.read_table(data / "labels.parquet")
    rng, origin = np.random.default_rng(0), np.arange(len(labels))
    units = [tuple(row.values()) for row in labels.select(["source", "task", "role"]).to_pylist()]
    for unit in sorted({unit for unit in units if unit[2] == role}):
        own = np.array([i for i, other in enumerate(units) if other == unit])
        origin[own] = rng.permutation(own)
    place = labels.column_names.index("label")
    shuffled = labels.set_column(place, labels.schema.field(place), labels["label"].take(pa.array(origin)))
    (data / "labels.parquet").unlink()  # it may be a link
    pq.write_table(shuffled, data / "labels.parquet")


def refused_by(decision: dict[str, Any]) -> dict[str, set[str]]:
    """The rules that did not pass, with what their lines (a rule's, and one a slice) say."""
    found: dict[str, set[str]] = {}
    for rule in decision["rules"]:
        if rule["status"] not in ("pass", "skipped"):
            found.setdefault(rule["name"], set()).add(rule["status"])
    return found


RETRIEVAL = {"retrieval not worse": {"fail"}, "codes not worse": {"fail"}}


def test_an_honest_candidate_is_promoted_and_served_as_trained(honest: Honest) -> None:
    artifacts = honest.layout.artifacts
    decision = decision_of(artifacts)
    assert decision["promote"] is True
    assert baseline_of(artifacts) is None
    assert honest.alias == "1"
    assert cosines(honest.answers, trained_answers(artifacts, honest.shown)).min() > 0.9999
    check_searches(honest.distances, artifacts, honest.shown)
    assert cosines(honest.answers[:1], honest.answers[1:2])[0] < 0.999, "all galleries have the same embedding"
    honest.check_untouched()


def test_inside_a_dvc_experiment_nothing_is_registered_or_deployed(
    judged: tuple[Layout, Production], tmp_path: Path
) -> None:
    layout, _ = judged
    own = Layout(layout.data, layout.policy, tmp_path / "artifacts")
    for name in ("validate", "prepare", "train", *JUDGED):
        own.path(name).parent.mkdir(exist_ok=True)
        own.path(name).symlink_to(layout.path(name))
    empty = Production(tmp_path / "home")
    for stage in ("register", "deploy"):
        done = empty.cli(own, HERE / "small_world.yaml", stage, DVC_EXP_NAME="try-this")
        assert done.returncode == 0, done.stderr
        assert f"{stage}: inside a DVC experiment nothing is" in done.stdout + done.stderr
    assert empty.alias() is None
    assert not (tmp_path / "home" / "serving" / "state.json").exists()


def test_shuffled_training_labels_are_refused(honest: Honest, tmp_path: Path) -> None:
    layout = honest.sibling(tmp_path, shuffle_training(honest.layout.data, tmp_path / "data"))
    with honest.production.here():
        run_stages(layout, PARAMS, "validate", "prepare", "train", *JUDGED)
    assert baseline_of(layout.artifacts) == honest.alias
    check_refused(layout, "tasks/score", "chance")
    check_refused(layout, "tasks/score", "baseline")
    done = honest.production.cli(layout, HERE / "small_world.yaml", "register")
    assert done.returncode == 1
    assert "the gate says no, production is untouched" in done.stderr
    for reason in decision_of(layout.artifacts)["reasons"]:
        assert reason in done.stderr
    assert "Traceback" not in done.stderr
    honest.check_untouched()


def test_an_encoder_that_never_learned_from_the_image_sources_is_refused_by_the_rules_on_retrieval_alone(
    honest: Honest, tmp_path: Path
) -> None:
    """It is as good as the champion at stars, tasks and ranking, which galleries teach.

    Its batches are the champion's without the sources' half. An epoch, one pass over the largest source, has about
    half as many of them: the champion saw the galleries twice in one pass over its largest image source.
    """
    layout = honest.sibling(tmp_path)
    with honest.production.here():
        run_stages(layout, changed(sources=("galleries",), batch_photos=104, max_epochs=6), "train", *JUDGED)
        assert baseline_of(layout.artifacts) == honest.alias
        check_refused(layout, "retrieval/score", "baseline")
        assert refused_by(check_refused(layout, "retrieval/binary_score", "baseline")) == RETRIEVAL
        check_registration_refuses(layout)
    honest.check_untouched()


def test_shuffled_labels_of_the_image_sources_are_refused_by_the_rules_on_retrieval(
    honest: Honest, tmp_path: Path
) -> None:
    """Stars and ranking pass; the tasks, which share the encoder, suffer a little, near what their rule allows."""
    shutil.copytree(honest.layout.data, tmp_path / "data", copy_function=os.link)
    shuffle_labels(tmp_path / "data", "train")
    layout = honest.sibling(tmp_path, tmp_path / "data")
    with honest.production.here():
        run_stages(layout, PARAMS, "validate", "prepare", "train", *JUDGED)
        assert baseline_of(layout.artifacts) == honest.alias
        check_refused(layout, "retrieval/score", "baseline")
        refused = refused_by(check_refused(layout, "retrieval/binary_score", "baseline"))
        refused.pop("tasks not worse", None)
        assert refused == RETRIEVAL
        check_registration_refuses(layout)
    honest.check_untouched()


def test_an_encoder_whose_training_was_mostly_skipped_is_refused_against_the_champion(
    honest: Honest, tmp_path: Path
) -> None:
    layout = honest.sibling(tmp_path)
    with honest.production.here():
        run_stages(layout, changed(max_epochs=1, batch_photos=416), "train", *JUDGED)
        decision = check_refused(layout, "tasks/score", "baseline")
        assert baseline_of(layout.artifacts) == honest.alias
        floors = [rule["status"] for rule in decision["rules"] if rule["kind"] == "floor"]
        assert set(floors) == {"pass"}, "only the comparison with the champion shows what is wrong with it"
        check_registration_refuses(layout)
    honest.check_untouched()


@pytest.fixture(scope="module")
def dead_world(tmp_path_factory: pytest.TempPathFactory, honest: Honest) -> Layout:
    """The small world with stars that no photo shows and searches for something else than the photos show, prepared."""
    folder = tmp_path_factory.mktemp("dead")
    render_world(folder / "data", PARAMS.world.model_copy(update={"star_signal": 0.0}))
    shuffle_labels(folder / "data", "query")
    layout = honest.sibling(folder, folder / "data")
    with honest.production.here():
        run_stages(layout, PARAMS, "validate", "prepare")
    return layout


# The same seed makes the champion's very weights, whose baseline is what the champion replaced: nothing.
@pytest.mark.parametrize(("seed", "baseline"), [(2, "1"), (1, None)], ids=["against the champion", "no baseline"])
def test_a_world_without_signal_in_stars_or_searches_is_refused_by_the_floors(
    honest: Honest, dead_world: Layout, seed: int, baseline: str | None
) -> None:
    with honest.production.here():
        run_stages(dead_world, changed(seed=seed), "train", *JUDGED)
        assert baseline_of(dead_world.artifacts) == baseline
        check_refused(dead_world, "stars/rps", "chance")
        decision = check_refused(dead_world, "retrieval/score", "chance")
        check_registration_refuses(dead_world)
    assert refused_by(decision) == {"stars beat chance": {"fail"}, "retrieval beats chance": {"fail"}}
    honest.check_untouched()
