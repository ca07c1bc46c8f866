"""The learning curves of a report as data: per arm, the mean over its seeds and the lowest and highest of them. Draws nothing.

Only finished runs enter, and only steps that all of them have: a curve whose seeds come and go would show their coming and going.
Runs that diverged are told in words elsewhere; where nothing else is there, they are the curve, up to the first divergence. What an
arm's curve is compared with is the baseline on the same seeds: means over different seeds would differ by the seeds too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from lab.results.facts import ArmFacts, BaselineFacts, Cost, Facts, RunFacts, SectionFacts

if TYPE_CHECKING:  # it loads pandas, and the forms need only the shapes of curves
    from lab.results.collect import Lab


@dataclass(frozen=True)
class Point:
    """One evaluation. `low` and `high` are the lowest and highest seed; seconds are the arm's mean pace times steps: indicative.

    `difference` is arm - baseline over the seeds that are on this curve and finished in the baseline; None where there is none.
    """

    step: int
    tokens: int
    flops: float | None
    seconds: float | None
    mean: float
    low: float
    high: float
    n: int
    difference: float | None = None


@dataclass(frozen=True)
class Curve:
    """The curve of the baseline or of one arm, over the steps that all its seeds have."""

    label: str
    arm_id: str
    baseline: bool
    metric: str
    points: tuple[Point, ...]


def curves(lab: Lab, facts: Facts) -> dict[str, tuple[Curve, ...]]:
    """Per cohort the baseline's curve and each arm's that has one, in the order of the report."""
    metric = f"curve_{facts.rules.metric.removeprefix('validation_')}"
    told = {run.directory for section in facts.sections for one in (section.baseline, *section.arms) if one for run in one.runs}
    reader = Reader(metric, values_of(lab, told, metric), {run.directory: run.tokens_per_step for run in lab.found})
    return {section.cohort: tuple(in_section(section, facts, reader)) for section in facts.sections}


def in_section(section: SectionFacts, facts: Facts, reader: Reader) -> Iterator[Curve]:
    base, beside = section.baseline, []
    if base is not None:
        beside = [run for run in shown_runs(base.runs, {run.seed for run in base.runs}) if run.status == "finished"]
        points = reader.points(shown_runs(base.runs, seeds_of_baseline(base, section.arms, facts)), base.cost)
        if points:
            yield Curve("baseline", base.arm_id, True, reader.metric, points)
    for arm in section.arms:
        judged = {pair.seed for pair in arm.pairs} if arm.look is not None else {run.seed for run in arm.runs}
        if points := reader.points(shown_runs(arm.runs, judged), arm.cost, beside):
            yield Curve(arm.label, arm.arm_id, False, reader.metric, points)


def seeds_of_baseline(base: BaselineFacts, arms: Iterable[ArmFacts], facts: Facts) -> set[int]:
    """Those that some arm was judged on; before the first look all pinned ones."""
    judged = {pair.seed for arm in arms if arm.look is not None for pair in arm.pairs}
    return judged or {run.seed for run in base.runs if run.seed in facts.rules.seeds}


def shown_runs(runs: Sequence[RunFacts], seeds: set[int]) -> list[RunFacts]:
    """One run per seed: the finished ones, or where there are none the diverged ones."""
    for status in ("finished", "diverged"):
        if found := {run.seed: run for run in reversed(runs) if run.seed in seeds and run.status == status}:
            return [found[seed] for seed in sorted(found)]
    return []


@dataclass(frozen=True)
class Reader:
    """What was read of which metric, by run and step, and how many tokens a step of each run took."""

    metric: str
    values: Mapping[str, Mapping[int, float]]
    tokens_per_step: Mapping[str, int | None]

    def points(self, runs: list[RunFacts], cost: Cost, beside: Sequence[RunFacts] = ()) -> tuple[Point, ...]:
        """The steps that all runs have, of those that could be read; empty where none is. `beside`: runs to compare with."""
        read = [values for run in runs if (values := self.values.get(run.directory))]
        common = sorted(set.intersection(*map(set, read))) if read else []
        tokens = next((each for run in runs if (each := self.tokens_per_step.get(run.directory))), None)
        if tokens is None:
            return ()
        theirs = {run.seed: values for run in beside if (values := self.values.get(run.directory))}
        pairs = [(values, theirs[run.seed]) for run in runs if run.seed in theirs and (values := self.values.get(run.directory))]
        return tuple(point(step, step * tokens, cost, [values[step] for values in read], over_pairs(pairs, step)) for step in common)


def over_pairs(pairs: Sequence[tuple[Mapping[int, float], Mapping[int, float]]], step: int) -> float | None:
    """The mean difference of the pairs at a step that all of them have."""
    if not pairs or not all(step in base for _, base in pairs):
        return None
    return fmean(arm[step] - base[step] for arm, base in pairs)


def point(step: int, tokens: int, cost: Cost, values: list[float], difference: float | None) -> Point:
    return Point(
        step=step,
        tokens=tokens,
        flops=None if cost.flops_per_token is None else tokens * cost.flops_per_token,
        seconds=None if cost.seconds_per_step is None else step * cost.seconds_per_step,
        mean=fmean(values),
        low=min(values),
        high=max(values),
        n=len(values),
        difference=difference,
    )


def values_of(lab: Lab, directories: set[str], metric: str) -> dict[str, dict[int, float]]:
    """The finite values of some runs by step; a run whose rows can't be read has none, and `lab.left_out` names it."""
    found: dict[str, dict[int, float]] = {}
    rows = lab.rows(directories, {metric})
    for directory, step, value in zip(rows["directory"].tolist(), rows["step"].tolist(), rows["value"].tolist(), strict=True):
        if math.isfinite(value):
            found.setdefault(directory, {})[step] = value
    return found
