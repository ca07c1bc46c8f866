"""Who is compared with whom: the requests under one pin, pooled into arms, inside one cohort, under one code. Knows no statistics.

Arms are pooled by arm_id, never by name. What is left aside is listed with the reason, and still counts as tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.results.collect import Lab
from lab.results.pin import Pin
from lab.results.record import Request, Run

BASELINE = "baseline"


@dataclass(frozen=True)
class Arm:
    """The runs of one arm_id in the judged cohort, one per seed."""

    label: str
    arm_id: str
    study: str
    newest: int  # number of its newest request
    runs: Mapping[int, Run]
    surplus: tuple[Run, ...]  # further runs of a seed, under other bits: shown, not judged


@dataclass(frozen=True)
class Aside:
    """An arm that was asked for and isn't compared, and why."""

    label: str
    why: str


@dataclass(frozen=True)
class Lineup:
    """The baseline's arm, the arms to judge, the families, and all that is left aside."""

    cohort: str | None
    cohort_name: str
    baseline: Arm | None
    arms: tuple[Arm, ...]
    families: Mapping[str, frozenset[str]]  # study -> arms ever requested in it: an arm_id, or a label where no run could be read
    asides: tuple[Aside, ...]
    exploring: tuple[Run, ...]
    other_cohorts: Mapping[str, int]  # cohort -> runs under this pin
    other_locks: int
    tried: int


@dataclass(frozen=True)
class Asked:
    """One run with the requests for it under this pin that may be judged, oldest first."""

    run: Run
    requests: tuple[Request, ...]

    @property
    def newest(self) -> Request:
        return self.requests[-1]

    @property
    def is_baseline(self) -> bool:
        return any(request.changes == 0 for request in self.requests)


def line_up(lab: Lab, pin: Pin) -> Lineup:
    """The lineup of one pin from all that lies in the store."""
    mine = [request for request in lab.asked if request.baseline == pin.name]
    under = [request for request in mine if request.lock == pin.sha256]
    asked, explored = pool(lab.found, under)
    base_ids = {item.run.arm_id for item in asked if item.is_baseline}
    arms = {arm_id: items for arm_id, items in grouped(asked).items() if arm_id not in base_ids}
    bases = {arm_id: items for arm_id, items in grouped(asked).items() if arm_id in base_ids}
    cohort = choose_cohort(bases, arms, pin)
    reference = newest_arm(within(bases, cohort))
    baseline = make_arm(BASELINE, within(bases, cohort)[reference], {}) if reference is not None else None
    judged, asides = choose_arms(arms, baseline, cohort)
    families = find_families(under, lab.found, base_ids)
    counts: dict[str, int] = {}
    for item in asked:
        counts[item.run.cohort] = counts.get(item.run.cohort, 0) + 1
    known = {item.newest.label for items in arms.values() for item in items} | {aside.label for aside in asides}
    unread = {name for family in families.values() for name in family if name not in arms} - known
    return Lineup(
        cohort=cohort,
        cohort_name=next((item.run.cohort_name for item in asked if item.run.cohort == cohort), ""),
        baseline=baseline,
        arms=judged,
        families=families,
        asides=(
            *asides,
            *older_baselines(bases, baseline, cohort),
            *(Aside(label, "none of its runs could be read") for label in sorted(unread)),
        ),
        exploring=explored,
        other_cohorts={name: count for name, count in sorted(counts.items()) if name != cohort},
        other_locks=len(mine) - len(under),
        tried=len(frozenset().union(*families.values())),
    )


def judged_request(request: Request) -> bool:
    """Zero or one change, not exploring; more than one change is never judged, whoever let it through."""
    return not request.exploring and request.changes <= 1


def pool(found: Iterable[Run], under: Iterable[Request]) -> tuple[list[Asked], tuple[Run, ...]]:
    """Each identity once (with an outcome, if any of its folders has one), with its requests; and the runs that only explore."""
    requests: dict[str, list[Request]] = {}
    for request in under:
        requests.setdefault(request.directory, []).append(request)
    same: dict[str, list[Run]] = {}
    for run in found:
        same.setdefault(run.identity, []).append(run)
    asked, explored = [], []
    for runs in same.values():
        run = min(runs, key=lambda run: (not run.done, run.directory))
        wanted = sorted((request for twin in runs for request in requests.get(twin.directory, [])), key=lambda request: request.number)
        if ordinary := tuple(request for request in wanted if judged_request(request)):
            asked.append(Asked(run, ordinary))
        elif wanted:
            explored.append(run)
    return asked, tuple(explored)


def grouped(asked: Iterable[Asked]) -> dict[str, list[Asked]]:
    groups: dict[str, list[Asked]] = {}
    for item in asked:
        groups.setdefault(item.run.arm_id, []).append(item)
    return groups


def within(arms: Mapping[str, list[Asked]], cohort: str | None) -> dict[str, list[Asked]]:
    inside = {arm_id: [item for item in items if item.run.cohort == cohort] for arm_id, items in arms.items()}
    return {arm_id: items for arm_id, items in inside.items() if items}


def newest_number(items: Iterable[Asked]) -> int:
    return max(item.newest.number for item in items)


def newest_arm(arms: Mapping[str, list[Asked]]) -> str | None:
    return max(arms, key=lambda arm_id: (newest_number(arms[arm_id]), arm_id), default=None)


def choose_cohort(bases: Mapping[str, list[Asked]], arms: Mapping[str, list[Asked]], pin: Pin) -> str | None:
    """The cohort with the most complete pairs on pinned seeds; of equals, the one with the newest request."""
    items = [item for group in (*bases.values(), *arms.values()) for item in group]

    def weight(cohort: str) -> tuple[int, int, str]:
        reference = newest_arm(within(bases, cohort))
        base = within(bases, cohort)[reference] if reference is not None else []
        here = {item.run.seed for item in base if item.run.done and item.run.seed in pin.seeds}
        comparable = [group for group in within(arms, cohort).values() if base and not moved(group[0].run.code, base[0].run.code)]
        pairs = sum(len({item.run.seed for item in group if item.run.done} & here) for group in comparable)
        return pairs, newest_number(item for item in items if item.run.cohort == cohort), cohort

    return max({item.run.cohort for item in items}, key=weight, default=None)


def moved(code: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The modules that both maps have and that differ."""
    return sorted(module for module in code.keys() & other.keys() if code[module] != other[module])


def make_arm(label: str, items: list[Asked], beside: Mapping[int, Run]) -> Arm:
    """One run per seed. Of several (other bits): one with an outcome, under the baseline's bits, else the first asked for.

    The first, since a choice of the newest would let a user train again under other bits until the number pleases.
    """
    newest = max(items, key=lambda item: item.newest.number).newest
    runs: dict[int, Run] = {}
    surplus = []

    def order(item: Asked) -> tuple[bool, bool, int, str]:
        same_bits = item.run.seed in beside and item.run.bits == beside[item.run.seed].bits
        return not item.run.done, not same_bits, item.requests[0].number, item.run.directory

    for item in sorted(items, key=order):
        if item.run.seed in runs:
            surplus.append(item.run)
        else:
            runs[item.run.seed] = item.run
    return Arm(label, items[0].run.arm_id, newest.study, newest.number, dict(sorted(runs.items())), tuple(surplus))


def choose_arms(arms: Mapping[str, list[Asked]], baseline: Arm | None, cohort: str | None) -> tuple[tuple[Arm, ...], list[Aside]]:
    """Of each label the newest arm that is comparable; the others are set aside with the reason. Order: first asked, first shown."""
    chosen: dict[str, Arm] = {}
    asides = []
    reference = next(iter(baseline.runs.values())).code if baseline else {}
    for arm_id in sorted(arms, key=lambda arm_id: (-newest_number(arms[arm_id]), arm_id)):
        items = arms[arm_id]
        label = max(items, key=lambda item: item.newest.number).newest.label
        here = [item for item in items if item.run.cohort == cohort]
        if not here:
            asides.append(Aside(label, f"other cohort ({items[0].run.cohort_name or items[0].run.cohort[:8]}), never mixed"))
        elif edited := moved(here[0].run.code, reference):
            asides.append(
                Aside(
                    label,
                    f"other code, not compared: {', '.join(edited)} {'differs' if len(edited) == 1 else 'differ'} from the baseline's",
                )
            )
        elif label in chosen:
            why = "other code, not compared" if here[0].run.code != next(iter(chosen[label].runs.values())).code else "not compared"
            asides.append(Aside(label, f"{why}: superseded by a newer arm of this name"))
        else:
            chosen[label] = make_arm(label, here, baseline.runs if baseline else {})
    first = {arm_id: min(item.requests[0].number for item in items) for arm_id, items in arms.items()}
    return tuple(sorted(chosen.values(), key=lambda arm: first[arm.arm_id])), asides


def older_baselines(bases: Mapping[str, list[Asked]], baseline: Arm | None, cohort: str | None) -> list[Aside]:
    older = [items for arm_id, items in within(bases, cohort).items() if baseline and arm_id != baseline.arm_id]
    return [
        Aside(BASELINE, f"older code of the baseline, not compared ({len(items)} {'run' if len(items) == 1 else 'runs'})")
        for items in sorted(older, key=newest_number)
    ]


def find_families(under: Iterable[Request], found: Iterable[Run], base_ids: set[str]) -> dict[str, frozenset[str]]:
    """Per study every arm ever requested in it under this pin, whether or not there is data: this is what Holm corrects for."""
    arm_ids = {run.directory: run.arm_id for run in found}
    requests = [request for request in under if judged_request(request) and request.changes == 1]
    families: dict[str, set[str]] = {}
    for request in requests:
        if (arm_id := arm_ids.get(request.directory)) is not None and arm_id not in base_ids:
            families.setdefault(request.study, set()).add(arm_id)
    named = {(request.study, request.label) for request in requests if request.directory in arm_ids}
    for request in requests:
        if request.directory not in arm_ids and (request.study, request.label) not in named:
            families.setdefault(request.study, set()).add(request.label)
    return {study: frozenset(family) for study, family in sorted(families.items())}
