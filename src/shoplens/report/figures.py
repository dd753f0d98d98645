"""Figures as inline SVG: no fonts, scripts or addresses of their own; their colours are the page's CSS variables.

matplotlib draws with placeholder colours that are replaced by `var(--name)`, so that one figure suits the light and
the dark page. Equal input gives equal bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoplens.report.numbers import Estimate, or_nan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("ink", "muted", "line", "candidate", "baseline", "reference", "chance")
MARKERS = {"candidate": "o", "baseline": "s", "reference": "^", "chance": "D", "ink": "d"}
LONGEST_LABEL = 34


@dataclass(frozen=True)
class Series:
    """A curve: points (x, y) with an interval each; `role` is one of COLOURS. NaN is left out of the drawing."""

    label: str
    role: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Dot:
    """A row of the dot plot: the candidate's value with its interval, and the baseline's value if it has one."""

    label: str
    value: float
    low: float
    high: float
    baseline: float | None


@dataclass(frozen=True)
class Group:
    """A row of the grouped dot plot: a label, and a value with its interval for each role (one of COLOURS)."""

    label: str
    points: Mapping[str, Estimate]


def _paint(role: str) -> str:
    """The placeholder colour of a CSS variable."""
    return f"#0000{COLOURS.index(role) + 1:02x}"


def curves(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    level: tuple[str, float] | None = None,
    mark: tuple[str, float] | None = None,
) -> str:
    """Curves with interval bands.

    Args:
        series: at least one.
        title: what the figure shows, for screen readers.
        level: a dashed horizontal line with its label.
        mark: a dotted vertical line with its label.

    Returns:
        An `<svg>` element.
    """

    def draw(figure: Figure, axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for item in series:
            colour = _paint(item.role)
            style: dict[str, Any] = {"marker": MARKERS.get(item.role, "o"), "markersize": 5, "label": item.label}
            # The candidate lies on top, also where another curve is the same.
            axes.plot(item.x, item.y, color=colour, zorder=4 if item.role == "candidate" else 3, **style)
            if len(item.low):
                axes.fill_between(item.x, item.low, item.high, color=colour, alpha=0.15, linewidth=0)
                axes.vlines(item.x, item.low, item.high, color=colour, linewidth=0.8)
        if level:
            axes.axhline(level[1], color=_paint("chance"), linestyle="--", linewidth=1.2, label=level[0])
        if mark:
            axes.axvline(mark[1], color=_paint("muted"), linestyle=":", linewidth=1.2, label=mark[0])
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y", color=_paint("line"), linewidth=0.8)
        figure.legend(loc="outside upper left", ncols=4, frameon=False, handlelength=1.6, columnspacing=1.2)

    return _svg(6.0, 3.6, title, draw)


def dots(rows: Sequence[Dot], *, title: str, x_label: str) -> str:
    """A dot plot, the first row on top; what is worse than -1 is drawn at -1.

    Returns:
        An `<svg>` element.
    """

    def draw(figure: Figure, axes: Axes) -> None:
        places = list(range(len(rows)))
        axes.hlines(places, [max(-1, r.low) for r in rows], [max(-1, r.high) for r in rows], color=_paint("candidate"))
        style: dict[str, Any] = {"linestyle": "none", "markersize": 5}
        compared = [(r.baseline, i) for i, r in enumerate(rows) if r.baseline is not None]
        if compared:
            values, where = [max(-1, value) for value, _ in compared], [place for _, place in compared]
            style_of_baseline = style | {"color": _paint("baseline"), "marker": "s", "markerfacecolor": "none"}
            axes.plot(values, where, label="baseline", **style_of_baseline)
        axes.plot(
            [max(-1, r.value) for r in rows], places, label="candidate", color=_paint("candidate"), marker="o", **style
        )
        axes.axvline(0, color=_paint("muted"), linewidth=1)
        axes.set_yticks(places, [_shortened(row.label) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(x_label)
        axes.grid(axis="x", color=_paint("line"), linewidth=0.8)
        figure.legend(loc="outside upper left", ncols=2, frameon=False, handlelength=1.2)

    return _svg(6.0, 0.9 + 0.22 * len(rows), title, draw)


def groups(rows: Sequence[Group], *, title: str, x_label: str, labels: Mapping[str, str]) -> str:
    """A dot plot with several models a row, the first row on top; what has no value is left out of the drawing.

    Args:
        labels: role -> name in the legend.

    Returns:
        An `<svg>` element.
    """

    def draw(figure: Figure, axes: Axes) -> None:
        for role, label in labels.items():
            found = [
                (row.points[role], place + _offset(row, role)) for place, row in enumerate(rows) if role in row.points
            ]
            if found:
                colour, places = _paint(role), [place for _, place in found]
                bounds = [[or_nan(bound) for bound in (each.low, each.high)] for each, _ in found]
                axes.hlines(places, *zip(*bounds, strict=True), color=colour, linewidth=1.4)
                style: dict[str, Any] = {"marker": MARKERS[role], "markersize": 5, "linestyle": "none", "label": label}
                axes.plot([or_nan(each.value) for each, _ in found], places, color=colour, **style)
        axes.set_yticks(list(range(len(rows))), [_shortened(row.label) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(x_label)
        axes.grid(axis="x", color=_paint("line"), linewidth=0.8)
        figure.legend(loc="outside upper left", ncols=4, frameon=False, handlelength=1.2)

    return _svg(6.6, 0.9 + 0.42 * len(rows), title, draw)


def _offset(row: Group, role: str) -> float:
    """Where a role's point lies beside its row's middle, so that several do not cover each other."""
    return 0.24 * (list(row.points).index(role) - (len(row.points) - 1) / 2)


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _style(salt: str) -> Any:
    ink, muted, line = _paint("ink"), _paint("muted"), _paint("line")
    return {
        "svg.hashsalt": salt,
        "svg.fonttype": "none",
        "text.parse_math": False,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": line,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": muted,
        "ytick.color": muted,
        "ytick.labelcolor": ink,
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "lines.linewidth": 1.8,
    }


def _svg(width: float, height: float, title: str, draw: Callable[[Figure, Axes], None]) -> str:
    """Draw a figure of that size in inches, without a display, and cut its SVG down to what an HTML page needs."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    text = io.StringIO()
    with mpl.rc_context(_style(title)):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw(figure, axes)
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = re.search(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*)</svg>', text.getvalue(), re.DOTALL)
    if drawn is None:
        raise ValueError("matplotlib wrote no SVG")
    across, down, body = drawn.groups()
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", body)
    for position, role in enumerate(COLOURS):
        body = body.replace(f"#0000{position + 1:02x}", f"var(--{role})")
    label = html.escape(title, quote=True)
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {across} {down}" style="max-width:{float(across):.0f}pt" '
        f'stroke-linejoin="round">{body}</svg>'
    )
