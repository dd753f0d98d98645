"""The family of tests: labels and slices of new listings, their embeddings, and those of requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shoplens.contract.spec import HoldoutSpec, TaskSpec
from shoplens.drift.findings import FLOORS, Area, Comparison, Finding, Measure, Skipped
from shoplens.drift.incoming import Listings, compared_with
from shoplens.drift.permutation import (
    Counts,
    Design,
    Outcome,
    compare_counts,
    compare_embeddings,
    counts_of,
    design_of,
    holm,
    permutations_for,
)
from shoplens.serving.reference import SHOP, Cloud, Reference

MINIMUM = 50
"""With fewer listings or requests on a side, nothing is compared."""
SHOPS = 10
"""So it is with fewer shops: there would be too few ways to divide them for a small p-value."""
CLASSES = 50
"""Classes of a task that are told apart; the rarer ones are one."""
INTERVALS = 64
"""Of a number: between the quantiles of both samples together."""
UNKNOWN = "(unknown)"
OTHERS = "(rarer ones)"
EMBEDDED = "embeddings"

Values = NDArray[np.object_]
Column = tuple[NDArray[np.int64], str]


@dataclass(frozen=True)
class _Test:
    """What a test is about; `sizes` are those of the reference and of what came."""

    area: Area
    name: str
    what: str
    measure: Measure
    sizes: tuple[int, int]
    detail: str = ""


def compare(
    reference: Reference,
    listings: Listings | None,
    requests: Mapping[str, Cloud],
    *,
    champion: str,
    alpha: float,
    seed: int,
    notes: tuple[str, ...] = (),
) -> Comparison:
    """Compare what came with the reference.

    Args:
        reference: the champion's.
        listings: new listings, if there are any to compare.
        requests: embeddings by kind (`gallery`, `search/SOURCE`).
        champion: in words.
        alpha: false-alarm rate of the whole comparison.
        seed: of the permutations.
        notes: what was left out.
    """
    skipped: list[Skipped] = []
    columns: list[tuple[_Test, Counts]] = []
    clouds: list[tuple[_Test, Cloud, Cloud]] = []
    design = None
    if listings is not None:
        shops = reference.listings[SHOP].to_numpy(), listings.shops
        design = design_of(*shops)
        if few := _too_few_shops(*shops):
            skipped.append(Skipped("listings", "all", "labels", few))
        else:
            columns = list(_columns(reference, listings, design, skipped))
        clouds = list(_galleries(reference, listings, skipped))
    for kind, cloud in requests.items():
        stored = compared_with(kind, reference)
        if stored is None:
            skipped.append(Skipped("requests", kind, EMBEDDED, "the champion's data has no held-out queries of it"))
        elif found := _clouds("requests", kind, stored, cloud, skipped):
            clouds.append(found)
    permutations = permutations_for(max(1, len(columns) + len(clouds)), alpha)
    outcomes: list[Outcome] = []
    if design is not None and columns:
        outcomes += compare_counts(design, [counts for _, counts in columns], permutations, seed)
    for number, (_, old, new) in enumerate(clouds, 1):
        points, units = np.concatenate([old.embeddings, new.embeddings]), design_of(old.clusters, new.clusters)
        outcomes.append(compare_embeddings(units, points, permutations, seed + number))
    adjusted = holm([outcome.p for outcome in outcomes])
    tests = [*(test for test, _ in columns), *(test for test, _, _ in clouds)]
    findings = [_finding(test, outcome, p, alpha) for test, outcome, p in zip(tests, outcomes, adjusted, strict=True)]
    return Comparison(champion, alpha, permutations, seed, tuple(findings), tuple(skipped), notes)


def _finding(test: _Test, outcome: Outcome, adjusted: float, alpha: float) -> Finding:
    return Finding(
        area=test.area,
        name=test.name,
        what=test.what,
        measure=test.measure,
        reference=test.sizes[0],
        incoming=test.sizes[1],
        effect=outcome.effect,
        p=outcome.p,
        adjusted=adjusted,
        drifted=adjusted <= alpha and outcome.effect >= FLOORS[test.measure],
        detail=test.detail,
    )


def _columns(
    reference: Reference, listings: Listings, design: Design, skipped: list[Skipped]
) -> Iterator[tuple[_Test, Counts]]:
    """Tasks and hold-out, known values and the share of unknown ones; then slices."""
    spec, table = reference.facts.spec, listings.table
    tasks: list[tuple[Area, TaskSpec | HoldoutSpec]] = [("task", task) for task in spec.tasks]
    for area, task in [*tasks, ("hold-out", spec.holdout)]:
        if task.name not in table.column_names or table[task.name].null_count == len(table):
            skipped.append(Skipped(area, task.name, "values", "the new listings have no known value of it"))
            continue
        old, new = (np.array(one[task.name].to_pylist(), object) for one in (reference.listings, table))
        known = np.array([value is not None for value in [*old, *new]])
        before, since = known[: len(old)], known[len(old) :]
        if not known.all():
            detail = f"{1 - before.mean():.1%} -> {1 - since.mean():.1%}"
            test = _Test(area, task.name, "unknown", "w", (len(old), len(new)), detail)
            yield test, counts_of(design, known.astype(np.int64))
        sizes = int(before.sum()), int(since.sum())
        if min(sizes) < MINIMUM:
            skipped.append(Skipped(area, task.name, "values", _too_few(sizes)))
            continue
        numeric = task.kind == "regression"
        column = (_numbers if numeric else _classes)(old[before], new[since])
        if column is not None:
            placed = np.full(len(known), -1)
            placed[known] = column[0]
            test = _Test(area, task.name, "values", "D" if numeric else "w", sizes, column[1])
            yield test, counts_of(design, placed, ordered=numeric)
    for name in spec.slices:
        if name not in table.column_names:
            skipped.append(Skipped("slice", name, "shares", "the new listings have no such column"))
            continue
        column = _classes(_levels(reference.listings, name), _levels(table, name))
        if column is not None:
            sizes = len(reference.listings), len(table)
            yield _Test("slice", name, "shares", "w", sizes, column[1]), counts_of(design, column[0])


def _galleries(
    reference: Reference, listings: Listings, skipped: list[Skipped]
) -> Iterator[tuple[_Test, Cloud, Cloud]]:
    """All galleries, and those of each level of a slice that has enough of them on both sides."""
    whole = _clouds("listings", "all", reference.galleries, listings.galleries, skipped)
    if whole is None:
        return
    yield whole
    for name in reference.facts.spec.slices:
        if name not in listings.slices.column_names:
            continue
        old, new = _levels(reference.slices, name), _levels(listings.slices, name)
        for level in sorted({*old.tolist()} & {*new.tolist()}):
            parts = _part(reference.galleries, old == level), _part(listings.galleries, new == level)
            if found := _clouds("listings", f"{name} {level}", *parts, []):
                yield found


def _clouds(area: Area, name: str, old: Cloud, new: Cloud, skipped: list[Skipped]) -> tuple[_Test, Cloud, Cloud] | None:
    sizes = len(old.clusters), len(new.clusters)
    few = _too_few(sizes) if min(sizes) < MINIMUM else _too_few_shops(old.clusters, new.clusters)
    if few:
        skipped.append(Skipped(area, name, EMBEDDED, few))
        return None
    return _Test(area, name, EMBEDDED, "shift", sizes), old, new


def _part(cloud: Cloud, chosen: NDArray[np.bool_]) -> Cloud:
    return Cloud(cloud.embeddings[chosen], cloud.clusters[chosen])


def _levels(table: pa.Table, name: str) -> Values:
    """A slice's levels as text, str (n,)."""
    found = [UNKNOWN if value is None else str(value) for value in table[name].to_pylist()]
    return np.array(found, dtype=object)


def _classes(old: Values, new: Values) -> Column | None:
    """The class of each value, reference first, and the class whose share changed most; None if there is one class."""
    together = np.concatenate([old, new]).astype(str)
    names, classes, counts = np.unique(together, return_inverse=True, return_counts=True)
    if len(names) < 2:
        return None
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    classes = np.minimum(rank[classes], CLASSES - 1)
    shown = [str(name) for name in names[np.argsort(rank)][:CLASSES]]
    if len(names) > CLASSES:
        shown[-1] = OTHERS
    parts = classes[: len(old)], classes[len(old) :]
    shares = [np.bincount(part, minlength=len(shown)) / len(part) for part in parts]
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return classes, f"{shown[most]} {shares[0][most]:.1%} -> {shares[1][most]:.1%}"


def _numbers(old: Values, new: Values) -> Column | None:
    """The interval of each number, reference first, and both medians; None if there is one number."""
    together = np.concatenate([old, new]).astype(np.float64)
    edges = np.unique(np.quantile(together, np.arange(1, INTERVALS) / INTERVALS))
    classes = np.searchsorted(edges, together, side="left")
    if classes.min() == classes.max():
        return None
    medians = np.median(together[: len(old)]), np.median(together[len(old) :])
    return classes.astype(np.int64), "median {:.4g} -> {:.4g}".format(*medians)


def _too_few(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]} and {sizes[1]} are too few: at least {MINIMUM} are compared with {MINIMUM}"


def _too_few_shops(reference: NDArray[np.int64], incoming: NDArray[np.int64]) -> str | None:
    counts = len(np.unique(reference)), len(np.unique(incoming))
    if min(counts) >= SHOPS:
        return None
    return f"they are of {counts[0]} and {counts[1]} shops, too few: at least {SHOPS} are compared with {SHOPS}"
