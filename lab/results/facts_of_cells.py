"""What a report says of a factorial and of a curve, as plain data: the part of the schema (facts.py) that knows cells. Makes no text.

A difference is in the metric's unit, as everywhere. None stands where there is nothing to say. A cell gets no verdict: effects do.
"""

from __future__ import annotations

from dataclasses import dataclass

EFFECT_VERDICTS = ("identical", "before the first look", "better", "worse", "no difference", "interaction", "no interaction", "cannot tell")


@dataclass(frozen=True)
class CellRun:
    """One run of a cell."""

    seed: int
    status: str  # finished, diverged, failed, unfinished
    value: float | None  # the primary metric
    directory: str  # relative to runs/


@dataclass(frozen=True)
class CellFacts:
    """A cell of a factorial."""

    label: str
    arm_id: str  # empty where none of its runs can be compared
    levels: tuple[str, ...]  # one of each factor, in their order
    n: int  # seeds that the mean is over
    mean: float | None  # over the pinned seeds that all cells have, where these are two or more; else over its own
    runs: tuple[CellRun, ...]


@dataclass(frozen=True)
class FactorFacts:
    key: str
    baseline: str  # its level in the baseline
    levels: tuple[str, ...]  # the others


@dataclass(frozen=True)
class PendingSeeds:
    """What a study of cells waits for."""

    seeds: int  # of the look
    pending: tuple[int, ...]
    command: str


@dataclass(frozen=True)
class EffectFacts:
    """A main effect (a level against the baseline's, over all levels of the other factors) or a two-way interaction (a difference of
    such differences). One value per seed, then the paired t as for an arm."""

    name: str  # model/norm=rmsnorm, or model/norm=rmsnorm x hooks=grad_clip
    kind: str  # main, interaction
    verdict: str  # one of EFFECT_VERDICTS
    said: str  # the verdict as a table shows it: "interaction, negligible"
    reading: str
    look: int | None  # seeds of the judged look; None before the first
    n: int  # seeds in the estimate
    left_out: tuple[int, ...]  # seeds up to the look at which one of its cells diverged
    difference: float | None
    low: float | None
    high: float | None
    decimals: int
    p: float | None  # sequential, Holm-adjusted over the family
    family: int  # effects of the study, or the largest family that one of its cells is in
    spread: float | None
    detectable: float | None  # at 80 % power, at the judged look
    stop: str  # why to stop: decided, diverged, declared late, last look, chance; empty: go on


@dataclass(frozen=True)
class FactorialFacts:
    """A declared factorial in one cohort."""

    study: str
    factors: tuple[FactorFacts, ...]
    effects: tuple[EffectFacts, ...]
    cells: tuple[CellFacts, ...]  # the baseline's first
    notes: tuple[str, ...]  # what diverged, is missing or can't be compared
    next: PendingSeeds | None


@dataclass(frozen=True)
class PointFacts:
    """One value of a curve."""

    value: float
    baseline: bool  # the baseline's own value
    n: int  # finished runs, on the pinned seeds that all values without a divergence have where these are two or more
    diverged: int
    mean: float | None
    low: float | None  # its interval over seeds, at alpha
    high: float | None
    runs: tuple[CellRun, ...]


@dataclass(frozen=True)
class OptimumFacts:
    """Where a parabola has its best, fitted to each seed: the mean over the seeds and its interval over them."""

    value: float
    low: float
    high: float
    scale: str  # log, linear: the parabola is in log(value) or in the value
    seeds: tuple[int, ...]
    values: tuple[float, ...]  # that were fitted


@dataclass(frozen=True)
class CurveFacts:
    """A declared curve in one cohort: the metric against one number. No verdict stands on it."""

    study: str
    key: str
    points: tuple[PointFacts, ...]  # by value
    best: float | None  # the value with the best mean
    optimum: OptimumFacts | None
    reading: str
    warnings: tuple[str, ...]  # the grid's edge, divergence, what keeps an optimum from being told
    next: PendingSeeds | None
