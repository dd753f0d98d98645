"""`python -m benchmarks.results`: what docs/results.md claims, measured on fresh worlds; hours, and it resumes.

Worlds: their seeds follow from the commit that fixed the world's rules, so nobody chose them. Training takes the
parameters of params.yaml. Nothing is tuned on what comes out here.

stars   every world: multi-task embeddings against ImageNet transfer on the hold-out, and every task against chance
gate    world 1: how often gate.yaml passes the same configuration trained with another seed
icons   the same as stars on the open-icons import, with its own hold-out
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path

from benchmarks.runs import ROOT, Run, code_of, record_seconds, rules_commit, world_seed
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import Params, WorldParams, read_params
from shoplens.progress import say
from shoplens.stages import EVALUATED

PARTS = ("stars", "gate", "icons")
MEASURED = ("validate", "prepare", "train", "champion", "embed", *EVALUATED)


def rendered(work: Path, params: WorldParams) -> Path:
    """The contract folder of a world, rendered if it is not there."""
    name = f"{params.seed}-{params.listings}"
    if params.false_claims != WorldParams().false_claims:
        name += f"-{params.false_claims:g}-false"
    out = work / "worlds" / name / "data"
    made_by = {"params": params.model_dump(mode="json"), "code": code_of(["world"])}
    note = out.with_name("data.json")
    if out.is_dir() and note.is_file() and read_json(note) == made_by:
        return out
    from shoplens.world.render import render_world

    say(f"Rendering world {params.seed}")
    start = time.perf_counter()
    render_world(out, params)
    record_seconds(work, f"{out.relative_to(work)}", time.perf_counter() - start)
    write_json(note, made_by)
    return out


def world_run(work: Path, params: Params, seed: int) -> Run:
    """The run of training seed 1 (params.yaml's) on the world with this seed."""
    data = rendered(work, params.world.model_copy(update={"seed": seed}))
    return Run(work, data, data.parent / "run", params)


def measure_worlds(work: Path, params: Params, seeds: list[int], name: str) -> None:
    """The folders of one run a world, listed in NAME.json after each."""
    runs = []
    for number, seed in enumerate(seeds, start=1):
        say(f"{name}: world {number} of {len(seeds)} (seed {seed})")
        run = world_run(work, params, seed)
        run.ensure(*MEASURED)
        runs.append({"seed": seed, "run": str(run.folder.relative_to(work))})
        write_json(work / f"{name}.json", runs)


def measure_gate(work: Path, params: Params, seed: int, candidates: int) -> None:
    """Part gate: the decisions on `candidates` other training seeds against the first, listed in gate.json."""
    first = world_run(work, params, seed)
    first.ensure(*MEASURED[:3])
    decisions = []
    for number in range(1, candidates + 1):
        other = params.train.seed + number
        say(f"Candidate {number} of {candidates} (training seed {other})")
        changed = params.model_copy(update={"train": params.train.model_copy(update={"seed": other})})
        folder = first.folder.with_name(f"seed-{other}")
        run = Run(work, first.data, folder, changed, shared=first, baseline=first.path("train"))
        run.ensure(*MEASURED[2:], "package", "gate")
        decisions.append({"seed": other, **read_json(run.path("gate") / "decision.json")})
        write_json(work / "gate.json", {"world": seed, "baseline": params.train.seed, "decisions": decisions})


def icons_run(work: Path, params: Params) -> Run:
    """The run on the open-icons import, measured."""
    from shoplens.importers.open_icons import import_open_icons

    data, note = work / "icons" / "data", work / "icons" / "data.json"
    code = code_of(["importers"])
    if not (data.is_dir() and note.is_file() and read_json(note) == code):
        start = time.perf_counter()
        import_open_icons(data)
        record_seconds(work, "icons/data", time.perf_counter() - start)
        write_json(note, code)
    run = Run(work, data, work / "icons" / "run", params)
    run.ensure(*MEASURED)
    return run


def measure_icons(work: Path, params: Params) -> None:
    """Part icons: one run on the import, named in icons.json."""
    run = icons_run(work, params)
    write_json(work / "icons.json", {"run": str(run.folder.relative_to(work))})


def main() -> None:
    """Measure the parts asked for, then write the page from all parts that the work folder has."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("out/results"), help="kept between runs (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"), help="the page (default: %(default)s)")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given several times")
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10, help="candidates of part gate")
    parser.add_argument("--listings", type=int, help="a trial: worlds of this size, of other seeds")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    parser.add_argument("--date", default=today, help="the date on the page (default: today)")
    arguments = parser.parse_args()
    work: Path = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["SHOPLENS_HOME"] = str(work / "home")
    try:
        params = read_params(ROOT / "params.yaml")
        if arguments.listings:
            world = params.world.model_copy(update={"listings": arguments.listings})
            params = params.model_copy(update={"world": world})
        commit = rules_commit()
        trial = arguments.listings is not None
        seeds = [world_seed(commit, number, trial) for number in range(1, arguments.worlds + 1)]
        for part in arguments.only or PARTS:
            if part == "stars":
                measure_worlds(work, params, seeds, part)
            if part == "gate":
                measure_gate(work, params, seeds[0], arguments.seeds)
            if part == "icons":
                measure_icons(work, params)
        from benchmarks.results_page import write_page

        write_page(arguments.out, work, params, arguments.date, trial)
    except ShoplensError as error:
        sys.exit(f"results: {error}")


if __name__ == "__main__":
    main()
