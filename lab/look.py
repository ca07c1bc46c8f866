"""What a run sees of its model between updates: evaluations and sample texts. Reads the model, changes nothing of the training.

Where a hook gives weights to judge instead of the raw ones (an average over steps), these are judged and sampled, and the raw
ones are judged beside, as `curve_raw_...` and `validation_raw_...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from lab import sampling, streams
from lab.build import Parts
from lab.data.batches import blocks
from lab.data.prepare import PreparedData
from lab.data.tokenfile import TokenFile
from lab.errors import Interrupted
from lab.numerics import finite_or_none
from lab.store.metrics import RunFiles
from lab.train.evaluate import Documents, Evaluation, evaluate, weighing
from lab.train.hook import methods
from lab.train.outcome import METRICS
from lab.train.progress import Progress


class Look:
    """Looks at one run's model. `measured` holds the last value of each measure of METRICS, and is saved with the run; `documents`
    what each document of the final evaluation cost the judged weights, once that has been made."""

    def __init__(
        self, config: Mapping[str, Any], data: PreparedData, parts: Parts, files: RunFiles, progress: Progress, stop: Callable[[], bool]
    ) -> None:
        self.config, self.data, self.parts, self.files, self.progress, self.stop = config, data, parts, files, progress, stop
        self.state = parts.loop.state
        self.lengths_V = data.tokenizer.bytes_per_token()
        self.measured: dict[str, float | None] = dict.fromkeys(METRICS)
        self.measures = measures(self.state.steps)
        self.documents: Documents | None = None

    def due(self, every: int | None) -> bool:
        """Whether something that is done every so many steps (None: never between), and at the last, is due now."""
        step = self.state.step
        return step == self.state.steps or (every is not None and step > 0 and step % every == 0)

    def look(self) -> None:
        """The evaluations and samples that are due at this step."""
        step, steps, trainer = self.state.step, self.state.steps, self.config["trainer"]
        sampled = trainer["sampling"]["tokens"] > 0 and self.due(trainer["sampling"]["every"])
        curve = step == 0 or step in self.measures.values() or self.due(trainer["evaluation"]["every"])
        if not curve and not sampled:
            return
        judged = self.judged_weights()
        if curve:
            found = self.evaluate("curve", self.text(self.data.curve.path), judged)
            self.measured |= {name: finite_or_none(found.bits_per_byte) for name, at in self.measures.items() if at == step}
        if step == steps:
            self.documents = self.evaluate("validation", self.unless_stopped(self.text(self.data.validation.path)), judged).documents
        if sampled:
            with weighing(self.parts.model, judged):
                self.write_sample("greedy", None)
                self.write_sample(f"temperature {trainer['sampling']['temperature']:g}", trainer["sampling"]["temperature"])

    def judged_weights(self) -> Mapping[str, Tensor] | None:
        """The weights to judge where a hook gives them; None: the raw ones."""
        for _, weights in methods(self.parts.loop.hooks, "evaluation_weights"):
            judged: Mapping[str, Tensor] = weights(self.state)
            return judged
        return None

    def text(self, path: Any) -> Iterator[Any]:
        """A token file in blocks of the protocol's length, as many at a time as a training step holds."""
        batch = self.config["device"]["micro_batch"] or self.config["trainer"]["batch_size"]
        return blocks(TokenFile.open(path), self.config["trainer"]["evaluation"]["block"], batch)

    def unless_stopped(self, each_block: Iterator[Any]) -> Iterator[Any]:
        """The blocks, as long as nobody asks to stop: the final evaluation may take long, and its step is saved already."""
        for block in each_block:
            if self.stop():
                raise interrupted(self.state.step, self.state.steps)
            yield block

    def evaluate(self, name: str, text: Iterator[Any], judged: Mapping[str, Tensor] | None) -> Evaluation:
        """Measure the model on a text, write it down, and tell it."""
        with weighing(self.parts.model, judged):
            found = evaluate(self.parts.model, text, self.lengths_V, self.data.mark if name == "validation" else None)
        row = {f"{name}_bits_per_byte": found.bits_per_byte, f"{name}_nats_per_token": found.nats_per_token}
        if name == "validation":
            row["validation_perplexity"] = found.perplexity
            if self.data.bits_per_byte is not None:
                row["validation_above_entropy"] = found.bits_per_byte - self.data.bits_per_byte
        if judged is not None:
            raw = self.text(self.data.curve.path) if name == "curve" else self.unless_stopped(self.text(self.data.validation.path))
            row[f"{name}_raw_bits_per_byte"] = evaluate(self.parts.model, raw, self.lengths_V).bits_per_byte
        self.measured |= {metric: finite_or_none(value) for metric, value in row.items() if metric.startswith("validation")}
        for hook, evaluated in methods(self.parts.loop.hooks, "evaluated"):
            self.parts.loop.hear(hook, "evaluated", evaluated, dict(row))  # a copy: what was measured stays as it was measured
        self.files.metrics.append_row({"step": self.state.step, "tokens": self.state.tokens, **row, **self.state.records})
        self.state.records = {}
        self.write_texts()
        self.progress.evaluated(self.state.step, row)
        return found

    def write_sample(self, kind: str, temperature: float | None) -> None:
        """A text from the document mark on; the random stream is this step's own."""
        step, tokenizer = self.state.step, self.data.tokenizer
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

    def write_texts(self) -> None:
        """What hooks wrote at this step, for people."""
        for heading, text in self.state.texts:
            self.files.samples.append(f"=== step {self.state.step}, {heading} ===\n{text}\n\n")
        self.state.texts = []

    def broken(self) -> str | None:
        """Weights can break in the very last update, so the final measures are looked at as well: what is wrong, or None."""
        broken = [name for name in METRICS if self.measured[name] is None and name.endswith(("per_byte", "per_token"))]
        return f"the final evaluation gave no finite number for {', '.join(broken)}" if broken else None


def measures(steps: int) -> dict[str, int]:
    """The points of the curve that a result keeps: how much the second half of the budget brought is what D is read from."""
    return {"half_curve_bits_per_byte": steps // 2, "final_curve_bits_per_byte": steps}


def interrupted(step: int, steps: int) -> Interrupted:
    """What a signal's sender is told."""
    return Interrupted(f"stopped at step {step} of {steps}, and saved: the same command goes on from there")
