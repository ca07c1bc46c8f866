"""Runs of one seed in both arms, made into pairs, and what lies outside the judged ones. Knows no looks and no level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.results.lineup import Arm
from lab.results.record import Run
from lab.store.manifest import not_paired


@dataclass(frozen=True)
class Pair:
    """One seed with an outcome in both arms. A value of None is a divergence (or a final metric that isn't finite)."""

    seed: int
    arm: float | None
    baseline: float | None
    same_bits: bool
    same_weights: bool
    not_paired: tuple[str, ...]  # what the arm's run doesn't share with the baseline: initial values, data, keys of dropout
    told: bool  # whether its manifest says what it shares at all

    @property
    def stable(self) -> bool:
        return self.arm is not None and self.baseline is not None

    @property
    def identical(self) -> bool:
        return self.same_weights and self.arm == self.baseline


@dataclass(frozen=True)
class Outside:
    """What lies on pinned seeds outside the judged pairs: beyond the look, or where the baseline has no run."""

    runs: int  # of the arm, with an outcome
    diverged: int
    pairs: int
    diverged_baseline: int  # in these pairs


def lies_outside(arm: Arm, seeds: Iterable[int], both: Mapping[int, Pair], measure: str) -> Outside:
    """The outcomes on these seeds. A divergence needs no run of the baseline beside it."""
    seeds = list(seeds)
    runs = [run for seed in seeds if (run := arm.runs.get(seed)) is not None and has_outcome(run, measure)]
    pairs = [both[seed] for seed in seeds if seed in both]
    return Outside(
        runs=len(runs),
        diverged=sum(value_of(run, measure) is None for run in runs),
        pairs=len(pairs),
        diverged_baseline=sum(pair.baseline is None for pair in pairs),
    )


def has_outcome(run: Run, measure: str) -> bool:
    """Diverged, or finished with this measure."""
    return run.status == "diverged" or (run.status == "finished" and measure in run.metrics)


def value_of(run: Run, measure: str) -> float | None:
    """None: diverged, or a final metric that isn't finite."""
    return run.metrics.get(measure) if run.status == "finished" else None


def make_pair(arm: Run, baseline: Run, measure: str) -> Pair | None:
    """The pair of two runs with outcomes; None while one is pending (or was finished without this measure at all)."""
    if not all(has_outcome(run, measure) for run in (arm, baseline)):
        return None
    values = [value_of(run, measure) for run in (arm, baseline)]
    same = arm.weights is not None and arm.weights == baseline.weights
    same = same and arm.diverged_step == baseline.diverged_step
    apart = tuple(not_paired(arm.pairing)) if arm.pairing else ()
    return Pair(arm.seed, values[0], values[1], arm.bits == baseline.bits, same, apart, arm.pairing is not None)


def stable_values(pairs: Iterable[Pair]) -> tuple[list[float], list[float]]:
    """The metric of the arm and of the baseline where neither diverged."""
    values = [(pair.arm, pair.baseline) for pair in pairs if pair.arm is not None and pair.baseline is not None]
    return [arm for arm, _ in values], [base for _, base in values]


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
