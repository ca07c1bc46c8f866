"""The arms that some words make: each composed, counted, and refused where it is more than one change. Reads no study, plans no run."""

from __future__ import annotations

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words
from lab.config.compose import Composer
from lab.config.diff import say
from lab.config.identity import of_role
from lab.errors import ConfigError, OneChangeError
from lab.files import sha256_of


def refuse_single_values(start: Tally, listed: dict[str, list[str]]) -> None:
    """A value given alone would move the baseline arm too, which is pinned."""
    if not start.changes and not start.incomparable:
        return
    if not start.changes or start.drifted or start.stale:
        require_one_change(start)
    if start.exploring:
        raise explores(start)
    first = start.changes[0]
    key, _, new = (first.typed or (f"{first.path}={say(first.new)}",))[0].partition("=")
    old = hooks_as_typed(list(start.pin.composition["hooks"])) if first.kind == "hook" else say(first.old)
    raise OneChangeError(
        f"refused: {key}={new} alone would change the baseline arm of the sweep, and `{start.pin.name}` is pinned\n"
        f"list it beside the baseline's to make it an arm: {words.shell(f'{key}={old},{new}')}\n"
        f"or pin a baseline that has it: python -m lab pin NAME {' '.join(words.shell(each) for each in start.composition.overrides)}"
    )


def judge_values(composer: Composer, fixed: list[str], key: str, values: list[str]) -> list[Tally]:
    """One tally for each listed value of a key. Raises ConfigError, OneChangeError for one that makes no arm."""
    tallies = [count_changes(composer, (*fixed, f"{key}={value}")) for value in values]
    for value, tally in zip(values, tallies, strict=True):
        require_one_change(tally)
        if tally.exploring:
            raise explores(tally)
        if key == "hooks" and not tally.changes and tally.composition.hooks.keys() - tally.base.hooks.keys():
            raise ConfigError(
                f"{key}={value} only watches, so it makes no arm\nto watch every run: leave it out of the list, and type it alone"
            )
    return tallies


def explores(tally: Tally) -> OneChangeError:
    return OneChangeError(f"refused: {tally.label} explores, and a sweep is for verdicts\nrun it alone, without --multirun")


def hooks_as_typed(names: list[str]) -> str:
    """A list of hooks as a value of `hooks=`."""
    return "none" if not names else names[0] if len(names) == 1 else f"[{','.join(names)}]"


def distinct(tallies: list[Tally]) -> list[Tally]:
    """The baseline first, then each arm once, in the order in which they were listed."""
    kept: dict[str, Tally] = {}
    for tally in tallies:
        kept.setdefault(factor_hash(tally), tally)
    return list(kept.values())


def factor_hash(tally: Tally) -> str:
    return sha256_of(of_role("factor", tally.composition.resolved))
