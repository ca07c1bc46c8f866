"""A verdict, and the sentence that says it. Text is made from the numbers here and never parsed back; concludes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab.results.evidence import Evidence, Outlook
from lab.results.pin import Pin
from lab.results.statistics import Paired, cautious_factor, look_that_settles
from lab.results.wording import (
    contains_zero,
    counted,
    difference,
    duration,
    interval,
    level_name,
    look_name,
    p_value,
    seed_list,
    shown,
    size,
)

Word = Literal["before the first look", "identical", "unstable", "stabler", "better", "worse", "no difference", "cannot tell"]
MOST_SEEDS = 1000  # what a reader could still take for a plan
DECIDED: frozenset[Word] = frozenset({"identical", "unstable", "stabler", "better", "worse", "no difference"})


@dataclass(frozen=True)
class Verdict:
    """One arm's conclusion. `p` is sequential and Holm-adjusted over the `family` arms of its study; None where none can be given."""

    evidence: Evidence
    word: Word
    negligible: bool  # better or worse, and yet the whole interval lies inside (-D, D)
    p: float | None
    family: int
    outlook: Outlook
    screening: bool
    doubts: tuple[str, ...]  # runs or code that it stands on and that were seen to be unequal where they ought to be equal
    reading: str

    @property
    def label(self) -> str:
        return self.evidence.arm.label

    @property
    def said(self) -> str:
        """The verdict as a table shows it."""
        return f"{self.word}, negligible" if self.negligible else self.word


@dataclass(frozen=True)
class Context:
    """All that a sentence is made from."""

    verdict: Verdict
    pin: Pin
    smallest_effect: float | None

    @property
    def evidence(self) -> Evidence:
        return self.verdict.evidence


def read(verdict: Verdict, pin: Pin, smallest_effect: float | None) -> str:
    """The sentence of one arm."""
    about = Context(verdict, pin, smallest_effect)
    tag = " (screening)" if verdict.screening else ""
    marked = f" ({'; '.join(marks)})" if (marks := marks_of(verdict)) else ""
    parts = [f"{shown(verdict.label)}{tag}: {verdict.said}{marked}.", BODIES[verdict.word](about)]
    if verdict.evidence.waiting and verdict.word != "identical":
        parts.append(f"{counted(len(verdict.evidence.waiting), 'more seed')} trained, judged at their look.")
    if verdict.word not in DECIDED:
        parts.append(ahead(about))
    return " ".join(part for part in parts if part)


def marks_of(verdict: Verdict) -> list[str]:
    """What a verdict must not be read without."""
    evidence = verdict.evidence
    across, apart, untold = evidence.across_bits, evidence.not_paired, len(evidence.untold)
    return [
        *([f"{counted(across, 'pair')} across bits"] if across else []),
        *([f"not paired in {' and '.join(apart)}"] if apart else []),
        *([f"pairing not told for {counted(untold, 'run')}"] if untold else []),
        *verdict.doubts,
    ]


def say_before(about: Context) -> str:
    evidence = about.evidence
    so_far = f"So far {difference(evidence.estimate, about.pin)}, without a verdict." if evidence.estimate else ""
    counts = f"{diverged(evidence)}." if evidence.diverged_arm or evidence.diverged_baseline else ""
    missing = f" (missing: {seed_list(evidence.next.pending)})" if evidence.pairs and evidence.next else ""
    seeds = f"{len(evidence.pairs)} of {evidence.first_look} seeds have an outcome in both{missing}."
    return " ".join(part for part in (seeds, counts, so_far) if part)


def say_identical(about: Context) -> str:
    """No look is named: this claim has no error that a look would hold down."""
    seeds = about.evidence.common
    where = f"{seed_list(seeds)}, the only one that both have" if len(seeds) == 1 else f"all {len(seeds)} seeds that both have"
    return f"Weights and metric are bit-equal to the baseline's on {where}: the change did nothing."


def say_divergence(about: Context) -> str:
    """The counts first; quality only as what was seen when both were stable."""
    evidence = about.evidence
    counts = f"{diverged(evidence)} (McNemar's exact p = {evidence.p_diverges:.2g}, of little power at so few seeds)."
    if evidence.estimate is None:
        return counts
    return f"{counts} When stable ({evidence.stable} of {len(evidence.pairs)} seeds): {numbers(about)}."


def say_better_or_worse(about: Context) -> str:
    small = f" It is smaller than D = {size(about.smallest_effect)} all the same." if about.verdict.negligible else ""
    return f"{numbers(about)}; {p_of(about.verdict)}.{small}"


def say_no_difference(about: Context) -> str:
    return f"{numbers(about)}; all of it is smaller than D = {size(about.smallest_effect)}."


def say_cannot_tell(about: Context) -> str:
    evidence = about.evidence
    if evidence.diverged_arm or evidence.diverged_baseline:
        return say_divergence(about)
    if evidence.estimate is None or evidence.estimate.spread is None:
        odd = "which training noise doesn't do: look for a metric that is copied or constant"
        return f"The difference is {difference(evidence.estimate, about.pin)} on every one of {len(evidence.pairs)} seeds alike, {odd}."
    return f"{numbers(about)}; {why_not(about, evidence.estimate)}."


def why_not(about: Context, estimate: Paired) -> str:
    """Why an interval settles nothing."""
    verdict = about.verdict
    if not contains_zero(estimate):
        return f"it excludes zero, but not once corrected: {p_of(verdict)}"
    if verdict.p is not None and verdict.p < about.pin.alpha:
        return f"crossed at look {verdict.evidence.sharpest} ({p_of(verdict)}), not confirmed: it includes zero"
    if about.smallest_effect is None:
        return "it includes zero, and without D 'no difference' can't be concluded"
    return f"it includes zero and effects larger than D = {size(about.smallest_effect)}"


BODIES: dict[Word, Callable[[Context], str]] = {
    "before the first look": say_before,
    "identical": say_identical,
    "unstable": say_divergence,
    "stabler": say_divergence,
    "better": say_better_or_worse,
    "worse": say_better_or_worse,
    "no difference": say_no_difference,
    "cannot tell": say_cannot_tell,
}


def ahead(about: Context) -> str:
    """What the design can find, the next look and its cost, and the look that would likely settle it."""
    outlook, following, last = about.verdict.outlook, about.evidence.next, about.pin.looks[-1]
    parts = []
    if outlook.detectable is not None:
        parts.append(f"The smallest effect that this design could find is {size(outlook.detectable)} (80 % power).")
    if following is None:
        return " ".join([*parts, f"This was the last look ({last} seeds){beyond(about)}."])
    cost = f", {duration(following.seconds)}" if following.seconds is not None else ""
    first = "First" if about.evidence.look is None else "Next"
    step = f"{first} look: {following.seeds} seeds ({len(following.pending)} more{cost})"
    if outlook.known:
        cautious = f" (cautious: {look_name(outlook.cautious)})" if outlook.likely is not None else ""
        step += f"; likely needed: {look_name(outlook.likely)}{cautious}"
    return " ".join([*parts, f"{step}."])


def beyond(about: Context) -> str:
    """After the last look: how many seeds would likely settle it, in a new baseline with one such look."""
    estimate, effect = about.evidence.estimate, about.smallest_effect
    if estimate is None or estimate.spread is None or effect is None:
        return ""
    likely, cautious = (
        look_that_settles(range(2, MOST_SEEDS + 1), estimate.spread * factor, about.pin.alpha, effect)
        for factor in (1.0, cautious_factor(estimate.n))
    )
    if likely is None:
        return f"; more than {MOST_SEEDS} seeds would be needed to settle it against D"
    careful = cautious or f"more than {MOST_SEEDS}"
    return f"; about {likely} seeds would settle it against D (cautious: {careful}), in a baseline with such a look"


def numbers(about: Context) -> str:
    """The difference and its interval, named by its real level."""
    estimate = about.evidence.estimate
    assert estimate is not None, "numbers are asked for where there are some"
    if estimate.low is None or estimate.high is None:
        return f"{difference(estimate, about.pin)} (no interval from {counted(estimate.n, 'seed')})"
    return f"{difference(estimate, about.pin)}, {level_name(about.pin)} {interval(estimate)} ({counted(estimate.n, 'seed')})"


def p_of(verdict: Verdict) -> str:
    return f"p {p_value(verdict.p, 'unknown')} (Holm, {counted(verdict.family, 'arm')})"


def diverged(evidence: Evidence) -> str:
    n = len(evidence.pairs)
    return f"{evidence.diverged_arm} of {n} runs diverged here, {evidence.diverged_baseline} of {n} in the baseline"
