"""`python -m benchmarks.results_retrieval`: what docs/results-retrieval.md claims, on fresh worlds; hours, it resumes.

Worlds: their seeds follow from the commit that fixed the rules of the products. Training takes the parameters of
params.yaml except where an arm says otherwise. Nothing is tuned on what comes out here.

joint      every world: one embedding of galleries and all image sources
arms       every world: an embedding of each image source alone
images     every world: an embedding of all image sources without galleries; only when asked for
best       single sources, which keep their best epoch by validation, as the joint run does; only when asked for
galleries  every world: the gallery tasks alone, judged on stars, tasks, ranking and retrieval
ablation   the first world, only when asked for: other mixing, weights, module and proxies

Pinterest, section 4.2.3: "we ensure that the total iterations of images over the training procedure is the same". Arms
and ablations train, without early stopping, the number of epochs whose photos come nearest to the joint run's. A single
source is small, so that is many passes over it: part best tells what fitting too closely costs.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import MEASURED, world_run
from benchmarks.results_retrieval_page import write_page
from benchmarks.runs import PRODUCT_RULES, ROOT, Run, rules_commit, world_seed
from shoplens.contract.spec import GALLERIES
from shoplens.data.galleries import read_galleries
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import Params, TrainParams, read_params
from shoplens.progress import say
from shoplens.training.mixture import Pool, shares, steps_of

PARTS = ("joint", "arms", "galleries", "images", "best", "ablation")
SEARCHED = ("train", "champion", "embed", "evaluate-retrieval")
PROXY_RATE = 0.01 * 8
"""Of sampled proxies, which learn by SGD: the paper's base rate on its eight GPUs (section 4.1), not tuned here."""
SAMPLED = ("flashlight/image_set", "shop_the_look/instance")
"""Section 3.3: "For the Flashlight class and STL instance tasks, the proxies are subsampled"."""
SAMPLED_SHARE = 4
"""One class in so many is sampled, or as many as a batch may have photos."""
FIRST_WORLD = 10
"""Worlds 1 to 9 were measured with earlier defaults, which were then improved: they are no longer fresh."""


def pools_of(joint: Run, sources: tuple[str, ...]) -> list[Pool]:
    """What a run on these sources draws from, as the joint run counted it."""
    galleries = read_galleries(joint.path("prepare"))
    counts = galleries.counts[galleries.split == "train"]
    units = read_json(joint.path("train") / "metrics.json")["units"]
    known = {GALLERIES: Pool(GALLERIES, np.arange(len(counts)), float(counts.mean()))}
    known |= {name: Pool(name, np.arange(entry["train"])) for name, entry in units.items()}
    return [pool for name, pool in known.items() if name in sources]


def epoch_photos(joint: Run, sources: tuple[str, ...], train: TrainParams) -> float:
    """Photos that an epoch of these sources learns from: the longest source's once, the others' as often as needed."""
    pools = pools_of(joint, sources)
    counts = shares(pools, train.batch_photos, train.mixing, train.gallery_share)
    steps = steps_of(pools, counts)
    drawn = (
        (len(pool.ids) if steps == -(-len(pool.ids) // count) else steps * count) * pool.photos
        for pool, count in zip(pools, counts, strict=True)
    )
    return sum(drawn)


def as_long(joint: Run, sources: tuple[str, ...], **changes: Any) -> Params:
    """Parameters of a run on these sources that learns from as many photos as the joint run did, to whole epochs."""
    train = joint.params.train.model_copy(update={"sources": sources, "patience": None, **changes})
    learned = read_json(joint.path("train") / "metrics.json")["photos_learned_from"]
    epochs = max(1, round(learned / epoch_photos(joint, sources, train)))
    length: dict[str, Any] = {"max_epochs": epochs}
    if train.decay_every is not None:  # the rate falls at the same share of the training
        length["decay_every"] = max(1, round(train.decay_every * epochs / joint.params.train.max_epochs))
    return joint.params.model_copy(update={"train": train.model_copy(update=length)})


def _keeps_best(params: Params) -> Params:
    """The same training to its end, of which the epoch with the lowest validation loss is kept."""
    train = params.train.model_copy(update={"patience": params.train.max_epochs})
    return params.model_copy(update={"train": train})


def arms_of(joint: Run, part: str) -> dict[str, Params]:
    """The runs of a part that are compared with the joint run, by name."""
    facts = read_json(joint.path("train") / "metrics.json")
    images = tuple(facts["units"])
    if part == "images":
        return {"images": as_long(joint, images)}
    if part in ("arms", "best"):
        arms = {name: as_long(joint, (name,)) for name in images}
        return arms if part == "arms" else {f"best-{name}": _keeps_best(params) for name, params in arms.items()}
    train = joint.params.train
    if part == "galleries":
        share = train.gallery_share or 1 / (1 + len(images))  # what galleries have of a joint batch
        own = {"sources": (GALLERIES,), "batch_photos": int(train.batch_photos * share)}
        alone = train.model_copy(update=own)
        return {"galleries": joint.params.model_copy(update={"train": alone})}
    every = (GALLERIES, *images)
    batch = train.batch_photos // len(every) + 1
    sampled = {
        name: min(classes, max(classes // SAMPLED_SHARE, batch))
        for name, classes in facts["classes"].items()
        if name in SAMPLED
    }
    proxies = {"sampled": sampled, "proxy_learning_rate": PROXY_RATE}
    changes: Mapping[str, Mapping[str, Any]] = {
        "last": {},
        "by_size": {"mixing": "by_size"},
        "gradnorm": {"balance": "gradnorm"},
        "layer_norm": {"module": "layer_norm"},
        "lazy": {**proxies, "proxy_momentum": "lazy"},
        "scaled": {**proxies, "proxy_momentum": "scaled"},
    }
    return {name: as_long(joint, every, **change) for name, change in changes.items()}


def measure_part(joint: Run, part: str) -> list[dict[str, str]]:
    """Run a part on one world; returns its runs, {"arm", "run" (relative to the work folder)}."""
    if part == "joint":
        joint.ensure(*MEASURED)
        return [{"arm": "joint", "run": str(joint.folder.relative_to(joint.work))}]
    joint.ensure(*MEASURED[:3])
    stages = (*SEARCHED[:3], *MEASURED[5:]) if part == "galleries" else SEARCHED
    runs = []
    for name, params in arms_of(joint, part).items():
        say(f"{part}: {name}")
        folder = joint.folder.with_name(f"arm-{name}")
        run = Run(joint.work, joint.data, folder, params, shared=joint, baseline=joint.path("train"))
        run.ensure(*stages)
        runs.append({"arm": name, "run": str(folder.relative_to(joint.work))})
    return runs


def main() -> None:
    """Measure the parts asked for, then write the page from all parts that the work folder has."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results_retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, default=Path("out/results"), help="kept between runs")
    parser.add_argument("--out", type=Path, default=Path("docs/results-retrieval.md"), help="the page")
    parser.add_argument(
        "--only",
        choices=PARTS,
        action="append",
        help="a part; may be given several times (default: joint, arms, galleries)",
    )
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--trial", action="store_true", help="other seeds: shows that the measurement runs")
    parser.add_argument("--listings", type=int, help="worlds of this size (default: params.yaml's)")
    parser.add_argument("--products", type=int, help="so many products (default: params.yaml's)")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    arguments = parser.parse_args()
    work: Path = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["SHOPLENS_HOME"] = str(work / "home")
    try:
        params = read_params(ROOT / "params.yaml")
        sizes = {
            name: size
            for name, size in (("listings", arguments.listings), ("products", arguments.products))
            if size is not None
        }
        params = params.model_copy(update={"world": params.world.model_copy(update=sizes)})
        trial: bool = arguments.trial
        commit = rules_commit(PRODUCT_RULES)
        worlds = range(FIRST_WORLD, FIRST_WORLD + arguments.worlds)
        seeds = [world_seed(commit, number, trial) for number in worlds]
        parts = tuple(arguments.only or PARTS[:3])
        measured: dict[str, list[dict[str, Any]]] = {part: [] for part in parts}
        # all of a world before the next one: its frozen activations are in the cache then
        for number, seed in zip(worlds, seeds, strict=True):
            joint = world_run(work, params, seed)
            for part in parts:
                if part == "ablation" and number > FIRST_WORLD:
                    continue
                say(f"{part}: world {number} of {worlds[0]} to {worlds[-1]} (seed {seed})")
                measured[part] += [{"world": number, "seed": seed, **run} for run in measure_part(joint, part)]
                write_json(work / f"retrieval-{part}.json", measured[part])
        found = {
            part: read_json(work / f"retrieval-{part}.json")
            for part in PARTS
            if (work / f"retrieval-{part}.json").is_file()
        }
        write_page(arguments.out, work, found, params, arguments.date, trial)
    except ShoplensError as error:
        sys.exit(f"results: {error}")


if __name__ == "__main__":
    main()
