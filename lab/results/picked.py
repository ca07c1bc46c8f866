"""What was known of a factorial's cells before it was declared, and over how many its effects are corrected. Judges nothing.

Who has seen arms, or a larger grid, can cross just those that came out well. So its effects are corrected over the largest family
that one of its cells is in, and a cell that was asked for before the grid was declared leaves them without a plain word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from lab.results.entrants import Entrants
from lab.results.record import Request
from lab.store.declaration import FACTORIAL, Declaration, Factor


@dataclass(frozen=True)
class Picked:
    """Of one factorial: what Holm counts for its effects, whose family that is, and the cells that were asked for before it."""

    family: int
    study: str  # empty: its own effects
    early: tuple[str, ...] = ()  # labels


def picked(entrants: Entrants, declaration: Declaration, asked: Iterable[Request]) -> Picked:
    """The largest family over every study that declared or asked for one of its cells, and which cells were asked for too early."""
    wanted = requests_of_cells(entrants, declaration, asked)
    changes = {arm.change_id for arm in declaration.arms}
    lock = entrants.pin.sha256
    studies = {request.study for requests in wanted.values() for request in requests if request.lock == lock}
    studies |= {study for study, each in entrants.declarations.items() if not changes.isdisjoint(arm.change_id for arm in each.arms)}
    sizes = {study: size_of(study, entrants) for study in sorted(studies & entrants.families.keys())}
    own = count_effects(declaration.factors)
    largest = max(sizes, key=lambda study: sizes[study], default="")
    early = (arm.label for arm in declaration.arms if any(arm.after is None or each.number <= arm.after for each in wanted[arm.change_id]))
    beyond = bool(largest) and sizes[largest] > own
    return Picked(sizes[largest] if beyond else own, largest if beyond else "", tuple(early))


def requests_of_cells(entrants: Entrants, declaration: Declaration, asked: Iterable[Request]) -> dict[str, list[Request]]:
    """Of each declared cell, by its change_id, every request for it: also one that explores, one of another pin for the same run, and
    one whose run can't be read, which is known by its label."""
    runs: dict[str, str] = {run.directory: run.change_id for run in entrants.exploring}
    for item in (item for items in entrants.cohorts.values() for item in items if not item.is_edit):
        runs |= {item.run.directory: item.run.change_id} | {request.directory: item.run.change_id for request in item.requests}
    labels = {arm.label: arm.change_id for arm in declaration.arms}
    found: dict[str, list[Request]] = {arm.change_id: [] for arm in declaration.arms}
    for request in asked:
        change = runs.get(request.directory)
        if change is None and under(request, entrants) and request.label in labels and not request.edit:
            change = labels[request.label]
        if change is not None and change in found:
            found[change].append(request)
    return found


def under(request: Request, entrants: Entrants) -> bool:
    return (request.baseline, request.lock) == (entrants.pin.name, entrants.pin.sha256)


def size_of(study: str, entrants: Entrants) -> int:
    """What a study corrects over: a declared factorial over its effects, any other over its arms, cells or points."""
    declarations: Mapping[str, Declaration] = entrants.declarations
    if study in declarations and declarations[study].design == FACTORIAL:
        return count_effects(declarations[study].factors)
    return len(entrants.families[study])


def count_effects(factors: Sequence[Factor]) -> int:
    """Main effects and two-way interactions of a factorial."""
    moved = [len(each.levels) - 1 for each in factors]
    return sum(moved) + sum(one * other for one, other in combinations(moved, 2))
