"""Stage evaluate-retrieval: each image source's queries search its corpus, by embedding and by code (Pinterest, 4.2).

For every source of dataset.yaml the queries of one task search the corpus of that source and task, under candidate,
baseline and ImageNet reference: by L2 distance of embeddings, and by the number of bits that differ in codes. Ties go
by distance, then by the photo's id and box. The unit of every outcome is a query.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract import columns as c
from shoplens.contract.spec import read_spec
from shoplens.data.examples import Crops, crops_of, read_examples
from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Direction, Model, read_outcomes, summarise, write_outcomes
from shoplens.evaluation.retrieval_pictures import draw_results
from shoplens.evaluation.retrieval_search import ENCODERS, Embedded, Found, Kind, read_embedded, search_source
from shoplens.evaluation.retrieval_sources import Source, held_out, read_sources
from shoplens.evaluation.retrieval_tables import (
    bits_table,
    category_rows,
    compared_model,
    counts,
    outcomes_of,
    queries_table,
    results_table,
    retrieval_rows,
)
from shoplens.files import read_json, write_csv, write_json
from shoplens.params import EvaluateRetrievalParams
from shoplens.progress import counter, say


def evaluate_retrieval(*, data: Path, prepare: Path, embed: Path, out: Path, params: EvaluateRetrievalParams) -> None:
    """Write outcomes, metrics, tables, every query's results and pictures; without image sources only why not.

    A source without query or corpus rows is left out, and said.

    Raises:
        ShoplensError: if an input was made from other data, or the embeddings are not of the examples at hand.
    """
    read_artifact(prepare, "prepare", {"data": data})
    read_artifact(embed, "embed", {"data": data, "prepare": prepare})
    inputs = {"data": data, "prepare": prepare, "embed": embed}
    split = read_json(prepare / "split.json")["hash"]
    with write_artifact(out, "evaluate-retrieval", inputs, params.model_dump(mode="json")) as folder:
        read = _read(data, prepare)
        if isinstance(read, str):
            say(f"retrieval not evaluated: {read}")
            write_json(folder / "metrics.json", {"split": split, "skipped": read, "metrics": {}})
            return
        sources, left_out, crops = read
        for name, reason in left_out.items():
            say(f"retrieval not evaluated on source {name}: {reason}")
        _check_crops(embed, crops)
        _evaluate(data, embed, folder, sources, left_out, crops, split, params)


def _read(data: Path, prepare: Path) -> tuple[list[Source], dict[str, str], Crops] | str:
    """What to evaluate, which sources not and why, and the crops of it; or why nothing."""
    spec, examples = read_spec(data), read_examples(prepare)
    if not spec.sources:
        return f"{c.SPEC_FILE} names no sources"
    if examples is None:
        return f"data has no {c.LABELS_FILE}"
    crops, rows = crops_of(held_out(examples))
    sources, left_out = read_sources(spec, examples, crops, rows)
    if not sources:
        return "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    return sources, left_out, crops


def _check_crops(embed: Path, crops: Crops) -> None:
    """Raise ShoplensError unless the embedded crops are these, row by row."""
    path = embed / "crops.parquet"
    remedy = "run embed again"
    if not path.is_file():
        raise ShoplensError(f"{path} is missing: {remedy}")
    found = pq.read_table(path)
    same = found[c.IMAGE_ID].to_pylist() == crops.image_ids.tolist() and all(
        np.array_equal(found[name].to_numpy(), crops.boxes[:, side], equal_nan=True) for side, name in enumerate(c.BOX)
    )
    if not same:
        raise ShoplensError(f"{path}: not the query and corpus crops that stage prepare left usable; {remedy}")


def _evaluate(
    data: Path,
    embed: Path,
    folder: Path,
    sources: list[Source],
    left_out: dict[str, str],
    crops: Crops,
    split: str,
    params: EvaluateRetrievalParams,
) -> None:
    """Search, and write everything that the artifact holds."""
    options = {"resamples": params.resamples, "seed": params.seed}
    models: list[Model] = [model for model in ENCODERS if (embed / f"{model}_crops.npy").is_file()]
    embedded: dict[Model, Embedded] = {}
    for model in models:
        read = read_embedded(embed, model, len(crops))
        if read is None:
            say(f"retrieval: the {model}'s embeddings are not finite, so it finds nothing")
        else:
            embedded[model] = read
    results: dict[str, dict[Model, dict[Kind, Found]]] = {source.name: {} for source in sources}
    with counter("Searching", total=len(sources) * len(embedded), unit="source") as bar:
        for source in sources:
            for model, each in embedded.items():
                results[source.name][model] = search_source(source, each)
                bar.update(1)
    write_outcomes(folder / "outcomes.parquet", outcomes_of(sources, results, models))
    outcomes = read_outcomes(folder / "outcomes.parquet")
    directions: dict[str, Direction] = dict.fromkeys(outcomes, "higher")
    summary = summarise(outcomes, directions, split, unit="query", **options)
    diverged = [model for model in models if model not in embedded]
    facts = {"sources": counts(sources), "left_out": left_out, "diverged": diverged}
    write_json(folder / "metrics.json", summary | {"counts": facts})
    write_csv(folder / "retrieval.csv", retrieval_rows(sources, results, models, embedded, **options))
    categories = category_rows(sources, results, models, **options)
    if categories:
        write_csv(folder / "categories.csv", categories)
    pq.write_table(bits_table(embedded, sources), folder / "bits.parquet")
    pq.write_table(queries_table(sources, crops), folder / "queries.parquet")
    pq.write_table(results_table(sources, results, crops), folder / "results.parquet", compression="zstd")
    other = compared_model(models)
    pictures = draw_results(data, folder, sources, results, crops, other, params.seed)
    write_json(folder / "pictures.json", {"other": other, "pictures": pictures})
