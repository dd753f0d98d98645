"""dataset.yaml: what is accepted, and that each mistake is named."""

from pathlib import Path
from typing import Any

import pytest
from contract.builder import SPEC, write_spec

from shoplens.contract.spec import read_spec
from shoplens.errors import ShoplensError


def test_reads_every_key(tmp_path: Path) -> None:
    write_spec(tmp_path)
    spec = read_spec(tmp_path)
    assert [task.name for task in spec.tasks] == ["has_pool", "scene", "price"]
    assert spec.holdout.levels == ("1", "2", "3")
    assert spec.slices == ("country", "is_new")
    assert (spec.gallery.min, spec.gallery.max) == (2, 4)
    assert (spec.sources[0].eval.task, spec.sources[0].eval.metric) == ("product", "p@1")


def test_slices_and_sources_may_be_left_out(tmp_path: Path) -> None:
    write_spec(tmp_path, slices=[], sources=[])
    assert read_spec(tmp_path).sources == ()


SOURCE = SPEC["sources"][0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slicess": []}, "did you mean 'slices'"),
        ({"gallery": {"min": 1, "maxx": 2}}, "did you mean 'max'"),
        ({"gallery": {"min": 3, "max": 2}}, "min 3 is greater than max 2"),
        ({"gallery": {"min": 0, "max": 2}}, "gallery.min"),
        ({"contract": 2}, "contract"),
        ({"tasks": [*SPEC["tasks"], SPEC["tasks"][0]]}, "has_pool"),
        ({"tasks": [{"name": "a", "kind": "ordinal"}]}, "tasks.0.kind"),
        ({"tasks": [{"name": "title", "kind": "multiclass"}]}, "title"),
        ({"tasks": [{"name": "a/b", "kind": "binary"}]}, "tasks.0.name"),
        ({"tasks": [], "sources": []}, "nothing to train on"),
        ({"holdout": {"name": "scene", "kind": "multiclass"}}, "both a task and the hold-out"),
        ({"holdout": {"name": "stars", "kind": "regression", "levels": ["1", "2"]}}, "no levels"),
        ({"holdout": {"name": "stars", "kind": "multiclass", "levels": ["1", "1"]}}, "listed twice: 1"),
        ({"holdout": {"name": "stars", "kind": "multiclass", "levels": ["1"]}}, "at least two"),
        ({"slices": ["country", "country"]}, "listed twice: country"),
        ({"slices": ["price"]}, "price: a slice"),
        ({"slices": ["metric"]}, "metric: this name is taken"),
        ({"sources": [SOURCE, SOURCE]}, "sources are listed twice: shop"),
        ({"sources": [{**SOURCE, "name": "galleries"}]}, "a source cannot be called 'galleries'"),
        ({"sources": [{**SOURCE, "tasks": ["product", "product"]}]}, "tasks are listed twice: product"),
        ({"sources": [{**SOURCE, "eval": {"task": "colour", "metric": "p@1"}}]}, "colour"),
        ({"sources": [{**SOURCE, "eval": {"task": "product", "metric": "p@5"}}]}, "sources.0.eval.metric"),
        ({"licence": ""}, "licence"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_spec(tmp_path, **changes)
    with pytest.raises(ShoplensError, match=r"dataset\.yaml") as raised:
        read_spec(tmp_path)
    assert said in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match=r"dataset\.yaml is missing"):
        read_spec(tmp_path)
