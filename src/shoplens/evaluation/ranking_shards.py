"""Stage evaluate-ranking in shards of queries: each tunes some of them, and merge does the rest of the stage.

Tuning tries every point of the grid and is nearly all of the work. The choice of a point needs all queries, so merge
makes it, and then fits each query once at that point, scores, measures and writes. Everything that spans the listings
(vocabulary, standardised image features) comes from the whole data in every shard; the global model's runs are tuned
by one shard each, like queries. Results are those of the stage by itself, to the byte on one kind of processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from shoplens.artifacts import write_artifact
from shoplens.evaluation.ranking import check_inputs, evaluate, read_log
from shoplens.evaluation.ranking_training import code, jobs, settings_of, train_queries, training
from shoplens.evaluation.shards import read_shards, shard_params
from shoplens.files import digest_json, write_bytes
from shoplens.params import EvaluateRankingParams
from shoplens.progress import say
from shoplens.ranking.rankers import TUNED, tune
from shoplens.ranking.train import Job
from shoplens.ranking.workers import Processes

STAGE = "evaluate-ranking-shard"


def own_jobs(every: Mapping[str, Job], shard: int, shards: int) -> dict[str, Job]:
    """A shard's part of all jobs: of those in a row by length, one after the other to each shard in turn."""
    return {name: job for number, (name, job) in enumerate(every.items()) if number % shards == shard}


def run_shard(inputs: Mapping[str, Path], out: Path, params: EvaluateRankingParams, shard: int, shards: int) -> None:
    """Tune a shard's queries: about as long a job as each other shard's.

    There may be more shards than queries; then some have nothing to do, and all of them if data has no search log.

    Args:
        inputs: those of stage evaluate-ranking, by name.
        out: the folder to write: `tune/`, a file for each query.
        params: the stage's.
        shard: which one, from 0.
        shards: how many there are; the same for all of them.

    Raises:
        ShoplensError: if an input was made from other data, or the log has nothing to learn from or to judge by.
    """
    settings = shard_params(_settings(params), shard, shards)
    check_inputs(inputs)
    with write_artifact(out, STAGE, inputs, settings) as folder:
        log = read_log(inputs["data"], inputs["embed"], params)
        if log is None:
            say("ranking not evaluated: data has no search log")
            return
        own = own_jobs(jobs(log, params), shard, shards)
        with training(log, params, f"shard-{shard}-of-{shards}") as of, Processes(params.workers) as processes:
            tune(of.source, own, of.plan, of.folder, processes)
            for name in own:
                write_bytes(folder / TUNED / f"{name}.npz", (of.folder / TUNED / f"{name}.npz").read_bytes())


def merge(shard_folders: Sequence[Path], inputs: Mapping[str, Path], out: Path, params: EvaluateRankingParams) -> None:
    """Write the artifact of stage evaluate-ranking from all its shards, in any order.

    Raises:
        ShoplensError: if a shard is missing, comes twice, or was made from other inputs, by other parameters or code.
    """
    check_inputs(inputs)
    parts = read_shards(shard_folders, STAGE, inputs, _settings(params))
    evaluate(inputs, out, params, partial(train_queries, tuned=[part / TUNED for part in parts]))


def _settings(params: EvaluateRankingParams) -> dict[str, Any]:
    return settings_of(params) | {"code": digest_json(code())}
