"""The lab journal: every arm ever tried in a store, newest first, with why, what happened and what was concluded.

Arms without a difference, diverged ones and explorations stand beside the winners, in the order of asking. Says what the report
says (its verdicts and sentences); judges nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lab.errors import LabError
from lab.results.collect import Lab
from lab.results.confirmed import Around, Told, confirmations_of, flag
from lab.results.facts import ArmFacts, Facts
from lab.results.named import NamedArm, arms_of, words_for
from lab.results.pairs import mean
from lab.results.record import Request
from lab.results.report import build
from lab.results.telling import tell
from lab.results.wording import counted, seed_list, shown
from lab.store.conclusions import Conclusion, read_conclusions

OUTCOMES = ("finished", "diverged", "failed", "unfinished")
METRIC = "validation_bits_per_byte"


@dataclass(frozen=True)
class Entry:
    """One change against one baseline: who asked for it and why, what happened, what was concluded."""

    baseline: str
    label: str
    arm_id: str
    studies: tuple[str, ...]
    asked: tuple[str, str]  # the days of the first and the newest request, UTC; empty where they don't say
    hypotheses: tuple[str, ...]
    happened: tuple[str, ...]  # the report's sentence of each cohort; where it has none, what the runs came to and why it has none
    conclusions: tuple[Conclusion, ...]
    number: int  # of its newest request: the order
    word: str = ""  # what names it alone, as typed in a shell
    confirmations: tuple[Told, ...] = ()


@dataclass(frozen=True)
class Journal:
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]


def write_journal(lab: Lab, baseline: str, report: Callable[[str], Facts]) -> Journal:
    """The journal of one baseline, or of all (`*`); `report` gives a baseline's report, and may raise LabError where its pin is gone."""
    names = sorted({request.baseline for request in lab.asked if baseline in ("*", request.baseline)})
    entries, left_out = [], [f"{each.name}: {each.why}" for each in lab.left_out]
    for name in names:
        try:
            facts, why = report(name), "not judged under today's pin"
        except LabError as error:
            facts, why = None, f"its baseline can't be read: {str(error).splitlines()[0]}"
        said, damaged = read_conclusions(lab.folder, name)
        if damaged:
            left_out.append(f"{name}/conclusions.jsonl: {counted(damaged, 'damaged line')} left out")
        judged = sentences(facts) if facts is not None else {}
        arms = arms_of(lab, name)
        words = words_for(arms)
        lock, unit = (facts.rules.lock, facts.rules.unit) if facts is not None else (None, "")
        around = Around(name, lock, unit, {arm.change_id: word for arm, word in zip(arms, words, strict=True)})
        confirmations, odd = confirmations_of(lab, around)
        left_out += odd
        for arm, word in zip(arms, words, strict=True):
            written = entry(arm, name, judged, why, said)
            mine = tuple(each for each in confirmations if each.change_id == arm.change_id)
            entries.append(replace(written, word=word, confirmations=mine))
    return Journal(tuple(sorted(entries, key=lambda each: -each.number)), tuple(left_out))


def next_to_conclude(journal: Journal) -> str | None:
    """What to type for the newest arm without a conclusion; None where each has one."""
    for each in journal.entries:
        if not each.conclusions:
            return f"python -m lab conclude {each.word} 'your words'{flag(each.baseline)}"
    return None


def sentences(facts: Facts) -> dict[str, list[tuple[str, ArmFacts]]]:
    """By arm_id, what the report says of it in each cohort."""
    found: dict[str, list[tuple[str, ArmFacts]]] = {}
    for section in facts.sections:
        for arm in section.arms:
            found.setdefault(arm.arm_id, []).append((section.title if len(facts.sections) > 1 else "", arm))
    return found


def entry(arm: NamedArm, baseline: str, judged: Mapping[str, list[tuple[str, ArmFacts]]], why: str, said: Iterable[Conclusion]) -> Entry:
    mine = {run.arm_id for run in arm.runs}
    sections = [each for arm_id in sorted(mine) for each in judged.get(arm_id, ())]
    happened = tuple(f"{title}: {one.reading}" if title else one.reading for title, one in sections) or (unjudged(arm, why),)
    return Entry(
        baseline=baseline,
        label=shown(arm.label),
        arm_id=arm.arm_id,
        studies=distinct(request.study for request in arm.requests),
        asked=(arm.requests[0].at[:10], arm.requests[-1].at[:10]),
        hypotheses=distinct(words for request in reversed(arm.requests) for words in (request.note, request.why)),
        happened=happened,
        conclusions=tuple(each for each in said if each.change_id == arm.change_id or each.arm_id in mine),
        number=arm.requests[-1].number,
    )


def unjudged(arm: NamedArm, why: str) -> str:
    """What became of the runs of an arm that has no verdict, in words and with their numbers."""
    exploring = all(request.exploring or request.changes > 1 for request in arm.requests)
    counts = Counter(run.status for run in arm.runs)
    ended = ", ".join(f"{counts[status]} {status}" for status in OUTCOMES if counts[status])
    seeds = seed_list(sorted({run.seed for run in arm.runs}))
    level = mean(run.metrics.get(METRIC) for run in arm.runs if run.status == "finished")
    value = f", {level:.4f} bits/byte on average" if level is not None else ""
    reason = f"explored with {counted(most_changes(arm.requests), 'change')}, never judged" if exploring else why
    if all(request.cell for request in arm.requests):
        reason = f"a cell of a {arm.requests[-1].cell}, which gets no verdict of its own; the report tells what the cells come to"
    return f"{reason}. {counted(len(arm.runs), 'run')} ({seeds}): {ended}{value}."


def most_changes(requests: Iterable[Request]) -> int:
    return max(request.changes for request in requests)


def distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in words if each))


def said_of(arm: NamedArm, facts: Facts) -> str:
    """The report's verdict on an arm now, of the first cohort that has one."""
    judged = sentences(facts)
    return next((one.said for run in arm.runs for _, one in judged.get(run.arm_id, ())), "nothing")


def reader(root: Path, lab: Lab) -> Callable[[str], Facts]:
    """The shipped report of a baseline, as `write_journal` takes it."""
    return lambda name: tell(build(root, name, lab=lab))
