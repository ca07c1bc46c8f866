"""What the page's template is given: the facts of each section with their drawings, places and texts. Writes no markup of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.results.curves import Curve
from lab.results.facts import ArmFacts, BaselineFacts, PairFacts, RulesFacts, RunFacts, SectionFacts
from lab.results.forms.cells import Sheet, sheets
from lab.results.forms.charts import Drawn, drawn, learning_curves, loss_against_flops
from lab.results.forms.forest import Forest, forest, smallest_effect
from lab.results.forms.numbers import Numbers, baseline_numbers, numbers
from lab.results.forms.table import BASELINE, COLUMNS, Cell, Column, Row, name_of, table

Cells = Mapping[str, Cell]  # by the key of their column
Paired = tuple[RunFacts, PairFacts | None]  # a run, and the judged pair that it is in
NOTHING_YET = "Nothing trained yet"

# On a page the verdict stands beside the name, so that a phone shows it without scrolling.
BESIDE = "verdict"
ORDER: tuple[Column, ...] = (
    COLUMNS[0],
    *(column for column in COLUMNS[1:] if column.key == BESIDE),
    *(column for column in COLUMNS[1:] if column.key != BESIDE),
)


@dataclass(frozen=True)
class ArmView:
    """An arm. `anchor` is its place in the page."""

    anchor: str
    name: str
    facts: ArmFacts
    cells: Cells
    drawing: str | None  # its row of the forest plot
    runs: tuple[Paired, ...]
    numbers: Numbers


@dataclass(frozen=True)
class Made:
    """A command as typed, and the arms that came of it."""

    command: str
    arms: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """A section. `anchor` is the start of every id in it."""

    anchor: str
    title: str
    facts: SectionFacts
    advice: tuple[tuple[str, str], ...]  # why, and the command
    columns: Numbers  # what they mean
    baseline: Cells | None
    baseline_runs: tuple[Paired, ...]
    baseline_numbers: Numbers
    arms: tuple[ArmView, ...]
    first_with: Mapping[str, str]  # the command of a next look -> the first arm that has it
    forest: Forest | None
    curves: tuple[Drawn, ...]
    fallback: str
    flops: str | None
    made: tuple[Made, ...]
    sheets: tuple[Sheet, ...]  # of studies of cells


def view(index: int, section: SectionFacts, rules: RulesFacts, curves: Sequence[Curve]) -> View:
    """The section that stands in place `index` of the page."""
    anchor, lines, plot = f"s{index}", drawn(curves), forest(section, rules)
    rows = table(rules, section)
    arms = arm_views(anchor, section, rules, rows, plot)
    return View(
        anchor=anchor,
        title=section.title or NOTHING_YET,
        facts=section,
        advice=tuple(zip(section.advice_why or [""] * len(section.advice), section.advice, strict=True)),
        columns=tuple((column.name, column.about) for column in ORDER),
        baseline_runs=tuple((run, None) for run in section.baseline.runs) if section.baseline else (),
        baseline_numbers=baseline_numbers(section.baseline, rules) if section.baseline else (),
        baseline=next((by_column(row) for row in rows if row.arm is None), None),
        arms=arms,
        first_with={arm.facts.next.command: arm.anchor for arm in reversed(arms) if arm.facts.next},
        forest=plot,
        curves=lines,
        fallback=learning_curves(lines) if lines else "",
        flops=loss_against_flops(lines),
        made=made(section),
        sheets=tuple(sheets(section)),
    )


def arm_views(anchor: str, section: SectionFacts, rules: RulesFacts, rows: Sequence[Row], plot: Forest | None) -> tuple[ArmView, ...]:
    judged = [(row.arm, row) for row in rows if row.arm is not None]
    drawings = plot.drawings if plot else (None,) * len(judged)
    return tuple(
        ArmView(
            anchor=f"{anchor}-arm{place}",
            name=name_of(arm),
            facts=arm,
            cells=by_column(row),
            drawing=drawing,
            runs=paired(arm),
            numbers=numbers(arm, rules, smallest_effect(section, arm)),
        )
        for place, ((arm, row), drawing) in enumerate(zip(judged, drawings, strict=True), start=1)
    )


def paired(arm: ArmFacts) -> tuple[Paired, ...]:
    """The arm's runs, each with the judged pair that it is in."""
    pairs = {pair.seed: pair for pair in arm.pairs}
    return tuple((run, pairs.get(run.seed)) for run in arm.runs)


def by_column(row: Row) -> Cells:
    return {column.key: cell for column, cell in zip(COLUMNS, row.cells, strict=True)}


def made(section: SectionFacts) -> tuple[Made, ...]:
    """Each command once, the baseline's first: a sweep makes several arms."""
    found: dict[str, list[str]] = {}
    for name, each in parties(section):
        for command in each.commands:
            found.setdefault(command, []).append(name)
    return tuple(Made(command, tuple(names)) for command, names in found.items())


def parties(section: SectionFacts) -> list[tuple[str, ArmFacts | BaselineFacts]]:
    """The baseline, where there is one, and the arms, with their names."""
    first = [] if section.baseline is None else [(BASELINE, section.baseline)]
    return [*first, *((name_of(arm), arm) for arm in section.arms)]
