"""What stands around the verdicts, in lines: the head of a report and of each cohort, and the lists of what is shown apart.

Every line may hold names from outside, and is made printable (lab/store/plain.py) where it leaves this module or in telling.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from lab.results.apart import differences
from lab.results.collect import Lab
from lab.results.facts import ArmFacts
from lab.results.footing import certificate_lines
from lab.results.lineup import Arm
from lab.results.pin import Pin
from lab.results.reading import Verdict
from lab.results.record import DOCUMENTS, LeftOut, Run
from lab.results.report import Report, Section
from lab.results.sequential import level_in_force
from lab.results.studies import Study
from lab.results.wording import counted, seed_list, shown, size
from lab.store.declaration import CURVE, FACTORIAL, JUDGED
from lab.store.plain import plain

OF_CELLS = {FACTORIAL: ("cell", "a factorial: Holm over its effects"), CURVE: ("value", "a curve: no verdicts")}


def head(report: Report, pattern: str, told: Set[str]) -> list[str]:
    """What was judged, by which rules, from what; `told` are the arm_ids that the pattern lets through."""
    pin = report.pin
    families = {study.name: study for section in report.sections for study in section.studies}
    studies = "; ".join(map(family_of, families.values())) or "none yet"
    lines = [
        f"Baseline {pin.name} (lock {pin.sha256[:8]}), judged by validation {pin.metric.replace('_', ' ')}, {pin.direction} is better.",
        f"alpha {pin.alpha:g}; {looks_of(pin)}; paired t over the pinned seeds.",
        f"{counted(report.tried, 'arm')} ever tried under this pin; Holm by study: {studies}.",
        f"{counted(report.runs_read, 'run')} read, {len(left_out(report))} left out.",
    ]
    lines += chance_of_error(report)
    if report.sections:
        lines.append("Every verdict is on this validation text. Times are indicative: the runs were not interleaved on an idle machine.")
        lines += [f"{each.why} {each.command}" for each in report.advice]
    if pattern != "*":
        everyone = {verdict.evidence.arm.arm_id for section in report.sections for verdict in section.verdicts}
        over = f"over all {next(iter(families.values())).arms}" if len(families) == 1 else "over all arms of a study"
        lines.append(f"Showing {len(told)} of {counted(len(everyone), 'arm')} ({pattern}); the correction is {over}.")
    return lines


def chance_of_error(report: Report) -> list[str]:
    """What to expect of several families: Holm corrects within each, over the studies of one cohort, and never over all of them."""
    judged = [
        {verdict.evidence.arm.study for verdict in each.verdicts if verdict.evidence.look is not None}
        | {study.study for study in each.factorials if any(effect.look is not None for effect in study.effects)}
        for each in report.sections
    ]
    count, alpha = sum(map(len, judged)), report.pin.alpha
    if count < 2:
        return []
    each = "Each study" if sum(map(bool, judged)) == 1 else "Each study in each cohort"
    over = f"{count} studies" if each == "Each study" else f"{count} of them"
    return [f"{each} may err with chance {alpha:g}; over {over} about {count * alpha:.2g} false claims are expected."]


def looks_of(rules: Pin) -> str:
    level = level_in_force(rules.alpha, rules.looks)
    per_look = f", each at {f'{level:.4f}' if level >= 0.001 else f'{level:.2g}'}" if len(rules.looks) > 1 else ""
    return f"looks at {', '.join(map(str, rules.looks))} seeds{per_look}"


def family_of(study: Study) -> str:
    """One study's size, and what of its rules isn't the pin's."""
    told = [
        *(["or more: its declaration is damaged or gone"] if study.doubtful else []),
        *(["declared by hand"] if study.by_hand else []),
        *([OF_CELLS[study.design][1]] if study.design != JUDGED else []),
        *([f"its own looks or D came after {counted(study.asked_before, 'request')}: the pin's stand"] if study.asked_before else []),
        *([looks_of(study.rules)] if study.own else []),
        *([f"D = {size(study.effect.value)}"] if study.own and study.rules.smallest_effect is not None else []),
    ]
    noun = "arm" if study.design == JUDGED else OF_CELLS[study.design][0]
    return " ".join([f"{study.name}: {counted(study.arms, noun)}", *([f"({', '.join(told)})"] if told else [])])


def section_head(section: Section, pin: Pin, arms: Sequence[ArmFacts]) -> list[str]:
    """The cohort, its D, and what holds for all its arms."""
    effect = section.effect
    lines = [
        f"Cohort {section.cohort[:8]} ({section.title}): {counted(section.runs, 'run')}.",
        f"D = {size(effect.value)} {pin.unit}: {effect.origin.rstrip('.')}." if effect.value is not None else f"D: none. {effect.origin}",
    ]
    lines += [f"Study {study.name} asks: {study.question}" for study in section.studies if study.question]
    counts = {arm.documents.count for arm in arms if arm.documents is not None}
    if counts == {1}:
        lines.append("The validation text is one document, so how much a difference owes to this text is unknown.")
    return lines


def lists_of_section(section: Section, pin: Pin, verdicts: Sequence[Verdict]) -> dict[str, tuple[str, ...]]:
    """What is shown apart from one cohort's verdicts, by heading; headings without entries are dropped."""
    lineup = section.lineup
    arms = [one for one in (lineup.baseline, *(verdict.evidence.arm for verdict in verdicts)) if one]
    runs = [(one.label, run) for one in arms for run in one.runs.values()]
    extra = {verdict.label: verdict.evidence.extra for verdict in verdicts if verdict.evidence.extra}
    return written(
        {
            "Certificates": certificate_lines(lineup, section.verdicts),
            "Not compared": [f"{shown(aside.label)}: {aside.why}" for aside in lineup.asides],
            "Diverged": [
                f"{named(each, run)}: {at_step(run)}{run.reason or 'no reason given'}" for each, run in runs if run.status == "diverged"
            ],
            "Failed (pending until resumed)": [f"{named(each, run)}: {run.reason}" for each, run in runs if run.status == "failed"],
            "Unfinished (pending)": by_label((each, run) for each, run in runs if run.status == "unfinished"),
            "Seeds outside the pinned list (not judged)": [f"{shown(label)}: {seed_list(seeds)}" for label, seeds in extra.items()],
            "Several changes under one label": [shown(line) for line in lineup.alike],
            "Finished without the metric (pending)": [
                f"{named(each, run)}: no {pin.measure}, it has {', '.join(sorted(run.metrics)) or 'none'}"
                for each, run in runs
                if run.status == "finished" and pin.measure not in run.metrics
            ],
            "Pairs across bits": [line for verdict in verdicts if (line := across_bits(verdict, lineup.baseline))],
            "Same arm and seed again, under other bits or joined code (not judged)": [
                f"{run.directory}{differences([(one.runs[run.seed], run)], 'bits')}" for one in arms for run in one.surplus
            ],
            "Trained twice, to unequal ends": [each.line for each in section.unequal],
        }
    )


def lists_of_report(report: Report) -> dict[str, tuple[str, ...]]:
    """What belongs to no cohort's verdicts."""
    locks = [
        f"{counted(count, 'request')} asked under lock {lock[:8]}, another baseline of this name; this one's is {report.pin.sha256[:8]}"
        for lock, count in report.other_locks.items()
    ]
    return written(
        {
            "Exploring (never judged)": by_label((run.label, run) for run in report.exploring),
            "Nothing to compare": [f"{shown(aside.label)}: {aside.why}" for aside in report.unread],
            "Other requests": [*locks, *report.others, *lost_requests(report.lab)],
            "Left out": [f"{item.name}: {item.why}" for item in left_out(report)],
        }
    )


def lost_requests(lab: Lab) -> list[str]:
    """Requests count up over the whole store: what is missing below the newest was deleted, or can't be read."""
    numbers = {request.number for request in lab.asked if request.number > 0}
    newest = max(numbers, default=0)
    if len(numbers) == newest:
        return []
    lost = f"{newest - len(numbers)} of {counted(newest, 'request')} are no longer in this store (deleted folders, damaged lines)"
    return [f"{lost}: arms among them aren't counted as tried"]


def left_out(report: Report) -> list[LeftOut]:
    """What couldn't be read, with the documents that were met since: they are read only where a verdict is told."""
    known = list(report.left_out)
    mine = {run.directory for section in report.sections for one in arms_of(section) for run in one.runs.values()}
    met = (item for item in report.lab.left_out if item not in known and item.name.endswith(f"/{DOCUMENTS}"))
    return known + [item for item in met if item.name.rpartition("/")[0] in mine]


def arms_of(section: Section) -> Iterable[Arm]:
    return (one for one in (section.lineup.baseline, *section.lineup.arms) if one)


def written(lists: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    found = {heading: tuple(map(plain, entries)) for heading, entries in lists.items()}
    return {heading: entries for heading, entries in found.items() if entries}


def across_bits(verdict: Verdict, baseline: Arm | None) -> str:
    """How many judged pairs have other bits on their two sides, and which; empty where none has."""
    if not verdict.evidence.across_bits or baseline is None:
        return ""
    runs = verdict.evidence.arm.runs
    pairs = [(baseline.runs[pair.seed], runs[pair.seed]) for pair in verdict.evidence.pairs if not pair.same_bits]
    return f"{shown(verdict.label)}: {counted(len(pairs), 'pair')} of runs under other bits{differences(pairs, 'bits')}"


def named(label: str, run: Run) -> str:
    return f"{shown(label)} seed {run.seed}"


def at_step(run: Run) -> str:
    return "" if run.diverged_step is None else f"step {run.diverged_step}, "


def by_label(runs: Iterable[tuple[str, Run]]) -> list[str]:
    groups: dict[str, list[int]] = {}
    for label, run in runs:
        groups.setdefault(label, []).append(run.seed)
    return [f"{shown(label)}: {seed_list(sorted(group))}" for label, group in groups.items()]
