"""What a single value may be: within limits, or among words, and how an option file says so. One message each; knows no key by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from lab.config.diff import say
from lab.errors import ConfigError

RANGE = "_range_"  # in an option file: what its keys may be, `{lr: [0, 10], path: [fused, written]}`; never part of a composition
FORM = "write _range_: {KEY: [LOW, HIGH]} (numbers, null: no end) or _range_: {KEY: [WORD, WORD]}, as the last line of a component's node"


def check_ranges(tree: Mapping[str, Any], file: str) -> None:
    """Each `_range_` of an option file stands in a component's node, names keys of it, and has one of its two forms. Raises ConfigError."""
    for value in tree.values():
        if isinstance(value, Mapping):
            check_ranges(value, file)
    if RANGE not in tree:
        return
    ranges, keys = tree[RANGE], [key for key in tree if key not in (RANGE, "_target_")]
    require("_target_" in tree, f"{file}: a {RANGE} stands where no component is (no `_target_` beside it)\n{FORM}")
    if not isinstance(ranges, Mapping):
        raise ConfigError(f"{file}: {RANGE} is {say(ranges)!r}, but must be a mapping\n{FORM}")
    for key, allowed in ranges.items():
        require(
            key in keys,
            f"{file}: {RANGE} names {key}, which isn't there{nearest(str(key), keys)}\nkeys: {', '.join(keys) or 'none'}; {FORM}",
        )
        require(is_limits(allowed) or is_words(allowed), f"{file}: the {RANGE} of {key} is {say(allowed)!r}\n{FORM}")


def is_limits(allowed: Any) -> bool:
    """Two numbers, the lower first; null is no limit."""
    if not isinstance(allowed, list) or len(allowed) != 2:
        return False
    if not all(each is None or (isinstance(each, (int, float)) and not isinstance(each, bool)) for each in allowed):
        return False
    return None in allowed or bool(allowed[0] <= allowed[1])


def is_words(allowed: Any) -> bool:
    return isinstance(allowed, list) and bool(allowed) and all(isinstance(each, str) and "${" not in each for each in allowed)


def check_range(path: str, value: Any, allowed: list[Any] | None) -> None:
    """A component's value lies where its option file allows it; each entry of a list does. Null and keys without a range pass."""
    if allowed is None or value is None:
        return
    if isinstance(value, list):
        for number, each in enumerate(value):
            check_range(f"{path}[{number}]", each, allowed)
    elif all(isinstance(word, str) for word in allowed):
        require(value in allowed, f"{path}={say(value)}: allowed are {', '.join(allowed)}{nearest(str(value), allowed)}")
    else:
        require(isinstance(value, (int, float)) and not isinstance(value, bool), f"{path} is {say(value)!r}, but must be a number")
        check_limits(path, value, allowed[0], allowed[1])


def check_limits(path: str, value: float, low: float | None, high: float | None, unit: str = "") -> None:
    """A number within its limits, both included; None is no limit."""
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        span = f"at least {say(low)}" if high is None else f"at most {say(high)}" if low is None else f"from {say(low)} to {say(high)}"
        raise ConfigError(f"{path}={say(value)} is out of range: {span}{' ' + unit if unit else ''}")


def nearest(word: str, known: Any) -> str:
    """`: did you mean ...?` when something known is spelt alike, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f": did you mean {' or '.join(close)}?" if close else ""


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigError(otherwise)
