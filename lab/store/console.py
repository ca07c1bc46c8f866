"""What the console says of a run, kept in its run.log too. Says; decides nothing.

In a terminal a bar shows the training; elsewhere plain lines do, one for each tenth of it. In a sweep (`position` is set)
each run ends in one line.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from lab.store.layout import RunFolder
from lab.store.manifest import pairing_in_words

PLAIN_LINES = 10  # progress lines of a run where no bar can be drawn


class Console:
    """Messages to the user about one run, or about a sweep."""

    def __init__(self, position: str = "", name: str = "") -> None:
        """`position` and `name`: of a run in a sweep, before what it says of itself."""
        self.position, self._name = position, name
        self.rich, self.errors = RichConsole(highlight=False), RichConsole(highlight=False, stderr=True)
        for each in (self.rich, self.errors):
            each.soft_wrap = not each.is_terminal  # a terminal's lines break between words, a file's nowhere
        self._log: Path | None = None
        self._run = ""
        self._baseline = ""

    def say(self, text: str) -> None:
        """One or more lines, to the console and the log."""
        self.show(self.rich, text)
        self.log(text)

    def error(self, text: str) -> None:
        """A message to standard error."""
        self.show(self.errors, f"{self.position} {self._name}: {text}" if self.position else text)
        self.log(text)

    def show(self, where: RichConsole, text: str) -> None:
        """Print, or fall silent where nobody listens any more (`| head`): that ends no training."""
        try:
            where.print(Text(text))
        except (BrokenPipeError, SystemExit):  # rich leaves with SystemExit on a broken pipe
            where.quiet = True
            discard(where.file)

    def log(self, text: str) -> None:
        """Lines for run.log alone. A full disk doesn't stop a run here: what counts is written elsewhere."""
        if self._log is None:
            return
        try:
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")
        except OSError:
            self._log = None

    def begin(self, folder: RunFolder, manifest: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        """A run is about to be trained or continued."""
        self._log = folder.log
        self._name = name_of(request, manifest["seed"])
        self._run = folder.path.name.rpartition("-")[2]  # a twin's ends in its number
        self._baseline = request["baseline"]
        if self.position:
            self.log(f"{self._name}: {short(folder)}")
            if not self.rich.is_terminal:
                self.say(f"{self.position} {self._name}: training")
            return
        against = "" if request["label"] == "baseline" else f" against baseline `{request['baseline']}`"
        self.say(f"{self._name}{against}{' (exploring: enters no verdict)' if request['exploring'] else ''}")
        for each in request["held"]:
            self.say(f"  {each}")
        self.say(f"{short(folder)}: {manifest['steps']:,} steps of {manifest['tokens_per_step']:,} tokens")
        if manifest["pairing"] is not None and request["changes"]:
            self.say(f"  {pairing_in_words(manifest['pairing'])}")

    def goes_on(self, step: int, steps: int) -> None:
        """The run was stopped before, and is continued."""
        self.log(f"goes on from step {step:,}")
        about = f"{self.position} {self._name}: " if self.position else ""
        self.show(self.rich, f"{about}goes on from step {step:,}" + (f" of {steps:,}" if self.position else ""))

    def end(self, result: Mapping[str, Any]) -> None:
        """A run has finished or diverged."""
        sentence = outcome(result)
        if self.position:
            self.say(f"{self.position} {self._name}: {sentence}")
        else:
            self.say(sentence)
            self.say(f"next: {report_command(self._baseline)}; python -m lab show {self._run}")

    def found(self, folder: RunFolder, request: Mapping[str, Any], seed: int, result: Mapping[str, Any]) -> None:
        """A run that is there already."""
        sentence = f"{name_of(request, seed)}: found, not trained again: {outcome(result)}"
        self.say(f"{self.position} {sentence}" if self.position else sentence)
        if not self.position:
            self.say(f"{short(folder)}; next: {report_command(request['baseline'])}")


def name_of(request: Mapping[str, Any], seed: int) -> str:
    """A run in a few words."""
    label = f"baseline `{request['baseline']}`" if request["label"] == "baseline" else str(request["label"])
    return f"{label}, seed {seed}"


def report_command(baseline: str) -> str:
    """What to type for the report that a run counts in."""
    return "python -m lab report" + ("" if baseline == "default" else f" --baseline {baseline}")


def discard(stream: IO[str]) -> None:
    """Send what is still written to a closed pipe to nowhere, so that leaving the process says nothing either."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def short(folder: RunFolder) -> str:
    """A run directory from runs/ on."""
    return "/".join(folder.path.parts[-4:])


def outcome(result: Mapping[str, Any]) -> str:
    """How a run ended, in one line."""
    cost = result["cost"]
    speed = cost["tokens_per_second"]  # None: it ended before the first timed step
    training = "" if speed is None else f" ({duration(cost['training_seconds'])} of training, {speed:,.0f} tokens/s)"
    spent = duration(cost["seconds"]) + training
    if result["status"] == "diverged":
        return f"diverged at step {result['diverged']['step']}: {result['diverged']['reason']} ({spent})"
    metrics = result["metrics"]
    above = metrics.get("validation_above_entropy")  # only where the text's source has a known entropy
    floor = "" if above is None else f", {above:.4f} above its source's entropy"
    return (
        f"{metrics['validation_bits_per_byte']:.4f} bits per byte on the validation text{floor} "
        f"({metrics['validation_nats_per_token']:.4f} nats per token); {spent}"
    )


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 4 s, 2:03 min, 1:02:03 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d} h"


class RunProgress:
    """The training as it goes, for lab/experiment.py: a bar in a terminal, else plain lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._task: Any = None
        self._steps = 0
        self._began_at = 0
        self._clock = time.monotonic()
        self._curve = ""

    def training(self, step: int, steps: int) -> None:
        """Training begins, or goes on from `step`."""
        self._steps, self._began_at, self._clock = steps, step, time.monotonic()
        if step:
            self.console.goes_on(step, steps)
        if self.console.rich.is_terminal:
            label = TextColumn("{task.description}")
            columns = (label, BarColumn(bar_width=None), TimeRemainingColumn())
            # each redraw takes 10 ms of a core: at rich's ten a second, 1 % of a step
            self._bar = Progress(*columns, console=self.console.rich, transient=True, expand=True, refresh_per_second=4)
            self._task = self._bar.add_task(self.console.position or "training", total=steps, completed=step)
            self._bar.start()

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None:
        """A step is done. loss in nats per token."""
        if self._bar is None and (self.console.position or step % max(1, self._steps // PLAIN_LINES) != 0):
            return
        rate = "" if tokens_per_second is None else f"  {tokens_per_second:,.0f} tokens/s"
        words = f"{step:,}/{self._steps:,}  loss {loss:.3f}{self._curve}{rate}"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=f"{self.console.position} {words}".strip())
        else:
            left = (time.monotonic() - self._clock) / max(1, step - self._began_at) * (self._steps - step)
            self.console.say(f"step {words}  {duration(left)} left")

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """A point of the curve, or the final evaluation."""
        for name in ("curve", "validation"):
            value = metrics.get(f"{name}_bits_per_byte")
            if value is not None:
                self._curve = f"  {name} {value:.3f} bits/byte at step {step:,}"
                self.console.log(f"step {step}: {value:.4f} bits per byte on the {name} text")

    def sample(self, step: int, kind: str, text: str) -> None:
        """The model wrote a text; it is kept in samples.txt."""

    def warning(self, text: str) -> None:
        """Something that didn't stop the run."""
        self.console.error(f"warning: {text}")

    def stopped(self) -> None:
        """Training ended, for whatever reason: give the terminal back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
