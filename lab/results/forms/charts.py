"""The two drawings of a page that are made from learning curves: the curves themselves as they stand without a script, and loss
against FLOPs; and the same curves as plain data for the script that draws them anew.

A drawing has its places in per cent and its lines in an inner picture that stretches, so that it fits any width without a script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lab.results.curves import Curve, Point
from lab.results.forms.axis import Axis, around, power_of_thousand
from lab.results.wording import shown
from lab.store.plain import plain

TONES, DASHES = 6, 3
HEIGHT, BELOW = 280, 44  # of the plot, and of the texts under it
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LABEL, SIGNS = 17, 34  # the least distance of two labels, and how many signs of a name fit beside a mark in the middle


@dataclass(frozen=True)
class Drawn:
    """A curve with its name as readers see it and its look: the same colour and dash wherever it is drawn."""

    name: str
    look: str  # classes of the style sheet
    curve: Curve


def drawn(curves: Sequence[Curve]) -> tuple[Drawn, ...]:
    """The curves that have points, each with a look of its own as far as colours and dashes go."""
    found, index = [], 0
    for curve in curves:
        if not curve.points:
            continue
        look = "tone-base"
        if not curve.baseline:
            look, index = f"tone-{index % TONES} dash-{index // TONES % DASHES}", index + 1
        found.append(Drawn(plain(shown(curve.label)), look, curve))
    return tuple(found)


def as_data(curves: Sequence[Drawn]) -> list[dict[str, Any]]:
    """What the script draws from: a column for each field of the points, at full precision."""
    fields = ("step", "tokens", "flops", "seconds", "mean", "low", "high", "n", "difference")
    return [
        {
            "name": each.name,
            "look": each.look,
            "baseline": each.curve.baseline,
            **{field: [getattr(point, field) for point in each.curve.points] for field in fields},
        }
        for each in curves
    ]


def learning_curves(curves: Sequence[Drawn]) -> str:
    """Mean and seeds' band by step, both axes linear."""
    points = [point for each in curves for point in each.curve.points]
    first, last = min(point.step for point in points), max(point.step for point in points)
    across = Axis(first, max(last, first + 1))
    up = around([end for point in points for end in (point.low, point.high)], 0.03)
    bands = "".join(f'<path class="seeds {each.look}" d="{band_path(each.curve.points, across, up)}"/>' for each in curves)
    order = sorted(curves, key=lambda each: each.curve.baseline)  # the baseline last, so that it lies above
    lines = "".join(f'<path class="curve {each.look}" d="{line_path(each.curve.points, across, up)}"/>' for each in order)
    stretched = f'<svg width="100%" height="{HEIGHT}" viewBox="0 0 1000 {HEIGHT}" preserveAspectRatio="none">{bands}{lines}</svg>'
    return picture(
        grid(across, up, "training steps") + stretched, HEIGHT, "Learning curves: mean over the seeds, with the lowest and highest seed"
    )


def spot(value: float, other: float, across: Axis, up: Axis) -> str:
    return f"{1000 * across.share(value):.1f} {HEIGHT * (1 - up.share(other)):.1f}"


def line_path(points: Sequence[Point], across: Axis, up: Axis) -> str:
    """Through the means; a single one is a line of no length, which its round ends show as a dot."""
    return "M" + "L".join(spot(point.step, point.mean, across, up) for point in points) + "h0" * (len(points) == 1)


def band_path(points: Sequence[Point], across: Axis, up: Axis) -> str:
    there = [spot(point.step, point.high, across, up) for point in points]
    back = [spot(point.step, point.low, across, up) for point in reversed(points)]
    return "M" + "L".join(there + back) + "Z"


def loss_against_flops(curves: Sequence[Drawn]) -> str | None:
    """Where each curve ends: the whole training's FLOPs and the loss, with the lowest and highest seed. None where no FLOPs are known."""
    last = [(each, each.curve.points[-1]) for each in curves]
    exponent = power_of_thousand(max((point.flops or 0.0 for _, point in last), default=0.0))
    ends = [(each, point, point.flops / 10**exponent) for each, point in last if point.flops]
    if not ends:
        return None
    height = max(HEIGHT, LABEL * (len(ends) + 2))
    across = around([flops for _, _, flops in ends], 0.12)
    up = around([end for _, point, _ in ends for end in (point.low, point.high)], 0.08)
    tops = [height * (1 - up.share(point.mean)) for _, point, _ in ends]
    names, marks = [], []  # the names below, so that none hides a mark
    for (each, point, flops), top, level in zip(ends, tops, spread(tops, LABEL, height), strict=True):
        place, right = across.place(flops), across.share(flops) > 0.5
        side, anchor = (-12, "end") if right else (12, "start")
        seeds = f'y1="{height * (1 - up.share(point.high)):.1f}" y2="{height * (1 - up.share(point.low)):.1f}"'
        name = each.name if len(each.name) <= SIGNS else f"{each.name[: SIGNS - 1]}…"
        names.append(
            f'<svg class="{each.look}" x="{place}" overflow="visible"><path class="leader" d="M0 {top:.1f}L{side} {level:.1f}"/>'
            f'<text class="name" x="{side * 4 // 3}" y="{level + 4:.1f}" text-anchor="{anchor}">{escape(name)}</text></svg>'
        )
        marks.append(
            f'<g class="{each.look}"><line class="range" x1="{place}" x2="{place}" {seeds}/>'
            f'<circle class="end" cx="{place}" cy="{top:.1f}" r="5"/></g>'
        )
    title = f"training FLOPs, 10{str(exponent).translate(RAISED)}" if exponent else "training FLOPs"
    about = "Loss at the end of training against its FLOPs, per arm"
    return picture(grid(across, up, title, height) + "".join(names + marks), height, about)


def spread(places: Sequence[float], least: float, height: float) -> list[float]:
    """The places moved so that none stands nearer than `least` to the next, all within the height; their order stays."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [max(places[index], least / 2) for index in order]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + least)
    limit = height - least / 2
    for index in range(len(moved) - 1, -1, -1):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - least
    found = dict(zip(order, moved, strict=True))
    return [found[index] for index in range(len(places))]


def grid(across: Axis, up: Axis, title: str, height: int = HEIGHT) -> str:
    """Lines at round values, named inside the plot on its left and below it, and what lies across."""
    parts = []
    for value, text in up.ticks():
        top = height * (1 - up.share(value))
        if top < LABEL:  # its text would be cut
            continue
        parts.append(
            f'<line class="grid" x1="0" x2="100%" y1="{top:.1f}" y2="{top:.1f}"/><text class="up" x="0" y="{top - 4:.1f}">{text}</text>'
        )
    for value, text in across.ticks():
        share = across.share(value)
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
        parts.append(f'<text x="{across.place(value)}" y="{height + 18}" text-anchor="{anchor}">{text}</text>')
    parts.append(f'<text x="100%" y="{height + 38}" text-anchor="end">{title}</text>')
    return "".join(parts)


def picture(inside: str, height: int, about: str) -> str:
    return f'<svg class="plot" role="img" aria-label="{about}" width="100%" height="{height + BELOW}">{inside}</svg>'
