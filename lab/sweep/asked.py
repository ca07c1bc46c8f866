"""What the words of a sweep ask for: the baseline and its arms, composed and counted; the seeds; and what its study is declared with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.ablate.rule import Tally
from lab.config import words
from lab.config.compose import Composer
from lab.config.options import STUDIES
from lab.errors import ConfigError
from lab.sweep.declared import family_of, read_study
from lab.sweep.designs import DESIGNS
from lab.sweep.designs.laid import Words
from lab.sweep.listed import refuse_study_of_a_verb, sort_words
from lab.sweep.manner import Manner, read_manner

UNNAMED = "screening"  # where single runs fall that name no study


@dataclass(frozen=True)
class Asked:
    """What a sweep is to try: the baseline first, then each arm once, all checked; and what its study was declared with."""

    tallies: tuple[Tally, ...]
    seeds: tuple[int, ...] = ()  # none: those of the first look
    study: str = ""  # none: named after its arms
    question: str = ""
    by_hand: bool = False  # declared in conf/study
    looks: tuple[int, ...] | None = None  # None, here and below: the pin's own
    smallest_effect: float | None = None
    cells: int = 0  # arms that the full grid of the listed values would have
    places: tuple[dict[str, Any], ...] = ()  # of each tally what it is in a factorial or a curve; empty where they are arms
    manner: Manner = field(default_factory=Manner)

    @property
    def placed(self) -> list[tuple[Tally, dict[str, Any]]]:
        """Each arm or cell with what `job_of` is told of it."""
        return list(zip(self.tallies, self.places or [{} for _ in self.tallies], strict=True))


def ask(composer: Composer, typed: Sequence[str]) -> Asked:
    """What the words of a sweep ask for. Raises LabError for an arm that makes no fair comparison."""
    manner, rest = read_manner(typed)
    fixed, listed, seeds = sort_words(rest, composer)
    named = words.study_of(fixed)
    refuse_study_of_a_verb(named)
    declared = read_study(composer, named) if named is not None else None
    if declared is not None:
        if manner.design != Manner.design:
            raise ConfigError(
                f"hydra.sweeper.design={manner.design} makes arms, and those of study={declared.name} stand in {declared.file}\n"
                f"leave one of the two out"
            )
        if listed:
            raise ConfigError(
                f"{', '.join(listed)} can't be listed beside study={declared.name}: its arms stand in {declared.file}\n"
                f"add them there before its first run, or leave the study out"
            )
        return Asked(
            tuple(family_of(composer, declared, fixed)),
            tuple(seeds),
            declared.name,
            declared.question,
            by_hand=True,
            looks=declared.looks,
            smallest_effect=declared.smallest_effect,
            manner=manner,
        )
    if named is not None and os.path.lexists(composer.conf / STUDIES / f"{named}.yaml"):
        raise ConfigError(f"conf/{STUDIES}/{named}.yaml isn't a plain file that can be read\nput one in its place, or remove it")
    laid = DESIGNS[manner.design].lay(composer, Words(fixed, listed, manner.arms))
    return Asked(laid.tallies, tuple(seeds), named or "", cells=laid.grid, places=laid.cells, manner=manner)
