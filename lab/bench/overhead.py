"""What a run pays beside its updates' own work, each measured directly: sites that nobody uses, rows and progress, evaluations.

These costs are far below the noise between two steps, so none of them is a difference of step times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console as RichConsole

from lab import checkpoint
from lab.bench.side import Side
from lab.checkpoint import Checkpoint
from lab.data.tokenfile import TokenFile
from lab.files import write_json
from lab.model.site import Site, sites
from lab.pairing import pairing
from lab.store.console import Console, RunProgress
from lab.store.metrics import SYNC_SECONDS, AppendFile, RunFiles
from lab.trace import at_an_end, draws, weights_line
from lab.train.evaluate import evaluate
from lab.train.hook import methods
from lab.train.optimizer.memory import memory
from lab.train.state import norm_of
from lab.train.stopwatch import PHASES, Stopwatch

ROUNDS = 5
BAR_SECONDS = 0.3  # how long the bar of a terminal is watched while it redraws itself


def seconds_of(call: Callable[[], Any], calls: int) -> float:
    """Seconds of one call, the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        found.append((time.perf_counter() - began) / calls)
    return median(found)


def sites_without_hooks(side: Side) -> float:
    """Seconds of a step in sites that nothing is registered at. A compiled model has none left."""
    if side.config["device"]["compile"]:
        return 0.0
    bare, x = Site(), torch.zeros(1, requires_grad=True)
    calls = len(sites(side.model)) * passes(side.config)
    return seconds_of(lambda: bare(x), 1000) * calls


def passes(config: Mapping[str, Any]) -> int:
    """Forward passes of a step."""
    batch: int = config["trainer"]["batch_size"]
    return -(-batch // (config["device"]["micro_batch"] or batch))


def logging_norms_progress(side: Side, step_seconds: float, folder: Path) -> dict[str, float]:
    """Seconds of a step in its rows, in the gradient's norm, in the progress bar, in the stopwatch."""
    return {
        "rows": rows(side, step_seconds, folder),
        "gradient_norm": gradient_norm(side),
        "progress": progress(side, step_seconds),
        "stopwatch": stopwatch(side),
    }


def rows(side: Side, step_seconds: float, folder: Path) -> float:
    """Rows at the configured cadence, and what it costs to put them on the disk every few seconds."""
    files = RunFiles(folder)
    row = side.experiment.training_row(1)
    timing = {"step": 1, "seconds": step_seconds, "tokens_per_second": side.tokens_per_step / step_seconds, "memory_bytes": 1 << 30}

    def write() -> None:
        files.metrics.append_row(row)
        files.timing.append_row(timing)

    def write_and_sync() -> None:
        write()
        files.metrics.sync()
        files.timing.sync()

    try:
        written = seconds_of(write, 50)
        synced = seconds_of(write_and_sync, 1) - written
    finally:
        files.close()
    every: int = side.config["trainer"]["log_every"]
    return written / every + synced * min(1.0, step_seconds / SYNC_SECONDS)


def gradient_norm(side: Side) -> float:
    """The norm over all gradients, fetched from the device."""
    gradients = [torch.ones_like(each) for each in side.model.parameters()]
    return seconds_of(lambda: norm_of(gradients).item(), 5)


def progress(side: Side, step_seconds: float) -> float:
    """The bar of a terminal: the call at each step, and the processor time of the thread that redraws it."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console()
        console.rich = RichConsole(file=nowhere, force_terminal=True, width=100, highlight=False, soft_wrap=True)
        bar = RunProgress(console)
        bar.training(0, side.state.steps)
        try:
            told = seconds_of(lambda: bar.step(1, 1.0, 1.0), 50)
            began = time.process_time()
            time.sleep(BAR_SECONDS)
            redrawn = (time.process_time() - began) / BAR_SECONDS
        finally:
            bar.stopped()
    return told + redrawn * step_seconds


def proofs(side: Side, folder: Path) -> dict[str, float]:
    """Seconds of a whole run in what makes it provable: draws.json, weights.jsonl, pairing, the checkpoint before the end, digests.

    Pairing is measured against a model of the same size.
    """
    parts, steps = side.experiment.parts, side.state.steps
    weights = AppendFile(folder / "weights.jsonl")
    lines = sum(at_an_end(step, steps) for step in range(steps + 1))
    state = {"model": parts.model.state_dict(), "optimizer": memory(side.state.optimizer, parts.model)}
    try:
        return {
            "draws": seconds_of(lambda: write_json(folder / "draws.json", draws(parts, side.experiment.view.measures)), 1),
            "weights": lines * seconds_of(lambda: weights.append(weights_line(1, 1.0, parts.model)), 5),
            "pairing": seconds_of(lambda: pairing(side.config, side.config, parts, side.data, side.data), 1),
            "checkpoint": seconds_of(lambda: checkpoint.save(folder / "checkpoint", Checkpoint(1, state, {}), "bench"), 1),
            "digests": seconds_of(lambda: [checkpoint.digest(each) for each in state.values()], 1),
        }
    finally:
        weights.close()


def stopwatch(side: Side) -> float:
    """The laps of a step, and a call of each method of each hook."""
    watch = Stopwatch(time.perf_counter)
    calls = sum(len(methods(side.experiment.parts.loop.hooks, name)) for name in ("batch", "loss", "gradients", "after_step"))

    def laps() -> None:
        watch.start_step()
        for phase in PHASES:
            watch.lap(phase)
        for _ in range(calls):
            with watch.hook("any"):
                pass
        watch.end_step(1)

    return seconds_of(laps, 200)


def evaluate_curve(side: Side) -> float:
    """Seconds per token of one evaluation on the curve's text, as a run makes it."""
    side.prepare()
    path = side.data.curve.path
    began = time.perf_counter()
    found = evaluate(side.model, side.experiment.view.text(path), side.experiment.view.lengths_V)
    return (time.perf_counter() - began) / found.tokens


def scheduled_tokens(side: Side) -> int:
    """Tokens that a run evaluates: the points of its curve and the final text, both twice where a hook gives other weights to judge."""
    steps, every = side.state.steps, side.config["trainer"]["evaluation"]["every"]
    points = {0, steps // 2, steps, *range(every, steps, every)}
    curve, final = (len(TokenFile.open(file.path)) - 1 for file in (side.data.curve, side.data.validation))
    judged_beside = methods(side.experiment.parts.loop.hooks, "evaluation_weights")
    return (len(points) * curve + final) * (2 if judged_beside else 1)
