"""Trains a run, or both ends of it, again in a scratch folder, with the experiment's own code, and stops at the first difference."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab import checkpoint, experiment
from lab.build import Parts
from lab.errors import Interrupted, MachineError, StoreError
from lab.look import measures
from lab.replay import compare
from lab.replay.ask import Difference, Original
from lab.trace import ENDS, checkpoint_before_the_end, draws
from lab.train.outcome import Outcome
from lab.train.progress import Silent

GROWING = ("metrics.jsonl", "timing.jsonl", "samples.txt", "weights.jsonl")


class Told(Silent):
    """Says how far a replay is, ten times."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell, self.steps = tell, 0

    def training(self, step: int, steps: int) -> None:
        self.steps = steps

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None:
        if step * 10 // self.steps > (step - 1) * 10 // self.steps:
            self.tell(f"step {step}/{self.steps}  loss {loss:.4f}")


def whole(first: Original, scratch: Path, tell: Callable[[str], None]) -> Difference | None:
    """The first difference of a whole run trained again, or None."""
    parts = experiment.assemble(first.config, first.data)
    found = before_training(first, parts)
    if found is not None:
        return found
    outcome = train(first, parts, scratch, Told(tell), lambda: False)
    assert outcome is not None, "nobody asked it to stop"
    return compare.training(first, scratch) or compare.outcomes(first, asdict(outcome), scratch)


def ends(first: Original, others: list[Original], scratch: Path) -> tuple[list[list[int]], Difference | None]:
    """The first and the last steps of a finished run trained again, with its final evaluation; of the others what they draw.

    Returns the stretches of steps (first and last update, counted from 0), and the first difference, or None. Code that can't train
    the run any more differs too; a machine's fault or a damaged run raises.
    """
    at = checkpoint_before_the_end(first.result["steps"])
    spans = [[0, min(ENDS, at) - 1], [at, first.result["steps"] - 1]]
    try:
        return spans, first_difference(first, others, at, scratch)
    except (StoreError, MachineError, OSError, MemoryError):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return spans, Difference("the replay", f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}", None, str(error))


def first_difference(first: Original, others: list[Original], at: int, scratch: Path) -> Difference | None:
    """The first thing that isn't bit-equal, in the order in which a run makes it; the other seeds before any training."""
    parts = experiment.assemble(first.config, first.data)
    found = before_training(first, parts)
    for other in others:
        found = found or of_seed(other, before_training(other, experiment.assemble(other.config, other.data)))
    if found is not None:
        return found
    train(first, parts, scratch / "first", Silent(), lambda: parts.loop.state.step >= min(ENDS, at))
    found = compare.training(first, scratch / "first")
    if found is not None:
        return found
    begin_at(first, at, scratch / "last")
    outcome = train(first, experiment.assemble(first.config, first.data), scratch / "last", Silent(), lambda: False)
    assert outcome is not None, "the last stretch is trained to its end"
    return compare.training(first, scratch / "last") or compare.outcomes(first, asdict(outcome), scratch / "last")


def before_training(first: Original, parts: Parts) -> Difference | None:
    """What can be compared without a step: tokens, what every step draws, the first weights."""
    if first.manifest["tokens"] != first.data.token_digest:
        return Difference("the data", "the token files", first.manifest["tokens"][:16], first.data.token_digest[:16])
    return compare.draws(first, draws(parts, measures(parts.loop.state.steps))) or compare.first_weights(first, parts.model)


def of_seed(other: Original, found: Difference | None) -> Difference | None:
    """A difference with the seed that it was found at."""
    return found and Difference(f"seed {other.manifest['seed']}, {found.at}", found.what, found.was, found.now)


def train(first: Original, parts: Parts, folder: Path, progress: Any, stop: Callable[[], bool]) -> Outcome | None:
    """Train in a scratch folder, from the checkpoint that lies there. None where `stop` ended it."""
    try:
        return experiment.run(first.config, first.data, parts, folder, first.manifest["identity"], progress, stop)
    except Interrupted:
        return None


def begin_at(first: Original, step: int, folder: Path) -> None:
    """Put a run's checkpoint of a step, and what its files held then, into a scratch folder."""
    (folder / "checkpoint").mkdir(parents=True)
    for name in GROWING:
        shutil.copy(first.folder.path / name, folder / name)
    for ending in ("safetensors", "json"):
        shutil.copy(first.folder.checkpoint / f"{checkpoint.name_of(step)}.{ending}", folder / "checkpoint")
