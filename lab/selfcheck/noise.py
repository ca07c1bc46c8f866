"""What null arms say of a baseline and of the report's own error: pure numbers from a report that was built, and its curves.

Every two of the runs of one seed, the baseline's among them, are an A/A comparison: none of them differs in anything that could
matter. All pairs of arms enter the noise; they share runs, so they are not independent. Judges by the report's own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, variance

from scipy.special import betaincinv

from lab.results.curves import values_of
from lab.results.evidence import Evidence, gather
from lab.results.lineup import Arm
from lab.results.pin import Pin
from lab.results.planning import detectable_effect, look_that_settles
from lab.results.reading import Verdict
from lab.results.report import Report, Section
from lab.results.sequential import level_in_force
from lab.results.wording import contains_zero

CONFIDENCE = 0.95
GROWN = 0.5  # of the seeds' sd: from here on two runs of one seed are more apart than alike

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Claims:
    """How many of some A/A comparisons were claimed to differ, and the exact interval of the rate as if they were independent."""

    claimed: int
    of: int
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """How far apart runs are in the primary metric, over the seeds at which all of them finished."""

    seeds: int
    run: float  # sd of a run over seeds, pooled over the arms
    difference: float  # sd of a paired A/A difference, pooled over all pairs of arms

    @property
    def ratio(self) -> float:
        """What pairing buys: the variance of a difference of unpaired runs over that of paired ones."""
        return 2 * self.run**2 / self.difference**2

    @property
    def correlation(self) -> float:
        return 1 - 1 / self.ratio


@dataclass(frozen=True)
class Drift:
    """One step of the curves: the mean |difference| of two runs of one seed, as a share of the sd over seeds there."""

    step: int
    share: float


@dataclass(frozen=True)
class Reach:
    """One look: the smallest real effect that it would find in this noise, with 80 % power."""

    look: int
    effect: float


@dataclass(frozen=True)
class Noise:
    """Everything that a self-check shows."""

    section: Section
    rules: Pin
    seeds: tuple[int, ...]
    verdicts: tuple[Verdict, ...]  # of the null arms, by the shipped report
    draws: Mapping[str, int]  # which draw of signs each null arm is, by arm_id
    diverged: int  # runs of the baseline and the null arms
    holm: Claims  # of the arms against the baseline, as reported
    uncorrected: Claims
    pairs: Claims  # of all pairs of arms, uncorrected
    needed: int  # comparisons that would estimate alpha
    spread: Spread | None  # None: fewer than two seeds finished in all arms, or no difference varies
    drift: tuple[Drift, ...]
    reach: tuple[Reach, ...]
    settles: int | None  # the look whose interval is narrow enough for D


def measure(report: Report, nulls: Sequence[str], seeds: Sequence[int]) -> Noise:
    """The numbers of one cohort's report, for null arms named by arm_id, in the order of their draws."""
    (section,) = report.sections
    pin, lineup = report.pin, section.lineup
    draws = {arm_id: draw for draw, arm_id in enumerate(nulls)}
    found = (each for each in section.verdicts if each.evidence.arm.arm_id in draws)
    verdicts = tuple(sorted(found, key=lambda each: draws[each.evidence.arm.arm_id]))
    assert lineup.baseline is not None
    arms = [lineup.baseline, *(each.evidence.arm for each in verdicts)]
    pairs = [gather(one, other, pin) for one, other in combinations(arms, 2)]
    against = [each for each in verdicts if each.evidence.p is not None]
    spread = spread_of([finished(arm, pin.measure, seeds) for arm in arms])
    level, effect = level_in_force(pin.alpha, pin.looks), section.effect.value
    return Noise(
        section=section,
        rules=pin,
        seeds=tuple(seeds),
        verdicts=verdicts,
        draws=draws,
        diverged=sum(arm.runs[seed].status == "diverged" for arm in arms for seed in seeds if seed in arm.runs),
        holm=claims(sum(each.word in ("better", "worse") for each in against), len(against)),
        uncorrected=claims(sum(is_claimed(each.evidence, pin) for each in against), len(against)),
        pairs=claims(sum(is_claimed(each, pin) for each in pairs), sum(each.p is not None for each in pairs)),
        needed=comparisons_needed(pin.alpha),
        spread=spread,
        drift=drift_of(curves(report, arms, seeds)),
        reach=() if spread is None else tuple(Reach(n, detectable_effect(n, level) * spread.difference) for n in pin.looks),
        settles=None if spread is None or effect is None else look_that_settles(pin.looks, spread.difference, level, effect),
    )


def is_claimed(evidence: Evidence, pin: Pin) -> bool:
    """Whether one comparison alone, without a family, would be called better or worse: the report's rule without Holm."""
    return evidence.p is not None and evidence.p < pin.alpha and evidence.estimate is not None and not contains_zero(evidence.estimate)


def claims(claimed: int, of: int) -> Claims:
    return Claims(claimed, of, *exact_interval(claimed, of))


def exact_interval(claimed: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a rate by Clopper and Pearson (1934): exact for independent comparisons. Without any, from 0 to 1."""
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(claimed, of - claimed + 1, tail)) if claimed else 0.0
    high = float(betaincinv(claimed + 1, of - claimed, 1 - tail)) if claimed < of else 1.0
    return low, high


def comparisons_needed(alpha: float) -> int:
    """From how many comparisons on their rate of false claims tells something of alpha: where alpha of them are claimed, the exact
    interval is no wider than 2 alpha, so that it no longer reaches from nothing to much more than alpha [88 at 0.05]."""
    n = 1
    while True:
        low, high = exact_interval(round(alpha * n), n)
        if high - low <= 2 * alpha:
            return n
        n += 1


def finished(arm: Arm, measure: str, seeds: Sequence[int]) -> Values:
    """An arm's metric where it finished with a finite one."""
    runs = {seed: arm.runs[seed] for seed in seeds if seed in arm.runs and arm.runs[seed].status == "finished"}
    return {seed: value for seed, run in runs.items() if (value := run.metrics.get(measure)) is not None}


def spread_of(arms: Sequence[Values]) -> Spread | None:
    """The spreads over the seeds that all arms have."""
    common = sorted(set.intersection(*(set(values) for values in arms)))
    if len(common) < 2 or len(arms) < 2:
        return None
    run = fmean(variance([values[seed] for seed in common]) for values in arms)
    difference = fmean(variance([a[seed] - b[seed] for seed in common]) for a, b in combinations(arms, 2))
    return Spread(len(common), run**0.5, difference**0.5) if difference > 0 else None


def curves(report: Report, arms: Sequence[Arm], seeds: Sequence[int]) -> list[dict[int, dict[int, float]]]:
    """Each arm's learning curves: step -> seed -> value, of its finished runs."""
    runs = [{seed: arm.runs[seed].directory for seed in seeds if seed in arm.runs and arm.runs[seed].status == "finished"} for arm in arms]
    told = values_of(report.lab, {directory for each in runs for directory in each.values()}, f"curve_{report.pin.metric}")
    found: list[dict[int, dict[int, float]]] = []
    for each in runs:
        found.append({})
        for seed, directory in each.items():
            for step, value in told.get(directory, {}).items():
                found[-1].setdefault(step, {})[seed] = value
    return found


def drift_of(arms: Sequence[Mapping[int, Values]]) -> tuple[Drift, ...]:
    """How the A/A difference grows along the curve, at the steps that every arm has at the same two seeds or more."""
    found = []
    for step in sorted(set.intersection(*(set(curve) for curve in arms))):
        common = sorted(set.intersection(*(set(curve[step]) for curve in arms)))
        if len(common) < 2:
            continue
        seeds_sd = fmean(variance([curve[step][seed] for seed in common]) for curve in arms) ** 0.5
        if seeds_sd > 0:
            apart = fmean(abs(a[step][seed] - b[step][seed]) for a, b in combinations(arms, 2) for seed in common)
            found.append(Drift(step, apart / seeds_sd))
    return tuple(found)


def grown_at(drift: Sequence[Drift]) -> int | None:
    """The first step at which two runs of one seed are half as far apart as runs of two seeds scatter; None: never."""
    return next((each.step for each in drift if each.share >= GROWN), None)
