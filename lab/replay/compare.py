"""Compares what a replay left with what the run left: bit by bit, in the order of the steps. Trains nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lab import checkpoint
from lab.config.diff import flatten
from lab.files import read_json, read_rows
from lab.replay.ask import Difference, Original
from lab.trace import DRAWS, WEIGHTS, short_digest

KINDS = {"rates": "the learning rate", "batches": "the batch", "masks": "the keys of the dropout masks"}
ABOUT = {
    "schema": "the form in which it is written down",
    "ends": "how many steps are written down at each end",
    "digits": "the length of its digests",
    "steps": "the number of steps",
    "sites": "the sites that draw dropout masks",
    "measures": "the steps at which the result's measures are taken",
}
EQUAL = ("weights", "judged_weights", "optimizer")


def draws(first: Original, now: Mapping[str, Any]) -> Difference | None:
    """The first step that would use another learning rate, batch or dropout key."""
    was = read_json(first.folder.path / DRAWS)
    for key, what in ABOUT.items():
        if was.get(key) != now[key]:
            return Difference("the plan of all steps", what, was.get(key), now[key])
    places = [
        (number * was["per"], what, old, new)
        for kind, what in KINDS.items()
        for number, (old, new) in enumerate(zip(was[kind], now[kind], strict=True))
        if old != new
    ]
    step, what, old, new = min(places, default=(0, "", "", ""))
    return Difference(f"step {step}", what, old, new) if places else None


def first_weights(first: Original, model: nn.Module) -> Difference | None:
    """The first tensor whose initial values are others."""
    was = weights_by_step(first.folder.path)[0]
    return first_of("the first weights", was, {name: short_digest(each) for name, each in model.named_parameters()} | {"the loss": None})


def training(first: Original, folder: Path) -> Difference | None:
    """The first step, and there the first tensor, else the first measurement, that differs, of the steps that the replay made.

    What only one of them measured is no difference: a run has its observers', and edited code may log more.
    """
    (was, old), (now, new) = ((weights_by_step(each), measured(each / "metrics.jsonl")) for each in (first.folder.path, folder))
    for step in sorted(now.keys() | new.keys()):
        for before, after in ((was.get(step, {}), now.get(step, {})), (old.get(step, {}), new.get(step, {}))):
            found = first_shared(f"step {step}", before, after)
            if found is not None:
                return found
    return None


def weights_by_step(folder: Path) -> dict[int, dict[str, Any]]:
    """The digests in weights.jsonl by step and tensor, and the loss."""
    return {row["step"]: row["weights"] | {"the loss": row["loss"]} for row in read_rows(folder / WEIGHTS)[0]}


def measured(path: Path) -> dict[int, dict[str, Any]]:
    """What metrics.jsonl holds, by step and column."""
    found: dict[int, dict[str, Any]] = {}
    for row in read_rows(path)[0]:
        found.setdefault(row["step"], {}).update({column: value for column, value in row.items() if column != "step"})
    return found


def outcomes(first: Original, now: Mapping[str, Any], folder: Path) -> Difference | None:
    """What differs at the end: status, final measures, digests of weights and optimizer, and all that a checkpoint holds."""
    was = first.result
    for key in ("status", "step", "diverged"):
        if was[key] != now[key]:
            return Difference("the end", key, was[key], now[key])
    digests = [{name: each["digests"].get(name, "none") for name in EQUAL} for each in (was, now)]
    found = first_shared("the final evaluation", was["metrics"], now["metrics"])
    return found or first_of("the end", *digests) or last_states(first, folder)


def last_states(first: Original, folder: Path) -> Difference | None:
    """The first part of the last checkpoint that differs, of what both keep; hooks' memories lie in it. Time and observers don't count."""
    (old, _), (new, _) = (checkpoint.latest(each / "checkpoint", first.manifest["identity"]) for each in (first.folder.path, folder))
    if old is None or new is None or old.step != new.step:
        return None  # a run that diverged; its last checkpoints needn't be of one step
    parts = []
    for each in (old, new):
        tensors, rest = checkpoint.pack({name: part for name, part in each.state.items() if name != "stopwatch"})
        parts.append({name: short_digest(tensor) for name, tensor in tensors.items()} | flatten(rest))
    return first_shared(f"the state at step {old.step}", *parts)


def first_of(at: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Difference | None:
    """The first name, in the order of the run, whose value differs."""
    for name in [*was, *(each for each in now if each not in was)]:
        if was.get(name) != now.get(name):
            return Difference(at, name, was.get(name), now.get(name))
    return None


def first_shared(at: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Difference | None:
    """The same, of the names that both have."""
    shared = [name for name in was if name in now]
    return first_of(at, {name: was[name] for name in shared}, {name: now[name] for name in shared})
