"""What a report says, as plain data: the one source of every form of output, and (as JSON) a form itself. Makes no text of numbers.

The classes are the schema: a field is added freely, and SCHEMA goes up when one is renamed, removed or means something else. Every
difference is arm - baseline, in the metric's unit. None stands where there is nothing to say: too few seeds, not measured, not finite.
Names are as they came, not escaped: each form escapes its own markup.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.results.facts_of_cells import CurveFacts, FactorialFacts

SCHEMA = 1


@dataclass(frozen=True)
class RulesFacts:
    """The pin, or what a declared study puts in its place."""

    baseline: str
    lock: str
    metric: str  # validation_bits_per_byte
    unit: str  # bits/byte
    direction: str  # which way is better: lower, higher
    alpha: float
    looks: tuple[int, ...]
    seeds: tuple[int, ...]
    level: float  # nominal two-sided level of each look


@dataclass(frozen=True)
class RunFacts:
    """One run of an arm or of the baseline."""

    seed: int
    identity: str
    directory: str  # relative to runs/
    status: str  # finished, diverged, failed, unfinished
    value: float | None  # the primary metric
    diverged_step: int | None
    reason: str | None  # why it diverged or failed


@dataclass(frozen=True)
class PairFacts:
    """One judged seed. A None value is a divergence."""

    seed: int
    arm: float | None
    baseline: float | None
    difference: float | None
    same_bits: bool


@dataclass(frozen=True)
class Cost:
    """An arm's cost, or its ratio to the baseline's. Seconds are indicative: the runs were not interleaved on an idle machine."""

    parameters: float | None
    flops_per_token: float | None
    seconds_per_step: float | None
    tokens_per_second: float | None
    bytes_per_token: float | None  # of the training text


@dataclass(frozen=True)
class ComputeAdjusted:
    """The difference as a share of the baseline's steps, read from the slope of the second half of its curve, beside the extra cost."""

    steps_share: float  # +0.03: as good as 3 % more of the baseline's steps; negative: as bad as so many fewer
    flops_share: float | None  # +0.04: 4 % more FLOPs per token
    seconds_share: float | None  # indicative; None too where some run of the slower one was quicker than one of the other


@dataclass(frozen=True)
class Without:
    """A seed without which the verdict would be another, and the estimate without it (at the full n's critical value)."""

    seed: int
    verdict: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Variance:
    """Whether the change alters the spread over seeds (Pitman-Morgan)."""

    ratio: float  # s_arm / s_baseline
    p: float


@dataclass(frozen=True)
class Stability:
    """How many of the judged runs diverged, and McNemar's exact p on the seeds where just one of the two did."""

    n: int
    arm: int
    baseline: int
    p: float


@dataclass(frozen=True)
class Documents:
    """The same difference with its standard errors over the documents of the validation text and over seeds."""

    count: int
    error: float | None  # None: one document, or not measured
    seed_error: float | None


@dataclass(frozen=True)
class NextLook:
    """What it takes to reach the next pinned look."""

    seeds: int
    pending: tuple[int, ...]
    seconds: float | None  # of training this arm and the baseline; None: not known yet
    command: str  # the arm's own with these seeds; a sweep's trains its other arms too


@dataclass(frozen=True)
class OffSchedule:
    """All pairs on pinned seeds, where there are more than the judged look has: shown without a verdict."""

    n: int
    of: int | None  # seeds of the next look; None beyond the last
    difference: float | None  # over the stable ones
    stable: int  # pairs in which neither run diverged


@dataclass(frozen=True)
class Move:
    """One leaf of the configuration in which an arm differs from its baseline. A value of None and `absent` are told apart in words."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class ArmFacts:
    """One arm: its verdict, the numbers that it stands on, and the sentence that says it."""

    arm_id: str  # empty where none of its runs could be read
    label: str
    study: str
    screening: bool  # judged among single runs
    hypothesis: str  # why, or the note, of its requests
    verdict: str  # one of VERDICTS
    said: str  # the verdict as a table shows it: "better, negligible"
    reading: str  # one paragraph
    remarks: tuple[str, ...]  # what pairing bought, fragility, variance, compute, documents: one sentence each
    marks: tuple[str, ...]  # what the verdict must not be read without
    look: int | None  # seeds of the judged look; None before the first
    n: int  # pairs shown
    mean: float | None
    mean_baseline: float | None
    difference: float | None
    low: float | None
    high: float | None
    decimals: int  # how many of the difference deserve to be written
    p: float | None  # sequential, Holm-adjusted over the family
    family: int
    spread: float | None  # s_d
    gain: float | None  # what pairing bought: (s_arm^2 + s_base^2) / s_d^2
    correlation: float | None
    sign_flip: float | None  # exact p, from 6 seeds on
    detectable: float | None  # at 80 % power, at the judged look
    likely: int | None  # the look that would likely settle it against D
    cautious: int | None
    chance: float | None  # of a decision at the last look
    next: NextLook | None  # None where the arm is decided, or its last look is taken
    fragile: tuple[Without, ...]
    variance: Variance | None
    stability: Stability
    documents: Documents | None
    compute: ComputeAdjusted | None
    cost: Cost
    ratio: Cost
    pairs: tuple[PairFacts, ...]
    runs: tuple[RunFacts, ...]
    moves: tuple[Move, ...]  # its configuration against the baseline's
    pairing: tuple[str, ...]  # the pairing certificate in words
    commands: tuple[str, ...]  # as typed, in the order of asking
    off_schedule: OffSchedule | None = None
    stop: str = ""  # why to stop: decided, chance (below 10 % at the last look), last look; empty: go on


@dataclass(frozen=True)
class BaselineFacts:
    arm_id: str
    mean: float | None
    cost: Cost
    runs: tuple[RunFacts, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class StudyFacts:
    """A family: what Holm corrects over."""

    name: str
    question: str
    arms: int  # ever declared or asked for
    declared: bool
    rules: RulesFacts
    smallest_effect: float | None
    design: str = "arms"  # or factorial, curve: then its arms are cells, without verdicts


@dataclass(frozen=True)
class SectionFacts:
    """One cohort."""

    cohort: str  # empty where nothing was run yet
    title: str  # cpu x86_64, torch 2.13
    here: bool  # what this machine would make now
    apart: str  # in what it differs from the first section's cohort
    smallest_effect: float | None
    effect_origin: str
    head: tuple[str, ...]  # what was judged, by which rules, from what
    advice: tuple[str, ...]  # commands that make what is missing: the baseline's runs, or the first arms
    baseline: BaselineFacts | None
    studies: tuple[StudyFacts, ...]
    arms: tuple[ArmFacts, ...]
    lists: dict[str, tuple[str, ...]]  # what is shown apart from the verdicts, by heading
    advice_why: tuple[str, ...] = ()  # to each of `advice` the sentence that leads to it
    factorials: tuple[FactorialFacts, ...] = ()
    value_curves: tuple[CurveFacts, ...] = ()  # the metric against a number, not against steps


@dataclass(frozen=True)
class Facts:
    """A whole report."""

    schema: int
    rules: RulesFacts
    head: tuple[str, ...]
    shown: str  # the --arms filter, or empty
    sections: tuple[SectionFacts, ...]
    runs_read: int
    tried: int  # arms ever tried under this pin
    lists: dict[str, tuple[str, ...]]  # other locks, what was left out


VERDICTS = ("refused", "identical", "before the first look", "unstable", "stabler", "better", "worse", "no difference", "cannot tell")
