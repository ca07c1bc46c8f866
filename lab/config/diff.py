"""Leaves of a composition, and the record of one change. Pure data in, data out.

A leaf is a path (`model.norm.eps`) and a plain value; a list is one leaf. Values that are equal in Python are equal here,
so `1e-3` is `0.001`, and the schema has made `1` a float where a float belongs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Container = Mapping[str, Any]

ABSENT = "(absent)"


@dataclass(frozen=True)
class Move:
    """One leaf that differs: its path and both resolved values (`ABSENT` where a side lacks it)."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """One difference from the baseline, as the rule counts them, and the leaves that it moves."""

    kind: str  # group, leaf, hook, named, drift
    path: str
    old: Any
    new: Any
    source: str
    moves: tuple[Move, ...] = field(default=())
    typed: tuple[str, ...] = field(default=())  # the overrides that make just this change

    def record(self) -> dict[str, Any]:
        """As requests.jsonl keeps it."""
        return asdict(self)


def flatten(container: Container, prefix: str = "") -> dict[str, Any]:
    """Every leaf by its path. An empty node has no leaf."""
    found: dict[str, Any] = {}
    for key, value in container.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flatten(value, path + ".")
        else:
            found[path] = value
    return found


def moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Move]:
    """The leaves that differ between two flattened compositions, in the order of their paths."""
    paths = sorted(old.keys() | new.keys())
    pairs = ((path, old.get(path, ABSENT), new.get(path, ABSENT)) for path in paths)
    return [Move(path, before, after) for path, before, after in pairs if not same(before, after)]


def same(a: Any, b: Any) -> bool:
    """Equal as settings: True isn't 1, but 1.0 is 1."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def node(container: Container, path: str) -> Any:
    """What stands at a path, or None."""
    here: Any = container
    for key in path.split("."):
        if not isinstance(here, Mapping) or key not in here:
            return None
        here = here[key]
    return here


def say(value: Any) -> str:
    """A value as a person would type it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(say(each) for each in value) + "]"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
