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
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor

from lab import checkpoint
from lab.build import Parts, build
from lab.checkpoint import Checkpoint
from lab.data.prepare import PreparedData
from lab.device import peak_memory_bytes, prepare_device
from lab.files import read_rows, sealed, sha256_file, write_json
from lab.look import Look, interrupted
from lab.model import count
from lab.store.metrics import RunFiles, unowned
from lab.trace import DRAWS, at_an_end, checkpoint_before_the_end, draws, weights_line
from lab.train.hook import methods
from lab.train.optimizer.memory import memory, remember
from lab.train.outcome import DOCUMENTS, DOCUMENTS_SCHEMA, Outcome
from lab.train.progress import Progress


def assemble(config: Mapping[str, Any], data: PreparedData) -> Parts:
    """The device made ready and every part of a run built, its weights at their first values. Writes nothing.

    Raises ConfigError where a part refuses its values, MachineError where the device doesn't answer.
    """
    device = config["device"]
    prepare_device(device["kind"], device["threads"], device["deterministic"])
    parts = build(config, data, time.perf_counter)
    checkpoint.pack(hook_state(parts))  # what can't be saved is refused now, not at the first checkpoint
    return parts


def hook_state(parts: Parts) -> dict[str, Any]:
    """What each hook needs at a resume, by its name."""
    return {name: state_dict() for name, state_dict in methods(parts.loop.hooks, "state_dict")}


def run(
    config: Mapping[str, Any],
    data: PreparedData,
    parts: Parts,
    folder: Path,
    identity: str,
    progress: Progress,
    stop: Callable[[], bool],
    owned: Callable[[], None] = unowned,
) -> Outcome:
    """Train the run that `config` describes and `parts` make up, in `folder`, from its last checkpoint if it has one.

    `stop` is asked at every step; once it says yes the run is saved and left with Interrupted. `owned` is called before anything
    is written, and raises StoreError where the folder is another process's by now. Raises StoreError too when the folder's
    checkpoints are damaged or another run's.
    """
    experiment = Experiment(config, data, parts, folder, identity, progress, stop, owned)
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
        parts: Parts,
        folder: Path,
        identity: str,
        progress: Progress,
        stop: Callable[[], bool],
        owned: Callable[[], None],
    ) -> None:
        self.config, self.folder, self.identity = config, folder, identity
        self.parts, self.progress, self.stop, self.owned = parts, progress, stop, owned
        self.state, self.watch = parts.loop.state, parts.loop.watch
        self.steps, self.tokens_per_step = self.state.steps, config["trainer"]["batch_size"] * config["model"]["context"]
        self.before_the_end = checkpoint_before_the_end(self.steps)
        self.train_loss: float | None = None
        self.files = RunFiles(folder, owned)
        self.view = Look(config, data, parts, self.files, progress, stop)
        self.state.folder = folder

    def run(self) -> Outcome:
        """The story."""
        self.resume()
        self.trace()
        self.progress.training(self.state.step, self.steps)
        while True:
            self.view.look()
            if self.state.step == self.steps:
                return self.outcome(self.view.broken())
            diverged = self.update()
            if diverged is not None:
                return self.outcome(diverged)
            asked_to_stop = self.stop()
            if asked_to_stop or self.view.due(self.config["trainer"]["checkpoint"]["every"]) or self.state.step == self.before_the_end:
                self.save()
            if asked_to_stop:
                raise interrupted(self.state.step, self.steps)

    def resume(self) -> None:
        """Take up the last checkpoint, or begin; either way cut away what was written since."""
        found, warnings = checkpoint.latest(self.folder / "checkpoint", self.identity)
        for warning in warnings:
            self.progress.warning(warning)
        if found is not None:
            self.restore(found)
        elif self.files.metrics.sync() > 0:
            self.progress.warning("this run ended before its first checkpoint: it starts from the beginning")
        self.files.truncate(*((found.offsets, found.digests) if found is not None else (None, None)))

    def trace(self) -> None:
        """Write down what every step will use, and the first weights: what a later replay, and an edit of the code, are held to."""
        self.owned()
        write_json(
            self.folder / DRAWS, draws(self.parts, self.view.measures)
        )  # at each sitting the same, so what was damaged meanwhile is mended
        if self.state.step == 0:
            self.files.weights.append(weights_line(0, self.state.loss, self.parts.model))

    # -- update: one step of training

    def update(self) -> str | None:
        """Train on the next batch and write its rows. None, or why the run has diverged."""
        state, watch = self.state, self.watch
        watch.start_step()
        diverged = self.parts.loop.update(*self.parts.batches.batch(state.step))
        seconds = watch.end_step(self.tokens_per_step)
        if diverged is not None:
            self.files.metrics.append_row(self.training_row(state.step + 1))
            return diverged
        self.train_loss = state.loss
        if at_an_end(state.step, self.steps):
            self.files.weights.append(weights_line(state.step, state.loss, self.parts.model))
        due = self.view.due(self.config["trainer"]["log_every"])
        if due or state.records:
            self.files.metrics.append_row(self.training_row(state.step))
        if due:
            speed = {"seconds": seconds, "tokens_per_second": self.tokens_per_step / seconds}
            memory_bytes = peak_memory_bytes(self.parts.loop.device)
            self.files.timing.append_row({"step": state.step, **speed, "memory_bytes": memory_bytes})
        state.records = {}
        self.view.write_texts()
        self.progress.step(state.step, state.loss, watch.tokens_per_second)
        return None

    def training_row(self, step: int) -> dict[str, Any]:
        """What the update that leads to `step` measured, and what hooks recorded in it."""
        state = self.state
        row = {"step": step, "tokens": state.tokens, "loss": state.loss, "lr": state.learning_rate}
        return row | {"gradient_norm": state.gradient_norm} | state.auxiliary | state.records

    # -- save: everything that the next step depends on

    def save(self) -> None:
        """A checkpoint of this step. The rows that it counts are on the disk before it is."""
        state = {
            "model": self.parts.model.state_dict(),
            "optimizer": memory(self.state.optimizer, self.parts.model),
            "hooks": hook_state(self.parts),
            "tokens": self.state.tokens,
            "measured": self.view.measured,
            "train_loss": self.train_loss,
            "stopwatch": self.watch.state_dict(),
        }
        counted = Checkpoint(self.state.step, state, self.files.sync(), self.files.digests())
        kept = 1 if self.state.step == self.steps else checkpoint.KEPT
        checkpoint.save(self.folder / "checkpoint", counted, self.identity, self.owned, kept=kept, keep=self.before_the_end)

    def restore(self, found: Checkpoint) -> None:
        """The reverse of `save`, but for the files."""
        self.state.step, self.state.tokens = found.step, found.state["tokens"]
        self.parts.model.load_state_dict(found.state["model"])
        remember(self.state.optimizer, self.parts.model, found.state["optimizer"])
        for name, load_state_dict in methods(self.parts.loop.hooks, "load_state_dict"):
            load_state_dict(found.state["hooks"][name])
        self.view.measured, self.train_loss = found.state["measured"], found.state["train_loss"]
        self.watch.load_state_dict(found.state["stopwatch"])

    # -- the end

    def outcome(self, diverged: str | None) -> Outcome:
        """The run in one record."""
        self.files.sync()
        self.write_documents(diverged)
        rows, _ = read_rows(self.files.timing.path)
        judged = self.view.judged_weights()
        return Outcome(
            status="finished" if diverged is None else "diverged",
            step=self.state.step,
            steps=self.steps,
            tokens=self.state.tokens,
            metrics=self.view.measured | {"train_loss": self.train_loss},
            parameters=count.parameters(self.parts.model),
            cost={
                "seconds": self.watch.seconds,
                "training_seconds": self.watch.timed_seconds,
                "tokens_per_second": self.watch.tokens_per_second,
                "seconds_per_step": median(row["seconds"] for row in rows) if rows else None,
                "peak_memory_bytes": peak_memory_bytes(self.parts.loop.device),
                "flops_per_token": count.total(count.flops_per_token(self.parts.model, self.config["model"]["context"])).causal,
            },
            split=self.watch.split,
            prices=self.watch.prices,
            digests=self.digests(judged),
            diverged=None if diverged is None else {"step": min(self.state.step + 1, self.steps), "reason": diverged},
        )

    def write_documents(self, diverged: str | None) -> None:
        """What each document of the final evaluation cost, where the run came so far: at a resume again, from the same weights."""
        self.owned()
        found = self.view.documents
        if found is None or diverged is not None:
            (self.folder / DOCUMENTS).unlink(missing_ok=True)
        else:
            write_json(self.folder / DOCUMENTS, sealed({"schema": DOCUMENTS_SCHEMA, "bytes": found.bytes, "nats": found.nats}))

    def digests(self, judged: Mapping[str, Tensor] | None) -> dict[str, str]:
        """SHA-256 of the final weights and the optimizer's memory, and of each file that the run has measured."""
        tensors = {
            "weights": checkpoint.digest(dict(self.parts.model.named_parameters())),
            "optimizer": checkpoint.digest(memory(self.state.optimizer, self.parts.model)),
        }
        other = {} if judged is None else {"judged_weights": checkpoint.digest(dict(judged))}
        growing = {file.path.name: file.digest() for file in (self.files.metrics, self.files.samples, self.files.weights)}
        whole = {name: sha256_file(self.folder / name) for name in (DRAWS, DOCUMENTS) if (self.folder / name).exists()}
        return tensors | other | growing | whole
