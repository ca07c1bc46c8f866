"""The report's figures as PNG and SVG files. Draws what `Facts` and the curves say, by lab/results/plots.py; computes no number.

Needs matplotlib (the extra `figures`), imported only when something is drawn; neither pyplot nor a user's own settings take part, and no
date is written, so the same report gives the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.files import write_file
from lab.results.facts import Facts, RulesFacts, SectionFacts
from lab.results.plot_of_values import against_value
from lab.results.plots import BLACK, GREY, against_flops, forest, learning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab.results.curves import Curve

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.unicode_minus": False,  # the report's own sign
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "lab",
    "figure.constrained_layout.use": True,
}
DOTS = 200  # per inch
LARGEST = 30_000  # dots in a side: beyond it a renderer gives up


def write_figures(folder: Path, facts: Facts, curves: Mapping[str, Sequence[Curve]]) -> list[Path]:
    """Every figure of every cohort, from the second on with the cohort's first digits in the name. Returns what was written."""
    written = []
    for number, section in enumerate(facts.sections):
        name = f"-{section.cohort[:8]}" if number else ""
        for kind, drawn in figures(facts.rules, section, curves[section.cohort]):
            for suffix, content in drawn.items():
                path = folder / f"{kind}{name}.{suffix}"
                write_file(path, content)
                written.append(path)
    return written


def figures(rules: RulesFacts, section: SectionFacts, curves: Sequence[Curve]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each figure's name and its bytes by kind of file; one with nothing in it isn't drawn."""
    with settings():
        if section.arms:
            yield "forest", rendered(forest(rules, section))
        if curves:
            yield "curves", rendered(learning(section, curves))
        if any(curve.points[-1].flops for curve in curves):
            yield "loss-against-flops", rendered(against_flops(curves))
        for number, each in enumerate(section.value_curves, 1):
            if any(point.mean is not None for point in each.points):
                yield f"value-curve{number}", rendered(against_value(rules, each))


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib as it comes, with the settings of these figures; afterwards as it was."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise LabError("figures are drawn by matplotlib, which isn't installed\npip install 'observatory-lab[figures]'") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a sign that the font lacks is an empty box
        shipped: dict[Any, Any] = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
        matplotlib.rcParams.update(shipped | SETTINGS)
        yield


def rendered(figure: Figure) -> dict[str, bytes]:
    """The bytes of a PNG and an SVG, without date and maker."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    found = {}
    for suffix, canvas, metadata in (
        ("png", FigureCanvasAgg, {"Software": None}),
        ("svg", FigureCanvasSVG, {"Date": None, "Creator": None}),
    ):
        stream = io.BytesIO()
        dots = min(DOTS, LARGEST / max(figure.get_size_inches()))
        canvas(figure).print_figure(stream, format=suffix, dpi=dots, metadata=metadata)
        found[suffix] = stream.getvalue()
        figure.set_layout_engine("none")  # the second file takes the first one's layout, which costs most of the drawing
    return found
