"""What a run is given is checked before anything starts, and comes out as its tasks need it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.errors import ShoplensError
from shoplens.files import canonical_json
from shoplens.kubeflow.settings import MOST, Division, divide, locate, part_of, parts, resolved_params, write_policy
from shoplens.params import Params, read_params

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGE = f"registry.example.com/shoplens@sha256:{'b' * 64}"


def test_a_commit_fixes_the_data_and_a_folder_does_not() -> None:
    assert locate("https://git.example.com/shop", COMMIT, IMAGE) == (COMMIT, "")
    first, second = locate("/data", "", ""), locate("/data", "", "")
    assert first.revision == second.revision == ""
    assert first.fresh and second.fresh and first.fresh != second.fresh  # so the cache never answers for fetch


@pytest.mark.parametrize(
    ("source", "image", "message"),
    [
        ("shop", "shoplens:1", "not named by its digest"),
        (" ", IMAGE, "source is empty"),
        ("https://robot:secret@git.example.com/shop", IMAGE, "source holds a name or a token"),
    ],
)
def test_what_no_run_can_start_with_is_refused(source: str, image: str, message: str) -> None:
    with pytest.raises(ShoplensError, match=message):
        locate(source, COMMIT, image)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1", "policy_json: not valid JSON"),
        ('{"version": 1}', "policy_json: must be the text of gate.yaml as one JSON string"),
        (canonical_json("version: 1\nrulse: []\n"), "rulse: unknown key; did you mean 'rules'?"),
    ],
)
def test_a_wrong_policy_ends_a_run_before_anything_is_trained(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ShoplensError) as caught:
        write_policy(text, tmp_path / "policy")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "shards", "divided"),
    [
        (1, 0, ("8", "2", "0")),
        (1, 1, ("8", "2", "0")),
        (1, 4, ("8", "0", "2")),  # the shards embed, and the stage only puts them together
        (3, 1, ("0", "2", "0")),  # the nodes have GPUs, the task that waits for them needs none
    ],
)
def test_gpus_go_to_the_tasks_that_use_them(nodes: int, shards: int, divided: tuple[str, str, str]) -> None:
    found = divide(gpus=8, embed_gpus=2, nodes=nodes, embed_shards=shards)
    assert found == Division(*divided)
    assert all(isinstance(count, str) for count in found)  # a number would become an empty text in the pod's limits


def test_every_wrong_count_is_named() -> None:
    with pytest.raises(ShoplensError) as caught:
        divide(gpus=-1, embed_gpus=MOST + 1, nodes=0, embed_shards=1)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["gpus", "embed_gpus", "nodes"]
    with pytest.raises(ShoplensError, match="shards: -1 is not between 0"):
        parts(-1)


@given(st.integers(0, MOST))
def test_the_parts_are_all_shards_once(shards: int) -> None:
    found = [part_of(name) for name in parts(shards)]
    count = max(1, shards)
    assert found == [(shard, count) for shard in range(count)]


def test_sections_are_those_given_without_a_recipe() -> None:
    params = resolved_params("", {"train": '{"seed": 5}', "package": '{"examples": 3}'})
    assert (params.train.seed, params.package.examples) == (5, 3)
    assert params.embed == Params().embed


@pytest.mark.parametrize("text", ["{", "seed: 5", '"'])
def test_a_section_that_is_no_json_is_named(text: str) -> None:
    with pytest.raises(ShoplensError, match="parameters of train: not valid JSON"):
        resolved_params("", {"train": text})


def test_a_recipe_replaces_all_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_RECIPES", str(ROOT / "recipes"))
    assert resolved_params("etsy", {"train": '{"seed": 99}'}) == read_params(ROOT / "recipes/etsy.yaml")


@pytest.mark.parametrize("name", ["ets", "../params", "open-icons.gate", "etsy.yaml"])
def test_an_unknown_recipe_is_refused_with_those_there_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPLENS_RECIPES", str(ROOT / "recipes"))
    with pytest.raises(ShoplensError, match="known: booking, etsy, pinterest"):
        resolved_params(name, {})
