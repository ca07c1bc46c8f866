"""A planted confound or a harmless difference: what must be said of it; and the naive comparison beside ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.files import read_json


@dataclass(frozen=True)
class Planted:
    """What the lab said of a confound, whole, and what must stand in it besides the case's own words.

    Where numbers were planted, also the store that holds them, and the effect that the change truly has in it.
    """

    said: str
    values: tuple[str, ...] = ()
    runs: Path | None = None
    truth: float | None = None


@dataclass(frozen=True)
class Confound:
    """`says`: fragments that must stand in one line of what was said, the key and both values among them. `never`: what mustn't stand."""

    name: str
    plant: Callable[..., Planted]  # given a Here (world.py)
    says: tuple[str, ...]
    never: tuple[str, ...] = ()

    def missing(self, planted: Planted) -> str:
        """What is wrong with what was said; empty when all is right."""
        lines = [" ".join(line.split()) for line in planted.said.splitlines()]
        wanted = (*self.says, *planted.values)
        if not any(all(each in line for each in wanted) for line in lines):
            absent = [each for each in wanted if not any(each in line for line in lines)]
            return f"no line says {' & '.join(absent or wanted)}"
        return "; ".join(f"it says {each}" for each in self.never if any(each in line for line in lines))


@dataclass(frozen=True)
class Harmless:
    """A difference that may not matter. `plant` returns what was refused, flagged or not found; empty when it was let through."""

    name: str
    plant: Callable[..., str]


def results(runs: Path) -> Iterator[tuple[str, float]]:
    """Label and final metric of whatever is finished under `runs`."""
    for path in sorted(runs.glob("*/*/seed=*/result.json")):
        try:
            label, metrics = read_json(path.with_name("manifest.json"))["label"], read_json(path)["metrics"]
        except (ValueError, KeyError, OSError):
            continue
        value = next((number for name, number in metrics.items() if re.fullmatch(r"validation_(bits_per_byte|nats_per_token)", name)), None)
        if value is not None:
            yield label, value


def naive_difference(runs: Path) -> float | None:
    """The comparison that anybody would type: mean final metric of the other label less the baseline's, without a check."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for label, value in results(runs):
        found[label == "baseline"].append(value)
    if not (found[True] and found[False]):
        return None
    return sum(found[False]) / len(found[False]) - sum(found[True]) / len(found[True])


def misled(planted: Planted, smallest_effect: float) -> bool:
    """Whether that comparison comes to a number which is off by more than what matters. Without a number it misleads nobody."""
    assert planted.runs is not None and planted.truth is not None
    found = naive_difference(planted.runs)
    return found is not None and abs(found - planted.truth) > smallest_effect
