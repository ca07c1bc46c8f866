"""The studies of a report: by which rules the arms of each are judged, and how much is known of it. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.results.lineup import Lineup
from lab.results.pin import Pin
from lab.results.smallest_effect import SmallestEffect
from lab.store.declaration import JUDGED, Declaration


@dataclass(frozen=True)
class Study:
    """A family: what Holm corrects over, and what was fixed for it before its data."""

    name: str
    question: str
    declared: bool
    by_hand: bool
    arms: int  # declared or ever asked for
    doubtful: bool  # its declaration can't be read or is gone: the family may be larger, and the rules are the pin's
    rules: Pin
    effect: SmallestEffect
    own: bool  # its looks or its D aren't the pin's
    design: str  # arms with verdicts, or the cells of a factorial or a curve
    asked_before: int  # requests that were there before its looks and D were declared: then the pin's stand


def rules_of(pin: Pin, declaration: Declaration | None) -> Pin:
    """The pin with a declared study's looks and smallest effect in the place of its own, where these were fixed before its data."""
    if declaration is None or declaration.asked_before:
        return pin
    looks, effect = declaration.looks, declaration.smallest_effect
    return replace(
        pin, looks=pin.looks if looks is None else looks, smallest_effect=pin.smallest_effect if effect is None else float(effect)
    )


def effect_of(rules: Pin, pin: Pin, effect: SmallestEffect) -> SmallestEffect:
    """D under a study's rules: its own, or the baseline's in this cohort."""
    if rules.smallest_effect is None or rules.smallest_effect == pin.smallest_effect:
        return effect
    return SmallestEffect(rules.smallest_effect, "declared with its study")


def studies_of(lineup: Lineup, pin: Pin, effect: SmallestEffect) -> tuple[Study, ...]:
    """Every study under the pin, by name."""
    found = []
    for name, family in sorted(lineup.families.items()):
        declaration = lineup.declarations.get(name)
        rules = rules_of(pin, declaration)
        found.append(
            Study(
                name=name,
                question=declaration.question if declaration else "",
                declared=declaration is not None,
                by_hand=declaration is not None and declaration.by_hand,
                arms=len(family),
                doubtful=name in lineup.doubtful_families,
                rules=rules,
                effect=effect_of(rules, pin, effect),
                own=rules != pin,
                design=declaration.design if declaration else JUDGED,
                asked_before=declaration.asked_before if declaration else 0,
            )
        )
    return tuple(found)
