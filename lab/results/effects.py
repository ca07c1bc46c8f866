"""Main effects and two-way interactions of a declared factorial, judged like arms: looks, the paired t, Holm over all of its effects.

An effect is a contrast of cells, and each seed gives it one value: seeds, not cells, are what is repeated. A main effect is the mean,
over all levels of the other factors, of a level minus the baseline's level; an interaction is by how much one such difference moves
with the other factor. A seed at which a cell of it diverged gives no value, and bars a plain word, as for an arm. So does a cell that was
asked for before the factorial was declared (picked.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum

from lab.results.cells import Cells, Levels, cell_runs, common_seeds, has, lost, value, waiting
from lab.results.contrasts import INTERACTION, MAIN, Contrast, contrasts
from lab.results.evidence import nominal_p
from lab.results.facts_of_cells import CellFacts, EffectFacts, FactorFacts, FactorialFacts
from lab.results.pairs import Pair, mean, stable_values
from lab.results.picked import Picked
from lab.results.pin import Pin
from lab.results.planning import chance_of_decision, detectable_effect
from lab.results.reading import HOPELESS
from lab.results.record import Request
from lab.results.sequential import holm, level_in_force, sequential_p
from lab.results.statistics import Paired, paired
from lab.results.verdict import conclude_quality, inside
from lab.results.wording import contains_zero, counted, decimals_of, difference, interval, level_name, p_value, seed_list, shown, size
from lab.store.declaration import Factor
from lab.store.plain import plain

AS_INTERACTION = {"better": "interaction", "worse": "interaction", "no difference": "no interaction"}
OPEN = ("before the first look", "cannot tell")
MOST_NAMED = 3  # cells in a sentence
DECIMALS = 4  # of a difference that isn't there


@dataclass(frozen=True)
class Judged:
    """One effect with all that its verdict stands on."""

    contrast: Contrast
    look: int | None
    pairs: tuple[Pair, ...]  # the weighted sums of both signs at each judged seed; None where a cell diverged
    lost: bool  # whether a cell of it diverged on any pinned seed
    estimate: Paired | None
    p: float | None  # sequential; corrected once all are there


def gather(contrast: Contrast, cells: Cells, rules: Pin) -> Judged:
    """An effect at its largest complete look. A seed is complete when every cell of the effect has an outcome on it."""
    mine = {levels: cells.arms[levels] for levels in contrast.weights}
    whole = [seed for seed in rules.seeds if all(has(arm, seed, rules.measure) for arm in mine.values())]
    pairs = {seed: weigh(contrast, cells, seed, rules) for seed in whole}
    complete = next((n for n, seed in enumerate(rules.seeds) if seed not in pairs), len(rules.seeds))
    looks = [n for n in rules.looks if n <= complete]
    look = looks[-1] if looks else None
    judged = tuple(pairs[seed] for seed in rules.seeds[: look or rules.looks[0]] if seed in pairs)
    up, down = stable_values(judged)
    level = level_in_force(rules.alpha, rules.looks)
    runs = [run for arm in mine.values() if arm for run in arm.runs.values() if run.seed in rules.seeds]
    diverged = any(run.status == "diverged" for run in runs) or any(not pair.stable for pair in pairs.values())
    nominal = nominal_p([pairs[seed] for seed in rules.seeds[:complete]], looks, level)
    p = sequential_p(list(nominal.values()), rules.looks) if nominal and not diverged else None
    return Judged(contrast, look, judged, diverged, paired(up, down, level) if up else None, p)


def weigh(contrast: Contrast, cells: Cells, seed: int, rules: Pin) -> Pair:
    """The sums of the cells with a positive and with a negative weight, as a pair of which the difference is the effect."""
    values = {levels: value(cells.arms[levels], seed, rules.measure) for levels in contrast.weights}
    known = [(abs(weight) * found, weight) for levels, weight in contrast.weights.items() if (found := values[levels]) is not None]
    whole = len(known) == len(values)
    # summed exactly: the same cells on both sides cancel in whatever order they come
    up, down = (fsum(part for part, weight in known if sign * weight > 0) if whole else None for sign in (1, -1))
    return Pair(seed, up, down, same_bits=True, same_weights=False, not_paired=(), told=True)


def corrected(effects: Sequence[Judged], family: int) -> list[Judged]:
    """Holm over all declared effects, or over the larger family that their cells were picked from; one without a p counts as 1."""
    known = [each.p for each in effects if each.p is not None]
    adjusted = iter(holm(known, family))
    return [each if each.p is None else replace(each, p=next(adjusted)) for each in effects]


def conclude(effect: Judged, rules: Pin, smallest_effect: float | None, early: bool) -> str:
    """The first rule that holds; the words of an arm, and of an interaction its own. `early`: cells were there before the declaration."""
    estimate = effect.estimate
    if estimate is not None and not effect.lost and effect.pairs and all(pair.arm == pair.baseline for pair in effect.pairs):
        return "identical"
    if effect.look is None:
        return "before the first look"
    if effect.lost or early or estimate is None or estimate.low is None or estimate.high is None:
        return "cannot tell"
    word = conclude_quality(estimate.mean, estimate.low, estimate.high, effect.p, rules, smallest_effect)
    return AS_INTERACTION.get(word, word) if effect.contrast.kind == INTERACTION else word


def tell_factorial(cells: Cells, rules: Pin, smallest_effect: float | None, asked: Iterable[Request], picked: Picked) -> FactorialFacts:
    """A factorial's effects and cells; without effects where its declaration doesn't leave just the baseline's cell."""
    factors, base = cells.declaration.factors, cells.base
    effects = [gather(each, cells, rules) for each in contrasts(factors, base)] if base is not None else []
    told = [tell(each, rules, smallest_effect, picked) for each in corrected(effects, picked.family)]
    found = {each.name for each in told if each.said == "interaction"}
    seeds = common_seeds(cells.arms.values(), rules)
    least = min((each.look or 0 for each in told if not each.stop), default=None)  # of those that more seeds may settle
    following = None if least is None else next((n for n in rules.looks if n > least), None)
    return FactorialFacts(
        study=cells.declaration.name,
        factors=tuple(tell_factor(factor, place, base) for place, factor in enumerate(factors)),
        effects=tuple(replace(each, reading=f"{each.reading}{depends(each, found)}") for each in told),
        cells=tuple(tell_cell(cells, levels, rules, seeds) for levels in cells.labels),
        notes=tuple(lost(cells, rules)),
        next=waiting(cells, rules, following, asked) if following is not None else None,
    )


def tell_factor(factor: Factor, place: int, base: Levels | None) -> FactorFacts:
    own = base[place] if base is not None else ""
    return FactorFacts(factor.key, own, tuple(level for level in factor.levels if level != own))


def tell_cell(cells: Cells, levels: Levels, rules: Pin, seeds: Sequence[int]) -> CellFacts:
    arm = cells.arms[levels]
    runs = cell_runs(arm, rules.measure)
    values = [run.value for run in runs if run.seed in seeds and run.value is not None]
    return CellFacts(cells.labels[levels], arm.arm_id if arm else "", levels, len(values), mean(values), runs)


def tell(effect: Judged, rules: Pin, smallest_effect: float | None, picked: Picked) -> EffectFacts:
    """One effect in facts, with its sentence."""
    estimate, word = effect.estimate, conclude(effect, rules, smallest_effect, bool(picked.early))
    level = level_in_force(rules.alpha, rules.looks)
    spread, last = estimate.spread if estimate else None, rules.looks[-1]
    bare = estimate is None or spread is None or effect.look is None or effect.lost
    chance = None
    if not bare and estimate is not None and spread is not None and effect.look is not None and effect.look < last:
        chance = chance_of_decision(estimate.n, estimate.mean, spread, last, level, smallest_effect)
    return EffectFacts(
        name=effect.contrast.name,
        kind=effect.contrast.kind,
        verdict=word,
        said=(said := tagged(word, estimate, smallest_effect)),
        reading=read(effect, word, said, rules, smallest_effect, picked),
        look=effect.look,
        n=estimate.n if estimate else 0,
        left_out=tuple(pair.seed for pair in effect.pairs if not pair.stable),
        difference=estimate.mean if estimate else None,
        low=estimate.low if estimate and effect.look is not None else None,
        high=estimate.high if estimate and effect.look is not None else None,
        decimals=decimals_of(estimate) if estimate else DECIMALS,
        p=effect.p,
        family=picked.family,
        spread=spread,
        detectable=None if bare or spread is None or estimate is None else detectable_effect(estimate.n, level) * spread,
        stop=why_to_stop(effect, word, chance, last, picked),
    )


def why_to_stop(effect: Judged, word: str, chance: float | None, last: int, picked: Picked) -> str:
    """Why more seeds won't change the word; empty where they may."""
    if word not in OPEN:
        return "decided"
    if effect.lost:
        return "diverged"
    if picked.early and effect.look is not None:
        return "declared late"
    if effect.look == last:
        return "last look"
    return "chance" if chance is not None and chance < HOPELESS else ""


def tagged(word: str, estimate: Paired | None, smallest_effect: float | None) -> str:
    """The word, with the tag of an arm where the whole effect is smaller than D."""
    small = estimate is not None and inside(estimate.low, estimate.high, smallest_effect)
    return f"{word}, negligible" if small and word in ("better", "worse", "interaction") else word


def read(effect: Judged, word: str, said: str, rules: Pin, smallest_effect: float | None, picked: Picked) -> str:
    """One effect's sentences."""
    estimate, kind = effect.estimate, "interaction" if effect.contrast.kind == INTERACTION else "main effect"
    opening = f"{plain(shown(effect.contrast.name))} ({kind}): {said}."
    out = [pair.seed for pair in effect.pairs if not pair.stable]
    gone = f" Left out, since a cell of it diverged: {seed_list(out)}." if out else ""
    if effect.lost and not out:
        gone = " A cell of it diverged on another pinned seed."
    if word == "identical" and estimate is not None:
        return f"{opening} It is exactly 0 on each of {counted(estimate.n, 'seed')}: bit for bit the same sums."
    if effect.look is None or estimate is None:
        so_far = f": {difference(estimate, rules)} so far, no verdict" if estimate else ""
        return f"{opening} {len(effect.pairs)} of {counted(rules.looks[0], 'seed')} in all of its cells{so_far}.{gone}"
    if estimate.low is None:
        return f"{opening} {difference(estimate, rules)} ({counted(estimate.n, 'seed')}), without any spread.{gone}"
    body = f"{difference(estimate, rules)}, {level_name(rules)} {interval(estimate)} ({counted(estimate.n, 'seed')}"
    family = (
        counted(picked.family, "effect") if not picked.study else f"{picked.family} as in study {plain(picked.study)}, that knew its cells"
    )
    body += f"; Holm p {p_value(effect.p, 'not given')} over {family})"
    return f"{opening} {body}{'' if picked.early else why(word, estimate, smallest_effect)}.{gone}{found_early(picked)}"


def found_early(picked: Picked) -> str:
    """Which of its cells were asked for before the factorial was declared: then its effects get no plain word."""
    if not picked.early:
        return ""
    more = f" and {counted(len(picked.early) - MOST_NAMED, 'other cell')}" if len(picked.early) > MOST_NAMED else ""
    return f" No plain word: {plain(', '.join(map(shown, picked.early[:MOST_NAMED])))}{more} had been asked for before this was declared."


def why(word: str, estimate: Paired, smallest_effect: float | None) -> str:
    """What an interval says against zero and D."""
    if word in ("no difference", "no interaction"):
        return f": smaller than D = {size(smallest_effect)} either way"
    if word != "cannot tell":
        return ""
    return "; it includes zero" if contains_zero(estimate) else "; it excludes zero, and the corrected p doesn't confirm that"


def depends(effect: EffectFacts, interactions: Iterable[str]) -> str:
    """A main effect that moves with another factor is an average of unlike differences, and must not be read alone."""
    mine = [name for name in interactions if effect.kind == MAIN and effect.name in name.split(" x ")]
    return f" It depends on another factor ({plain('; '.join(map(shown, sorted(mine))))}): read the cells." if mine else ""
