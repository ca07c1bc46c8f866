"""The losses of runs that train now, read from the growing end of their metrics.jsonl. Reads new bytes only; judges and writes nothing.

A run that is killed leaves a torn line, and one that goes on cuts its file back to its checkpoint: both are met here at any moment.
A line that can't be read is passed over: this is for the eye, and what counts is read again by the results wing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.request import Job
from lab.sweep.plan import Row

MOST_BYTES = 1 << 18  # read from one file at a time, so that a long run's file delays no redraw: the next one goes on


@dataclass(frozen=True)
class Against:
    """A run's loss now, and where it can be known the baseline's of the same seed at the same place of the budget."""

    step: int
    loss: float
    difference: float | None = None  # run - baseline at `common`, in nats per token
    common: int | None = None  # the last step of the run at which both were measured
    why: str = ""  # there is no difference: in a few words


class Tail:
    """The losses in one run's metrics.jsonl, by step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.losses: dict[int, float] = {}
        self._offset = 0  # all before it was read; always the end of a line
        self._file = 0

    def read(self) -> None:
        """Take in the lines that were finished since the last time. A file that isn't there yet has none."""
        try:
            with self.path.open("rb") as stream:
                state = os.fstat(stream.fileno())
                if state.st_size < self._offset or state.st_ino != self._file:
                    self.losses, self._offset, self._file = {}, 0, state.st_ino  # cut back, or another file: read from its beginning
                if state.st_size == self._offset:
                    return
                stream.seek(self._offset)
                content = stream.read(MOST_BYTES)
        except OSError:
            return
        whole = content.rfind(b"\n") + 1
        if not whole and len(content) == MOST_BYTES:
            whole = len(content)  # no row of ours is as long: walk over it
        self._offset += whole
        for line in content[:whole].splitlines():
            self.take(line)

    def take(self, line: bytes) -> None:
        """One line, where it is a row of training."""
        try:
            row = json.loads(line)
            step, loss = row["step"], row["loss"]
            if loss is None:
                loss = row["nonfinite"]["loss"]
            if type(step) is int:
                self.losses[step] = float(loss)
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return


class Losses:
    """Of the runs that train now and their baselines, the tails; of no other, so that a long sweep doesn't fill the memory."""

    def __init__(self) -> None:
        self._tails: dict[Path, Tail] = {}

    def look(self, running: Iterable[tuple[Row, Row | None]]) -> dict[int, Against]:
        """By a row's number how its run stands now; rows without a measurement yet are left out.

        `running`: each row with the baseline's of its seed, None where the sweep has none.
        """
        pairs = list(running)
        wanted = {each.folder.metrics for pair in pairs for each in pair if each is not None}
        self._tails = {path: self._tails[path] if path in self._tails else Tail(path) for path in wanted}
        for tail in self._tails.values():
            tail.read()
        found = {}
        for row, baseline in pairs:
            mine = self._tails[row.folder.metrics].losses
            if mine:
                theirs = {} if baseline is None else self._tails[baseline.folder.metrics].losses
                found[row.number] = compare(row.job, mine, None if baseline is None else baseline.job, theirs)
        return found


def compare(job: Job, mine: dict[int, float], baseline: Job | None, theirs: dict[int, float]) -> Against:
    """A run's last loss beside the baseline's. Losses compare after the same number of tokens: the same step where batches are alike."""
    step = next(reversed(mine))
    loss = mine[step]
    if not job.changes:
        return Against(step, loss)
    if baseline is None:
        return Against(step, loss, why="no baseline")
    if job.config["data"]["tokenizer"] != baseline.config["data"]["tokenizer"]:
        return Against(step, loss, why="other tokens")  # nats per token of two tokenizers don't compare
    if not math.isfinite(loss):
        return Against(step, loss, why="not finite")
    my_tokens, their_tokens = tokens_per_step(job), tokens_per_step(baseline)
    for common in reversed(mine):
        at, rest = divmod(common * my_tokens, their_tokens)
        other = None if rest else theirs.get(at)
        if other is not None and math.isfinite(other) and math.isfinite(mine[common]):
            return Against(step, loss, mine[common] - other, common)
    return Against(step, loss, why="baseline not there yet")


def tokens_per_step(job: Job) -> int:
    """Tokens of one training step, as the run's manifest counts them."""
    return int(job.config["trainer"]["batch_size"] * job.config["model"]["context"])


def steps_of(job: Job) -> int:
    """Training steps of the whole run."""
    return int(job.config["trainer"]["tokens"] // tokens_per_step(job))
