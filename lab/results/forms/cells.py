"""The studies of cells as tables and sentences, the same in every form: a factorial's effects and cells, a curve's points. No markup.

Names come from outside: they are made printable here (lab/store/plain.py), and each form escapes what it treats as markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.results.facts import SectionFacts
from lab.results.facts_of_cells import CellFacts, CurveFacts, EffectFacts, FactorialFacts
from lab.results.forms.table import NONE, interval, level, p_value, signed
from lab.results.wording import decimals, shown
from lab.store.plain import plain

EFFECTS = ("effect", "kind", "n", "difference", "interval", "p (Holm)", "verdict")
WORDS = ("effect", "kind", "verdict")  # columns of words; all others hold numbers


@dataclass(frozen=True)
class Sheet:
    """One table with what is said of it; `right` tells which columns hold numbers."""

    title: str
    columns: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]


def sheets(section: SectionFacts) -> Iterator[Sheet]:
    """Of each factorial its effects and its cells, of each curve its points; none in a section without such studies."""
    for factorial in section.factorials:
        yield effects_sheet(factorial)
        yield cells_sheet(factorial)
    for curve in section.value_curves:
        yield curve_sheet(curve)


def commands(section: SectionFacts) -> list[str]:
    """What takes each such study to its next look."""
    following = [each.next for each in section.factorials] + [each.next for each in section.value_curves]
    return [each.command for each in following if each is not None and each.command]


def effects_sheet(study: FactorialFacts) -> Sheet:
    crossed = " x ".join(name(each.key) for each in study.factors)
    return Sheet(
        title=f"Effects of factorial {plain(study.study)}: {crossed}",
        columns=EFFECTS,
        right=tuple(each not in WORDS for each in EFFECTS),
        rows=tuple(effect_row(each) for each in study.effects),
        texts=(*(each.reading for each in study.effects), *study.notes),
    )


def effect_row(effect: EffectFacts) -> tuple[str, ...]:
    ends = None if effect.low is None or effect.high is None else (effect.low, effect.high)
    number = signed(effect.difference, effect.decimals), interval(ends, effect.decimals), p_value(effect.p)
    return name(effect.name), effect.kind, str(effect.n), *number, effect.said


def cells_sheet(study: FactorialFacts) -> Sheet:
    columns = (*(name(each.key) for each in study.factors), "n", "mean")
    return Sheet(
        title=f"Cells of factorial {plain(study.study)} (no verdicts)",
        columns=columns,
        right=(*(False for _ in study.factors), True, True),
        rows=tuple(cell_row(each) for each in study.cells),
        texts=(),
    )


def cell_row(cell: CellFacts) -> tuple[str, ...]:
    return *map(plain, cell.levels), str(cell.n), level(cell.mean)


def curve_sheet(study: CurveFacts) -> Sheet:
    """The points by value; the baseline's own is marked, and so is the best."""
    rows = []
    for each in study.points:
        places = decimals((each.high - each.low) / 2) if each.low is not None and each.high is not None else 4
        number = NONE if each.mean is None else f"{each.mean:.{places}f}"
        ends = NONE if each.low is None or each.high is None else f"{each.low:.{places}f} to {each.high:.{places}f}"
        lost = f" ({each.diverged} diverged)" if each.diverged else ""
        marks = ", ".join([*["baseline"] * each.baseline, *["best"] * (each.value == study.best)])
        rows.append((f"{each.value:g}", f"{each.n}{lost}", number, ends, marks))
    return Sheet(
        title=f"Curve {plain(study.study)}: the metric against {name(study.key)}",
        columns=(name(study.key), "n", "mean", "interval over seeds", "note"),
        right=(True, True, True, True, False),
        rows=tuple(rows),
        texts=(study.reading, *study.warnings),
    )


def name(text: str) -> str:
    """A factor, a level or an effect as a reader sees it."""
    return plain(shown(text))
