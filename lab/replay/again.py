"""Trains a run, or both ends of it, again in a scratch folder, with the experiment's own code, and stops at the first difference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab import checkpoint, experiment
from lab.build import Parts
from lab.errors import Interrupted
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

    Returns the stretches of steps (first and last update, counted from 0), and the first difference, or None.
    """
    parts = experiment.assemble(first.config, first.data)
    steps = parts.loop.state.steps
    at = checkpoint_before_the_end(steps)
    spans = [[0, ENDS - 1], [at, steps - 1]] if at is not None else [[0, steps - 1]]
    found = before_training(first, parts)
    for other in others:
        found = found or of_seed(other, before_training(other, experiment.assemble(other.config, other.data)))
    if found is not None:
        return spans, found
    folder = scratch / "first"
    outcome = train(first, parts, folder, Silent(), (lambda: False) if at is None else (lambda: parts.loop.state.step >= ENDS))
    found = compare.training(first, folder)
    if at is not None and found is None:
        folder = scratch / "last"
        begin_at(first, at, folder)
        outcome = train(first, experiment.assemble(first.config, first.data), folder, Silent(), lambda: False)
        found = compare.training(first, folder)
    if found is not None:
        return spans, found
    assert outcome is not None, "the last stretch is trained to its end"
    return spans, compare.outcomes(first, asdict(outcome), folder)


def before_training(first: Original, parts: Parts) -> Difference | None:
    """What can be compared without a step: tokens, what every step draws, the first weights."""
    if first.manifest["tokens"] != first.data.token_digest:
        return Difference("the data", "the token files", first.manifest["tokens"][:16], first.data.token_digest[:16])
    return compare.draws(first, draws(parts)) or compare.first_weights(first, parts.model)


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
