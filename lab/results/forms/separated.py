"""The report as CSV (RFC 4180): one row per arm and cohort, every number of the arm at full precision. Holds no row per seed.

A factorial's effects and a curve's values have a row each too, in the arms' columns; the last column tells which is which.

The columns follow `ArmFacts`: a nested record's fields stand behind its name (`stability_arm`), and lists are left out; JSON has them.
Text is on one line. A text that a spreadsheet would take for a formula (it starts with = + - or @) gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from lab.results.facts import ArmFacts, Facts, SectionFacts
from lab.store.plain import plain

WHERE = ("schema", "baseline", "lock", "metric", "unit", "direction", "cohort", "cohort_title", "here", "smallest_effect", "alpha", "looks")
FORMULA = ("=", "+", "-", "@")
OF_EFFECTS = ("verdict", "reading", "look", "n", "difference", "low", "high", "decimals", "p", "family", "spread", "detectable", "stop")


def to_csv(facts: Facts) -> str:
    """A line of names, then a line per arm; lines end as RFC 4180 has it."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(columns())
    for section in facts.sections:
        for values in rows(facts, section):
            writer.writerow(cell(values[name]) for name in columns())
    return stream.getvalue()


def columns() -> tuple[str, ...]:
    """Every column, in order, whatever the arms hold."""
    return (*WHERE, *flat(ArmFacts, None), "kind")


def rows(facts: Facts, section: SectionFacts) -> Iterator[dict[str, Any]]:
    """A section's arms, then the effects of its factorials, then the values of its curves."""
    for arm in section.arms:
        yield {**where(facts, section, arm.study), **flat(ArmFacts, arm), "kind": "arm"}
    nothing = flat(ArmFacts, None)
    for factorial in section.factorials:
        for effect in factorial.effects:
            told = {name: getattr(effect, name) for name in OF_EFFECTS}
            told |= {"label": effect.name, "study": factorial.study, "said": effect.said, "kind": effect.kind}
            yield {**where(facts, section, factorial.study), **nothing, **told}
    for curve in section.value_curves:
        for point in curve.points:
            told = {"label": f"{curve.key}={point.value!r}", "study": curve.study, "kind": "value"}
            told |= {name: getattr(point, name) for name in ("n", "mean", "low", "high")}
            yield {**where(facts, section, curve.study), **nothing, **told}


def where(facts: Facts, section: SectionFacts, of: str) -> dict[str, Any]:
    """What the arms of a study were judged against and by which rules: its own."""
    study = next((each for each in section.studies if each.name == of), None)
    rules = facts.rules if study is None else study.rules
    effect = section.smallest_effect if study is None else study.smallest_effect
    place = (section.cohort, section.title, section.here, effect, rules.alpha, " ".join(map(str, rules.looks)))
    told = (facts.schema, rules.baseline, rules.lock, rules.metric, rules.unit, rules.direction, *place)
    return dict(zip(WHERE, told, strict=True))


def flat(kind: type, value: Any, prefix: str = "") -> dict[str, Any]:
    """The scalars of a record by column; of a record that isn't there, the columns alone."""
    found: dict[str, Any] = {}
    for name, hint in leaves(kind):
        inner = None if value is None else getattr(value, name)
        if is_dataclass(hint):
            found |= flat(hint, inner, f"{prefix}{name}_")
        else:
            found[f"{prefix}{name}"] = inner
    return found


def leaves(kind: type) -> Iterator[tuple[str, type]]:
    """The fields of a record with their types, None aside; lists left out."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        parts = [part for part in (get_args(hints[field.name]) or (hints[field.name],)) if part is not NoneType]
        if get_origin(hints[field.name]) is not tuple:
            yield field.name, parts[0]


def cell(value: Any) -> str:
    """Nothing is empty; a number as Python writes it, so that it reads back the same to the bit; text guarded."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    text = plain(value)
    return f"'{text}" if text.startswith(FORMULA) else text
