"""The forest plot of a page: for each arm its estimate and interval, the zero line and the band of effects too small to matter.

A row is a small SVG whose places are per cents, so that it fits a phone and a wide screen without a script. The texts beside it are
the table's own; names never enter the drawing. An interval that leaves the plot ends in an arrow: one wide interval must not flatten
all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.results.facts import ArmFacts, RulesFacts, SectionFacts
from lab.results.forms.axis import Axis, around
from lab.results.forms.table import interval_of

MOST = 2.0  # how many times the span of the estimates and D the plot may show
UNDECIDED = ("before the first look", "cannot tell")


@dataclass(frozen=True)
class Forest:
    """A section's plot: a drawing for each arm (None: it has no estimate), and the axis below them."""

    drawings: tuple[str | None, ...]
    axis: str
    left: str  # what lies on the two sides of zero
    right: str
    banded: bool  # whether any arm has a D to show


def forest(section: SectionFacts, rules: RulesFacts) -> Forest | None:
    """The plot of a section; None where no arm has an estimate."""
    smallest = [smallest_effect(section, arm) for arm in section.arms]
    axis = span(section.arms, smallest)
    if axis is None:
        return None
    drawings = tuple(drawing(arm, axis, effect) for arm, effect in zip(section.arms, smallest, strict=True))
    left, right = ("better", "worse") if rules.direction == "lower" else ("worse", "better")
    return Forest(drawings, axis_drawing(axis), left, right, any(smallest))


def smallest_effect(section: SectionFacts, arm: ArmFacts) -> float | None:
    """The D that an arm is judged against: its study's."""
    return next((study.smallest_effect for study in section.studies if study.name == arm.study), section.smallest_effect)


def span(arms: Sequence[ArmFacts], smallest: Sequence[float | None]) -> Axis | None:
    """What the plot shows: every estimate, zero and D, and of the intervals as much as leaves those readable."""
    estimates = [arm.difference for arm in arms if arm.difference is not None]
    if not estimates:
        return None
    core = [0.0, *estimates, *(sign * effect for effect in smallest if effect for sign in (-1.25, 1.25))]
    low, high = min(core), max(core)
    room = (MOST - 1) / 2 * ((high - low) or abs(high) or 1.0)
    outer = [end for arm in arms if arm.difference is not None for end in interval_of(arm) or ()]
    return around([low, high, *(min(high + room, max(low - room, end)) for end in outer)])


def drawing(arm: ArmFacts, axis: Axis, smallest: float | None) -> str | None:
    if arm.difference is None:
        return None
    parts = [frame(axis, smallest)]
    if interval := interval_of(arm):
        parts += whisker(axis, *interval)
    hollow = " hollow" if arm.verdict in UNDECIDED else ""
    parts.append(f'<circle class="estimate{hollow}" cx="{axis.place(arm.difference)}" cy="50%" r="4.5"/>')
    tone = arm.verdict.replace(" ", "-")
    # the texts beside it say the same numbers, so a reader of the screen is spared the drawing
    return f'<svg class="forest-row v-{tone}" width="100%" height="100%" aria-hidden="true">{"".join(parts)}</svg>'


def frame(axis: Axis, smallest: float | None) -> str:
    """The band of effects smaller than D, and the zero line."""
    zero = axis.place(0.0)
    line = f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="100%"/>'
    if not smallest:
        return line
    left, right = axis.clipped(-smallest), axis.clipped(smallest)
    width = 100 * (axis.share(right) - axis.share(left))
    return f'<rect class="band" x="{axis.place(left)}" width="{width:.2f}%" y="0" height="100%"/>{line}'


def whisker(axis: Axis, low: float, high: float) -> list[str]:
    """The interval, with a stop at an end that is shown and an arrow at one that isn't."""
    left, right = axis.place(axis.clipped(low)), axis.place(axis.clipped(high))
    parts = [f'<line class="whisker" x1="{left}" x2="{right}" y1="50%" y2="50%"/>']
    for end, place, inward in ((low, left, 7), (high, right, -7)):
        shape = "M0 -5V5" if axis.clipped(end) == end else f"M{inward} -5L0 0L{inward} 5"
        parts.append(f'<svg x="{place}" y="50%" overflow="visible"><path class="whisker" fill="none" d="{shape}"/></svg>')
    return parts


def axis_drawing(axis: Axis) -> str:
    parts = []
    for value, text in axis.ticks():
        place = axis.place(value)
        signed = text if text.startswith("-") or text == "0" else f"+{text}"
        parts.append(f'<line class="tick" x1="{place}" x2="{place}" y1="0" y2="5"/><text x="{place}" y="19">{signed}</text>')
    return f'<svg class="forest-axis" width="100%" height="24" aria-hidden="true">{"".join(parts)}</svg>'
