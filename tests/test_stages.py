"""The stage table is consistent with itself and with the functions it names."""

import inspect
from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.params import Params
from shoplens.stages import STAGES, Stage, function_of, run_stage


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stages_function_takes_what_the_table_says(stage: Stage) -> None:
    wanted = {name.replace("-", "_") for name in stage.inputs} | {"out"} | ({"params"} if stage.section else set())
    parameters = inspect.signature(function_of(stage)).parameters
    assert set(parameters) == wanted
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters.values())
    if stage.section:
        assert type(Params().section(stage.section)).__name__ == parameters["params"].annotation


def test_inputs_come_from_earlier_stages() -> None:
    known = {"data", "policy"}
    for stage in STAGES:
        assert set(stage.inputs) <= known, stage.name
        known.add(stage.name)


def test_the_effects_are_champion_register_and_deploy() -> None:
    assert [stage.name for stage in STAGES if stage.effect] == ["champion", "register", "deploy"]


def test_an_unknown_stage_is_a_clear_error(tmp_path: object) -> None:
    with pytest.raises(ShoplensError, match="unknown stage 'trian'; stages: validate, prepare"):
        run_stage("trian", {}, tmp_path, Params())  # type: ignore[arg-type]


def test_data_that_is_not_there_is_no_stage_s_fault(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="nowhere is no folder: name the contract folder with --data"):
        run_stage("validate", {"data": tmp_path / "nowhere"}, tmp_path / "out", Params())
