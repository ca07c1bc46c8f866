"""A verdict, and the paragraph that says it. Text is made from the numbers here and never parsed back; concludes nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab.results.evidence import Evidence, Outlook
from lab.results.marks import marks_of
from lab.results.pin import Pin
from lab.results.planning import cautious_factor
from lab.results.statistics import Paired, half_width
from lab.results.wording import (
    contains_zero,
    counted,
    difference,
    duration,
    interval,
    level_name,
    look_name,
    p_value,
    percent,
    seed_list,
    shown,
    signed,
    size,
)
from lab.store.plain import plain

Word = Literal["refused", "identical", "before the first look", "unstable", "stabler", "better", "worse", "no difference", "cannot tell"]
MOST_SEEDS = 1000  # what a reader could still take for a plan
HOPELESS = 0.1  # a chance of a decision at the last look below which seeds are better spent elsewhere
DECIDED: frozenset[Word] = frozenset({"refused", "identical", "unstable", "stabler", "better", "worse", "no difference"})


@dataclass(frozen=True)
class Correction:
    """One study that an arm counts in: what Holm corrects over."""

    family: int  # arms
    known: tuple[float, ...]  # the sequential p of each of them that has one, the arm's own among them


@dataclass(frozen=True)
class Verdict:
    """One arm's conclusion.

    `p` is sequential and Holm-adjusted, the largest over the studies that it counts in, and `family` the arms of that study; None where
    none can be given.
    """

    evidence: Evidence
    word: Word
    negligible: bool  # better or worse, and yet the whole interval lies inside (-D, D)
    p: float | None
    family: int
    corrections: tuple[Correction, ...]  # of each study that it counts in
    rules: Pin  # the pin's, with what the arm's study declared in its place
    smallest_effect: float | None  # D
    outlook: Outlook
    screening: bool
    doubts: tuple[str, ...]  # runs or code that it stands on and that were seen to be unequal where they ought to be equal
    why: str  # refused: what differs
    reading: str

    @property
    def label(self) -> str:
        return self.evidence.arm.label

    @property
    def said(self) -> str:
        """The verdict as a table shows it."""
        return f"{self.word}, negligible" if self.negligible else self.word

    @property
    def stop(self) -> str:
        """Why no more seeds should be trained: decided, chance, last look; empty where they may."""
        if self.word in DECIDED:
            return "decided"
        if self.evidence.next is None:
            return "last look"
        return "chance" if self.outlook.chance is not None and self.outlook.chance < HOPELESS else ""


def read(verdict: Verdict) -> str:
    """The paragraph of one arm."""
    tag = " (screening)" if verdict.screening else ""
    marked = f" ({'; '.join(marks)})" if (marks := marks_of(verdict)) else ""
    parts = [f"{plain(shown(verdict.label))}{tag}: {verdict.said}{marked}.", BODIES[verdict.word](verdict), off_schedule(verdict)]
    if verdict.word not in DECIDED:
        parts.append(ahead(verdict))
    return " ".join(part for part in parts if part)


def say_refused(verdict: Verdict) -> str:
    return f"{plain(verdict.why)}."


def say_before(verdict: Verdict) -> str:
    """One line: many arms stand here at once."""
    evidence, rules = verdict.evidence, verdict.rules
    so_far = f": {difference(evidence.estimate, rules)} so far, no verdict" if evidence.estimate else ""
    counts = f" {diverged(evidence)}." if evidence.diverged else ""
    hole = f" {seed_list(evidence.next.pending).capitalize()} to come." if evidence.further and evidence.next else ""
    return f"{len(evidence.pairs)} of {evidence.first_look} seeds{so_far}.{counts}{hole}"


def say_identical(verdict: Verdict) -> str:
    """No look is named: this claim has no error that a look would hold down."""
    seeds = verdict.evidence.common
    where = f"{seed_list(seeds)}, the only one that both have" if len(seeds) == 1 else f"all {len(seeds)} seeds that both have"
    evidence = verdict.evidence
    unpaired = evidence.outside.runs > evidence.outside.pairs  # a run beside which the baseline has none
    steps = "" if unpaired else ", at the same steps"
    lost = f" {diverged(evidence)}{steps}." if evidence.diverged else ""
    return f"Weights and metric are bit-equal to the baseline's on {where}: the change did nothing.{lost}"


def say_divergence(verdict: Verdict) -> str:
    """The counts first; quality only as what was seen when both were stable."""
    evidence = verdict.evidence
    weak = ", of little power at so few seeds" if verdict.word == "cannot tell" else ""
    n = len(evidence.pairs)
    look = f"at the judged look {evidence.diverged_arm} of {n} and {evidence.diverged_baseline} of {n}, " * evidence.diverged_outside
    counts = f"{diverged(evidence)} ({look}McNemar's exact p {p_value(evidence.p_diverges, 'unknown')}{weak})."
    if evidence.estimate is None:
        return counts
    return f"{counts} When stable ({evidence.stable} of {len(evidence.pairs)} seeds): {numbers(verdict)}."


def say_better_or_worse(verdict: Verdict) -> str:
    small = f" It is smaller than D = {size(verdict.smallest_effect)} all the same." if verdict.negligible else ""
    return f"{numbers(verdict)}; {p_of(verdict)}.{small}"


def say_no_difference(verdict: Verdict) -> str:
    return f"{numbers(verdict)}; all of it is smaller than D = {size(verdict.smallest_effect)}."


def say_cannot_tell(verdict: Verdict) -> str:
    evidence = verdict.evidence
    if evidence.diverged:
        return say_divergence(verdict)
    if evidence.estimate is None or evidence.estimate.spread is None:
        odd = "which training noise doesn't do: look for a metric that is copied or constant"
        alike = f"on every one of {len(evidence.pairs)} seeds alike"
        return f"The difference is {difference(evidence.estimate, verdict.rules)} {alike}, {odd}."
    return f"{numbers(verdict)}; {why_not(verdict, evidence.estimate)}."


def why_not(verdict: Verdict, estimate: Paired) -> str:
    """Why an interval settles nothing."""
    if not contains_zero(estimate):
        return f"it excludes zero, but not once corrected: {p_of(verdict)}"
    if verdict.p is not None and verdict.p < verdict.rules.alpha:
        return f"crossed at look {verdict.evidence.sharpest} with {p_of(verdict)}, not confirmed: today it includes zero"
    if verdict.smallest_effect is None:
        return "it includes zero, and without D 'no difference' can't be concluded"
    return f"it includes zero and effects larger than D = {size(verdict.smallest_effect)}"


BODIES: dict[Word, Callable[[Verdict], str]] = {
    "refused": say_refused,
    "identical": say_identical,
    "before the first look": say_before,
    "unstable": say_divergence,
    "stabler": say_divergence,
    "better": say_better_or_worse,
    "worse": say_better_or_worse,
    "no difference": say_no_difference,
    "cannot tell": say_cannot_tell,
}


def off_schedule(verdict: Verdict) -> str:
    """What all pairs come to where some lie off the looks; identity has no look."""
    off, estimate = verdict.evidence.off_schedule, verdict.evidence.estimate
    if off is None or verdict.word == "identical":
        return ""
    so_far = "" if off.difference is None or estimate is None else f": {signed(off.difference, estimate)} so far"
    so_far += f" over {counted(off.stable, 'stable seed')}" if so_far and off.stable < off.n else ""
    if off.of is None:
        return f"{counted(off.n, 'seed')}{so_far}; the last look was at {verdict.evidence.look}, and beyond it there is no verdict."
    return f"{off.n} of {off.of} seeds{so_far}, no verdict between looks."


def ahead(verdict: Verdict) -> str:
    """What the design can find, the next look and its cost, the look that would likely settle it, and whether to go on at all."""
    outlook, following, last = verdict.outlook, verdict.evidence.next, verdict.rules.looks[-1]
    parts = []
    if outlook.detectable is not None:
        parts.append(f"The smallest effect that this design could find is {size(outlook.detectable)} (80 % power).")
    if following is None:
        return " ".join([*parts, f"This was the last look ({last} seeds){beyond(verdict)}."])
    if verdict.stop == "chance" and outlook.chance is not None:
        return " ".join([*parts, f"Stop: even the last look ({last} seeds) would settle it with a chance of {percent(outlook.chance)}."])
    cost = f", {duration(following.seconds)}" if following.seconds is not None else ""
    first = "First" if verdict.evidence.look is None else "Next"
    step = f"{first} look: {following.seeds} seeds ({len(following.pending)} more{cost})"
    if outlook.known:
        cautious = f" (cautious: {look_name(outlook.cautious)})" if outlook.likely is not None else ""
        step += f"; likely needed: {look_name(outlook.likely)}{cautious}"
    return " ".join([*parts, f"{step}."])


def beyond(verdict: Verdict) -> str:
    """After the last look: how many seeds would likely settle it, in a new baseline with one such look."""
    estimate, effect = verdict.evidence.estimate, verdict.smallest_effect
    if estimate is None or estimate.spread is None or effect is None or verdict.evidence.diverged:
        return ""
    likely, cautious = (
        seeds_that_settle(estimate.spread * factor, verdict.rules.alpha, effect) for factor in (1.0, cautious_factor(estimate.n))
    )
    if likely is None:
        return f"; more than {MOST_SEEDS} seeds would be needed to settle it against D"
    if likely <= estimate.n:  # narrow enough for D, and yet astride it or barred by the correction
        return ""
    careful = cautious or f"more than {MOST_SEEDS}"
    return f"; about {likely} seeds would settle it against D (cautious: {careful}), in a baseline with such a look"


def seeds_that_settle(spread: float, alpha: float, smallest_effect: float) -> int | None:
    """The fewest seeds, at one look, whose interval's half-width is at most D/2. None: more than MOST_SEEDS."""
    counts = range(2, MOST_SEEDS + 1)
    found = bisect_left(counts, True, key=lambda n: half_width(n, spread, alpha) <= smallest_effect / 2)
    return counts[found] if found < len(counts) else None


def numbers(verdict: Verdict) -> str:
    """The difference and its interval, named by its real level."""
    estimate = verdict.evidence.estimate
    assert estimate is not None, "numbers are asked for where there are some"
    if estimate.low is None or estimate.high is None:
        return f"{difference(estimate, verdict.rules)} (no interval from {counted(estimate.n, 'seed')})"
    return f"{difference(estimate, verdict.rules)}, {level_name(verdict.rules)} {interval(estimate)} ({counted(estimate.n, 'seed')})"


def p_of(verdict: Verdict) -> str:
    return f"p {p_value(verdict.p, 'unknown')} (Holm, {counted(verdict.family, 'arm')})"


def diverged(evidence: Evidence) -> str:
    """How many runs on pinned seeds diverged: those of the judged look, and where one did outside of it, all."""
    n, outside = len(evidence.pairs), evidence.outside
    if not evidence.diverged_outside:
        return f"{evidence.diverged_arm} of {n} runs diverged here, {evidence.diverged_baseline} of {n} in the baseline"
    here = f"{evidence.diverged_arm + outside.diverged} of {n + outside.runs} runs diverged here"
    return f"{here}, {evidence.diverged_baseline + outside.diverged_baseline} of {n + outside.pairs} in the baseline"
