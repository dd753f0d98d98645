"""`shoplens judge make`: a folder with questions, the page on which workers answer them, and the key to score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplens.artifacts import PASSPORT, digest_of, read_artifact, write_artifact
from shoplens.contract.columns import IMAGE_ID, PATH
from shoplens.contract.tables import read_images
from shoplens.errors import ShoplensError
from shoplens.files import write_csv, write_text
from shoplens.judgement.page import judge_page, photos_of
from shoplens.judgement.questions import Pair, pairs_to_ask, question_ids, read_golden, run_of
from shoplens.judgement.results import Query, read_queries, read_results
from shoplens.judgement.sampling import query_weights, read_traffic, weighted_sample
from shoplens.progress import say

ARTIFACT, EVALUATED = "judge", "evaluate-retrieval"
QUESTIONS, KEY, PAGE = "questions.csv", "key.parquet", "judge.html"


@dataclass(frozen=True)
class Settings:
    """What is judged: the first five results of models `one` and `other` for a sample of a source's queries."""

    one: str
    other: str
    source: str
    kind: Literal["float", "binary"]
    queries: int
    seed: int
    ask: str


def make_questions(
    *, artifacts: Path, data: Path, out: Path, settings: Settings, traffic: Path | None, golden: Path | None
) -> None:
    """Write `questions.csv` (question, query, result), `key.parquet` and `judge.html` into `out`, with a passport.

    `key.parquet` has a row for each question, model and rank: question, query, result (unit ids), category, model and
    rank (null for a question that is golden only), known (bool, null where there is no golden answer). The passport
    names the digests of what the questions were made from.

    Args:
        artifacts: the folder with the stages' outputs; evaluate-retrieval's is read.
        data: the contract folder, for the photos.
        out: folder to write; may exist if it holds nothing but earlier questions.
        settings: what is judged.
        traffic: CSV with image_id and weight; None weighs all queries alike.
        golden: CSV with query, result and answer; None asks no golden question.

    Raises:
        ShoplensError: if an input is missing or wrong, or fewer queries can be drawn than asked for.
    """
    if settings.one == settings.other:
        raise ShoplensError(f"--one and --other are both {settings.one}: name two models")
    _check_free(out)
    evaluated = read_artifact(artifacts / EVALUATED, EVALUATED, {"data": data})
    drawn = _draw(read_queries(evaluated.path, settings.source), settings, traffic)
    models = (settings.one, settings.other)
    units = [query.unit for query in drawn]
    results = read_results(evaluated.path, settings.source, settings.kind, models, units)
    images = read_images(data)
    paths = dict(zip(images[IMAGE_ID].to_pylist(), images[PATH].to_pylist(), strict=True))
    known = read_golden(golden, settings.source, paths) if golden else []
    pairs = pairs_to_ask(drawn, results, known, settings.source, settings.seed)
    files = {"traffic": traffic, "golden": golden}
    inputs = {EVALUATED: evaluated.path, "data": data} | {name: path for name, path in files.items() if path}
    digests = {name: evaluated.inputs["data"] if name == "data" else digest_of(path) for name, path in inputs.items()}
    params = asdict(settings)
    run = run_of({"inputs": digests, "params": params}, pairs)
    ids = question_ids(run, len(pairs))
    with write_artifact(out, ARTIFACT, inputs, {**params, "run": run}) as folder:
        write_csv(folder / QUESTIONS, _questions(ids, pairs))
        pq.write_table(_key(ids, pairs, drawn), folder / KEY)
        page = judge_page(run, settings.ask, ids, pairs, photos_of(data, pairs, paths))
        write_text(folder / PAGE, page)
    say(
        f"Wrote {len(drawn)} queries as {len(pairs)} questions ({len(known)} golden) to {out}. Give workers "
        f"{out / PAGE} ({len(page) / 1e6:.1f} MB) and nothing else: {KEY} tells what they must not know."
    )
    if traffic is None:
        say("No traffic given (--traffic): every query is as likely.")
    if not known:
        say("No golden questions (--golden): workers' answers cannot be checked.")


def _check_free(out: Path) -> None:
    """Refuse to replace anything but questions that nobody has answered here.

    Raises:
        ShoplensError: if something else is in the folder.
    """
    others = sorted({path.name for path in out.iterdir()} - {PASSPORT, QUESTIONS, KEY, PAGE}) if out.is_dir() else []
    if others or (out.exists() and not out.is_dir()):
        what = f"holds {others[0]}" if others else "is a file"
        raise ShoplensError(f"{out} {what}, which would be lost: name another folder with --out")


def _draw(queries: Sequence[Query], settings: Settings, traffic: Path | None) -> list[Query]:
    """A sample of the queries, ordered by unit id.

    Raises:
        ShoplensError: if fewer than asked for can be drawn.
    """
    weight = read_traffic(traffic) if traffic else None
    weights = query_weights([query.item.image_id for query in queries], weight)
    possible = int((weights > 0).sum())
    where = f"source {settings.source} has {len(queries)} queries"
    if traffic:
        where += f", {possible} of them with weight in {traffic}"
    if settings.queries > possible:
        raise ShoplensError(f"{where}; {settings.queries} were asked for: ask for {possible} or fewer with --queries")
    say(f"{where}; {settings.queries} are drawn")
    rows = weighted_sample(weights, settings.queries, np.random.default_rng(settings.seed))
    return [queries[row] for row in rows]


def _questions(ids: Sequence[str], pairs: Sequence[Pair]) -> list[dict[str, str]]:
    return [
        {"question": name, "query": pair.query_unit, "result": pair.result_unit}
        for name, pair in zip(ids, pairs, strict=True)
    ]


def _key(ids: Sequence[str], pairs: Sequence[Pair], drawn: Sequence[Query]) -> pa.Table:
    categories = {query.item: query.category for query in drawn}
    nobody: Sequence[tuple[str | None, int | None]] = [(None, None)]
    rows = [
        (name, pair.query_unit, pair.result_unit, categories.get(pair.query), model, rank, pair.known)
        for name, pair in zip(ids, pairs, strict=True)
        for model, rank in pair.returned or nobody
    ]
    text = pa.string()
    types = {
        "question": text,
        "query": text,
        "result": text,
        "category": text,
        "model": text,
        "rank": pa.int64(),
        "known": pa.bool_(),
    }
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(column, kind) for (name, kind), column in zip(types.items(), columns, strict=True)})
