"""What a single value may be: within limits, or among words. Says it in one message; knows no key by name."""

from __future__ import annotations

import difflib
from typing import Any

from lab.config.diff import say
from lab.errors import ConfigError


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
