"""A declared study as data, and as it stands in its file: each field held to its type. Knows no folder; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

SCHEMA = 1
LARGEST = 1e300  # a whole number in JSON may be too large for a float
FIELDS = {"schema", "name", "baseline", "lock", "question", "by_hand", "arms", "looks", "smallest_effect", "asked_before"}


@dataclass(frozen=True)
class DeclaredArm:
    """One arm as it was declared: its label, and what it is without its code."""

    label: str
    change_id: str
    after: int | None = None  # the store's newest request when it was declared. Found out here; None in files of an older version


@dataclass(frozen=True)
class Declaration:
    """One study under one lock. None for looks or smallest_effect: the pin's own."""

    name: str
    baseline: str
    lock: str
    question: str
    by_hand: bool  # by a file of conf/study: its arms are all that it will ever have
    arms: tuple[DeclaredArm, ...]
    looks: tuple[int, ...] | None = None
    smallest_effect: float | None = None
    asked_before: int = 0  # requests for arms of it that were there before its rules: these weren't fixed before the data. Counted here


def parse_declaration(content: Mapping[str, Any], baseline: str) -> Declaration:
    """What a file in this baseline's folder declares. Raises ValueError for anything that `declare` doesn't write."""
    if content.get("schema") != SCHEMA:
        raise ValueError(f"schema {content.get('schema')!r}, this version reads {SCHEMA}")
    texts = ("name", "baseline", "lock", "question")
    odd = [name for name in texts if not isinstance(content.get(name), str)]
    odd += [] if isinstance(content.get("by_hand"), bool) else ["by_hand"]
    odd += [] if are_arms(content.get("arms")) else ["arms"]
    odd += [] if are_looks(content.get("looks")) else ["looks"]
    odd += [] if is_effect(content.get("smallest_effect")) else ["smallest_effect"]
    odd += [] if is_count(content.get("asked_before")) else ["asked_before"]
    odd += sorted(FIELDS - content.keys() - set(odd))
    if odd:
        raise ValueError(f"{', '.join(map(repr, odd))}: not as {'it is' if len(odd) == 1 else 'they are'} written")
    if content["baseline"] != baseline:
        raise ValueError(f"it is about baseline {content['baseline']!r}, and lies with those of {baseline!r}")
    arms = tuple(DeclaredArm(arm["label"], arm["change_id"], arm.get("after")) for arm in content["arms"])
    looks = None if content["looks"] is None else tuple(content["looks"])
    return Declaration(
        **{name: content[name] for name in texts},
        by_hand=content["by_hand"],
        arms=arms,
        looks=looks,
        smallest_effect=content["smallest_effect"],
        asked_before=content["asked_before"],
    )


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def are_arms(value: Any) -> bool:
    keys = ("label", "change_id")
    if not isinstance(value, list) or not all(isinstance(arm, dict) for arm in value):
        return False
    # an older version wrote no `after`
    return all(all(isinstance(arm.get(key), str) for key in keys) and (arm.get("after") is None or is_count(arm["after"])) for arm in value)


def are_looks(value: Any) -> bool:
    """None, or rising numbers of seeds, as a pin's judgement has them."""
    if value is None:
        return True
    if not isinstance(value, list) or not value or not all(isinstance(n, int) and not isinstance(n, bool) for n in value):
        return False
    return value[0] >= 2 and all(a < b for a, b in pairwise(value)) and value[-1] < 2**31


def is_effect(value: Any) -> bool:
    """None, or a D: a positive number."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < LARGEST)
