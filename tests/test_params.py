"""params.yaml and the recipes are strict: an unknown key is an error with a suggestion."""

from pathlib import Path

import pytest
import yaml

from shoplens.errors import ShoplensError
from shoplens.params import Params, parse_params, read_params
from shoplens.stages import STAGES

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "path", [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))], ids=lambda p: p.name
)
def test_committed_parameters_are_valid(path: Path) -> None:
    if not path.name.endswith("gate.yaml"):
        read_params(path)


def test_params_yaml_states_every_parameter() -> None:
    stated = yaml.safe_load((ROOT / "params.yaml").read_text())
    known = Params().model_dump(by_alias=True)
    assert {name: set(section) for name, section in stated.items()} == {n: set(s) for n, s in known.items()}


def test_an_unknown_key_names_the_file_and_the_nearest_key(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("train:\n  learning_rat: 0.1\n")
    with pytest.raises(ShoplensError, match=r"p\.yaml: train\.learning_rat: unknown key; did you mean 'learning_rate'"):
        read_params(tmp_path / "p.yaml")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("train:\n  sources: [a\n  seed: 1\n", "line 3, column 7: not valid YAML"),
        ("train:\n\tseed: 1\n", "line 2, column 1: not valid YAML"),
        ("train: *shared\n", "line 1, column 8: not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_named_by_file_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ShoplensError) as refused:
        read_params(tmp_path / "p.yaml")
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / 'p.yaml'}: {place}") and said.endswith("; correct it")
    assert len(said.splitlines()) == 1 and "unicode string" not in said


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"train": {"max_epochs": 0}}, "train.max_epochs"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate"),
        ({"train": {"loss": "mse"}}, "train.loss"),
        ({"world": {"listings": "many"}}, "world.listings"),
        ({"evaluate-stars": {"fractions": [0.5, 2]}}, "evaluate-stars.fractions.1"),
        ({"register": {"model": "one", "ranker": "one"}}, "both are called 'one'"),
        ([], "whole file.: must be keys with values"),
        (None, "whole file.: must be keys with values"),
    ],
)
def test_a_wrong_value_names_its_key(value: object, key: str) -> None:
    with pytest.raises(ShoplensError, match=key):
        parse_params(value, "params.yaml")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"l1": [-1]}, "p.yaml: evaluate-ranking.l1.0: Input should be greater than or equal to 0"),
        ({"rates": []}, "p.yaml: evaluate-ranking.rates: has too few entries"),
        ({"rate": 1}, "p.yaml: evaluate-ranking.rate: unknown key; did you mean 'rates'?"),
        ({"steps": 10**20}, "p.yaml: evaluate-ranking.steps: Input should be less than or equal to 1000000"),
    ],
)
def test_a_wrong_grid_is_told_in_one_line(section: dict[str, object], said: str) -> None:
    with pytest.raises(ShoplensError) as caught:
        parse_params({"evaluate-ranking": section}, "p.yaml")
    assert str(caught.value) == said


def test_every_stage_section_exists() -> None:
    for stage in STAGES:
        if stage.section:
            assert Params().section(stage.section)
