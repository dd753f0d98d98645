"""Stage evaluate-ranking: learning to rank from the search log with text, photos and both (Etsy, sections 2 and 3).

For each query of the log a linear ranking SVM is trained on text, on photos and on both; with photos once for each
encoder (candidate, baseline, ImageNet reference). Validation sessions choose the grid point, then each query's
modality. Test sessions are only ranked and counted; the unit of every outcome is a query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract import columns as c
from shoplens.contract.spec import read_spec
from shoplens.contract.split import splits_of
from shoplens.contract.tables import read_listings
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Direction, Model, read_outcomes, summarise, write_outcomes
from shoplens.evaluation.ranking_bundle import write_ranker
from shoplens.evaluation.ranking_log import Collection, Features, HeldOut, Log, read_held_out
from shoplens.evaluation.ranking_pictures import draw_pictures
from shoplens.evaluation.ranking_scores import chosen_runs, score_runs, unscored
from shoplens.evaluation.ranking_tables import counts, outcomes_of, queries_table, sessions_table, table_1
from shoplens.evaluation.ranking_training import train_queries
from shoplens.files import read_json, write_csv, write_json
from shoplens.params import EvaluateRankingParams
from shoplens.progress import say
from shoplens.ranking.features import image_features
from shoplens.ranking.judgements import TEST, TRAIN, VALIDATION, Judgements, read_judgements
from shoplens.ranking.modalities import TEXT, runs_of
from shoplens.ranking.pairs import Pairs, preference_pairs, say_bias
from shoplens.ranking.rankers import Rankers
from shoplens.ranking.retrieval import inverted_index
from shoplens.ranking.sessions import judged, sessions_of
from shoplens.ranking.text import text_features, tokenise

FILE = c.SEARCH_LOG_FILE
ENCODERS: tuple[Model, ...] = ("candidate", "baseline", "reference")


def evaluate_ranking(*, data: Path, prepare: Path, embed: Path, out: Path, params: EvaluateRankingParams) -> None:
    """Write outcomes, metrics, tables, pictures and the ranker; for data without a search log only why not.

    Raises:
        ShoplensError: if an input was made from other data; if the log has no preference pair to learn from, or no
            test session to judge by.
    """
    inputs = {"data": data, "prepare": prepare, "embed": embed}
    check_inputs(inputs)
    evaluate(inputs, out, params, train_queries)


def evaluate(
    inputs: Mapping[str, Path],
    out: Path,
    params: EvaluateRankingParams,
    train: Callable[[Log, EvaluateRankingParams], Rankers],
) -> None:
    """Write the stage's artifact from checked inputs, with the rankers that `train` gives."""
    split = read_json(inputs["prepare"] / "split.json")["hash"]
    with write_artifact(out, "evaluate-ranking", inputs, params.model_dump(mode="json")) as folder:
        log = read_log(inputs["data"], inputs["embed"], params)
        if log is None:
            reason = f"data has no {FILE}"
            say(f"ranking not evaluated: {reason}")
            write_json(folder / "metrics.json", {"split": split, "skipped": reason, "metrics": {}})
            return
        _write(inputs["data"], folder, log, train(log, params), split, params)


def check_inputs(inputs: Mapping[str, Path]) -> None:
    """See that all inputs were made from each other.

    Raises:
        ShoplensError: if one was made from another data folder or split.
    """
    data, prepare = inputs["data"], inputs["prepare"]
    read_artifact(prepare, "prepare", {"data": data})
    read_artifact(inputs["embed"], "embed", {"data": data, "prepare": prepare})


def read_log(data: Path, embed: Path, params: EvaluateRankingParams) -> Log | None:
    """The search log with everything that is learnt from and judged by; None for data without one.

    Raises:
        ShoplensError: if the log has no preference pair to learn from, or no test session to judge by.
    """
    listings = read_listings(data, read_spec(data)).sort_by(c.LISTING_ID)
    ids = listings[c.LISTING_ID].to_pylist()
    judgements = read_judgements(data, ids)
    if judgements is None:
        return None
    pairs, tests = _split(judgements, np.array(splits_of(ids)) != "train")
    tokens = tokenise(listings[c.TITLE], listings[c.TAGS])
    learnt = judgements.listing[np.repeat(judgements.part == TRAIN, np.diff(judgements.starts))]
    images, with_photos = _read_images(embed, ids, params)
    encoders = tuple(model for model in ENCODERS if model in images)
    diverged = tuple(model for model in encoders if not np.isfinite(images[model]).all())
    for model in diverged:
        say(f"ranking: the {model}'s embeddings are not finite, so it ranks nothing")
    return Log(
        collection=Collection(
            ids,
            [title or "" for title in listings[c.TITLE].to_pylist()],
            inverted_index(tokens),
            Features(text_features(tokens, listings[c.SHOP_ID], learnt), images),
        ),
        encoders=encoders,
        diverged=diverged,
        digest=read_json(embed / "embed.json")["candidate"],
        with_photos=with_photos,
        with_text=tokens.with_text(),
        judgements=judgements,
        pairs=pairs,
        tests=tests,
    )


def _split(judgements: Judgements, unseen: NDArray[np.bool_]) -> tuple[Pairs, HeldOut]:
    """What is learned from and what judges.

    Raises:
        ShoplensError: if there is nothing of either; for a log that has nothing to tune by, it is said.
    """
    if not len(judgements.queries):
        raise ShoplensError(
            f"{FILE}: the query of every session is empty, so there is nothing to rank for; log what was typed, or "
            "leave the file out"
        )
    pairs = preference_pairs(judgements, TRAIN)
    if not len(pairs.better):
        raise ShoplensError(
            f"{FILE}: the first half of its time holds no preference pair (a relevant result and an ignored one, side "
            "by side or of one fair_pair), so there is nothing to learn from; log more sessions, or leave the file out"
        )
    say_bias(pairs)
    tests = read_held_out(judgements, preference_pairs(judgements, TEST), unseen)
    if not len(tests.judged.chosen):
        raise ShoplensError(
            f"{FILE}: no test session has two results and a relevant one among them, so there is nothing to judge "
            "by; log more sessions, or leave the file out"
        )
    if not len(judged(sessions_of(judgements, VALIDATION)[0]).chosen):
        say(
            "ranking: no validation session has two results and a relevant one among them, so nothing is tuned or "
            "chosen: all queries take text, at the first point of the grid"
        )
    return pairs, tests


def _read_images(
    embed: Path, ids: Sequence[str], params: EvaluateRankingParams
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """Image features of all listings by encoder, and which listings have a gallery, (L,)."""
    index = pq.read_table(embed / "listings.parquet")
    rows = pc.index_in(index["listing_id"], value_set=pa.array(ids, pa.string())).to_numpy()
    images: dict[str, NDArray[np.float32]] = {
        model: image_features(
            np.load(embed / f"{model}.npy"),
            rows,
            len(ids),
            training=index["split"].to_numpy() == "train",
            centre=params.centre,
            scale=params.image_scale,
        )
        for model in ENCODERS
        if (embed / f"{model}.npy").is_file()
    }
    return images, np.isin(np.arange(len(ids)), rows)


def _write(data: Path, folder: Path, log: Log, rankers: Rankers, split: str, params: EvaluateRankingParams) -> None:
    """Everything that the artifact holds."""
    options = {"resamples": params.resamples, "seed": params.seed}
    scores = score_runs(rankers, log.runs, log.collection.features, log.tests)
    scores |= {run: unscored(scores[TEXT]) for run in runs_of(log.encoders) if run.image in log.diverged}
    chosen = {encoder: chosen_runs(rankers, encoder, encoder in log.diverged) for encoder in log.encoders}
    write_outcomes(folder / "outcomes.parquet", outcomes_of(log, scores, chosen))
    outcomes = read_outcomes(folder / "outcomes.parquet")
    directions: dict[str, Direction] = dict.fromkeys(outcomes, "higher")
    summary = summarise(outcomes, directions, split, unit="query", **options)
    write_json(folder / "metrics.json", summary | {"counts": counts(log, rankers, chosen["candidate"])})
    write_csv(folder / "table1.csv", table_1(scores, chosen, log.tests, **options))
    write_csv(folder / "queries.csv", queries_table(log, rankers, scores, chosen["candidate"]))
    pq.write_table(sessions_table(log, scores), folder / "sessions.parquet")
    if "candidate" in log.diverged:
        write_json(folder / "pictures.json", {"pairs": [], "bands": None})
        served = [TEXT] * len(rankers.own)
    else:
        pictures = draw_pictures(data, folder, log, rankers, scores, chosen["candidate"])
        write_json(folder / "pictures.json", pictures)
        served = list(chosen["candidate"])
    write_ranker(folder / "ranker", log, rankers, served)
