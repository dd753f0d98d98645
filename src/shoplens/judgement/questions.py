"""Questions for workers: does this result suit this query? They do not tell which model a result is from.

A pair that both models return, or at two ranks, is asked once. Golden questions, whose answer is known, stand among the
others and look like them (Pinterest, section 4.3: "we ensure that workers can achieve 80%+ precision in their responses
against a golden set of (question, answer) pairs").
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.files import digest_json
from shoplens.judgement.results import Item, Query, Result
from shoplens.judgement.sheets import Sheet, read_sheet

BOXED = re.compile(r"(.+)#([^#,]+),([^#,]+),([^#,]+),([^#,]+)")
RUN_DIGITS = 8


@dataclass(frozen=True)
class Pair:
    """A query and a result that a worker sees side by side.

    Attributes:
        query, result: what is shown.
        query_unit, result_unit: their unit ids.
        returned: (model, rank) of those that returned it; none for a question that is golden only.
        known: the golden answer, None where it is to be found out.
    """

    query: Item
    result: Item
    query_unit: str
    result_unit: str
    returned: Sequence[tuple[str, int]]
    known: bool | None


@dataclass(frozen=True)
class Golden:
    """A pair whose answer is known."""

    query: Item
    result: Item
    yes: bool


def read_golden(path: Path, source: str, photos: Container[str]) -> list[Golden]:
    """Columns `query`, `result` (unit ids) and `answer` (yes or no) of a CSV file.

    Args:
        path: the file.
        source: what every unit id begins with.
        photos: the image ids that the data has.

    Raises:
        ShoplensError: naming file, row and column of what is wrong: a unit id of another source or an unknown photo, a
            box that is none, an answer that is neither yes nor no, the same pair twice.
    """
    sheet = read_sheet(path, ("query", "result", "answer"))
    found: dict[tuple[Item, Item], bool] = {}
    for at in range(len(sheet)):
        pair = (_parse_unit(sheet, at, "query", source, photos), _parse_unit(sheet, at, "result", source, photos))
        if pair in found:
            raise ShoplensError(f"{sheet.place(at, 'result')}: this pair stands there twice; remove one row")
        found[pair] = sheet.verdict(at)
    return [Golden(query, result, yes) for (query, result), yes in found.items()]


def _parse_unit(sheet: Sheet, at: int, column: str, source: str, photos: Container[str]) -> Item:
    text = sheet.columns[column][at]
    prefix = f"{source}/"
    if not text.startswith(prefix):
        raise ShoplensError(f"{sheet.place(at, column)}: {text} does not begin with {prefix}, the source to be judged")
    name = text.removeprefix(prefix)
    if name in photos:
        return Item(name, None)
    boxed = BOXED.fullmatch(name)
    if boxed is None or boxed[1] not in photos:
        raise ShoplensError(
            f"{sheet.place(at, column)}: the data has no photo {name}; write {prefix}image_id, or "
            f"{prefix}image_id#x0,y0,x1,y1 for a crop"
        )
    try:
        x0, y0, x1, y1 = (float(boxed[part]) for part in range(2, 6))
    except ValueError:
        x0 = y0 = x1 = y1 = np.nan
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ShoplensError(f"{sheet.place(at, column)}: {text} needs 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
    return Item(boxed[1], (x0, y0, x1, y1))


def pairs_to_ask(
    queries: Sequence[Query], results: Sequence[Result], golden: Sequence[Golden], source: str, seed: int
) -> list[Pair]:
    """The distinct pairs in random order, which depends on the pairs and the seed alone and not on the models' names.

    Args:
        queries: those that were drawn.
        results: what the two models returned for them.
        golden: pairs with a known answer; may be among the results.
        source: whose queries they are.
        seed: of the order.
    """
    items = {query.unit: query.item for query in queries}
    units = {query.item: query.unit for query in queries}
    returned: defaultdict[tuple[Item, Item], list[tuple[str, int]]] = defaultdict(list)
    for result in results:
        returned[items[result.query], result.item].append((result.model, result.rank))
    known = {(pair.query, pair.result): pair.yes for pair in golden}
    pairs = [
        Pair(
            query,
            result,
            units.get(query, query.unit(source)),
            result.unit(source),
            sorted(returned.get((query, result), ())),
            known.get((query, result)),
        )
        for query, result in sorted({*returned, *known}, key=_by_name)
    ]
    return [pairs[at] for at in np.random.default_rng((seed, 1)).permutation(len(pairs))]


def _by_name(asked: tuple[Item, Item]) -> list[Any]:
    return [(item.image_id, item.box or ()) for item in asked]


def run_of(origin: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """Eight hex digits that begin every question's id, so that answers to other questions are recognised.

    Args:
        origin: digests and settings from which the questions are made.
        pairs: the questions, in order.
    """
    asked = [[pair.query_unit, pair.result_unit, list(pair.returned), pair.known] for pair in pairs]
    return digest_json([dict(origin), asked])[:RUN_DIGITS]


def question_ids(run: str, count: int) -> list[str]:
    """`run`-0001, -0002, ... in the order in which they are asked."""
    width = max(4, len(str(count)))
    return [f"{run}-{number:0{width}d}" for number in range(1, count + 1)]
