"""ONE RUN, top to bottom: a configuration and prepared data in, a trained model and its measurements in a folder out.

Step s is the moment after s updates. At each of them the run looks at the model, and, unless it's the last, trains on:

    look     evaluations and samples that are due: they read, and change nothing (no weight, no random stream)
    update   one batch, forward, backward, hooks, optimizer
    save     a checkpoint when one is due; before the look of that step, so that a resume looks again

Nothing that decides the training lives outside the checkpoint, the step number and the configuration. So a run that was
killed anywhere goes on from its last checkpoint, its growing files are cut back to the sizes that the checkpoint recorded,
and the same bits come out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from lab import checkpoint, sampling, streams
from lab.build import build
from lab.checkpoint import Checkpoint
from lab.data.batches import blocks
from lab.data.prepare import PreparedData
from lab.data.tokenfile import TokenFile
from lab.device import peak_memory_bytes, prepare_device
from lab.errors import Interrupted
from lab.files import read_rows, sha256_file
from lab.model import count
from lab.numerics import finite_or_none
from lab.store.metrics import RunFiles
from lab.train.evaluate import Evaluation, evaluate
from lab.train.hook import methods
from lab.train.optimizer.memory import memory, remember
from lab.train.outcome import METRICS, Outcome
from lab.train.progress import Progress
from lab.train.stopwatch import Stopwatch


def run(
    config: Mapping[str, Any], data: PreparedData, folder: Path, identity: str, progress: Progress, stop: Callable[[], bool]
) -> Outcome:
    """Train the run that `config` describes, in `folder`, from its last checkpoint if it has one.

    `stop` is asked at every step; once it says yes the run is saved and left with Interrupted. Raises StoreError when the
    folder's checkpoints are damaged or another run's.
    """
    device = config["device"]
    prepare_device(device["kind"], device["threads"], device["deterministic"])
    experiment = Experiment(config, data, folder, identity, progress, stop)
    try:
        return experiment.run()
    finally:
        experiment.files.close()


class Experiment:
    """A run in progress: its parts, its growing files, and what was measured so far."""

    def __init__(
        self,
        config: Mapping[str, Any],
        data: PreparedData,
        folder: Path,
        identity: str,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> None:
        self.config, self.data, self.folder, self.identity = config, data, folder, identity
        self.progress, self.stop = progress, stop
        self.parts = build(config, data)
        self.state = self.parts.loop.state
        self.steps, self.tokens_per_step = self.state.steps, config["trainer"]["batch_size"] * config["model"]["context"]
        self.measured: dict[str, float | None] = dict.fromkeys(METRICS)
        self.stopwatch = Stopwatch(time.monotonic)
        self.files = RunFiles(folder)

    def run(self) -> Outcome:
        """The story."""
        self.resume()
        self.progress.training(self.state.step, self.steps)
        while True:
            self.look()
            if self.state.step == self.steps:
                return self.outcome(self.broken_at_the_end())
            diverged = self.update()
            if diverged is not None:
                return self.outcome(diverged)
            asked_to_stop = self.stop()
            if asked_to_stop or self.due(self.config["trainer"]["checkpoint"]["every"]):
                self.save()
            if asked_to_stop:
                raise self.interrupted()

    def resume(self) -> None:
        """Take up the last checkpoint, or begin; either way cut away what was written since."""
        found, warnings = checkpoint.latest(self.folder / "checkpoint", self.identity)
        for warning in warnings:
            self.progress.warning(warning)
        if found is not None:
            self.restore(found)
        elif self.files.metrics.sync() > 0:
            self.progress.warning("this run was cut before its first checkpoint: it starts from the beginning")
        self.files.truncate(found.offsets if found is not None else None)

    def due(self, every: int | None) -> bool:
        """Whether something that is done every so many steps (None: never between), and at the last, is due now."""
        step = self.state.step
        return step == self.steps or (every is not None and step > 0 and step % every == 0)

    # -- look: reads the model, changes nothing

    def look(self) -> None:
        """The evaluations and samples that are due at this step."""
        step, trainer, lengths = self.state.step, self.config["trainer"], self.parts.tokenizer.bytes_per_token()
        kept = {self.steps // 2: "half_curve_bits_per_byte", self.steps: "final_curve_bits_per_byte"}
        if step == 0 or step in kept or self.due(trainer["evaluation"]["every"]):
            curve = evaluate(self.parts.model, self.text(self.data.curve.path), lengths)
            self.note("curve", curve, {})
            if step in kept:
                self.measured[kept[step]] = finite_or_none(curve.bits_per_byte)
        if step == self.steps:
            final = evaluate(self.parts.model, self.unless_stopped(self.text(self.data.validation.path)), lengths)
            self.note("validation", final, {"validation_perplexity": final.perplexity})
        if trainer["sampling"]["tokens"] > 0 and self.due(trainer["sampling"]["every"]):
            self.write_sample("greedy", None)
            self.write_sample(f"temperature {trainer['sampling']['temperature']:g}", trainer["sampling"]["temperature"])

    def text(self, path: Path) -> Iterator[Any]:
        """A token file in blocks of the protocol's length, as many at a time as a training step holds."""
        batch = self.config["device"]["micro_batch"] or self.config["trainer"]["batch_size"]
        return blocks(TokenFile.open(path), self.config["trainer"]["evaluation"]["block"], batch)

    def unless_stopped(self, each_block: Iterator[Any]) -> Iterator[Any]:
        """The blocks, as long as nobody asks to stop: the final evaluation may take long, and its step is saved already."""
        for block in each_block:
            if self.stop():
                raise self.interrupted()
            yield block

    def note(self, name: str, evaluation: Evaluation, more: dict[str, float]) -> None:
        """Write an evaluation down, and tell it."""
        found = {f"{name}_bits_per_byte": evaluation.bits_per_byte, f"{name}_nats_per_token": evaluation.nats_per_token} | more
        self.measured |= {metric: finite_or_none(value) for metric, value in found.items() if metric in METRICS}
        self.files.metrics.append_row({"step": self.state.step, "tokens": self.state.tokens, **found})
        self.progress.evaluated(self.state.step, found)

    def write_sample(self, kind: str, temperature: float | None) -> None:
        """A text from the document mark on; the random stream is this step's own."""
        step, tokenizer = self.state.step, self.parts.tokenizer
        written = sampling.continue_tokens(
            self.parts.model,
            [tokenizer.mark],
            count=self.config["trainer"]["sampling"]["tokens"],
            context=self.config["model"]["context"],
            temperature=temperature,
            generator=None if temperature is None else streams.generator(streams.key(self.config["seed"], "sampling", step)),
        )
        text = tokenizer.decode(written).decode(errors="replace")
        self.files.samples.append(f"=== step {step}, {kind} ===\n{text}\n\n")
        self.progress.sample(step, kind, text)

    # -- update: one step of training

    def update(self) -> str | None:
        """Train on the next batch and write its rows. None, or why the run has diverged."""
        state, watch = self.state, self.stopwatch
        watch.start_step()
        diverged = self.parts.loop.update(*self.parts.batches.batch(state.step))
        seconds = watch.end_step(self.tokens_per_step)
        if diverged is not None:
            self.files.metrics.append_row(self.training_row(state.step + 1))
            return diverged
        self.measured["train_loss"] = state.loss
        if self.due(self.config["trainer"]["log_every"]):
            self.files.metrics.append_row(self.training_row(state.step))
            speed = {"seconds": seconds, "tokens_per_second": self.tokens_per_step / seconds}
            self.files.timing.append_row({"step": state.step, **speed, "memory_bytes": peak_memory_bytes()})
        self.progress.step(state.step, state.loss, watch.tokens_per_second)
        return None

    def training_row(self, step: int) -> dict[str, Any]:
        """What the update that leads to `step` measured."""
        state = self.state
        row = {"step": step, "tokens": state.tokens, "loss": state.loss, "lr": state.learning_rate}
        return row | {"gradient_norm": state.gradient_norm} | state.auxiliary

    # -- save: everything that the next step depends on

    def save(self) -> None:
        """A checkpoint of this step. The rows that it counts are on the disk before it is."""
        state = {
            "model": self.parts.model.state_dict(),
            "optimizer": memory(self.state.optimizer, self.parts.model),
            "hooks": {name: state_dict() for name, state_dict in methods(self.parts.loop.hooks, "state_dict")},
            "tokens": self.state.tokens,
            "measured": self.measured,
            "stopwatch": self.stopwatch.state_dict(),
        }
        checkpoint.save(self.folder / "checkpoint", Checkpoint(self.state.step, state, self.files.sync()), self.identity)

    def restore(self, found: Checkpoint) -> None:
        """The reverse of `save`, but for the files."""
        self.state.step, self.state.tokens = found.step, found.state["tokens"]
        self.parts.model.load_state_dict(found.state["model"])
        remember(self.state.optimizer, self.parts.model, found.state["optimizer"])
        for name, load_state_dict in methods(self.parts.loop.hooks, "load_state_dict"):
            load_state_dict(found.state["hooks"][name])
        self.measured = found.state["measured"]
        self.stopwatch.load_state_dict(found.state["stopwatch"])

    def interrupted(self) -> Interrupted:
        """What a signal's sender is told."""
        return Interrupted(f"stopped at step {self.state.step} of {self.steps}, and saved: the same command goes on from there")

    # -- the end

    def broken_at_the_end(self) -> str | None:
        """Weights can break in the very last update, so the final measures are looked at as well."""
        broken = [name for name in METRICS if self.measured[name] is None and name.endswith(("per_byte", "per_token"))]
        return f"the final evaluation gave no finite number for {', '.join(broken)}" if broken else None

    def outcome(self, diverged: str | None) -> Outcome:
        """The run in one record."""
        self.files.sync()
        rows, _ = read_rows(self.files.timing.path)
        return Outcome(
            status="finished" if diverged is None else "diverged",
            step=self.state.step,
            steps=self.steps,
            tokens=self.state.tokens,
            metrics=self.measured,
            parameters=count.parameters(self.parts.model),
            cost={
                "seconds": self.stopwatch.seconds,
                "training_seconds": self.stopwatch.timed_seconds,
                "tokens_per_second": self.stopwatch.tokens_per_second,
                "seconds_per_step": median(row["seconds"] for row in rows) if rows else None,
                "peak_memory_bytes": peak_memory_bytes(),
            },
            digests={
                "weights": checkpoint.digest(dict(self.parts.model.named_parameters())),
                "optimizer": checkpoint.digest(memory(self.state.optimizer, self.parts.model)),
                "metrics.jsonl": sha256_file(self.files.metrics.path),
                "samples.txt": sha256_file(self.files.samples.path),
            },
            diverged=None if diverged is None else {"step": min(self.state.step + 1, self.steps), "reason": diverged},
        )
