"""The sentences that stand around the tables, the same in every form: a section's title, what to type, an arm's paragraph. No markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.results.facts import ArmFacts, Facts, RulesFacts, RunFacts, SectionFacts
from lab.results.forms.cells import commands
from lab.results.forms.table import diverged_seeds, level, name_of, ratio, signed
from lab.results.wording import counted

NEXT = "To the next look:"
PAIRING = "Pairing with the baseline"
FIRST = ("Baseline ", "Showing ", "D = ", "D: ")  # how the lines begin without which no table is to be read
WEIGHTY = ("Fragile: ", "It alters the spread", "It is compared at equal tokens")  # remarks that alter how a verdict is to be read
ANOTHER_TEXT = "another text may move it more"


def title(section: SectionFacts, facts: Facts) -> str:
    """A cohort's heading; empty where the report has only one section, whose own lines name the cohort."""
    if len(facts.sections) < 2:
        return ""
    place = " (this machine)" if section.here else ""
    apart = f": another cohort, never mixed with the first ({section.apart})" if section.apart else ""
    return f"{section.title}{place}{apart}"


def advice(section: SectionFacts) -> dict[str, list[str]]:
    """What to type to make what is missing, by the sentence that leads to it."""
    found: dict[str, list[str]] = {}
    for why, command in zip(section.advice_why, section.advice, strict=True):
        found.setdefault(why, []).append(command)
    return found


def opening_lines(head: Sequence[str]) -> tuple[list[str], list[str]]:
    """A head's lines: those that stand above a table (baseline and metric, what is shown of it, D), and the others."""
    return [line for line in head if line.startswith(FIRST)], [line for line in head if not line.startswith(FIRST)]


def paragraph(arm: ArmFacts) -> str:
    """An arm's reading, and what must or may be said beside it."""
    return " ".join((arm.reading, *arm.remarks))


def weighty(arm: ArmFacts) -> list[str]:
    """The remarks that alter how the verdict is to be read; the others only enlarge on it."""
    return [remark for remark in arm.remarks if remark.startswith(WEIGHTY) or ANOTHER_TEXT in remark]


def apart_and_waiting(section: SectionFacts, rules: RulesFacts) -> tuple[list[ArmFacts], list[str]]:
    """The arms that have a paragraph of their own, and one for all that only wait for their first look.

    An arm that waits has one too where there is more to say of it: a mark, a divergence, a failed run, a hole among its seeds. And a
    single one keeps its own.
    """
    looks = {study.name: study.rules.looks[0] for study in section.studies}
    waiting: dict[int, list[ArmFacts]] = {}
    for arm in section.arms:
        first = looks[arm.study] if arm.study in looks else rules.looks[0]
        if only_waits(arm, rules, first):
            waiting.setdefault(first, []).append(arm)
    several = {first: arms for first, arms in waiting.items() if len(arms) > 1}
    together = {id(arm) for arms in several.values() for arm in arms}
    return [arm for arm in section.arms if id(arm) not in together], [say_waiting(*each) for each in several.items()]


def only_waits(arm: ArmFacts, rules: RulesFacts, first: int) -> bool:
    odd = any(run.status == "failed" or (run.status == "finished" and run.seed not in rules.seeds[:first]) for run in arm.runs)
    lost = arm.stability.arm or arm.stability.baseline or diverged_seeds(rules, arm.runs)
    return arm.verdict == "before the first look" and not (arm.marks or arm.remarks or arm.off_schedule or odd or lost)


def say_waiting(first: int, arms: Sequence[ArmFacts]) -> str:
    least, most = min(arm.n for arm in arms), max(arm.n for arm in arms)
    seeds = counted(most, "seed") if least == most else f"{least} to {most} seeds"
    tail = "no verdict on any of them, and what the table shows of them is what was seen so far"
    return f"Before the first look ({counted(first, 'seed')}): {counted(len(arms), 'arm')}, {seeds} each; {tail}."


def next_commands(section: SectionFacts) -> list[str]:
    """What takes each arm, and each study of cells, to its next look; once each."""
    of_arms = (arm.next.command for arm in section.arms if arm.next is not None and arm.next.command)
    return list(dict.fromkeys((*of_arms, *commands(section))))


def pairing_lines(section: SectionFacts) -> dict[str, tuple[str, ...]]:
    """What each arm shares with the baseline, as a list under its heading; none where nothing is told."""
    lines = tuple(f"{name_of(arm)}: {line}" for arm in section.arms for line in arm.pairing)
    return {PAIRING: lines} if lines else {}


def pairing_in_common(section: SectionFacts) -> dict[str, tuple[str, ...]]:
    """The same list, shorter: arms that share the same have one line."""
    alike: dict[str, list[str]] = {}
    for arm in section.arms:
        for line in arm.pairing:
            alike.setdefault(line, []).append(name_of(arm))
    return {PAIRING: tuple(f"{', '.join(names)}: {line}" for line, names in alike.items())} if alike else {}


def details(arm: ArmFacts) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What stands behind an arm's paragraph: each with its heading; headings without lines are dropped."""
    told = (
        ("Hypothesis", (arm.hypothesis,) if arm.hypothesis else ()),
        ("Changed against the baseline", tuple(f"{move.path}: {move.old} -> {move.new}" for move in arm.moves)),
        ("Cost against the baseline", tuple(costs(arm))),
        ("Seeds", tuple(seed_lines(arm))),
        ("Typed", arm.commands),
    )
    return ((heading, lines) for heading, lines in told if lines)


def costs(arm: ArmFacts) -> Iterator[str]:
    """The ratios that are known, on one line."""
    each = (
        ("parameters", arm.ratio.parameters),
        ("FLOPs per token", arm.ratio.flops_per_token),
        ("seconds per step", arm.ratio.seconds_per_step),
        ("tokens per second", arm.ratio.tokens_per_second),
        ("bytes of text per token", arm.ratio.bytes_per_token),
    )
    if known := [f"{name} {ratio(value)}" for name, value in each if value is not None]:
        yield "; ".join(known)


def seed_lines(arm: ArmFacts) -> Iterator[str]:
    """A line per run: its seed, what became of it, what the pair came to."""
    pairs = {pair.seed: pair for pair in arm.pairs}
    for run in arm.runs:
        pair = pairs.get(run.seed)
        shown = "" if pair is None else f", {level(pair.arm)} against {level(pair.baseline)}: {signed(pair.difference, arm.decimals)}"
        bits = "" if pair is None or pair.same_bits else ", under other bits"
        yield f"seed {run.seed}: {outcome(run)}{shown}{bits} ({run.directory})"


def outcome(run: RunFacts) -> str:
    step = "" if run.diverged_step is None else f" at step {run.diverged_step}"
    return f"{run.status}{step}{f' ({run.reason})' if run.reason else ''}"
