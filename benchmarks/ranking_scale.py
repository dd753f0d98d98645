"""`python -m benchmarks.ranking_scale --share 0.25 0.5 1`: training and judging rankers at the Etsy paper's size.

1,394 queries, 8.8 million pairs, 1.4 million listings, 1.9 million validation and as many test sessions (section 3.2),
or the same share of each. Queries' sizes are log-normal (sigma 1) and the same at every share. Features and sessions
are generated, each query's from its number whenever it is asked for, as `ranking_data` says; that time counts. Tuning,
fitting, the processes and the files of finished queries are the project's own (`ranking.rankers`), with the grid, the
steps and the length of image features of params.yaml, for text, image and multimodal models of every query; then every
model ranks the test sessions.

Time is the wall clock's. Memory is the most that all processes held together, pages that they share counted once.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.ranking_data import DIMENSIONS, RESULTS, VOCABULARY, WORDS, generate_query, generate_sessions
from benchmarks.timing import machine
from shoplens.params import read_params
from shoplens.progress import say
from shoplens.ranking.modalities import Run, grid, runs_of
from shoplens.ranking.ndcg import session_ndcg
from shoplens.ranking.rankers import Plan, train_rankers
from shoplens.ranking.sessions import Sessions
from shoplens.ranking.train import QueryTask, Weights, score_documents
from shoplens.ranking.workers import Processes

QUERIES, PAIRS, SESSIONS, LISTINGS = 1_394, 8_800_000, 1_900_000, 1_400_000
GIGABYTE = 1e9


@dataclass(frozen=True)
class Sizes:
    """Of each query, (Q,) all: pairs, validation sessions (as many test ones), listings."""

    pairs: NDArray[np.int64]
    sessions: NDArray[np.int64]
    listings: NDArray[np.int64]


def sizes_at(share: float) -> Sizes:
    """The queries of a share of the paper's size, largest first: evenly spaced quantiles of the log-normal."""
    queries = round(QUERIES * share)
    quantiles = [NormalDist().inv_cdf(1 - (number + 0.5) / queries) for number in range(queries)]
    weights = np.exp(quantiles)
    weights /= weights.sum()
    pairs, sessions, listings = (np.rint(weights * total * share) for total in (PAIRS, SESSIONS, LISTINGS))
    return Sizes(pairs.astype(np.int64), sessions.astype(np.int64), np.maximum(listings, RESULTS).astype(np.int64))


@dataclass(frozen=True)
class Generated:
    """The task of a query by its number, and its test sessions, which no task holds."""

    sizes: Sizes
    image_scale: float

    def __call__(self, number: int) -> QueryTask:
        """What `ranking.train` learns from."""
        return self.tested(number)[0]

    def tested(self, number: int) -> tuple[QueryTask, Sessions]:
        """The task and the sessions that judge its models."""
        rng = np.random.default_rng(number)
        sizes = self.sizes
        query = generate_query(rng, int(sizes.listings[number]), int(sizes.pairs[number]))
        validation, test = (self._sessions(*generate_sessions(rng, query, int(sizes.sessions[number]))) for _ in "ab")
        columns = np.unique(query.text.indices)
        task = QueryTask(
            text=query.text[:, columns],
            columns=columns,
            images={"image": np.float32(self.image_scale) * query.image},
            better=query.better,
            worse=query.worse,
            validation=validation,
        )
        return task, test

    @staticmethod
    def _sessions(shown: NDArray[np.int32], grades: NDArray[np.int8]) -> Sessions:
        starts = np.arange(len(shown) + 1, dtype=np.int64) * RESULTS
        return Sessions(shown.ravel(), grades.ravel(), starts, np.zeros(len(shown), np.int64))


@dataclass(frozen=True)
class Judge:
    """Mean nDCG of a query's models over its test sessions."""

    source: Generated

    def __call__(self, job: tuple[int, Mapping[Run, Weights]]) -> dict[str, NDArray[np.float64]]:
        """Array `ndcg`, a value a run."""
        number, models = job
        task, shown = self.source.tested(number)
        means = []
        for run, weights in models.items():
            text = np.zeros(len(task.columns), np.float32)
            text[np.searchsorted(task.columns, weights.columns)] = weights.text
            scores = score_documents(task.documents(run), text, weights.image)
            means.append(session_ndcg(scores[shown.listing], shown.grade, shown.listing, shown.starts).mean())
        return {"ndcg": np.array(means)}


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """A list that holds, after the block, the most bytes that this process and its children held at once."""
    peak, done = [0.0], threading.Event()
    own = psutil.Process()

    def held(process: psutil.Process) -> int:
        try:
            return int(process.memory_full_info().pss)
        except psutil.NoSuchProcess:
            return 0

    def watch() -> None:
        while not done.wait(1.0):
            peak[0] = max(peak[0], float(sum(held(process) for process in [own, *own.children(recursive=True)])))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def measure(share: float, workers: int) -> tuple[float, float]:
    """Seconds and bytes."""
    params = read_params(Path(__file__).parents[1] / "params.yaml").evaluate_ranking
    sizes = sizes_at(share)
    source, runs = Generated(sizes, params.image_scale), runs_of(["image"])
    points = grid(params.rates, params.l1, params.l2)
    say(
        f"{len(sizes.pairs):,} queries, {sizes.pairs.sum():,} pairs, {2 * sizes.sessions.sum():,} sessions of "
        f"{RESULTS} results, {sizes.listings.sum():,} listings; {WORDS} words of {VOCABULARY:,} a query, listing and "
        f"shop ids, {DIMENSIONS}-d images; {len(runs)} models a query, {len(points)} grid points, {params.steps} steps"
    )
    with tempfile.TemporaryDirectory() as folder, peak_memory() as peak, Processes(workers) as processes:
        start = time.perf_counter()
        plan = Plan(points, params.steps, min_pairs=1)
        rankers = train_rankers(source, sizes.pairs, runs, (), plan, Path(folder), processes)
        jobs = {f"{number:07d}": (number, rankers.weights[number]) for number in range(len(sizes.pairs))}
        judged = processes.run(Judge(source), jobs, Path(folder) / "test", what="Judging the ranking")
        means = np.mean([judged[name]["ndcg"] for name in jobs], axis=0)
        seconds = time.perf_counter() - start
    say("nDCG " + ", ".join(f"{run.name} {mean:.4f}" for run, mean in zip(runs, means, strict=True)))
    return seconds, peak[0]


def main() -> None:
    """Measure each share, the smallest first, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ranking_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--share", type=float, nargs="+", default=[0.25, 0.5, 1.0], help="of the paper's size")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    print(machine(), f"{arguments.workers} processes", sep="; ", end="\n\n")
    print("| share | time, s | time / share, s | peak memory, GB |\n|---:|---:|---:|---:|", flush=True)
    for share in sorted(arguments.share):
        seconds, held = measure(share, arguments.workers)
        print(f"| {share} | {seconds:.0f} | {seconds / share:.0f} | {held / GIGABYTE:.2f} |", flush=True)


if __name__ == "__main__":
    main()
