"""`python -m benchmarks.results_ranking`: what docs/results-ranking.md claims, measured on fresh worlds; it resumes.

Worlds: their seeds follow from the commit that fixed the rules of the search log. Nothing is tuned on what comes out.

table     every world: text, image and multimodal ranking against each other, on all queries
truthful  the same worlds, photos and shoppers, but sellers claim nothing that is untrue
shuffled  an encoder trained on shuffled photos against the honest one, from training to the gate's decision
icons     the open-icons import, with its simulated sessions
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path

from benchmarks.results import MEASURED, icons_run, measure_worlds, rendered, world_run
from benchmarks.results_ranking_page import write_page
from benchmarks.runs import ROOT, SEARCH_RULES, Run, rules_commit, world_seed
from benchmarks.shuffled import shuffle_training
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import Params, read_params
from shoplens.progress import say

PARTS = ("table", "truthful", "shuffled", "icons")


def measure_shuffled(work: Path, params: Params, seeds: list[int]) -> None:
    """Part shuffled: the decisions on encoders trained on shuffled photos, listed in ranking-shuffled.json."""
    found = []
    for number, seed in enumerate(seeds, start=1):
        say(f"shuffled: world {number} of {len(seeds)} (seed {seed})")
        honest = world_run(work, params, seed)
        honest.ensure(*MEASURED[:3])
        world = rendered(work, params.world.model_copy(update={"seed": seed}))
        data = honest.folder.with_name("shuffled") / "data"
        if not data.is_dir():
            shuffle_training(world, data)
        run = Run(work, data, data.parent / "run", params, baseline=honest.path("train"))
        run.ensure(*MEASURED, "package", "gate")
        found.append({"seed": seed, "run": str(run.folder.relative_to(work))})
        write_json(work / "ranking-shuffled.json", found)


def measure_icons(work: Path, params: Params) -> None:
    """Part icons: one run on the import."""
    run = icons_run(work, params)
    write_json(work / "ranking-icons.json", [{"seed": 0, "run": str(run.folder.relative_to(work))}])


def main() -> None:
    """Measure the parts asked for, then write the page from all parts that the work folder has."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results_ranking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, default=Path("out/results"), help="kept between runs")
    parser.add_argument("--out", type=Path, default=Path("docs/results-ranking.md"), help="the page")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given several times")
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--trial", action="store_true", help="other seeds: shows that the measurement runs")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    arguments = parser.parse_args()
    work: Path = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["SHOPLENS_HOME"] = str(work / "home")
    try:
        params = read_params(ROOT / "params.yaml")
        commit = rules_commit(SEARCH_RULES)
        seeds = [world_seed(commit, number, arguments.trial) for number in range(1, arguments.worlds + 1)]
        truthful = params.model_copy(update={"world": params.world.model_copy(update={"false_claims": 0.0})})
        for part in arguments.only or PARTS:
            if part == "table":
                measure_worlds(work, params, seeds, f"ranking-{part}")
            if part == "truthful":
                measure_worlds(work, truthful, seeds, f"ranking-{part}")
            if part == "shuffled":
                measure_shuffled(work, params, seeds)
            if part == "icons":
                measure_icons(work, params)
        runs = {
            part: read_json(work / f"ranking-{part}.json")
            for part in PARTS
            if (work / f"ranking-{part}.json").is_file()
        }
        write_page(arguments.out, work, runs, params, arguments.date, arguments.trial)
    except ShoplensError as error:
        sys.exit(f"results: {error}")


if __name__ == "__main__":
    main()
