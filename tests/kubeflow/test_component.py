"""Loops over shards run on this machine too: kfp finds their items only where a task has a single output."""

from functools import partial
from pathlib import Path

from kfp import dsl

from components.parts import parts
from shoplens.kubeflow.local_run import run_graph

component = partial(dsl.component, packages_to_install=[], install_kfp_package=False, base_image="python")


@component
def shard(part: str, out: dsl.Output[dsl.Artifact]) -> None:
    from pathlib import Path

    Path(out.path).mkdir()
    (Path(out.path) / "name").write_text(part)


@component
def report(parts: dsl.Input[list[dsl.Artifact]], out: dsl.Output[dsl.Artifact]) -> None:
    from pathlib import Path

    Path(out.path).mkdir()
    (Path(out.path) / "names").write_text(" ".join((Path(part.path) / "name").read_text() for part in parts))


@component
def finish(status: dsl.PipelineTaskFinalStatus) -> None:
    print(status.state)


@dsl.pipeline(name="loop")
def loop(shards: int) -> None:
    with dsl.ExitHandler(finish()):
        with dsl.ParallelFor(parts(shards=shards).output) as part:
            done = shard(part=part)
        report(parts=dsl.Collected(done.output))


def test_a_loop_goes_through_every_shard_and_what_they_wrote_is_collected(tmp_path: Path) -> None:
    assert run_graph(loop, {"shards": 2}, tmp_path) is None
    assert (tmp_path / "artifacts/report/names").read_text() == "0/2 1/2"
