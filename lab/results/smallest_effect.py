"""D, the smallest effect of interest: from the pin, or from the baseline's own learning curve, and then frozen.

Owns runs/<baseline>/measured.json. An entry holds for one lock, one baseline arm and one cohort; it is written once and never moved,
also when a certificate joins that arm's code with other code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.files import read_sealed, sealed, write_json
from lab.results.lineup import Arm
from lab.results.pin import Pin
from lab.results.record import SCHEMA, Run, number

SHARE = 0.02  # of what the second half of the budget brought
KEYS = ("lock", "arm_id", "cohort")


@dataclass(frozen=True)
class SmallestEffect:
    """D in the primary metric's unit, or None, and where it comes from or why there is none."""

    value: float | None
    origin: str


def find_smallest_effect(pin: Pin, runs: Path, baseline: Arm | None, cohort: str | None) -> SmallestEffect:
    """D for these runs. Freezes an automatic one as soon as the baseline's first look is complete."""
    way_out = f"To conclude 'no difference', pin one: python -m lab pin {pin.name} --again judgement.smallest_effect=..."
    if pin.smallest_effect is not None:
        return SmallestEffect(pin.smallest_effect, "pinned")
    if pin.metric != "bits_per_byte":
        return SmallestEffect(None, f"'auto' is defined in bits per byte, and the metric is {pin.metric}. {way_out}")
    if baseline is None or cohort is None:
        return SmallestEffect(None, "'auto', and the baseline has no runs yet; its first look fixes it.")
    path = runs / pin.name / "measured.json"
    key = dict(zip(KEYS, (pin.sha256, baseline.arm_id, cohort), strict=True))
    try:
        entries = read_entries(path)
    except (OSError, ValueError, RecursionError):
        entries = None
    keys = [key | {"arm_id": arm_id} for arm_id in baseline.pooled]
    frozen = next((entry for entry in entries or [] if any(all(entry.get(name) == each[name] for name in KEYS) for each in keys)), None)
    if frozen is not None and (value := number(frozen.get("smallest_effect"))) is not None:
        return SmallestEffect(value, f"{origin_of(frozen.get('seeds'))}, frozen in runs/{pin.name}/measured.json")
    first = [baseline.runs[seed] for seed in pin.seeds[: pin.looks[0]] if seed in baseline.runs and baseline.runs[seed].done]
    if len(first) < pin.looks[0]:
        there = f"{len(first)} of {pin.looks[0]} seeds are there"
        return SmallestEffect(None, f"'auto', fixed at the baseline's first look: {there}. To reach it: {first_look(pin, baseline)}")
    fallen = fall_of_second_half(first)
    if not fallen:
        return SmallestEffect(None, f"'auto', and no baseline run of the first look has both curve values. {way_out}")
    value = SHARE * sum(fallen.values()) / len(fallen)
    if value <= 0:
        return SmallestEffect(
            None, f"the loss rose over the second half of the budget: this compares over-fitting, and has no default. {way_out}"
        )
    entry = {**key, "smallest_effect": value, "seeds": list(fallen), "second_half": list(fallen.values())}
    return SmallestEffect(value, f"{origin_of(list(fallen))}, {freeze(path, pin, entries, entry)}")


def first_look(pin: Pin, baseline: Arm) -> str:
    """The command that trains what the baseline lacks for its first look."""
    lacking = [seed for seed in pin.seeds[: pin.looks[0]] if seed not in baseline.runs or not baseline.runs[seed].done]
    return f"python run.py {'--multirun ' * (len(lacking) > 1)}baseline={pin.name} seed={','.join(map(str, lacking))}"


def read_entries(path: Path) -> list[dict[str, Any]]:
    """What was frozen so far; nothing when there is no file. Raises ValueError for a file that isn't ours."""
    if not path.exists():
        return []
    content = read_sealed(path)
    entries = content.get("measured")
    if content.get("schema") != SCHEMA or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("not a measured.json of this version")
    return entries


def fall_of_second_half(runs: Sequence[Run]) -> dict[int, float]:
    """L(T/2) - L(T) by seed, where both are finite."""
    curves = {run.seed: (run.metrics.get("half_curve_bits_per_byte"), run.metrics.get("final_curve_bits_per_byte")) for run in runs}
    return {seed: half - final for seed, (half, final) in curves.items() if half is not None and final is not None}


def freeze(path: Path, pin: Pin, entries: list[dict[str, Any]] | None, entry: dict[str, Any]) -> str:
    """Write the entry beside the others, and say what became of it."""
    if entries is None:
        return f"not frozen: runs/{pin.name}/measured.json is damaged or edited (delete it, and the next report freezes D anew)"
    try:
        write_json(path, sealed({"schema": SCHEMA, "measured": [*entries, entry]}))
    except OSError:
        return f"not frozen: runs/{pin.name}/measured.json can't be written"
    return f"frozen in runs/{pin.name}/measured.json"


def origin_of(seeds: Any) -> str:
    count = len(seeds) if isinstance(seeds, list) else 0
    seeds_read = f"{count} baseline {'seed' if count == 1 else 'seeds'}"
    return f"{100 * SHARE:g} % of what the second half of the budget brought, averaged over {seeds_read}"
