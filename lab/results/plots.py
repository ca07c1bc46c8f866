"""The drawings of the report's figures: the forest plot, the learning curves, loss against FLOPs. Draws; writes no file.

Colours are Okabe and Ito's, which the colour-blind can tell apart; a verdict has a shape too. matplotlib is imported where a figure is
begun. Text from outside is made printable, and lab/results/figures.py sees to it that none is read as mathematics.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from lab.results.facts import ArmFacts, RulesFacts, SectionFacts
from lab.results.forms.table import NONE, interval_of, name_of, signed
from lab.results.wording import counted, shown
from lab.store.plain import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.results.curves import Curve, Point

BLACK, GREY, PALE = "#000000", "#6e6e6e", "#d9d9d9"
GREEN, BLUE, VERMILION = "#009e73", "#0072b2", "#d55e00"
# colour, marker, whether it is filled
LOOKS = {
    "refused": (GREY, "x", True),
    "identical": (GREY, "d", True),
    "before the first look": (GREY, "o", False),
    "unstable": (VERMILION, "X", True),
    "stabler": (GREEN, "P", True),
    "better": (GREEN, "^", True),
    "worse": (VERMILION, "v", True),
    "no difference": (BLUE, "s", True),
    "cannot tell": (GREY, "o", True),
}
WIDTH = 6.3  # inches: the text of a page
PER_ROW = 3  # panels


def blank(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height))


def forest(rules: RulesFacts, section: SectionFacts) -> Figure:
    """The difference of each arm with its interval, the zero line, and the band in which a difference is of no interest."""
    arms = section.arms
    figure = blank(0.9 + 0.27 * len(arms))
    axes = figure.add_subplot()
    limit = reach(section)
    if section.smallest_effect:
        axes.axvspan(-section.smallest_effect, section.smallest_effect, color=PALE, alpha=0.55, linewidth=0)
        for place, name in ((-section.smallest_effect, "-D"), (section.smallest_effect, "D")):
            axes.text(place, 1.02, name, transform=axes.get_xaxis_transform(), color=GREY, ha="center")
    axes.axvline(0, color=BLACK, linewidth=0.8)
    for place, arm in enumerate(arms):
        estimate(axes, arm, place, limit)
    axes.set(xlim=(-limit, limit), ylim=(len(arms) - 0.4, -0.6))
    axes.set_yticks(range(len(arms)), [wrapped(name_of(arm), 30) for arm in arms])
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(arms)), [wrapped(beside(arm), 34) for arm in arms])
    for side, ticks in ((axes, axes.yaxis), (right, right.yaxis)):
        ticks.set_tick_params(length=0, pad=8)
        side.spines[["left", "right"]].set_visible(False)
    less, more = ("better", "worse") if rules.direction == "lower" else ("worse", "better")
    axes.set_xlabel(f"< {less}      difference, arm - baseline ({rules.unit})      {more} >")
    return figure


def reach(section: SectionFacts) -> float:
    """How far the axis goes to either side: every estimate is on it, and every interval but those far wider than most."""
    ends = [max(map(abs, found)) for arm in section.arms if (found := interval_of(arm)) is not None]
    inner = [abs(arm.difference) for arm in section.arms if arm.difference is not None] + [2 * (section.smallest_effect or 0)]
    widest = max([*inner, *(end for end in ends if end <= 4 * max(median(ends), *inner))])
    return 1.08 * widest or 1.0


def estimate(axes: Axes, arm: ArmFacts, place: int, limit: float) -> None:
    colour, marker, filled = LOOKS[arm.verdict]
    if arm.difference is None:
        return
    if (ends := interval_of(arm)) is not None:
        low, high = max(ends[0], -limit), min(ends[1], limit)
        axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
        for end, cut, arrow in ((ends[0], low, "<"), (ends[1], high, ">")):
            axes.plot([cut], [place], color=colour, marker="|" if end == cut else arrow, markersize=5, clip_on=False)
    axes.plot([arm.difference], [place], color=colour, marker=marker, markersize=6, fillstyle="full" if filled else "none", clip_on=False)


def beside(arm: ArmFacts) -> str:
    """What stands right of an estimate."""
    number = signed(arm.difference, arm.decimals)
    return plain(arm.said) if number == NONE else f"{number}  {plain(arm.said)}"


def learning(section: SectionFacts, curves: Sequence[Curve]) -> Figure:
    """A panel per arm, the baseline behind it: the mean of the seeds, and the band from the lowest to the highest."""
    baseline = next((curve for curve in curves if curve.baseline), None)
    arms = [curve for curve in curves if not curve.baseline]
    diverged = {arm.arm_id: arm.stability.arm for arm in section.arms}
    panels: Sequence[Curve | None] = arms or [None]
    across = min(PER_ROW, len(panels))
    down = math.ceil(len(panels) / across)
    figure = blank(0.75 + (1.55 if across > 1 else 3.0) * down)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, curve in zip(grid.flat, panels, strict=False):
        if curve is not None:
            line(axes, curve, BLUE, "arm", "-")
        if baseline is not None:
            line(axes, baseline, BLACK, "baseline", (0, (2, 1.5)))  # dashed, and on top: where both are one line, both are seen
        own = curve or baseline
        if own is not None:
            axes.set_title(wrapped(plain(shown(own.label)), 34 if across > 1 else 90), loc="left")
            lost = 0 if own.baseline else diverged[own.arm_id]
            seeds = f"{counted(own.points[-1].n, 'seed')}{f', {lost} diverged' if lost else ''}"
            axes.text(1, 0.98, seeds, transform=axes.transAxes, color=GREY, ha="right", va="top")
        axes.xaxis.set_major_formatter(thousands)
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    grid[0][0].set(ylim=window(curves), xlim=(0, max(curve.points[-1].tokens for curve in curves)))
    figure.supxlabel("training tokens", fontsize=8)
    figure.supylabel(in_words(curves[0].metric), fontsize=8)
    about = "mean over seeds, band from the lowest to the highest"
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False, title=about)
    return figure


def line(axes: Axes, curve: Curve, colour: str, label: str, dashes: Any) -> None:
    tokens = [point.tokens for point in curve.points]
    low, high = [point.low for point in curve.points], [point.high for point in curve.points]
    axes.fill_between(tokens, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(tokens, [point.mean for point in curve.points], color=colour, linewidth=1.1, linestyle=dashes, label=label)


def window(curves: Sequence[Curve]) -> tuple[float, float]:
    """From the best point to where the first fifth of the budget had led: the steep start would flatten all that differs."""
    budget = max(curve.points[-1].step for curve in curves)
    late = [point for curve in curves for point in curve.points if point.step >= budget / 5]
    low, high = min(point.low for point in late), max(point.high for point in late)
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def against_flops(curves: Sequence[Curve]) -> Figure:
    """Where each curve ends, with its last stretch: better is lower, cheaper is further left. Each name stands at the right margin."""
    known = [curve for curve in curves if curve.points[-1].flops]
    ends = [curve.points[-1] for curve in known]
    figure = blank(max(2.8, 0.6 + 0.21 * len(known)))
    axes = figure.add_subplot()
    flops = [point.flops or 0.0 for point in ends]
    margin = 0.15 * (max(flops) - min(flops)) or 0.05 * max(flops)
    low, high = min(point.low for point in ends), max(point.high for point in ends)
    air = 0.08 * (high - low) or 0.01
    axes.set(xlim=(min(flops) - margin, max(flops) + margin), ylim=(low - air, high + air))
    for curve, end, level in zip(known, ends, spread_over([point.mean for point in ends], low - air, high + air), strict=True):
        colour = BLACK if curve.baseline else BLUE
        axes.plot(
            [point.flops or 0.0 for point in curve.points], [point.mean for point in curve.points], color=colour, alpha=0.25, linewidth=0.8
        )
        spent = end.flops or 0.0
        axes.plot([spent, spent], [end.low, end.high], color=colour, linewidth=1.2, alpha=0.35)
        axes.plot([spent], [end.mean], color=colour, marker="s" if curve.baseline else "o", markersize=4.5)
        name_at_margin(axes, plain(shown(curve.label)), end, level, colour, max(flops) + margin)
    axes.xaxis.set_major_formatter(thousands)
    axes.set_xlabel("training FLOPs")
    axes.set_ylabel(f"{in_words(curves[0].metric)}, end of training")
    return figure


def name_at_margin(axes: Axes, name: str, end: Point, level: float, colour: str, margin: float) -> None:
    """A name right of the axes, with a thin line to its point."""
    short = name if len(name) <= 34 else f"{name[:33]}…"
    arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "alpha": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
    axes.annotate(short, (end.flops or 0.0, end.mean), (margin, level), color=colour, va="center", annotation_clip=False, arrowprops=arrow)


def spread_over(places: Sequence[float], low: float, high: float) -> list[float]:
    """The places moved apart so that names don't overlap, in the same order, between low and high."""
    least = (high - low) / max(len(places), 14)
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [places[index] for index in order]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + least)
    top = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], top)
        top = moved[index] - least
    return [moved[order.index(index)] for index in range(len(places))]


def in_words(metric: str) -> str:
    return metric.removeprefix("curve_").replace("_", " ")


def thousands(value: float, _: object = None) -> str:
    """A count in thousands, millions, ...: 40k, 1.2M, 3.1G."""
    exponent = min(6, int(math.log10(abs(value)) // 3)) if abs(value) >= 1000 else 0
    return f"{value / 1000**exponent:.4g}{' kMGTPE'[exponent].strip()}"


def wrapped(name: str, width: int) -> str:
    """On at most two lines; what doesn't fit is cut with a mark."""
    lines = textwrap.wrap(name, width)
    if len(lines) > 2:
        lines = [lines[0], f"{lines[1][: width - 1]}…"]
    return "\n".join(lines)
