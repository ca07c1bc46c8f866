"""A curve: one number at many values, for the shape of the metric over it and for its optimum. Its points get no verdicts.

What is typed beside the values goes with each of them (`hooks=grad_clip hooks.grad_clip.max_norm=...`): a point is one change too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from lab.ablate.rule import Tally, count_changes
from lab.config.compose import Composer
from lab.errors import ConfigError
from lab.store.declaration import CURVE
from lab.sweep.arms import distinct, factor_hash, judge_values, refuse_single_values
from lab.sweep.designs.laid import Laid, Words, cell, level_of
from lab.sweep.listed import makes_an_arm

FEWEST, MOST = 4, 64  # values: a quadratic has three parameters, and one more value tells whether it fits
EXAMPLE = "trainer.optimizer.lr=1e-4,3e-4,1e-3,3e-3"


def lay(composer: Composer, words: Words) -> Laid:
    """The baseline and a point for each value; the baseline is a point too, where it has a value of this key. Raises LabError."""
    if len(words.listed) != 1:
        found = f"found {', '.join(words.listed)}" if words.listed else "none is listed"
        raise ConfigError(f"hydra.sweeper.design=curve follows one key over its values: {found}\nlist one: {EXAMPLE}")
    key, values = next(iter(words.listed.items()))
    neutral = [
        each for each in words.fixed if each.startswith("baseline=") or not makes_an_arm(each.partition("=")[0].lstrip("+"), composer)
    ]
    start = count_changes(composer, tuple(neutral))
    refuse_single_values(start, words.listed)
    points = judge_values(composer, words.fixed, key, values)
    by_value = {number(each, key, typed): each for each, typed in zip(points, values, strict=True)}
    kept = distinct([start, *by_value.values()])
    made = {factor_hash(each) for each in by_value.values()}
    if len(made) < len(by_value):
        raise ConfigError(f"{key}: some of its values make the same run\nleave out what changes nothing")
    beside = said_beside(start, points[0], [each for each in words.fixed if each not in neutral])
    own = is_number(start.composition.leaves.get(key)) and (not beside or factor_hash(start) in made)
    cells = [cell(CURVE, {key: level_of(each, key)}, beside) if each is not start or own else {} for each in kept]
    if not FEWEST <= (count := sum(map(bool, cells))) <= MOST:
        told = f"{count} different value{'s' * (count != 1)}"
        raise ConfigError(f"{key}: a curve has {FEWEST} to {MOST} values, and this one has {told}\nfor example {EXAMPLE}")
    return Laid(tuple(kept), tuple(cells))


def said_beside(start: Tally, point: Tally, typed: Sequence[str]) -> list[str]:
    """What these words set in every point, in one spelling; a word that says what the baseline has says nothing."""
    keys = {word.partition("=")[0].lstrip("+"): word.partition("=")[2] for word in typed}
    levels = {key: level_of(point, key, value) for key, value in keys.items()}
    return sorted(f"{key}={level}" for key, level in levels.items() if level != level_of(start, key))


def number(tally: Tally, key: str, typed: str) -> float:
    """The value of the key in this point. Raises ConfigError where it is no number."""
    value = tally.composition.leaves.get(key)
    if not is_number(value):
        raise ConfigError(f"{key}={typed}: a curve is over numbers\nfor options or words leave the design out: each is an arm")
    return float(value)  # type: ignore[arg-type]  # is_number


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
