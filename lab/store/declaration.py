"""A declared study as data, and as it stands in its file: each field held to its type. Knows no folder; judges nothing.

A study whose arms get verdicts is written as ever (schema 1). A factorial or a curve says so, with its factors and each cell's levels,
under schema 2: a version of the lab that knows no cells refuses it, where it would else give each cell a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any

SCHEMA, OF_CELLS = 1, 2
JUDGED, FACTORIAL, CURVE = "arms", "factorial", "curve"  # what a study is made of: arms with verdicts, or cells without
MOST_CELLS = 10_000  # of a study: far more than a sweep makes, and few enough to be gone through
LARGEST = 1e300  # a whole number in JSON may be too large for a float
FIELDS = {"schema", "name", "baseline", "lock", "question", "by_hand", "arms", "looks", "smallest_effect", "asked_before"}


@dataclass(frozen=True)
class DeclaredArm:
    """One arm as it was declared: its label, and what it is without its code."""

    label: str
    change_id: str
    after: int | None = None  # the store's newest request when it was declared. Found out here; None in files of an older version
    levels: tuple[str, ...] = ()  # of a cell: its level of each factor, in the factors' order


@dataclass(frozen=True)
class Factor:
    """What a factorial crosses, or a curve follows: the key as typed, and its levels; the baseline's stands first where it has one."""

    key: str
    levels: tuple[str, ...]
    beside: tuple[str, ...] = ()  # of a curve: what was typed with each of its values and isn't as in the baseline


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
    design: str = JUDGED
    factors: tuple[Factor, ...] = ()  # of a study of cells

    @property
    def of_cells(self) -> bool:
        """Whether its arms are cells, or points of a curve, which get no verdict of their own in it."""
        return self.design != JUDGED

    def record(self) -> dict[str, Any]:
        """What its file holds."""
        told = {"schema": OF_CELLS if self.of_cells else SCHEMA} | asdict(self)
        if not self.of_cells:
            del told["design"], told["factors"]
            told["arms"] = [{name: value for name, value in arm.items() if name != "levels"} for arm in told["arms"]]
        return told


def parse_declaration(content: Mapping[str, Any], baseline: str) -> Declaration:
    """What a file in this baseline's folder declares. Raises ValueError for anything that `declare` doesn't write."""
    if content.get("schema") not in (SCHEMA, OF_CELLS):
        raise ValueError(f"schema {content.get('schema')!r}, this version reads {SCHEMA} and {OF_CELLS}")
    of_cells = content["schema"] == OF_CELLS
    texts = ("name", "baseline", "lock", "question")
    odd = [name for name in texts if not isinstance(content.get(name), str)]
    odd += [] if isinstance(content.get("by_hand"), bool) else ["by_hand"]
    odd += [] if are_arms(content.get("arms")) else ["arms"]
    odd += [] if are_looks(content.get("looks")) else ["looks"]
    odd += [] if is_effect(content.get("smallest_effect")) else ["smallest_effect"]
    odd += [] if is_count(content.get("asked_before")) else ["asked_before"]
    odd += sorted(FIELDS - content.keys() - set(odd))
    odd += odd_cells(content) if of_cells and not odd else []
    if odd:
        raise ValueError(f"{', '.join(map(repr, odd))}: not as {'it is' if len(odd) == 1 else 'they are'} written")
    if content["baseline"] != baseline:
        raise ValueError(f"it is about baseline {content['baseline']!r}, and lies with those of {baseline!r}")
    levels = [tuple(arm["levels"]) if of_cells else () for arm in content["arms"]]
    arms = tuple(DeclaredArm(arm["label"], arm["change_id"], arm.get("after"), at) for arm, at in zip(content["arms"], levels, strict=True))
    looks = None if content["looks"] is None else tuple(content["looks"])
    return Declaration(
        **{name: content[name] for name in texts},
        by_hand=content["by_hand"],
        arms=arms,
        looks=looks,
        smallest_effect=content["smallest_effect"],
        asked_before=content["asked_before"],
        design=content["design"] if of_cells else JUDGED,
        factors=tuple(Factor(each["key"], tuple(each["levels"]), tuple(each.get("beside") or ())) for each in content["factors"])
        if of_cells
        else (),
    )


def odd_cells(content: Mapping[str, Any]) -> list[str]:
    """What of a study of cells isn't as it is written: its design, its factors, or a cell's level that no factor has."""
    factors = content.get("factors")
    if content.get("design") not in (FACTORIAL, CURVE):
        return ["design"]
    if not isinstance(factors, list) or not factors or not all(is_factor(each) for each in factors):
        return ["factors"]
    if prod(len(each["levels"]) for each in factors) > MOST_CELLS or (content["design"] == CURVE and len(factors) > 1):
        return ["factors"]
    fits = all(
        isinstance(levels := arm.get("levels"), list)
        and len(levels) == len(factors)
        and all(level in each["levels"] for level, each in zip(levels, factors, strict=True))
        for arm in content["arms"]
    )
    return [] if fits else ["arms"]


def is_factor(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("key"), str) or not isinstance(value.get("levels"), list):
        return False
    beside = value.get("beside")  # an older version wrote none
    if beside is not None and not (isinstance(beside, list) and all(isinstance(text, str) for text in beside)):
        return False
    return bool(value["levels"]) and all(isinstance(level, str) for level in value["levels"])


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
