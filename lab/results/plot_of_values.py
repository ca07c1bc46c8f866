"""The drawing of a declared curve: the metric against one number, its points' intervals and its optimum. Draws; writes no file.

Like the figures of lab/results/plots.py: matplotlib is imported where a figure is begun, and text from outside is made printable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.results.facts import RulesFacts
from lab.results.facts_of_cells import CurveFacts
from lab.results.optimum import is_log
from lab.results.plots import BLACK, BLUE, GREY, PALE, blank, in_words
from lab.results.wording import shown
from lab.store.plain import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def against_value(rules: RulesFacts, curve: CurveFacts) -> Figure:
    """Each value's mean with its interval over seeds, filled where nothing diverged; the optimum as a line in the band of its interval."""
    figure = blank(3.0)
    axes = figure.add_subplot()
    told = [point for point in curve.points if point.mean is not None]
    if is_log([point.value for point in curve.points]):
        axes.set_xscale("log")
    if curve.optimum is not None:
        axes.axvspan(curve.optimum.low, curve.optimum.high, color=PALE, alpha=0.55, linewidth=0)
        axes.axvline(curve.optimum.value, color=GREY, linewidth=0.8)
        place = (curve.optimum.value, 1.02)
        axes.text(*place, f"optimum {curve.optimum.value:.3g}", transform=axes.get_xaxis_transform(), color=GREY, ha="center")
    axes.plot([point.value for point in told], [point.mean or 0.0 for point in told], color=BLUE, linewidth=0.8, alpha=0.4)
    for point in told:
        if point.low is not None and point.high is not None:
            axes.plot([point.value, point.value], [point.low, point.high], color=BLUE, linewidth=1.2)
        marker, filled = ("s", BLACK) if point.baseline else ("o", BLUE)
        axes.plot(
            [point.value], [point.mean or 0.0], color=filled, marker=marker, markersize=5, fillstyle="none" if point.diverged else "full"
        )
    axes.set_xlabel(plain(shown(curve.key)))
    axes.set_ylabel(f"{in_words(rules.metric)}, interval over seeds")
    return figure
