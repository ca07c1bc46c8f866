"""In what runs differ that may not be compared, or only with a mark: key by key, with both values. Concludes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lab.config.diff import flatten, moved, say
from lab.results.asked import Asked, first_request
from lab.results.record import Run


def differences(pairs: Iterable[tuple[Run, Run]], part: str) -> str:
    """`: KEY OLD -> NEW, ...`: each leaf of a part (bits, cohort, factors) in which a pair (old, new) differs; empty where none does."""
    found: dict[str, None] = {}
    for old, new in pairs:
        for move in moved(flatten(old.parts[part]), flatten(new.parts[part])):
            key = move.path.removeprefix("leaves.").removeprefix("protocol.")
            found[f"{key} {short(move.old, move.new)} -> {short(move.new, move.old)}"] = None
    return f": {', '.join(found)}" if found else ""


def short(value: Any, other: Any) -> str:
    """A value on a line: of a list what the other one lacks, of a digest its head."""
    if isinstance(value, list) and isinstance(other, list):
        return say([each for each in value if each not in other])
    return value[:8] if isinstance(value, str) and len(value) == 64 else say(value)


def alike(arms: Mapping[str, list[Asked]], names: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[str]:
    """Where several changes of one cohort have one label: in what each differs from the one first asked for."""
    first: dict[str, Run] = {}
    for arm_id in sorted(arms, key=lambda arm_id: first_request(arms[arm_id]).number):
        run, label = arms[arm_id][0].run, labels[arm_id]
        if names[arm_id] != label:
            other = first.setdefault(label, run)
            if other.change_id != run.change_id:
                yield f"{label} ({other.arm_id[:6]}) and ({arm_id[:6]}){differences([(other, run)], 'factors')}"
