"""One baseline's report, built once as data: a section for each cohort that holds runs. Makes no text but advice, imports no torch.

Nothing in it depends on the day or the place of the project, and on the machine only which cohort comes first: so the same runs give
the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lab.ablate.certificate import read_findings
from lab.results.advice import Advice, first_arms, missing_baseline
from lab.results.apart import differences
from lab.results.cells import cells_of
from lab.results.collect import Lab, load
from lab.results.effects import tell_factorial
from lab.results.entrants import Aside, Entrants, cohort_named, find_entrants, order_cohorts
from lab.results.facts_of_cells import CurveFacts, FactorialFacts
from lab.results.footing import trained_elsewhere
from lab.results.lineup import Lineup, line_up
from lab.results.picked import picked
from lab.results.pin import Pin, read_pin
from lab.results.reading import Verdict
from lab.results.record import LeftOut, Request, Run
from lab.results.smallest_effect import SmallestEffect, find_smallest_effect
from lab.results.studies import Study, studies_of
from lab.results.twice import Unequal, refuted, unequal_twins
from lab.results.value_curve import tell_curve
from lab.results.verdict import judge
from lab.results.wording import counted
from lab.store.declaration import CURVE, FACTORIAL, JUDGED
from lab.store.studies import read_declarations

Here = Callable[[Mapping[str, Mapping[str, Any]]], "str | None"]


@dataclass(frozen=True)
class Section:
    """One cohort: nothing in it comes from another one, but the families, which count over all."""

    cohort: str
    title: str
    here: bool  # what this machine would make now
    apart: str  # in what it differs from the first section's cohort
    runs: int
    effect: SmallestEffect
    lineup: Lineup
    verdicts: tuple[Verdict, ...]
    unequal: tuple[Unequal, ...]  # runs that were trained twice and came to unequal ends
    studies: tuple[Study, ...]
    advice: tuple[Advice, ...]
    factorials: tuple[FactorialFacts, ...] = ()
    value_curves: tuple[CurveFacts, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that one baseline's report says, as data."""

    pin: Pin
    sections: tuple[Section, ...]
    runs_read: int
    tried: int  # arms ever tried or declared under this pin
    exploring: tuple[Run, ...]
    other_locks: Mapping[str, int]  # lock -> requests: another baseline of this name
    unread: tuple[Aside, ...]  # arms of a family without a run that can be read
    left_out: tuple[LeftOut, ...]
    elsewhere: Mapping[str, str]  # runs that were trained for another pin, and for which
    others: tuple[str, ...]  # cohorts that hold runs too and weren't asked for
    advice: tuple[Advice, ...]  # what to type where there is no section to say it in
    lab: Lab  # what it was built from


def build(root: Path, baseline: str, cohort: str | None = None, here: Here | None = None, lab: Lab | None = None) -> Report:
    """The report on a baseline from conf/baseline/ and runs/ under the project's root.

    `cohort`: the head of one cohort's id, which alone is told. `here`: from the parts of each cohort, by its id, gives the one that this
    machine would make now, which comes first. `lab`: the store, where it was read already. Raises PinError without a good lock,
    ConfigError for an unknown cohort.
    Writes one thing, once: an automatic D is frozen in runs/<baseline>/measured.json when the baseline's first look is complete.
    """
    pin = read_pin(root, baseline)
    lab = lab if lab is not None else load(root / "runs")
    findings, odd_findings = read_findings(root / "runs", baseline)
    declared, odd_studies = read_declarations(root / "runs", baseline)
    entrants = find_entrants(lab, pin, findings, declared, odd_studies)
    directories = {request.directory for request in lab.asked if request.baseline == baseline}
    mine = [run for run in lab.found if run.directory in directories]
    left_out = [item for item in lab.left_out if item.name.startswith(f"{baseline}/") or item.name in directories or hides_requests(item)]
    left_out += [LeftOut(name, why) for name, why in (*odd_findings, *odd_studies)]
    own = here(parts_of(entrants)) if here is not None and entrants.cohorts else None
    ordered = order_cohorts(entrants, own)
    chosen = [cohort_named(entrants, cohort)] if cohort is not None else ordered
    unequal, elsewhere = unequal_twins(lab.found, mine), trained_elsewhere(lab, pin)
    return Report(
        pin=pin,
        sections=tuple(make_section(root, entrants, each, own, chosen[0], unequal, lab.asked, elsewhere) for each in chosen),
        runs_read=len(mine),
        tried=entrants.tried,
        exploring=entrants.exploring,
        other_locks=entrants.other_locks,
        unread=entrants.unread,
        left_out=tuple(left_out),
        elsewhere=elsewhere,
        others=tuple(other_cohort(entrants, each, chosen[0]) for each in ordered if each not in chosen),
        advice=beginnings(pin, ordered, own),
        lab=lab,
    )


def parts_of(entrants: Entrants) -> dict[str, Mapping[str, Any]]:
    """What each cohort is made of, by its id."""
    return {cohort: items[0].run.parts["cohort"] for cohort, items in entrants.cohorts.items()}


def make_section(
    root: Path,
    entrants: Entrants,
    cohort: str,
    own: str | None,
    first: str,
    unequal: Iterable[Unequal],
    asked: Sequence[Request],
    elsewhere: Mapping[str, str],
) -> Section:
    """One cohort's part: its lineup, its D, its verdicts, and what to type next."""
    pin, lineup = entrants.pin, line_up(entrants, cohort)
    effect = find_smallest_effect(pin, root / "runs", lineup.baseline, cohort)
    inside = {item.run.directory for item in entrants.cohorts[cohort]}
    doubts = (*(each for each in unequal if inside & set(each.directories)), *refuted(lineup))
    where = "" if cohort == (own or first) else place_of(entrants, own or first, cohort)
    studies = studies_of(lineup, pin, effect)
    of_cells = {each.name: (each, cells_of(entrants, lineup, lineup.declarations[each.name])) for each in studies if each.design != JUDGED}
    begin = () if lineup.arms or lineup.refused or of_cells else (first_arms(pin, where),)
    return Section(
        cohort=cohort,
        title=title_of(entrants, cohort),
        here=cohort == own,
        apart=apart_from(entrants, first, cohort),
        runs=len(entrants.cohorts[cohort]),
        effect=effect,
        lineup=lineup,
        verdicts=judge(lineup, pin, effect, doubts, elsewhere),
        unequal=doubts,
        studies=studies,
        advice=(*begin, *missing_baseline(lineup, pin, asked, where)),
        factorials=tuple(
            tell_factorial(cells, each.rules, each.effect.value, asked, picked(entrants, cells.declaration, asked))
            for each, cells in of_cells.values()
            if each.design == FACTORIAL
        ),
        value_curves=tuple(tell_curve(cells, each.rules, asked) for each, cells in of_cells.values() if each.design == CURVE),
    )


def title_of(entrants: Entrants, cohort: str) -> str:
    """A cohort's name, with its id where another one has that name too."""
    name = entrants.name_of(cohort)
    alike = sum(entrants.name_of(each) == name for each in entrants.cohorts) > 1
    return f"{name} ({cohort[:8]})" if alike or not name else name


def apart_from(entrants: Entrants, cohort: str, other: str) -> str:
    """In what a cohort differs from another one, told between their first runs; empty where one holds none."""
    if cohort == other or cohort not in entrants.cohorts:
        return ""
    return differences([(entrants.cohorts[cohort][0].run, entrants.cohorts[other][0].run)], "cohort").removeprefix(": ")


def place_of(entrants: Entrants, own: str, cohort: str) -> str:
    """Where a cohort's runs are made, for a reader who sits elsewhere."""
    apart = apart_from(entrants, own, cohort)
    return f"{entrants.name_of(cohort)}{f' ({apart})' if apart else ''}"


def other_cohort(entrants: Entrants, cohort: str, shown_one: str) -> str:
    apart = apart_from(entrants, shown_one, cohort)
    count = counted(len(entrants.cohorts[cohort]), "run")
    return f"cohort {cohort[:8]} ({entrants.name_of(cohort)}): {count}, never mixed with this one{f': {apart}' if apart else ''}"


def beginnings(pin: Pin, cohorts: Sequence[str], own: str | None) -> tuple[Advice, ...]:
    """How to begin where there is no run at all, or none in the cohort that this machine would make now."""
    if not cohorts:
        return (first_arms(pin),)
    if own is not None and own not in cohorts:
        return (first_arms(pin, begun=f"This machine's own cohort ({own[:8]}) holds no runs yet."),)
    return ()


def hides_requests(item: LeftOut) -> bool:
    """Whether what couldn't be read may hold a request for any baseline: lost lines of requests, or a folder that isn't listed."""
    return not PurePosixPath(item.name).name.startswith("seed=")
