"""Whatever kfp lets a graph say is followed, and not refused; what leads nowhere is in tests/test_pipeline.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from shoplens.kubeflow.references import Wired, check_package, follow_references


@dsl.component
def text(x: str = "a") -> str:
    return x


@dsl.component
def texts(x: list[str]) -> None: ...


@dsl.component
def make(made: dsl.Output[dsl.Dataset]) -> None: ...


@dsl.component
def use(made: dsl.Input[dsl.Dataset]) -> None: ...


@dsl.container_component
def shell(x: str = "a", y: int = 3) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="image", command=["sh"], args=[x, y])


@dsl.container_component
def maybe(x: str = "") -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="image", args=[dsl.IfPresentPlaceholder(input_name="x", then=["--x", x])])


@dsl.pipeline
def inner(x: str = "q") -> str:
    return text(x=x).output


def followed(graph: Callable[..., Any], tmp_path: Path) -> dict[str, Wired]:
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(dsl.pipeline(graph, name="graph"), str(path))
    check_package(path.read_bytes())
    return follow_references(next(yaml.safe_load_all(path.read_text())))


def test_a_container_may_name_what_has_a_default_or_is_optional(tmp_path: Path) -> None:
    def graph() -> None:
        shell(y=4)
        maybe()

    found = followed(graph, tmp_path)
    assert found["shell"].container["args"] == ["a", "4.0"]
    assert found["maybe"].parameters == {}


def test_a_loop_may_have_constants_and_conditions_on_them(tmp_path: Path) -> None:
    def graph() -> None:
        with dsl.ParallelFor(["1", "2"]) as item:
            each = text(x=item)
            with dsl.If(item == "1"):
                shell(x=item)
        texts(x=dsl.Collected(each.output))

    found = followed(graph, tmp_path)
    assert found["text"].parameters == {"x": ("each of", '["1", "2"]')}
    assert found["shell"].conditions == ('each of ["1", "2"] == \'1\'',)
    assert found["texts"].parameters == {"x": ("text", "Output")}


def test_one_of_several_branches_may_give_a_value_or_a_file(tmp_path: Path) -> None:
    def graph(word: str = "a") -> None:
        with dsl.If(word == "a"):
            one, left = text(x="1"), make()
        with dsl.Else():
            other, right = text(x="2"), make()
        text(x=dsl.OneOf(one.output, other.output))
        use(made=dsl.OneOf(left.output, right.output))

    found = followed(graph, tmp_path)
    for producer, _ in (found["text-3"].parameters["x"], found["use"].artifacts["made"]):
        assert producer == "condition-branches-1"


def test_a_graph_inside_another_keeps_its_defaults(tmp_path: Path) -> None:
    def graph() -> None:
        shell(x=inner().output)

    found = followed(graph, tmp_path)
    assert found["text"].parameters == {"x": "q"}
    assert found["shell"].parameters == {"x": ("text", "Output")}


def test_a_file_from_elsewhere_may_be_used(tmp_path: Path) -> None:
    def graph(place: str = "s3://bucket/file") -> None:
        use(made=dsl.importer(artifact_uri=place, artifact_class=dsl.Dataset).output)

    assert followed(graph, tmp_path)["use"].artifacts == {"made": ("importer", "artifact")}
