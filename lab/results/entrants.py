"""All that was asked for under one pin, over every cohort: the runs, the baselines, the families. What one cohort's lineup is made from.

Puts the cohorts in their order. Compares no arm and knows no statistics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from lab.ablate.certificate import Finding
from lab.errors import ConfigError
from lab.results.asked import Asked, as_arms, asks_for_a_cell, asks_for_an_arm, counted_as, grouped, newest_request, pool
from lab.results.collect import Lab
from lab.results.families import find_families
from lab.results.pin import Pin
from lab.results.record import Request, Run
from lab.results.reference import Reference, find_references
from lab.store.declaration import Declaration, DeclaredArm
from lab.store.plain import plain
from lab.store.studies import CONFIRM, file_name

LEAST_HEX = 6


@dataclass(frozen=True)
class Aside:
    """An arm that was asked for and isn't compared, and why."""

    label: str
    why: str


@dataclass(frozen=True)
class Entrants:
    """Everything under one pin that may be judged, and what only explores."""

    pin: Pin
    cohorts: Mapping[str, tuple[Asked, ...]]
    arms: Mapping[str, tuple[Asked, ...]]  # of each cohort what was asked for with a change, by those requests alone
    references: Mapping[str, Reference]
    base_ids: frozenset[str]
    labels: Mapping[str, str]  # arm_id -> the newest, the same in every cohort
    first_studies: Mapping[tuple[str, str], str]  # change -> the study that it is judged by: declared before it ran, else first asked in
    studies: Mapping[tuple[str, str], frozenset[str]]  # change -> every study that declared it or asked for it
    torn: frozenset[tuple[str, str]]  # changes with damaged lines of requests
    families: Mapping[str, frozenset[str]]
    declarations: Mapping[str, Declaration]
    doubtful_families: frozenset[str]
    exploring: tuple[Run, ...]
    other_locks: Mapping[str, int]  # lock -> requests: another baseline of this name
    unread: tuple[Aside, ...]

    @property
    def tried(self) -> int:
        """Arms ever tried, or declared, under this pin."""
        return len(frozenset().union(*self.families.values()))

    def name_of(self, cohort: str) -> str:
        return self.cohorts[cohort][0].run.cohort_name


def find_entrants(
    lab: Lab, pin: Pin, findings: Sequence[Finding] = (), declared: Iterable[Declaration] = (), damaged: Iterable[tuple[str, str]] = ()
) -> Entrants:
    """All entrants of a pin, from what lies in the store: runs, what replays found, declared studies and those that can't be read."""
    mine = [request for request in lab.asked if request.baseline == pin.name]
    # a confirmation judges nothing here and corrects nothing: its arm was asked for before, and its seeds aren't the pinned ones
    under = [request for request in mine if request.lock == pin.sha256 and request.study != CONFIRM]
    asked, explored = pool(lab.found, under)
    references = find_references(asked, findings)
    base_ids = {item.run.arm_id for each in references.values() for item in (*each.items, *each.older)}
    declarations = {each.name: each for each in declared if each.lock == pin.sha256 and each.name != CONFIRM}
    base_changes = {each.change_id for each in references.values()}
    arms = as_arms(asked)
    first_studies = studies_of_changes(arms, declarations)
    judged_in = {(first_studies[counted_as(item)], item.run.arm_id) for item in arms if item.is_edit or item.run.arm_id not in base_ids}
    families = find_families(under, lab.found, base_ids, base_changes, declarations, judged_in)
    return Entrants(
        pin=pin,
        cohorts=by_cohort(asked),
        arms=by_cohort(arms),
        references=references,
        base_ids=frozenset(base_ids),
        labels={arm_id: newest_request(items).label for arm_id, items in grouped(arms).items()},
        first_studies=first_studies,
        studies=all_studies(arms, asked, declarations, base_changes),
        torn=torn_changes(lab),
        families=families,
        declarations=declarations,
        doubtful_families=doubtful(pin, families, [name for name, _ in damaged]) | undeclared(under, declarations, families),
        exploring=explored,
        other_locks=dict(Counter(request.lock for request in mine if request.lock != pin.sha256)),
        unread=tuple(find_unread(families, declarations, asked)),
    )


def studies_of_changes(arms: Iterable[Asked], declarations: Mapping[str, Declaration]) -> dict[tuple[str, str], str]:
    """Of each change, whatever its code, the study that it is judged by: one that had declared it before its first request, else that
    request's own.

    Of several such declarations that of the first request, else the oldest. An edit of the code is never declared.
    """
    found: dict[tuple[str, str], str] = {}
    for item in sorted(arms, key=lambda item: (item.requests[0].number, item.requests[0].directory)):
        if (change := counted_as(item)) not in found:
            first = item.requests[0]
            judging = {study: each for study, each in declarations.items() if not each.of_cells}
            before = sorted((arm.after, study) for study, arm in declared_as(change, judging) if arm.after is not None)
            homes = [study for after, study in before if after < first.number]
            found[change] = first.study if first.study in homes or not homes else homes[0]
    return found


def declared_as(change: tuple[str, str], declarations: Mapping[str, Declaration]) -> list[tuple[str, DeclaredArm]]:
    """The studies that declare a change, and as what; an edit of the code stands in none."""
    change_id, edit = change
    return [(study, arm) for study, each in declarations.items() for arm in each.arms if arm.change_id == change_id and not edit]


def all_studies(
    arms: Iterable[Asked], asked: Iterable[Asked], declarations: Mapping[str, Declaration], base_changes: Set[str]
) -> dict[tuple[str, str], frozenset[str]]:
    """Of each change every study that asked for it, as an arm or as a cell, or declared it."""
    found: dict[tuple[str, str], set[str]] = {}
    for item in arms:
        found.setdefault(counted_as(item), set()).update(request.study for request in item.requests)
    for item in asked:
        if counted_as(item) in found and item.run.change_id not in base_changes:
            found[counted_as(item)].update(request.study for request in item.requests if asks_for_a_cell(request))
    for change, studies in found.items():
        if change[0] not in base_changes:
            studies.update(study for study, _ in declared_as(change, declarations))
    return {change: frozenset(studies) for change, studies in found.items()}


def torn_changes(lab: Lab) -> frozenset[tuple[str, str]]:
    """The changes, as `counted_as` names them, of runs whose requests can't be read wholly: which studies asked for them isn't known."""
    torn = {item.name.rpartition("/")[0] for item in lab.left_out if item.name.endswith("/requests.jsonl")}
    runs = [run for run in lab.found if run.directory in torn] if torn else []
    return frozenset((run.change_id, arm_id) for run in runs for arm_id in ("", run.arm_id))


def by_cohort(asked: Iterable[Asked]) -> dict[str, tuple[Asked, ...]]:
    found: dict[str, list[Asked]] = {}
    for item in asked:
        found.setdefault(item.run.cohort, []).append(item)
    return {cohort: tuple(items) for cohort, items in found.items()}


def doubtful(pin: Pin, families: Iterable[str], damaged: Iterable[str]) -> frozenset[str]:
    """The studies whose declaration can't be read: their families may be larger. All of them, where nobody can tell whose it was."""
    names = {name.rpartition("/")[2] for name in damaged}
    other_locks = {name for name in names if name.endswith(".json") and not name.endswith(file_name("", pin.sha256)[-14:])}
    files = {study: file_name(study, pin.sha256) for study in families}
    if names - other_locks - set(files.values()):
        return frozenset(files)
    return frozenset(study for study, name in files.items() if name in names)


def undeclared(under: Iterable[Request], declarations: Mapping[str, Declaration], families: Iterable[str]) -> frozenset[str]:
    """The studies that asked for cells without a declaration: it was there, and is gone."""
    return frozenset(request.study for request in under if asks_for_a_cell(request)) & frozenset(families) - frozenset(declarations)


def find_unread(families: Mapping[str, frozenset[str]], declarations: Mapping[str, Declaration], asked: Iterable[Asked]) -> list[Aside]:
    """Members of a family of which there is no run to read: all are damaged, or no request for it is there (any more)."""
    items = list(asked)
    read = {item.run.arm_id for item in items}
    known = {request.label for item in items for request in item.requests if asks_for_an_arm(request)}
    declared = {(study, arm.change_id): arm.label for study, each in declarations.items() for arm in each.arms}
    families = {study: family for study, family in families.items() if study not in declarations or not declarations[study].of_cells}
    found: dict[tuple[str, str], None] = {}
    for study, family in families.items():
        for name in family - read:
            if (study, name) in declared:
                found[declared[study, name], f"declared in study {study}; no request for it is in this store"] = None
            elif name not in known:
                found[name, "none of its runs could be read"] = None
    return [Aside(label, why) for label, why in sorted(found)]


def order_cohorts(entrants: Entrants, here: str | None) -> list[str]:
    """This machine's cohort first, then by complete pairs on pinned seeds, then by the newest request."""

    if len(entrants.cohorts) < 2:
        return list(entrants.cohorts)

    def weight(cohort: str) -> tuple[bool, int, bool, int, str]:
        items = entrants.cohorts[cohort]
        newest = newest_request(items).number
        return cohort == here, complete_pairs(entrants, cohort), cohort in entrants.references, newest, cohort

    return sorted(entrants.cohorts, key=weight, reverse=True)


def complete_pairs(entrants: Entrants, cohort: str) -> int:
    """How many seeds of comparable arms have an outcome on both sides."""
    reference, seeds = entrants.references.get(cohort), frozenset(entrants.pin.seeds)
    if reference is None:
        return 0
    base = {item.run.seed for item in reference.items if item.run.done} & seeds
    pairs = 0
    for arm_id, items in grouped(entrants.arms.get(cohort, ())).items():
        run, edit = items[0].run, items[0].is_edit
        if (edit or arm_id not in entrants.base_ids) and (edit or not reference.moved(run.code)):
            pairs += len({item.run.seed for item in items if item.run.done} & base)
    return pairs


def cohort_named(entrants: Entrants, word: str) -> str:
    """The cohort whose id begins with `word`. Raises ConfigError, with the cohorts that there are, unless just one does."""
    fitting = [cohort for cohort in entrants.cohorts if len(word) >= LEAST_HEX and cohort.startswith(word.lower())]
    if len(fitting) == 1:
        return fitting[0]
    counts = ((cohort, len(items)) for cohort, items in sorted(entrants.cohorts.items()))
    listed = "".join(f"\n  {cohort[:12]}  {plain(entrants.name_of(cohort))} ({n} run{'s' * (n != 1)})" for cohort, n in counts)
    if len(word) < LEAST_HEX:
        wrong = f"--cohort {plain(word)} is too short: type {LEAST_HEX} or more digits of a cohort's id"
    else:
        fit = (
            f"{len(fitting)} cohorts of baseline `{entrants.pin.name}` fit"
            if fitting
            else f"no cohort of baseline `{entrants.pin.name}` fits"
        )
        wrong = f"{fit} --cohort {plain(word)}"
    raise ConfigError(f"{wrong}\nthese hold runs:{listed or ' none yet'}")
