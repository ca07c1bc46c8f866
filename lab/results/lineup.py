"""Who is compared with whom: the requests under one pin, pooled into arms, inside one cohort, under joined code. Knows no statistics.

Arms are pooled by arm_id, never by name; one supersedes another only as newer code of the same change (change_id), and an edit of the
code supersedes none. What is left aside is listed with the reason, and still counts as tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.ablate.certificate import Finding
from lab.results.apart import alike, cohorts_apart, differences
from lab.results.asked import (
    Asked,
    as_arms,
    counted_as,
    first_request,
    grouped,
    newest_request,
    pool,
    within,
)
from lab.results.collect import Lab
from lab.results.families import find_families
from lab.results.pin import Pin
from lab.results.record import Run
from lab.results.reference import Reference, find_references, way_out, why_aside
from lab.results.wording import seed_list

BASELINE = "baseline"


@dataclass(frozen=True)
class Arm:
    """The runs of one arm_id in the judged cohort, one per seed."""

    label: str  # told apart from other changes of this name
    arm_id: str
    study: str  # of its first request: a study is declared before its data
    runs: Mapping[int, Run]
    surplus: tuple[Run, ...]  # further runs of a seed, under other bits or joined code: shown, not judged
    pooled: tuple[str, ...]  # every arm_id in it, first asked first: several only in a baseline whose code certificates join
    is_edit: bool  # the baseline under edited code


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
    reference: Reference | None
    baseline: Arm | None
    arms: tuple[Arm, ...]
    families: Mapping[str, frozenset[str]]  # study -> arms ever requested in it: an arm_id, or a label where no run could be read
    asides: tuple[Aside, ...]
    exploring: tuple[Run, ...]
    other_cohorts: Mapping[str, int]  # cohort -> runs under this pin
    cohorts_apart: Mapping[str, str]  # cohort -> in what it differs from the judged one
    alike: tuple[str, ...]  # several changes under one label, and in what they differ
    other_locks: Mapping[str, int]  # lock -> requests: another baseline of this name
    tried: int


def line_up(lab: Lab, pin: Pin, findings: Sequence[Finding] = ()) -> Lineup:
    """The lineup of one pin from all that lies in the store, and from what replays of its baseline found."""
    mine = [request for request in lab.asked if request.baseline == pin.name]
    under = [request for request in mine if request.lock == pin.sha256]
    asked, explored = pool(lab.found, under)
    references = find_references(asked, findings)
    baselines = {cohort: make_arm(BASELINE, "", each.items, {}) for cohort, each in references.items()}
    base_ids = {item.run.arm_id for each in references.values() for item in (*each.items, *each.older)}
    # a run that stands for the baseline isn't compared with itself
    standing = {run.directory for each in baselines.values() for run in each.runs.values()}
    edits = [item for item in asked if item.is_edit and item.run.directory not in standing]
    others = [item for item in asked if item.run.arm_id not in base_ids and not item.is_edit]
    arms = grouped(as_arms([*others, *edits]))
    cohort = choose_cohort(references, baselines, arms, pin)
    reference, baseline = references.get(cohort or ""), baselines.get(cohort or "")
    apart = cohorts_apart(asked, cohort)
    judged, asides = choose_arms(arms, baseline, cohort, reference, pin.name, apart)
    families = find_families(under, lab.found, base_ids)
    counts: dict[str, int] = {}
    for item in asked:
        counts[item.run.cohort] = counts.get(item.run.cohort, 0) + 1
    known = {item.newest.label for items in arms.values() for item in items}
    read = {item.run.arm_id for item in asked}
    unread = {name for family in families.values() for name in family if name not in read} - known
    return Lineup(
        cohort=cohort,
        cohort_name=next((item.run.cohort_name for item in asked if item.run.cohort == cohort), ""),
        reference=reference,
        baseline=baseline,
        arms=judged,
        families=families,
        asides=(
            *asides,
            *older_baselines(reference, pin.name),
            *other_baselines((item for item in others if item.is_baseline), baseline),
            *(Aside(label, "none of its runs could be read") for label in sorted(unread)),
        ),
        exploring=explored,
        other_cohorts={name: count for name, count in sorted(counts.items()) if name != cohort},
        cohorts_apart=apart,
        alike=tuple(alike(arms, tell_apart(arms, cohort), cohort)),
        other_locks=dict(Counter(request.lock for request in mine if request.lock != pin.sha256)),
        tried=len(frozenset().union(*families.values())),
    )


def choose_cohort(
    references: Mapping[str, Reference], baselines: Mapping[str, Arm], arms: Mapping[str, list[Asked]], pin: Pin
) -> str | None:
    """The cohort with the most complete pairs on pinned seeds; of equals one with a baseline, then the one with the newest request."""
    items = [item for each in references.values() for item in (*each.items, *each.older)]
    items += [item for group in arms.values() for item in group]

    def weight(cohort: str) -> tuple[int, bool, int, str]:
        pairs = 0
        if reference := references.get(cohort):
            here = {seed for seed, run in baselines[cohort].runs.items() if run.done and seed in pin.seeds}
            groups = within(arms, cohort).values()
            comparable = [group for group in groups if group[0].is_edit or not reference.moved(group[0].run.code)]
            pairs = sum(len({item.run.seed for item in group if item.run.done} & here) for group in comparable)
        return pairs, cohort in references, newest_request(item for item in items if item.run.cohort == cohort).number, cohort

    return max({item.run.cohort for item in items}, key=weight, default=None)


def make_arm(label: str, study: str, items: Sequence[Asked], beside: Mapping[int, Run], is_edit: bool = False) -> Arm:
    """One run per seed. Of several (other bits, joined code): one with an outcome, under the baseline's bits, else the first asked for.

    The first, since a choice of the newest would let a user train again under other bits until the number pleases.
    """
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
    pooled = tuple(dict.fromkeys(item.run.arm_id for item in sorted(items, key=lambda item: item.requests[0].number)))
    return Arm(label, pooled[0], study, dict(sorted(runs.items())), tuple(surplus), pooled, is_edit)


def choose_arms(
    arms: Mapping[str, list[Asked]],
    baseline: Arm | None,
    cohort: str | None,
    reference: Reference | None,
    name: str,
    apart: Mapping[str, str],
) -> tuple[tuple[Arm, ...], list[Aside]]:
    """Of each change the newest code that is comparable; the others are set aside with the reason. Order: first asked, first shown.

    An edit of the code is compared whatever the code: that is its change.
    """
    chosen: dict[tuple[str, str], Arm] = {}
    asides = []
    names = tell_apart(arms, cohort)
    for arm_id in sorted(arms, key=lambda arm_id: (-newest_request(arms[arm_id]).number, arm_id)):
        items, label = arms[arm_id], names[arm_id]
        here = [item for item in items if item.run.cohort == cohort]
        if not here:
            asides.append(Aside(label, f"other cohort, never mixed{apart[items[0].run.cohort]}"))
            continue
        run, change = here[0].run, counted_as(here[0])
        if here[0].is_edit and reference and run.change_id != reference.change_id:
            asides.append(Aside(label, "asked for as an edit of the code alone, but its factors differ from the baseline's"))
        elif not here[0].is_edit and (why := why_aside(run.code, reference, name)):
            asides.append(Aside(label, why))
        elif change in chosen:
            newer = f"other code, not compared: superseded by a newer arm of this change, {chosen[change].arm_id[:6]}"
            asides.append(Aside(label, f"{newer}{what_lies(here)}"))
        else:
            of_change = [item for group in arms.values() for item in group if counted_as(item) == change]
            chosen[change] = make_arm(label, first_request(of_change).study, here, baseline.runs if baseline else {}, here[0].is_edit)
    return tuple(sorted(chosen.values(), key=lambda arm: first_request(arms[arm.arm_id]).number)), asides


def what_lies(items: Iterable[Asked]) -> str:
    """The outcomes that a superseded arm had come to: they are lost to the newer one, which starts with its own seeds."""
    seeds = sorted({item.run.seed for item in items if item.run.done})
    return f", which doesn't count its {seed_list(seeds)}" if seeds else ""


def tell_apart(arms: Mapping[str, list[Asked]], cohort: str | None) -> dict[str, str]:
    """Each arm's newest label, with its arm_id where several changes of the cohort have that label."""
    labels = {arm_id: newest_request(items).label for arm_id, items in arms.items()}
    changes: dict[str, set[str]] = {}
    for arm_id, items in within(arms, cohort).items():
        changes.setdefault(labels[arm_id], set()).add(items[0].run.change_id)
    return {arm_id: f"{label} ({arm_id[:6]})" if len(changes.get(label, ())) > 1 else label for arm_id, label in labels.items()}


def older_baselines(reference: Reference | None, name: str) -> list[Aside]:
    older = grouped(reference.older).values() if reference else ()
    return [
        Aside(
            BASELINE,
            f"older code of the baseline, not compared ({len(items)} {'run' if len(items) == 1 else 'runs'}): "
            f"no certificate joins it with the newest ({way_out(name)})",
        )
        for items in sorted(older, key=lambda items: newest_request(items).number)
    ]


def other_baselines(asked: Iterable[Asked], baseline: Arm | None) -> list[Aside]:
    """Runs that were asked for without a change and yet aren't what the first such request trained."""
    first = list(baseline.runs.values())[:1] if baseline else []
    return [
        Aside(
            f"{BASELINE} ({arm_id[:6]})",
            f"asked for as the baseline, but its factors differ{differences([(run, items[0].run) for run in first], 'factors')}",
        )
        for arm_id, items in sorted(grouped(asked).items())
    ]
