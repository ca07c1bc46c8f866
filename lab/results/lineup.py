"""Who is compared with whom in one cohort: its runs pooled into arms, under joined code. Knows no statistics and no other cohort's runs.

Arms are pooled by arm_id, never by name; one supersedes another only as newer code of the same change (change_id), and an edit of the
code supersedes none. An arm that can't be compared is refused, with the difference; what else is left aside is listed with the reason.
Both count as tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from lab.results.apart import alike, differences
from lab.results.asked import Asked, counted_as, first_request, grouped, newest_request
from lab.results.entrants import Aside, Entrants
from lab.results.record import Run
from lab.results.reference import Reference, way_out, why_other_code
from lab.results.wording import seed_list
from lab.store.declaration import Declaration

BASELINE = "baseline"
__all__ = ["BASELINE", "Arm", "Aside", "Lineup", "Refused", "line_up", "make_arm"]


@dataclass(frozen=True)
class Arm:
    """The runs of one arm_id in the judged cohort, one per seed."""

    label: str  # told apart from other changes of this name
    arm_id: str
    study: str  # by whose looks and D it is judged
    runs: Mapping[int, Run]
    surplus: tuple[Run, ...]  # further runs of a seed, under other bits or joined code: shown, not judged
    pooled: tuple[str, ...]  # every arm_id in it, first asked first: several only in a baseline whose code certificates join
    is_edit: bool  # the baseline under edited code
    also: tuple[str, ...] = ()  # further studies that declared it or asked for it
    torn: bool = False  # lines of its requests are damaged: there may be more such studies

    @property
    def studies(self) -> tuple[str, ...]:
        """Every study that it counts in, first the one that it is judged by."""
        return (self.study, *self.also)


@dataclass(frozen=True)
class Refused:
    """An arm that differs from the baseline in more than its change, and in what. Its numbers are never compared."""

    arm: Arm
    why: str


@dataclass(frozen=True)
class Lineup:
    """One cohort: the baseline's arm, the arms to judge, the refused ones, the families, and what is left aside."""

    cohort: str | None
    cohort_name: str
    reference: Reference | None
    baseline: Arm | None
    arms: tuple[Arm, ...]  # first asked, first shown
    families: Mapping[str, frozenset[str]]  # study -> arms declared or ever requested in it, in whatever cohort
    tried: int
    refused: tuple[Refused, ...] = ()
    asides: tuple[Aside, ...] = ()
    alike: tuple[str, ...] = ()  # several changes under one label, and in what they differ
    declarations: Mapping[str, Declaration] = field(default_factory=dict)  # study -> what was declared under this lock
    doubtful_families: frozenset[str] = frozenset()  # their declarations can't be read: the families may be larger


def line_up(entrants: Entrants, cohort: str) -> Lineup:
    """The lineup of one cohort."""
    items, reference = entrants.cohorts[cohort], entrants.references.get(cohort)
    baseline = make_arm(BASELINE, "", reference.items) if reference else None
    # a run that stands for the baseline isn't compared with itself
    standing = {run.directory for run in baseline.runs.values()} if baseline else set()
    arms = grouped(item for item in entrants.arms.get(cohort, ()) if may_be_compared(item, entrants.base_ids, standing))
    chosen = choose_arms(arms, entrants, reference)
    return Lineup(
        cohort=cohort,
        cohort_name=entrants.name_of(cohort),
        reference=reference,
        baseline=baseline,
        arms=chosen.arms,
        families=entrants.families,
        tried=entrants.tried,
        refused=chosen.refused,
        asides=(
            *merged(chosen.asides),
            *older_baselines(reference, entrants.pin.name),
            *other_baselines((item for item in items if is_impostor(item, entrants.base_ids)), baseline),
        ),
        alike=tuple(alike(arms, tell_apart(arms, entrants.labels), entrants.labels)),
        declarations=entrants.declarations,
        doubtful_families=entrants.doubtful_families,
    )


def may_be_compared(item: Asked, base_ids: Set[str], standing: Set[str]) -> bool:
    """Whether a run that was asked for with a change is another one than the baseline's."""
    return item.run.directory not in standing if item.is_edit else item.run.arm_id not in base_ids


def is_impostor(item: Asked, base_ids: Set[str]) -> bool:
    """Whether it was asked for without a change and yet isn't what the baseline's first such request trained."""
    return item.run.arm_id not in base_ids and item.is_baseline and not item.is_edit


def make_arm(label: str, study: str, items: Sequence[Asked], is_edit: bool = False) -> Arm:
    """One run per seed. Of several (other bits, joined code): the first asked for that has an outcome.

    Whatever its bits: any other choice would let a user train again, under other bits or the baseline's, until the number pleases.
    """
    runs: dict[int, Run] = {}
    surplus = []

    def order(item: Asked) -> tuple[bool, int, str]:
        return not item.run.done, item.requests[0].number, item.run.directory

    for item in sorted(items, key=order):
        if item.run.seed in runs:
            surplus.append(item.run)
        else:
            runs[item.run.seed] = item.run
    pooled = tuple(dict.fromkeys(item.run.arm_id for item in sorted(items, key=lambda item: item.requests[0].number)))
    return Arm(label, pooled[0], study, dict(sorted(runs.items())), tuple(surplus), pooled, is_edit)


@dataclass(frozen=True)
class Chosen:
    """The arms of one cohort, sorted out."""

    arms: tuple[Arm, ...]
    refused: tuple[Refused, ...]
    asides: tuple[Aside, ...]


def choose_arms(arms: Mapping[str, list[Asked]], entrants: Entrants, reference: Reference | None) -> Chosen:
    """Of each change the newest code that is comparable, and the newest that isn't; what either supersedes is set aside.

    An edit of the code is compared whatever the code: that is its change.
    """
    judged: dict[tuple[str, str], Arm] = {}
    refused: dict[tuple[str, str], Refused] = {}
    again: Counter[tuple[str, str]] = Counter()  # older codes of a refused change, refused for the same
    asides = []
    names = tell_apart(arms, entrants.labels)
    for arm_id in sorted(arms, key=lambda arm_id: (-newest_request(arms[arm_id]).number, arm_id)):
        items, change = arms[arm_id], counted_as(arms[arm_id][0])
        why = why_refused(items[0], reference, entrants.pin.name)
        if why and change in refused and why == refused[change].why:
            again[change] += 1
        elif why and change in refused:
            asides.append(Aside(names[arm_id], why))
        elif not why and change in judged:
            newer = f"other code, not compared: superseded by a newer arm of this change, {judged[change].arm_id[:6]}"
            asides.append(Aside(names[arm_id], f"{newer}{what_lies(items)}"))
        else:
            home = entrants.first_studies[change]
            arm = replace(
                make_arm(names[arm_id], home, items, items[0].is_edit),
                also=tuple(sorted(entrants.studies[change] - {home})),
                torn=change in entrants.torn,
            )
            if why:
                refused[change] = Refused(arm, why)
            else:
                judged[change] = arm

    for change, more in again.items():
        refused[change] = replace(refused[change], why=f"{refused[change].why}; so for {more + 1} codes of this change")

    def asked(arm: Arm) -> int:
        return first_request(arms[arm.arm_id]).number

    return Chosen(
        tuple(sorted(judged.values(), key=asked)),
        tuple(sorted(told_from(judged.values(), refused.values()), key=lambda each: asked(each.arm))),
        tuple(asides),
    )


def why_refused(item: Asked, reference: Reference | None, name: str) -> str:
    """In what an arm differs from the baseline beside its change, and the way out. Empty: comparable, or there is no baseline yet."""
    if not item.is_edit:
        return why_other_code(item.run.code, reference, name)
    if reference is None or item.run.change_id == reference.change_id:
        return ""
    base = [(each.run, item.run) for each in reference.items[:1]]
    return f"It was asked for as an edit of the code alone, but its factors differ from the baseline's{differences(base, 'factors')}"


def told_from(judged: Iterable[Arm], refused: Iterable[Refused]) -> list[Refused]:
    """The refused arms, with their arm_id where an arm of their label is judged: of another code."""
    labels = {arm.label for arm in judged}
    return [
        replace(each, arm=replace(each.arm, label=f"{each.arm.label} ({each.arm.arm_id[:6]})")) if each.arm.label in labels else each
        for each in refused
    ]


def merged(asides: Iterable[Aside]) -> list[Aside]:
    """Each line once, with how many arms it is about."""
    counts = Counter(asides)
    return [each if count == 1 else replace(each, why=f"{each.why} ({count} arms of it)") for each, count in counts.items()]


def what_lies(items: Iterable[Asked]) -> str:
    """The outcomes that a superseded arm had come to: they are lost to the newer one, which starts with its own seeds."""
    seeds = sorted({item.run.seed for item in items if item.run.done})
    return f", which doesn't count its {seed_list(seeds)}" if seeds else ""


def tell_apart(arms: Mapping[str, list[Asked]], labels: Mapping[str, str]) -> dict[str, str]:
    """Each arm's newest label, with its arm_id where several changes of the cohort have that label."""
    changes: dict[str, set[str]] = {}
    for arm_id, items in arms.items():
        changes.setdefault(labels[arm_id], set()).add(items[0].run.change_id)
    return {arm_id: f"{labels[arm_id]} ({arm_id[:6]})" if len(changes[labels[arm_id]]) > 1 else labels[arm_id] for arm_id in arms}


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
