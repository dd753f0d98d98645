"""docs/results-retrieval.md from what the measured runs left in the work folder: no number is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.runs import PRODUCT_RULES, ROOT, git, rules_history
from benchmarks.timing import machine
from shoplens.artifacts import read_artifact
from shoplens.evaluation.outcomes import Outcomes, read_outcomes
from shoplens.evaluation.statistics import Interval, mean_interval, resampled_means
from shoplens.files import read_json, write_text
from shoplens.params import Params
from shoplens.promotion.policy import NonInferiorityRule, read_policy

Floats = NDArray[np.float64]
RESAMPLES, AT_ONCE = 10_000, 500
AIM = 0.9
"""Of a binary score as a share of the float one: "within 10%"."""
KINDS = {"float": "", "binary": "_binary"}
MEASURES = {"p_at_1": "P@1", "avg_p_at_20": "Avg P@20"}
NOTES = ROOT / "docs" / "results-retrieval-notes.md"
NAMES = {
    "joint": "joint",
    "images": "all image sources, no galleries",
    "galleries": "galleries only",
    "reference": "ImageNet",
    "chance": "random order",
    "last": "joint, last epoch kept",
    "by_size": "+ mixing by size",
    "gradnorm": "+ GradNorm",
    "layer_norm": "LayerNorm + NormSoftmax baseline",
    "lazy": "+ sampled proxies, exact lazy momentum",
    "scaled": "+ sampled proxies, scaled rate",
}
PAPER = """\
| the paper's Table 3 (binary) | STL P@1 | Flashlight Avg P@20 | Lens Avg P@20 |
|---|---:|---:|---:|
| Shop-the-Look | 49.2 | 42.1 | 14.7 |
| Flashlight | 11.0 | 53.4 | 16.1 |
| Lens | 26.2 | 47.8 | 18.2 |
| All | 52.8 | 60.2 | 18.4 |"""
ABLATIONS = ("last", "by_size", "gradnorm", "layer_norm", "lazy", "scaled")
JUDGED = (
    ("evaluate-stars", "stars/rps"),
    ("evaluate-stars", "stars/accuracy"),
    ("evaluate-tasks", "tasks/score"),
    ("evaluate-ranking", "ranking/ndcg"),
    ("evaluate-ranking", "ranking/multimodal_ndcg"),
    ("evaluate-ranking", "ranking/image_ndcg"),
)


@dataclass(frozen=True)
class Measured:
    """One run, read from its folder."""

    folder: Path

    @cached_property
    def searched(self) -> Outcomes:
        """Outcomes of evaluate-retrieval."""
        return self.outcomes("evaluate-retrieval")

    def outcomes(self, stage: str) -> Outcomes:
        """Outcomes of an evaluation."""
        return read_outcomes(read_artifact(self.folder / stage, stage).path / "outcomes.parquet")

    def metrics(self, stage: str) -> Mapping[str, Any]:
        """metrics.json of a stage."""
        found: Mapping[str, Any] = read_json(self.folder / stage / "metrics.json")
        return found


@dataclass(frozen=True)
class World:
    """The runs of one world: the joint one, and arm -> run."""

    name: str
    joint: Measured
    arms: Mapping[str, Measured]

    @cached_property
    def sources(self) -> Mapping[str, Mapping[str, Any]]:
        """Source -> what is searched, as evaluate-retrieval counted it."""
        found: Mapping[str, Mapping[str, Any]] = self.joint.metrics("evaluate-retrieval")["counts"]["sources"]
        return found

    def values(self, model: str, source: str, kind: str) -> Floats | None:
        """The source's metric of every query, in order of the queries; None if the model was not measured."""
        run = self.arms.get(model, self.joint)
        if run is self.joint and model not in ("joint", "reference", "chance"):
            return None
        return self._of(run, "candidate" if model == "joint" or model in self.arms else model, source, kind)

    def pair(self, arm: str, source: str, kind: str) -> tuple[Floats, Floats] | None:
        """The same of the joint model and an arm, on the same queries by the same search of one stage."""
        if arm not in self.arms:
            return None
        run = self.arms[arm]
        return self._of(run, "baseline", source, kind), self._of(run, "candidate", source, kind)

    def _of(self, run: Measured, model: str, source: str, kind: str) -> Floats:
        metric = f"retrieval/{source}_{self.sources[source]['metric']}{KINDS[kind]}"
        return run.searched[metric][model].values


def interval_of(parts: Sequence[Floats]) -> Interval:
    """The mean over all units of several worlds, with its 95% interval: units are drawn within each world."""
    if len(parts) == 1:
        return mean_interval(parts[0], resamples=RESAMPLES)
    sizes = np.array([len(part) for part in parts], np.float64)
    drawn = np.stack([resampled_means(part, RESAMPLES, number) for number, part in enumerate(parts)])
    return _bounded(float(np.concatenate(parts).mean()), sizes @ drawn / sizes.sum(), int(sizes.sum()))


def ratio_interval(tops: Sequence[Floats], bottoms: Sequence[Floats]) -> Interval | None:
    """The ratio of two means over the same units, which are drawn together within each world; None over zero."""
    total = float(np.concatenate(bottoms).mean())
    if not total:
        return None
    sums = np.zeros((RESAMPLES, 2))
    for number, both in enumerate(np.stack(pair, axis=1) for pair in zip(tops, bottoms, strict=True)):
        generator = np.random.default_rng(number)
        for start in range(0, RESAMPLES, AT_ONCE):
            drawn = generator.integers(0, len(both), (min(AT_ONCE, RESAMPLES - start), len(both)))
            sums[start : start + len(drawn)] += both[drawn].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = sums[:, 0] / sums[:, 1]
    units = sum(len(part) for part in bottoms)
    return _bounded(float(np.concatenate(tops).mean()) / total, ratios, units)


def _bounded(value: float, drawn: Floats, units: int) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high), units)


def _text(found: Interval | None, digits: int = 3, signed: bool = False) -> str:
    if found is None:
        return ""
    value, low, high = (f"{part:{'+' if signed else '-'}z.{digits}f}" for part in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]], texts: int = 1) -> str:
    """A Markdown table whose first `texts` columns are aligned left."""
    line = ["---" if place < texts else "---:" for place in range(len(heads))]
    return "\n".join([_row(heads), f"|{'|'.join(line)}|", *map(_row, rows)])


def _groups(worlds: Sequence[World]) -> dict[str, list[World]]:
    """Each world alone and, if there are several, all together."""
    return {world.name: [world] for world in worlds} | ({"pooled": list(worlds)} if len(worlds) > 1 else {})


def _name(model: str) -> str:
    if model.startswith("best-"):
        return f"{_name(model.removeprefix('best-'))}, best epoch"
    return NAMES.get(model, f"{model} only")


def _measure(worlds: Sequence[World], source: str) -> str:
    return f"{source} {MEASURES[worlds[0].sources[source]['metric']]}"


def _score(worlds: Sequence[World], model: str, source: str, kind: str) -> Interval | None:
    found = [world.values(model, source, kind) for world in worlds]
    parts = [part for part in found if part is not None]
    return interval_of(parts) if len(parts) == len(worlds) else None


def _gain(worlds: Sequence[World], arm: str, source: str, kind: str) -> Interval | None:
    """Joint minus arm, paired by query."""
    pairs = [pair for pair in (world.pair(arm, source, kind) for world in worlds) if pair is not None]
    return interval_of([joint - own for joint, own in pairs]) if len(pairs) == len(worlds) else None


def _share(worlds: Sequence[World], model: str, source: str) -> Interval | None:
    """Binary as a share of float."""
    pairs = [(world.values(model, source, "binary"), world.values(model, source, "float")) for world in worlds]
    measured = [(top, bottom) for top, bottom in pairs if top is not None and bottom is not None]
    if len(measured) < len(worlds):
        return None
    return ratio_interval([top for top, _ in measured], [bottom for _, bottom in measured])


def _verdict(found: Interval) -> str:
    if found.low > 0:
        return "ahead"
    return "behind" if found.high < 0 else "no clear difference"


def _arms(worlds: Sequence[World]) -> list[str]:
    """The arms that every world has, in order, without the ablations of one world."""
    return [arm for arm in worlds[0].arms if arm not in ABLATIONS]


def _against_own(worlds: Sequence[World], prefix: str, kept: str) -> list[str]:
    """Unified against each source's own embedding, where it was measured."""
    lines, ahead = [], []
    for source in worlds[0].sources:
        for kind in KINDS:
            gain, own = (find(worlds, f"{prefix}{source}", source, kind) for find in (_gain, _score))
            joint = _score(worlds, "joint", source, kind)
            if gain is None or own is None or joint is None:
                continue
            ahead.append(gain.value > 0)
            lines.append(
                f"- {_measure(worlds, source)}, {kind}: unified {joint.value:.3f}, {source} only ({kept}) "
                f"{own.value:.3f}; difference {_text(gain, signed=True)} (n = {gain.n}): **{_verdict(gain)}**."
            )
    if ahead:
        met = "met" if all(ahead) else f"not met: ahead in {sum(ahead)} of {len(ahead)}"
        lines.append(
            f"- The aim, unified ahead of every single source ({kept}) on its metric, by the means: **{met}**."
        )
    return lines


def summary(worlds: Sequence[World]) -> str:
    """What the aims ask for, in sentences."""
    lines: list[str] = []
    for prefix, kept in (("", "last epoch kept"), ("best-", "best epoch kept")):
        lines += _against_own(worlds, prefix, kept)
    for source in worlds[0].sources:
        share = _share(worlds, "joint", source)
        if share is not None:
            lines.append(f"- {_measure(worlds, source)}: binary is {_percent(share)} of float; {_within(share)}.")
    return "\n".join([*lines, *_stars_lines(worlds)])


def _percent(found: Interval) -> str:
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def _within(share: Interval) -> str:
    if share.low >= AIM:
        return "the aim, within 10%, is **met**"
    return "the aim, within 10%, is " + (
        "**met in the mean**, but not by the interval" if share.value >= AIM else "**not met**"
    )


def _stars_lines(worlds: Sequence[World]) -> list[str]:
    rows = judged_rows(worlds)
    return [
        f"- {row.metric}: gain of joint over galleries only {_text(row.gain, 4, signed=True)}; lower bound above "
        f"minus the policy's margin {row.margin:g}: **{'yes' if row.gain.low > -row.margin else 'no'}**."
        for row in rows
        if row.margin is not None and row.group == list(_groups(worlds))[-1]
    ]


def searched_table(worlds: Sequence[World]) -> str:
    """What each evaluation consists of."""
    rows = [
        [
            f"{world.name}: {source}",
            facts["task"],
            MEASURES[facts["metric"]],
            facts["queries"],
            facts["unmatched"],
            facts["classes"],
            facts["corpus"],
            facts["distractors"],
            f"{facts['best_reachable']:.3f}",
            f"{facts['in_training']:.0%}",
        ]
        for world in worlds
        for source, facts in world.sources.items()
    ]
    heads = ["world: source", "task", "metric", "queries", "without a match", "classes", "corpus", "without a label"]
    return _table([*heads, "best reachable", "queries whose class trains"], rows, 3)


def table_3(worlds: Sequence[World], kind: str) -> str:
    """The paper's Table 3: models by metrics, all worlds together."""
    sources = list(worlds[0].sources)
    models = [*_arms(worlds), "joint", "reference", "chance"]
    rows: list[list[object]] = [
        [_name(model), *(_text(_score(worlds, model, source, kind)) for source in sources)] for model in models
    ]
    best = []
    for source in sources:
        parts = [(world.sources[source]["best_reachable"], world.sources[source]["queries"]) for world in worlds]
        best.append(f"{sum(value * n for value, n in parts) / sum(n for _, n in parts):.3f}")
    return _table([kind, *(_measure(worlds, source) for source in sources)], [*rows, ["best reachable", *best]])


def scores_table(worlds: Sequence[World], source: str) -> str:
    """One source: every model by world."""
    groups = _groups(worlds)
    rows = [
        [kind, _name(model), *(_text(_score(members, model, source, kind)) for members in groups.values())]
        for kind in KINDS
        for model in [*_arms(worlds), "joint", "reference", "chance"]
    ]
    counts = [f"n = {sum(world.sources[source]['queries'] for world in members)}" for members in groups.values()]
    return _table(["search", "model", *groups], [*rows, ["", "queries", *counts]], 2)


def gains_table(worlds: Sequence[World]) -> str:
    """Joint minus each arm, paired by query."""
    groups = _groups(worlds)
    rows: list[list[object]] = []
    for source in worlds[0].sources:
        for kind in KINDS:
            for arm in _arms(worlds):
                found = [_gain(members, arm, source, kind) for members in groups.values()]
                verdict = "" if found[-1] is None else _verdict(found[-1])
                cells = (_text(gain, signed=True) for gain in found)
                rows.append([_measure(worlds, source), kind, _name(arm), *cells, verdict])
    return _table(["metric", "search", "joint minus", *groups, "joint is"], rows, 3)


def shares_table(worlds: Sequence[World]) -> str:
    """Binary as a share of float, every model."""
    groups = _groups(worlds)
    rows: list[list[object]] = []
    for source in worlds[0].sources:
        for model in ["joint", *_arms(worlds), "reference"]:
            found = [_share(members, model, source) for members in groups.values()]
            rows.append(
                [_measure(worlds, source), _name(model), *("" if each is None else _percent(each) for each in found)]
            )
    return _table(["metric", "model", *groups], rows, 2)


@dataclass(frozen=True)
class Judged:
    """One metric of one group of worlds: joint and galleries-only; a positive gain says that joint is better."""

    metric: str
    direction: str
    group: str
    joint: float
    alone: float
    reference: float | None
    gain: Interval
    margin: float | None


def judged_rows(worlds: Sequence[World]) -> list[Judged]:
    """Stars, tasks and ranking of the joint run against galleries only; nothing where that was not measured."""
    if not all("galleries" in world.arms for world in worlds):
        return []
    rules = read_policy(ROOT / "gate.yaml").rules
    margins = {rule.metric: rule.margin for rule in rules if isinstance(rule, NonInferiorityRule)}
    rows = []
    for stage, metric in JUDGED:
        measured = {world.name: world.arms["galleries"].outcomes(stage)[metric] for world in worlds}
        direction = worlds[0].arms["galleries"].metrics(stage)["metrics"][metric]["direction"]
        sign = 1 if direction == "lower" else -1
        for group, members in _groups(worlds).items():
            found = [measured[world.name] for world in members]
            joint, alone = ([models[name].values for models in found] for name in ("baseline", "candidate"))
            references = [models["reference"].values for models in found if "reference" in models]
            rows.append(
                Judged(
                    metric,
                    direction,
                    group,
                    float(np.concatenate(joint).mean()),
                    float(np.concatenate(alone).mean()),
                    float(np.concatenate(references).mean()) if references else None,
                    interval_of([sign * (other - own) for own, other in zip(joint, alone, strict=True)]),
                    margins.get(metric),
                )
            )
    return rows


def judged_table(worlds: Sequence[World]) -> str:
    """The rows of `judged_rows`."""
    heads = ["metric", "world", "n", "joint", "galleries only", "ImageNet", "joint is better by", "margin", "above it"]
    rows = [
        [
            f"{row.metric} ({row.direction} is better)",
            row.group,
            row.gain.n,
            f"{row.joint:.4f}",
            f"{row.alone:.4f}",
            "" if row.reference is None else f"{row.reference:.4f}",
            _text(row.gain, 4, signed=True),
            "" if row.margin is None else f"-{row.margin:g}",
            "" if row.margin is None else ("yes" if row.gain.low > -row.margin else "no"),
        ]
        for row in judged_rows(worlds)
    ]
    return _table(heads, rows, 2)


def runs_table(worlds: Sequence[World], work: Path) -> str:
    """How long each run learned, and what its codes look like."""
    seconds = read_json(work / "seconds.json")
    rows: list[list[object]] = []
    for world in worlds:
        wanted = world.joint.metrics("train")["photos_learned_from"]
        for name, run in {"joint": world.joint, **world.arms}.items():
            facts = run.metrics("train")
            history = (run.folder / "train" / "history.csv").read_text().splitlines()
            place = history[0].split(",").index("val_loss")
            losses = [float(line.split(",")[place]) for line in history[1:]]
            bits = pq.read_table(run.folder / "evaluate-retrieval" / "bits.parquet")
            own = bits["density"].to_numpy()[bits["model"].to_numpy(zero_copy_only=False) == "candidate"]
            took = [seconds.get(f"{run.folder.relative_to(work)}/{stage}", 0.0) for stage in ("train", "embed")]
            rows.append(
                [
                    f"{world.name}: {_name(name)}",
                    facts["epochs"],
                    facts["best_epoch"],
                    1 + int(np.argmin(losses)),
                    f"{facts['photos_learned_from']:,}",
                    f"{facts['photos_learned_from'] / wanted:.1%}",
                    len(own),
                    f"{own.mean():.3f}" if len(own) else "",
                    f"{own.min():.3f} to {own.max():.3f}" if len(own) else "",
                    int(((own == 0) | (own == 1)).sum()),
                    *(f"{part:.0f}" for part in took),
                ]
            )
    heads = ["run", "epochs", "kept", "lowest validation loss in", "photos learned from", "of the joint run's", "bits"]
    return _table([*heads, "ones", "least and most a bit", "dead bits", "train, s", "embed, s"], rows)


def ablation_table(world: World) -> str:
    """Tables 1 and 2: the joint run with one thing changed."""
    sources = list(world.sources)
    rows: list[list[object]] = []
    changed = [arm for arm in ABLATIONS if arm in world.arms]
    for model in ["joint", *changed]:
        for kind in KINDS:
            cells = [_text(_score([world], model, source, kind)) for source in sources]
            gains = [_gain([world], model, source, kind) for source in sources]
            less = [_text(gain and Interval(-gain.value, -gain.high, -gain.low, gain.n), signed=True) for gain in gains]
            rows.append([_name(model), kind[0], *(part for pair in zip(cells, less, strict=True) for part in pair)])
    heads = [head for source in sources for head in (_measure([world], source), "minus joint")]
    return _table(["model", "f, b", *heads], rows, 2)


def _settings(worlds: Sequence[World]) -> list[str]:
    """What each run trained with, where it differs from the joint one."""
    first = worlds[0]
    read = {name: dict(read_artifact(run.folder / "train", "train").params) for name, run in first.arms.items()}
    joint = dict(read_artifact(first.joint.folder / "train", "train").params)
    skipped = {"max_epochs"}  # per world, in the table
    lines = []
    for name, settings in read.items():
        parts = [f"{key} {value}" for key, value in settings.items() if value != joint[key] and key not in skipped]
        lines.append(f"  - {_name(name)}: {', '.join(parts) or 'the same'}")
    return lines


def read_worlds(work: Path, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[World]:
    """The worlds whose joint run was measured, with what else was.

    Args:
        work: the work folder.
        found: part -> its runs, {"seed", "arm", "run" (relative to work)}.
    """
    arms: dict[int, dict[str, Measured]] = {}
    for part, runs in found.items():
        for entry in runs:
            if part != "joint":
                arms.setdefault(entry["seed"], {})[entry["arm"]] = Measured(work / entry["run"])
    return [
        World(
            f"{entry['world']} (seed {entry['seed']})",
            Measured(work / entry["run"]),
            arms.get(entry["seed"], {}),
        )
        for entry in found.get("joint", [])
    ]


def write_page(
    out: Path, work: Path, found: Mapping[str, Sequence[Mapping[str, Any]]], params: Params, date: str, trial: bool
) -> None:
    """Write the page from the parts that were measured; one that was not is named as such.

    Args:
        out: the page.
        work: the work folder.
        found: part -> its runs, {"seed", "arm", "run" (relative to work)}.
        params: of the joint runs.
        date: for the page.
        trial: whether the worlds are not those of the page.

    Raises:
        ShoplensError: if a stage's output was changed since it was written.
    """
    worlds = read_worlds(work, found)
    missing = "Not measured yet."
    seconds = read_json(work / "seconds.json") if (work / "seconds.json").is_file() else {}
    folders = [str(world.joint.folder.parent.relative_to(work)) for world in worlds]
    spent = [value for key, value in seconds.items() if any(key.startswith(f"{folder}/") for folder in folders)]
    dirty = " with changes that were not committed" if git("status", "--porcelain", "--", "src", "params.yaml") else ""
    training = ", ".join(f"{key} {value}" for key, value in params.train.model_dump(mode="json").items())
    page = [
        "# Results: one embedding for all sources",
        "",
        "**A trial on worlds of other seeds: it shows that the measurement runs, and no result.**"
        if trial
        else "Written by `python -m benchmarks.results_retrieval` (part of `make results`); no number here is typed by "
        "hand but the paper's, and none is used to choose a setting.",
        "",
        "The seeds of the worlds follow from the hash of the last commit that touched the rules of the products "
        f"(`sha256(hash + {'trial + ' if trial else ''}number) mod 2^31`), so nobody picked them.",
        "",
        f"- date: {date}",
        f"- commit: {git('rev-parse', 'HEAD')}{dirty}",
        "- commits that touched the rules of the products, the latest first:",
        *(f"  - {line}" for line in rules_history(PRODUCT_RULES)),
        f"- machine: {machine().split(', load')[0]}",
        f"- time: {sum(spent) / 60:.0f} minutes for {len(spent)} steps",
        f"- world: {params.world.listings} listings, {params.world.products} products",
        f"- training of the joint run: {training}",
        "- what other runs change (`max_epochs`: see the table of runs):",
        *(_settings(worlds) if worlds else ()),
        "",
        "Intervals are 95%, by bootstrap over queries (listings for stars and tasks), drawn within each world; pooled "
        "means are over all queries of all worlds. They say how sure a number is for these worlds and these trained "
        "networks: each was trained once, so the spread between training seeds is not in them.",
        "",
        "## In short",
        "",
        summary(worlds) if worlds else missing,
        "",
        "## What is searched",
        "",
        searched_table(worlds) if worlds else missing,
        "",
        "## Unified against single sources",
        "",
        "Table 3 of the paper. Every model has the same network; the joint one learns from galleries and all image "
        'sources. The others learn from as many photos, to whole epochs (section 4.2.3: "the total iterations of '
        'images over the training procedure is the same"), without early stopping, while the joint run keeps its best '
        "epoch by validation; `galleries only` stops as the joint run does. Random order and ImageNet (the same "
        "backbone before training, its features standardised) are the floor.",
        "",
        *((table_3(worlds, "binary"), "", table_3(worlds, "float")) if worlds else (missing,)),
        "",
        PAPER,
        "",
        "### Differences",
        "",
        "Joint minus the other, paired by query; above 0 the joint embedding is better.",
        "",
        gains_table(worlds) if worlds else missing,
        "",
        *(
            line
            for source in (worlds[0].sources if worlds else ())
            for line in (f"### {_measure(worlds, source)}", "", scores_table(worlds, source), "")
        ),
        "## Binary as a share of float",
        "",
        "The ratio of the two means, the same queries drawn for both. The aim: within 10%, so 90% or more.",
        "",
        shares_table(worlds) if worlds else missing,
        "",
        "## What the joint run costs the galleries",
        "",
        "The joint run against an embedding of the gallery tasks alone, in batches as large as the galleries' share of "
        "a joint one. `joint is better by` is signed so that above 0 the joint run is better; `above it` asks whether "
        "the interval's lower end is above minus gate.yaml's margin (two-sided 95%, so stricter than the gate, which "
        "asks one side).",
        "",
        judged_table(worlds) if worlds and judged_rows(worlds) else missing,
        "",
        "## Runs",
        "",
        "`kept` is the epoch whose weights are judged. `ones` is the mean share of ones in a bit over the corpora; a "
        "dead bit is the same in all codes.",
        "",
        runs_table(worlds, work) if worlds else missing,
        "",
        "## Changing one thing",
        "",
        "World 1; the form of the paper's Tables 1 and 2 (f: float, b: binary). Each learns from as many photos as the "
        "joint run, to whole epochs, and keeps its last one, as does the row `joint, last epoch kept`.",
        "",
        ablation_table(worlds[0])
        if worlds and "last" in worlds[0].arms
        else "Not measured yet: `python -m benchmarks.results_retrieval --only ablation`.",
        "",
        *(("## What was tried", "", NOTES.read_text().strip(), "") if NOTES.is_file() else ()),
    ]
    write_text(out, "\n".join(page))
