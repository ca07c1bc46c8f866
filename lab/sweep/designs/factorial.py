"""A full factorial: every combination of the listed levels, at each seed. It is there for effects and interactions, not for its cells.

Only here may a run make more than one change, and only since the whole grid is declared before its first run. Refuses factors that
don't cross: each level alone is one change, the baseline's level is among them, and no two cells are the same run.
"""

from __future__ import annotations

from itertools import product
from math import prod

from lab.ablate.refusal import require_cell
from lab.ablate.rule import Tally, count_changes
from lab.config import words as spelling
from lab.config.compose import Composer
from lab.errors import ConfigError
from lab.store.declaration import FACTORIAL
from lab.sweep.arms import distinct, factor_hash, judge_values, refuse_single_values
from lab.sweep.designs.laid import Laid, Words, cell, level_of

MOST_CELLS = 256
Levels = dict[str, str]  # as told -> as typed, the baseline's first


def lay(composer: Composer, words: Words) -> Laid:
    """The cells of the grid, the baseline's first. Raises LabError for levels that can't be crossed."""
    start = count_changes(composer, tuple(words.fixed))
    refuse_single_values(start, words.listed)
    if len(words.listed) < 2:
        found = f"only {next(iter(words.listed))} lists values" if words.listed else "none is listed"
        raise ConfigError(
            f"hydra.sweeper.design=factorial crosses two factors or more, and {found}\n"
            f"list the levels of each: hooks=none,grad_clip model/norm=layernorm,rmsnorm\n"
            f"for the levels of one factor leave the design out: each is an arm"
        )
    factors = {key: levels_of(composer, words, key, start) for key in sorted(words.listed)}
    count = prod(map(len, factors.values()))
    if count > MOST_CELLS:
        raise ConfigError(f"a factorial of {count} cells: {MOST_CELLS} is the most\ncross fewer factors, or give them fewer levels")
    made: dict[str, str] = {}
    tallies: list[Tally] = []
    cells = []
    for chosen in product(*factors.values()):
        levels = dict(zip(factors, chosen, strict=True))
        tally = count_changes(composer, (*words.fixed, *(f"{key}={factors[key][level]}" for key, level in levels.items())))
        require_cell(tally)
        name = " ".join(f"{key}={level}" for key, level in levels.items())
        if (other := made.setdefault(factor_hash(tally), name)) != name:
            raise ConfigError(f"{name} is the same run as {other}: these factors don't cross\ntry them one at a time, without the design")
        tallies.append(tally if tallies else start)
        cells.append(cell(FACTORIAL, levels))
    if factor_hash(start) not in list(made)[:1]:
        raise ConfigError("the baseline's levels together aren't the baseline: these factors don't cross\ntry them one at a time")
    return Laid(tuple(tallies), tuple(cells))


def levels_of(composer: Composer, words: Words, key: str, start: Tally) -> Levels:
    """The levels of one factor, the baseline's first and the others by name, so that the order of typing makes no other study."""
    judged = judge_values(composer, words.fixed, key, words.listed[key])
    kept = {factor_hash(each) for each in distinct(judged)}
    levels: Levels = {}
    for tally, typed in zip(judged, words.listed[key], strict=True):
        if factor_hash(tally) in kept:
            kept.discard(factor_hash(tally))
            levels[level_of(tally, key, typed)] = typed
    base = next((level for level, typed in levels.items() if not judged[words.listed[key].index(typed)].changes), None)
    if base is None:
        its = level_of(start, key) or "its own"
        listed = spelling.shell(f"{key}={','.join([its, *levels])}")
        raise ConfigError(f"{key}: the baseline's level ({its}) isn't listed, so nothing tells the effect of the others\nlist it: {listed}")
    if len(levels) < 2:
        raise ConfigError(f"{key}: a factor has two levels or more, and {base} alone is listed\nlist another one: {key}={base},OTHER")
    return {base: levels[base], **{level: levels[level] for level in sorted(levels) if level != base}}
