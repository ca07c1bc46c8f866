"""The sentences that stand around the tables, the same in every form: a section's title, what to type, an arm's paragraph. No markup."""

from __future__ import annotations

from collections.abc import Iterator

from lab.results.facts import ArmFacts, Facts, RunFacts, SectionFacts
from lab.results.forms.table import level, name_of, ratio, signed

NEXT = "To the next look:"
PAIRING = "Pairing with the baseline"


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


def paragraph(arm: ArmFacts) -> str:
    """An arm's reading, and what must or may be said beside it."""
    return " ".join((arm.reading, *arm.remarks))


def next_commands(section: SectionFacts) -> list[str]:
    """What takes each arm to its next look, once each."""
    return list(dict.fromkeys(arm.next.command for arm in section.arms if arm.next is not None and arm.next.command))


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
