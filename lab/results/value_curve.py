"""A declared curve in one cohort, told: the metric at each value with its interval over seeds, the optimum, and what it mustn't be read
without. Gives no verdict: the best of many values was chosen by its number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lab.results.cells import Cells, cell_runs, common_seeds, lost, waiting
from lab.results.facts_of_cells import CellRun, CurveFacts, OptimumFacts, PointFacts
from lab.results.optimum import FEWEST_SEEDS, FEWEST_VALUES, find_optimum
from lab.results.pin import Pin
from lab.results.record import Request
from lab.results.statistics import critical_t
from lab.results.wording import counted, decimals, level_name, seed_list, shown
from lab.store.plain import plain


def tell_curve(cells: Cells, rules: Pin, asked: Iterable[Request]) -> CurveFacts:
    """The points by value, the best of them, the optimum, and the warnings."""
    whole = [arm for arm in cells.arms.values() if not (arm and any(diverged(run, rules) for run in cell_runs(arm, rules.measure)))]
    seeds = common_seeds(whole, rules)
    points = sorted((point(cells, levels, rules, seeds) for levels in cells.labels if is_number(levels[:1])), key=lambda each: each.value)
    optimum, why = optimum_of(points, rules)
    key = cells.keys[0]
    best = best_of(points, rules)
    return CurveFacts(
        study=cells.declaration.name,
        key=key,
        points=tuple(points),
        best=None if best is None else best.value,
        optimum=optimum,
        reading=read(key, best, optimum, rules),
        warnings=(*([why] if why else []), *at_the_edge(points, best, optimum), *lost(cells, rules)),
        next=waiting(cells, rules, rules.looks[0], asked),
    )


def is_number(levels: Sequence[str]) -> bool:
    """Whether a declared level can be read as a number; a sweep declares no other."""
    try:
        return all(math.isfinite(float(level)) for level in levels)
    except ValueError:
        return False


def diverged(run: CellRun, rules: Pin) -> bool:
    return run.seed in rules.seeds and run.status in ("finished", "diverged") and run.value is None


def point(cells: Cells, levels: tuple[str, ...], rules: Pin, seeds: Sequence[int]) -> PointFacts:
    """One value, over its runs on these seeds; its divergences on all pinned ones."""
    runs = cell_runs(cells.arms[levels], rules.measure)
    found = np.array([run.value for run in runs if run.seed in seeds and run.value is not None])
    n, average = len(found), float(found.mean()) if len(found) else None
    half = critical_t(n, rules.alpha) * float(found.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    low, high = (None, None) if average is None or half is None else (average - half, average + half)
    gone = sum(diverged(run, rules) for run in runs)
    return PointFacts(float(levels[0]), levels == cells.base, n, gone, average, low, high, runs)


def best_of(points: Sequence[PointFacts], rules: Pin) -> PointFacts | None:
    """The point with the best mean among those at which nothing diverged."""
    known = [each for each in points if each.mean is not None and not each.diverged]
    sign = 1 if rules.direction == "lower" else -1
    return min(known, key=lambda each: sign * (each.mean or 0.0), default=None)


def optimum_of(points: Sequence[PointFacts], rules: Pin) -> tuple[OptimumFacts | None, str]:
    """The optimum over the values at which nothing diverged and the pinned seeds that have all of them; or why there is none."""
    kept = [each for each in points if not each.diverged]
    values = {each.value: {run.seed: run.value for run in each.runs if run.value is not None} for each in kept}
    if len(values) < FEWEST_VALUES:
        return None, f"No optimum: {counted(len(values), 'value')} without a divergence, and a fit needs {FEWEST_VALUES}."
    seeds = [seed for seed in rules.seeds if all(seed in runs for runs in values.values())]
    if len(seeds) < FEWEST_SEEDS:
        return None, f"No optimum yet: {counted(len(seeds), 'seed')} with all {len(values)} values, and it needs {FEWEST_SEEDS}."
    metric = np.array([[runs[seed] for runs in values.values()] for seed in seeds])
    found = find_optimum(list(values), metric, rules.direction, rules.alpha)
    if found.place is None or found.low is None or found.high is None:
        return None, f"No optimum: the curve bends the right way on {found.bent} of {counted(len(seeds), 'seed')}. Try a wider grid."
    scale = "log" if found.log else "linear"
    return OptimumFacts(found.place, found.low, found.high, scale, tuple(seeds), tuple(values)), ""


def at_the_edge(points: Sequence[PointFacts], best: PointFacts | None, optimum: OptimumFacts | None) -> list[str]:
    """Warnings where the best lies where the grid ends: what is beyond was never tried."""
    lines = []
    for end, word in ((points[:1], "smallest"), (points[-1:], "largest")):
        if best is not None and best in end:
            lines.append(f"The best value is the {word} that was tried: the optimum may lie beyond it. Add values there.")
    if optimum is not None:
        low, high = min(optimum.values), max(optimum.values)
        if not low < optimum.value < high:
            lines.append(f"The optimum lies outside of the fitted values ({low:g} to {high:g}): it is a guess. Add values there.")
        elif not (low <= optimum.low and optimum.high <= high):
            lines.append(f"The optimum's interval reaches beyond the fitted values ({low:g} to {high:g}). Add values there.")
    return lines


def read(key: str, best: PointFacts | None, optimum: OptimumFacts | None, rules: Pin) -> str:
    """The curve's paragraph."""
    if best is None or best.mean is None:
        return f"{plain(shown(key))}: no value has a finished run yet."
    places = decimals((best.high - best.low) / 2) if best.low is not None and best.high is not None else 4
    told = f"{plain(shown(key))}: best of the tried values {best.value:g}, {best.mean:.{places}f} {rules.unit} ({counted(best.n, 'seed')})."
    if optimum is None:
        return f"{told} No verdicts."
    axis = "log(value)" if optimum.scale == "log" else "the value"
    at_alpha = level_name(rules).partition(" (")[0]  # a curve is looked at once
    return (
        f"{told} Optimum of a parabola in {axis}: {optimum.value:.3g}, {at_alpha} {optimum.low:.3g} to {optimum.high:.3g} "
        f"({seed_list(optimum.seeds)}). No verdicts."
    )
