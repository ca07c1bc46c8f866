"""Which runs are the cells of a declared factorial, or the points of a curve, in one cohort. Knows no statistics.

A cell is known by its change_id, whoever asked for its runs: one that makes a single change may have been trained as an arm. Only code
that is comparable with the baseline's counts, the newest of it, as for an arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from lab.results.asked import Asked, grouped, newest_request
from lab.results.entrants import Entrants
from lab.results.facts_of_cells import CellRun, PendingSeeds
from lab.results.lineup import BASELINE, Arm, Lineup, make_arm
from lab.results.pairs import has_outcome, value_of
from lab.results.pin import Pin
from lab.results.record import Request
from lab.results.reference import why_other_code
from lab.results.typed import newest_run, with_seeds
from lab.results.wording import seed_list, shown
from lab.store.declaration import Declaration
from lab.store.manifest import not_paired
from lab.store.plain import plain

Levels = tuple[str, ...]
FEWEST_IN_COMMON = 2  # seeds


@dataclass(frozen=True)
class Cells:
    """The cells of one study: of each combination of levels its label and its runs, None where there are none to compare."""

    declaration: Declaration
    base: Levels | None  # the baseline's; None where it is no point of the curve
    labels: Mapping[Levels, str]
    arms: Mapping[Levels, Arm | None]
    notes: tuple[str, ...]
    reference: Arm | None = None  # the cohort's baseline, whether it is a cell or not

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(each.key for each in self.declaration.factors)


def cells_of(entrants: Entrants, lineup: Lineup, declaration: Declaration) -> Cells:
    """The cells that were declared, with what of them is in the lineup's cohort."""
    declared = {arm.change_id: arm for arm in declaration.arms}
    labels = {arm.levels: arm.label for arm in declaration.arms}
    rest = [levels for levels in product(*(each.levels for each in declaration.factors)) if levels not in labels]
    base = rest[0] if len(rest) == 1 else None
    items: dict[Levels, list[Asked]] = {}
    for item in entrants.cohorts[lineup.cohort or ""]:
        if item.run.change_id in declared and not item.is_edit:
            items.setdefault(declared[item.run.change_id].levels, []).append(item)
    arms: dict[Levels, Arm | None] = {} if base is None else {base: lineup.baseline}
    notes = []
    for levels, label in labels.items():
        arms[levels], why = choose(items.get(levels, ()), label, declaration.name, lineup, entrants.pin.name)
        notes += [f"{shown(label)}: {why}"] if why else []
    told = {} if base is None else {base: BASELINE}
    return Cells(declaration, base, told | labels, arms, tuple(notes), lineup.baseline)


def choose(items: Iterable[Asked], label: str, study: str, lineup: Lineup, baseline: str) -> tuple[Arm | None, str]:
    """The newest comparable code of a cell, and why another one isn't taken where there is none."""
    codes = sorted(grouped(items).values(), key=lambda each: newest_request(each).number, reverse=True)
    whys = [why_other_code(each[0].run.code, lineup.reference, baseline) for each in codes]
    for each, why in zip(codes, whys, strict=True):
        if not why:
            return make_arm(label, study, each), ""
    return None, next(iter(whys), "")


def has(arm: Arm | None, seed: int, measure: str) -> bool:
    """Whether a cell has an outcome on a seed: finished with this measure, or diverged."""
    return arm is not None and seed in arm.runs and has_outcome(arm.runs[seed], measure)


def value(arm: Arm | None, seed: int, measure: str) -> float | None:
    """The metric of a cell on a seed; None where it diverged, or has no outcome."""
    return value_of(arm.runs[seed], measure) if arm is not None and has(arm, seed, measure) else None


def common_seeds(arms: Iterable[Arm | None], rules: Pin) -> tuple[int, ...]:
    """The pinned seeds on which all of these finished, if they are two or more; else all: means over unlike seeds differ by the seeds."""
    arms = list(arms)
    both = tuple(seed for seed in rules.seeds if all(value(arm, seed, rules.measure) is not None for arm in arms))
    return both if len(both) >= FEWEST_IN_COMMON else rules.seeds


def cell_runs(arm: Arm | None, measure: str) -> tuple[CellRun, ...]:
    runs = arm.runs.values() if arm is not None else ()
    return tuple(CellRun(run.seed, run.status, value_of(run, measure), run.directory) for run in runs)


def waiting(cells: Cells, rules: Pin, look: int, asked: Iterable[Request]) -> PendingSeeds | None:
    """The seeds up to this look that some cell lacks, and what to type for them; None where all are there."""
    pending = tuple(seed for seed in rules.seeds[:look] if not all(has(arm, seed, rules.measure) for arm in cells.arms.values()))
    if not pending:
        return None
    mine = [each for each in asked if (each.study, each.lock, each.baseline) == (cells.declaration.name, rules.sha256, rules.name)]
    words = newest_run([each for each in mine if each.cell])
    return PendingSeeds(look, pending, "" if words is None else with_seeds(words, pending))


def lost(cells: Cells, rules: Pin) -> list[str]:
    """A line for each cell that diverged, failed or has no comparable run on pinned seeds."""
    lines = list(map(plain, cells.notes))
    for levels, label in cells.labels.items():
        arm = cells.arms[levels]
        for word in ("diverged", "failed"):
            seeds = [run.seed for run in (arm.runs.values() if arm else ()) if run.status == word and run.seed in rules.seeds]
            if seeds:
                lines.append(f"{plain(shown(label))}: {word} on {seed_list(seeds)}")
        lines += [f"{plain(shown(label))}: {line}" for line in unlike(arm, cells, rules)]
        if arm is None and not any(note.startswith(f"{shown(label)}: ") for note in cells.notes):
            lines.append(f"{plain(shown(label))}: none of its runs is here")
    return lines


def unlike(arm: Arm | None, cells: Cells, rules: Pin) -> list[str]:
    """On which pinned seeds a cell's runs were made under other bits than the baseline's, or aren't paired with it, and in what.

    Where the baseline has no run on a seed, the bits are held to those of the first cell that has one.
    """
    kinds: dict[str, list[int]] = {}
    for seed, run in arm.runs.items() if arm is not None else ():
        first = next(each for each in (cells.reference, *cells.arms.values()) if each is not None and seed in each.runs)
        if seed in rules.seeds and run.bits != first.runs[seed].bits:
            other = "the baseline" if first is cells.reference else f"{plain(shown(first.label))}"
            kinds.setdefault(f"under other bits than {other}", []).append(seed)
        if seed in rules.seeds and run.pairing and (parts := not_paired(run.pairing)):
            kinds.setdefault(f"not paired with the baseline in {' and '.join(parts)}", []).append(seed)
    return [f"{kind} on {seed_list(seeds)}" for kind, seeds in kinds.items()]
