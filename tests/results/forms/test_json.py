"""The report as JSON: nothing is lost on the way, and every field stands in the page that explains it."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from lab.results import facts as schema
from lab.results.facts import SCHEMA, Facts
from lab.results.forms.as_json import to_json
from tests.docs_examples.page import DOCS

from . import worlds


def rebuilt(kind: Any, value: Any) -> Any:
    """A value of JSON as the schema's own type has it."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        assert set(value) == {field.name for field in fields(kind)}
        return kind(**{name: rebuilt(hints[name], inner) for name, inner in value.items()})  # type: ignore[operator]
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None else rebuilt(get_args(kind)[0], value)
    if get_origin(kind) is tuple:
        return tuple(rebuilt(get_args(kind)[0], inner) for inner in value)
    if get_origin(kind) is dict:
        return {key: rebuilt(get_args(kind)[1], inner) for key, inner in value.items()}
    assert isinstance(value, int if kind is float and isinstance(value, int) else kind)
    return value


@pytest.mark.parametrize("world", [worlds.every_verdict, worlds.two_cohorts, worlds.hostile, worlds.empty])
def test_a_round_trip_gives_the_same_facts(world: Callable[[], Facts]) -> None:
    assert rebuilt(Facts, json.loads(to_json(world()))) == world()


def test_the_schema_version_stands_first() -> None:
    assert to_json(worlds.empty()).startswith(f'{{\n "schema": {SCHEMA},\n')


def test_a_name_that_is_no_text_does_not_break_the_file() -> None:
    odd = replace(worlds.arm("hooks=\udc80 \u2028"), reading="é")
    text = to_json(worlds.facts(worlds.section(odd)))
    assert text.isascii()
    assert json.loads(text)["sections"][0]["arms"][0]["label"] == odd.label


def test_a_number_that_is_not_finite_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_json(worlds.facts(worlds.section(worlds.arm("hooks=ema", p=float("nan")))))


@pytest.mark.parametrize("kind", [each for each in vars(schema).values() if is_dataclass(each)])
def test_the_page_explains_every_field_and_no_other(kind: type) -> None:
    rows = re.findall(rf"^\| {kind.__name__} \|([^|]*)\|", (DOCS / "the-report.md").read_text(), flags=re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(field.name for field in fields(kind))
