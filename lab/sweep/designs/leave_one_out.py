"""Leave one out: from a baseline with many hooks each hook is taken away in turn, or each of those that `hooks=a,b` names.

What an ingredient is worth among all the others, where one factor at a time tells what it's worth alone. Observing hooks stay.
"""

from __future__ import annotations

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words as spelling
from lab.config.compose import Composer
from lab.config.identity import role_of
from lab.config.ranges import nearest
from lab.errors import ConfigError
from lab.sweep.arms import distinct, hooks_as_typed, refuse_single_values
from lab.sweep.designs.laid import Laid, Words


def lay(composer: Composer, words: Words) -> Laid:
    """The baseline, and an arm without each hook that is to go. Raises LabError where there is nothing to leave out of."""
    rest = words.without("hooks")
    if rest.listed:
        raise ConfigError(
            f"{', '.join(rest.listed)} can't be listed with hydra.sweeper.design=leave_one_out: its arms are the baseline's hooks\n"
            f"leave the list out, or the design"
        )
    start = count_changes(composer, tuple(rest.fixed))
    refuse_single_values(start, rest.listed)
    there = list(start.composition.hooks)
    counted = [name for name in there if role_of(f"hooks.{name}.x", start.composition.hooks) == "factor"]
    if len(counted) < 2:
        raise ConfigError(
            f"baseline `{start.pin.name}` has {len(counted) or 'no'} hook{'s' * (len(counted) != 1)} to leave out, and "
            f"leave_one_out needs two or more\n"
            f"pin a baseline that has them: python -m lab pin NAME {spelling.shell('hooks=[grad_clip,ema]')}\n"
            f"then: python run.py --multirun hydra.sweeper.design=leave_one_out baseline=NAME"
        )
    wanted = chosen(words, counted, start.pin.name)
    return Laid(tuple(distinct([start, *(without(composer, rest, there, name) for name in wanted)])))


def chosen(words: Words, counted: list[str], baseline: str) -> list[str]:
    """The hooks to leave out: all, or those that were named. Raises ConfigError for one that the baseline hasn't."""
    named = list(dict.fromkeys(name.strip() for value in words.of("hooks") for name in value.strip("[]").split(",") if name.strip()))
    for name in named:
        if name not in counted:
            raise ConfigError(
                f"hooks={name}: baseline `{baseline}` has no such hook to leave out{nearest(name, counted)}\nit has {', '.join(counted)}"
            )
    return named or counted


def without(composer: Composer, words: Words, there: list[str], name: str) -> Tally:
    tally = count_changes(composer, (*words.fixed, f"hooks={hooks_as_typed([each for each in there if each != name])}"))
    require_one_change(tally)
    return tally
