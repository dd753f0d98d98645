"""What stage evaluate-ranking leaves behind, written by hand: 12 queries, of which 6 moved to text and photos."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from shoplens.evaluation.outcomes import outcome_rows, read_outcomes, summarise, write_outcomes
from shoplens.files import write_bytes, write_csv, write_json

COUNTS = {
    "queries": 12,
    "queries_without_scored_sessions": 1,
    "sessions": {"train": 1600, "validation": 800, "test": 790},
    "scored_sessions": 333,
    "excluded": {"test sessions with one result": 7, "test sessions without a relevant result": 450},
    "clicks_dwell_unknown": 21,
    "listings": 900,
    "listings_without_photos": 3,
    "listings_without_text": 5,
    "shown": 19000,
    "not_retrieved": 17,
    "training_pairs": 1234,
    "pairs_from": {"fair_pair": 11, "neighbours": 1},
    "own": 10,
    "global": 2,
    "modalities": {"text": 4, "image": 2, "multimodal": 6},
    "diverged": [],
    "grid": {"text": {"rate": 1.0, "l1": 0.1, "l2": 10.0}},
}
MEANS = {
    "ranking/image_ndcg": 0.57,
    "ranking/multimodal_ndcg": 0.62,
    "ranking/ndcg": 0.63,
    "ranking/ndcg_at_10": 0.55,
    "ranking/unseen_multimodal_ndcg": 0.7,
    "ranking/fair_pair_accuracy": 0.66,
}
LEVELS = {"candidate": 0.0, "baseline": -0.005, "reference": -0.01}
OTHERS = {
    ("ranking/text_ndcg", "candidate"): 0.6,
    ("ranking/unseen_text_ndcg", "candidate"): 0.65,
    ("ranking/shown_ndcg", "candidate"): 0.58,
    ("ranking/ndcg", "chance"): 0.45,
    ("ranking/fair_pair_accuracy", "chance"): 0.5,
}


def write_ranking(
    out: Path, split: str, models: Sequence[str], *, query: str, title: str, diverged: bool = False
) -> None:
    """Write the files that the page reads; `title` has a place for the listing's number.

    A diverged candidate has no number and no picture, but its queries are counted as ever.
    """
    queries = [f"query {i:02}" for i in range(12)]
    hard = np.random.default_rng(4).normal(0, 0.08, len(queries))
    values = {(metric, model): mean + LEVELS[model] for metric, mean in MEANS.items() for model in models} | OTHERS
    if diverged:
        values |= {(metric, model): np.nan for metric, model in values if model == "candidate"}
    tables = [outcome_rows(metric, model, queries, mean + hard) for (metric, model), mean in values.items()]
    gains = {model: 0.02 + LEVELS[model] + hard / 10 for model in models}
    tables += [outcome_rows("ranking/multimodal_gain", model, queries, gain) for model, gain in gains.items()]
    write_outcomes(out / "outcomes.parquet", tables)
    outcomes = read_outcomes(out / "outcomes.parquet")
    found = summarise(outcomes, dict.fromkeys(outcomes, "higher"), split, unit="query", resamples=200)
    write_json(out / "metrics.json", found | {"counts": COUNTS | {"diverged": ["candidate"] * diverged}})
    write_csv(out / "table1.csv", _table1(diverged))
    for i in range(3):
        write_bytes(out / "photos" / f"{i}.jpg", photo(100 + i))
    write_json(out / "pictures.json", {"pairs": [], "bands": None} if diverged else _pictures(query, title))


def _table1(diverged: bool) -> list[dict[str, object]]:
    rows = []
    for model, lifts in (("candidate", (-5.0, 3.5)), ("reference", (-6.0, 2.5))):
        for population, queries in (("all", 12), ("moved", 6)):
            for modality, lift in zip(("text", "image", "multimodal"), (0.0, *lifts), strict=True):
                row = {"model": model, "modality": modality, "population": population, "queries": queries}
                row |= {"sessions": 30 * queries, "share": queries / 12, "ndcg": 0.6 * (1 + lift / 100), "lift": lift}
                p = {"text": "", "image": 0.00002, "multimodal": 0.03125}[modality]
                row |= {"low": lift - 1.5, "high": lift + 1.5, "wilcoxon_p": p}
                absent = diverged and model == "candidate"
                rows.append(row | dict.fromkeys(("ndcg", "lift", "low", "high", "wilcoxon_p"), "") if absent else row)
    return rows


def _pictures(query: str, title: str) -> dict[str, object]:
    def card(i: int) -> dict[str, object]:
        return {
            "listing_id": f"listing-{i}",
            "title": title.format(i),
            "photo": None if i % 7 == 6 else f"photos/{i % 3}.jpg",
        }

    pair = {"query": query, "lift": 3.07, "text_distance": 2, "multimodal_distance": 394, "shared": ["villa", "pool"]}
    pair |= {"left": card(0), "right": card(6)}
    sides = {"text": [card(i) for i in range(6)], "multimodal": [card(i) for i in range(6, 12)]}
    rows = [{"percentile": percentile, **sides} for percentile in (90, 80, 70, 60, 50)]
    return {"pairs": [pair], "bands": {"query": query, "lift": 6.62, "rows": rows}}


def photo(seed: int) -> bytes:
    """A JPEG of smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(coarse).resize((150, 100), Image.Resampling.BICUBIC).save(content, "JPEG")
    return content.getvalue()
