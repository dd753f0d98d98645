"""What stage evaluate-retrieval found for the queries of one source: the first five results of two models.

Paper (section 4.3): "we send a request to each product's visual search system to generate 5 results per query. Each
(query, result) pair forms a question allowing us to measure Precision@5."
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shoplens.contract.columns import BOX
from shoplens.errors import ShoplensError

RESULTS = 5
QUERIES_FILE, RESULTS_FILE = "queries.parquet", "results.parquet"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Item:
    """A photo, or a crop of it: `box` is x0, y0, x1, y1 as fractions from the top left, None for the whole photo."""

    image_id: str
    box: Box | None

    def unit(self, source: str) -> str:
        """Its unit id: `source/image_id`, with a box `source/image_id#x0,y0,x1,y1`."""
        return f"{source}/{self.image_id}" + ("" if self.box is None else "#" + ",".join(f"{x:g}" for x in self.box))


@dataclass(frozen=True)
class Query:
    """A query with its unit id and its category, None where it has none."""

    unit: str
    item: Item
    category: str | None


@dataclass(frozen=True)
class Result:
    """What a model returned for a query (a unit id) at a rank from 1 to 5."""

    query: str
    item: Item
    model: str
    rank: int


def read_queries(evaluated: Path, source: str) -> list[Query]:
    """The queries of a source, by unit id.

    Raises:
        ShoplensError: if nothing was evaluated or the source is unknown; the known ones are listed.
    """
    if not (evaluated / QUERIES_FILE).is_file():
        raise ShoplensError(
            f"{evaluated} has no {QUERIES_FILE}, because retrieval was not evaluated: give the data a labels.parquet "
            "and sources, and run the pipeline on it"
        )
    table = pq.read_table(evaluated / QUERIES_FILE)
    known = sorted(pc.unique(table["source"]).to_pylist())
    if source not in known:
        raise ShoplensError(f"{evaluated / QUERIES_FILE} has no source {source}: choose one of {', '.join(known)}")
    rows = table.filter(pc.equal(table["source"], source)).sort_by("query").to_pylist()
    return [Query(row["query"], _item(row), row["category"]) for row in rows]


def _item(row: Mapping[str, Any]) -> Item:
    x0, y0, x1, y1 = (row[name] for name in BOX)
    return Item(row["image_id"], None if x0 is None else (x0, y0, x1, y1))


def read_results(
    evaluated: Path, source: str, kind: str, models: tuple[str, str], queries: Sequence[str]
) -> list[Result]:
    """The first five results of two models for some queries.

    Args:
        evaluated: the folder of stage evaluate-retrieval.
        source: whose queries they are.
        kind: float or binary.
        models: two names.
        queries: unit ids.

    Raises:
        ShoplensError: if a model is missing (those that are there are listed), as one is that has diverged, or the two
            have not returned equally many results.
    """
    file = evaluated / RESULTS_FILE
    table = pq.read_table(file, filters=[("source", "=", source), ("kind", "=", kind), ("rank", "<=", RESULTS)])
    known = sorted(pc.unique(table["model"]).to_pylist())
    for model in models:
        if model not in known:
            others = [name for name in known if name not in models]
            remedy = (
                f"name another one: --{'one' if model == models[0] else 'other'} {others[-1]}"
                if others
                else "run stage evaluate-retrieval again"
            )
            why = ": a first version has none to be compared with" if model == "baseline" else ""
            raise ShoplensError(
                f"{file} has no {kind} results of {model} for source {source}{why}; it has: "
                f"{', '.join(known) or 'none'}; {remedy}"
            )
    wanted = pc.and_(
        pc.is_in(table["model"], pa.array(models, pa.string())),
        pc.is_in(table["query"], pa.array(queries, pa.string())),
    )
    found = table.filter(wanted)
    results = [Result(row["query"], _item(row), row["model"], row["rank"]) for row in found.to_pylist()]
    counts = {model: Counter(result.query for result in results if result.model == model) for model in models}
    for query in queries:
        first, second = (counts[model][query] for model in models)
        if first != second or not first:
            raise ShoplensError(
                f"{file} has {first} results of {models[0]} and {second} of {models[1]} for query {query}: run stage "
                "evaluate-retrieval again"
            )
    return results
