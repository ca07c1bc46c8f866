"""The effects of a factorial as weights of its cells. Knows no run and no statistics.

A main effect is the mean, over all levels of the other factors, of a level minus the baseline's level; an interaction is by how much
one such difference moves with the other factor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from lab.store.declaration import Factor

MAIN, INTERACTION = "main", "interaction"
Levels = tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """One effect as weights of cells; those of each sign add up to 1, or to 2 in an interaction."""

    name: str
    kind: str
    weights: Mapping[Levels, float]


def contrasts(factors: Sequence[Factor], base: Levels) -> list[Contrast]:
    """All main effects, then all two-way interactions: each level against the baseline's."""
    others = [[level for level in factor.levels if level != own] for factor, own in zip(factors, base, strict=True)]
    single = [(place, level) for place, levels in enumerate(others) for level in levels]
    found = [Contrast(named(factors, [each]), MAIN, weights(factors, base, [each])) for each in single]
    for one, other in combinations(single, 2):
        if one[0] != other[0]:
            found.append(Contrast(named(factors, [one, other]), INTERACTION, weights(factors, base, [one, other])))
    return found


def named(factors: Sequence[Factor], levels: Iterable[tuple[int, str]]) -> str:
    return " x ".join(f"{factors[place].key}={level}" for place, level in levels)


def weights(factors: Sequence[Factor], base: Levels, levels: Sequence[tuple[int, str]]) -> dict[Levels, float]:
    """+1 where an even number of these factors stands at the baseline's level, else -1, averaged over the other factors."""
    chosen = dict(levels)
    sides = [(base[place], chosen[place]) if place in chosen else factor.levels for place, factor in enumerate(factors)]
    cells = list(product(*sides))
    share = 2 ** len(levels) / len(cells)
    return {cell: share * (-1) ** sum(cell[place] == base[place] for place in chosen) for cell in cells}
