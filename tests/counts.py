"""Counts of calls, for promises of the kind "once per plan": seconds on a shared machine prove nothing."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


def calls(act: Callable[[], object], *functions: Callable[..., Any]) -> dict[str, int]:
    """How often each of these functions of Python's is called while `act` runs in this thread, by its name."""
    names: dict[CodeType, str] = {each.__code__: each.__name__ for each in functions}
    found: Counter[CodeType] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in names:
            found[frame.f_code] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(before)
    return {name: found[code] for code, name in names.items()}
