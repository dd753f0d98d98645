"""The candidate's ranker as an artifact: each query's model in the modality that it chose, and the global one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shoplens.evaluation.ranking_log import Log
from shoplens.evaluation.ranking_scores import model_of, shared_run
from shoplens.files import write_json
from shoplens.ranking.bundle import Served, write_bundle
from shoplens.ranking.modalities import Run
from shoplens.ranking.rankers import Rankers
from shoplens.ranking.retrieval import candidates
from shoplens.ranking.train import Weights

EXAMPLES, EXAMPLE_LISTINGS = 8, 20


def write_ranker(folder: Path, log: Log, rankers: Rankers, chosen: Sequence[Run]) -> None:
    """Write the bundle that is served, with `examples.json`: answers as training computes them, to compare with.

    Args:
        folder: is made.
        log: listings and queries.
        rankers: the models.
        chosen: (Q,) each query's choice with the candidate's photos.
    """
    queries = log.judgements.queries.tolist()
    shared = shared_run(rankers, "candidate")
    own = {
        query: (run.modality, rankers.weights[number][run])
        for number, (query, run) in enumerate(zip(queries, chosen, strict=True))
        if rankers.own[number]
    }
    others = [query for query in queries if query not in own]
    features = log.collection.features
    image = features.images["candidate"]
    if "candidate" in log.diverged:
        image = np.zeros_like(image)
    served = Served(log.digest, own, others, shared.modality, rankers.shared[shared])
    write_bundle(folder, served, log.collection.listing_ids, features.text, image, log.collection.index)

    asked: list[tuple[str, Run, Weights]] = []
    for number in np.unique(np.linspace(0, len(queries) - 1, EXAMPLES).astype(int)).tolist():
        run = chosen[number] if rankers.own[number] else shared
        asked.append((queries[number], run, model_of(rankers, number, run)))
    unknown = next((term for term in log.collection.index.terms.to_pylist() if term not in queries), None)
    if unknown is not None:
        asked.append((unknown, shared, rankers.shared[shared]))
    examples = []
    for query, run, weights in asked:
        found = candidates(log.collection.index, query)
        if not len(found):  # any listings check a server as well
            found = np.arange(len(log.collection.listing_ids), dtype=np.int32)
        found = found[np.unique(np.linspace(0, len(found) - 1, EXAMPLE_LISTINGS).astype(int))]
        scores = features.scores(run, weights, found).tolist()
        ids = [log.collection.listing_ids[listing] for listing in found.tolist()]
        examples.append({"query": query, "listing_ids": ids, "scores": scores})
    write_json(folder / "examples.json", examples)
