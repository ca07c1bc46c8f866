"""What goes into a design and what comes out of it: the words of a sweep, and the arms or cells that they make. Composes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.ablate.rule import Tally
from lab.config.diff import say
from lab.store.declaration import JUDGED, DeclaredArm, Factor
from lab.sweep.arms import hooks_as_typed


@dataclass(frozen=True)
class Words:
    """The words of a sweep, without its seeds and without how it is carried out."""

    fixed: list[str]
    listed: dict[str, list[str]]
    arms: str | None = None  # the file that lists them

    def of(self, key: str) -> list[str]:
        """All values of a key, listed or alone."""
        alone = [each.partition("=")[2] for each in self.fixed if each.partition("=")[0] == key]
        return alone or self.listed.get(key, [])

    def without(self, key: str) -> Words:
        fixed = [each for each in self.fixed if each.partition("=")[0] != key]
        return Words(fixed, {name: values for name, values in self.listed.items() if name != key}, self.arms)


@dataclass(frozen=True)
class Laid:
    """What a sweep tries: the baseline first, then each arm or cell once, all checked."""

    tallies: tuple[Tally, ...]
    cells: tuple[dict[str, Any], ...] = ()  # of each tally what it is in a factorial or a curve, as `job_of` takes it; none for arms
    grid: int = 0  # arms that the full grid of the listed values would have, where it isn't tried


def cell(design: str, levels: Mapping[str, str], beside: Sequence[str] = ()) -> dict[str, Any]:
    """A cell as its requests tell it; `beside`: what goes with every value of its curve."""
    return {"design": design, "levels": dict(levels)} | ({"beside": list(beside)} if beside else {})


def level_of(tally: Tally, key: str, typed: str = "") -> str:
    """The level of a factor, in one spelling however it was typed: `1e-3` and `0.001` are one."""
    composition = tally.composition
    if key == "hooks":
        return hooks_as_typed(list(composition.hooks))
    if key in composition.leaves:
        return say(composition.leaves[key])
    return composition.choices.get(key, typed)


def design_of(cells: Iterable[Mapping[str, Any]]) -> str:
    """The design that these cells belong to; that of arms where they are none."""
    return next((str(each["design"]) for each in cells if each), JUDGED)


def factors_of(cells: Sequence[Mapping[str, Any]]) -> tuple[Factor, ...]:
    """The factors that these cells cross, each with its levels in the order of the cells: the baseline's comes first, as its cell does."""
    keys = dict.fromkeys(key for each in cells if each for key in each["levels"])
    beside = next((tuple(each["beside"]) for each in cells if "beside" in each), ())
    return tuple(Factor(key, tuple(dict.fromkeys(each["levels"][key] for each in cells if each)), beside) for key in keys)


def declared_arm(label: str, change_id: str, cell: Mapping[str, Any]) -> DeclaredArm:
    """An arm of a plan as its study declares it."""
    return DeclaredArm(label, change_id, levels=tuple(cell["levels"].values()) if cell else ())
