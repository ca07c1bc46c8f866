"""One composition made ready to be timed: assembled, its growing files in a temporary folder, its steps counted.

The steps are those of a run, from the first one on; a run shorter than the bench is gone round. Refuses to time a composition
that diverges: its update stops before the optimizer, and so would be too fast.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from lab.data.prepare import PreparedData
from lab.device import peak_memory_bytes, prepare_device, synchronize
from lab.errors import ConfigError
from lab.experiment import Experiment, assemble
from lab.model import count
from lab.store.machine import cpu, device_class
from lab.store.metrics import unowned
from lab.train.progress import Silent
from lab.train.stopwatch import PHASES, WARM_UP_STEPS


@dataclass(frozen=True)
class Step:
    """One update: its seconds, and the length of its sequences, which a hook may have cut to less than model.context."""

    seconds: float
    length: int


class Side:
    """A composition that trains on demand. `timed` holds each timed step, `phases` and `hooks` what they went into."""

    def __init__(self, config: Mapping[str, Any], data: PreparedData, folder: Path) -> None:
        self.config, self.data, self.folder = config, data, folder
        self.experiment = Experiment(config, data, assemble(config, data), folder, "bench", Silent(), lambda: False, unowned)
        self.state, self.watch = self.experiment.state, self.experiment.watch
        self.model, self.device = self.state.model, self.experiment.parts.loop.device
        self.tokens_per_step: int = config["trainer"]["batch_size"] * config["model"]["context"]
        self.flops: dict[int, list[count.Flops]] = {}
        self.timed: list[Step] = []
        self.phases: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self.hooks: dict[str, float] = {}

    def warm_up(self) -> None:
        """The first steps: memory is taken, the model is compiled where it's asked for. Then the memory that training takes is known."""
        self.prepare()
        for _ in range(WARM_UP_STEPS):
            self.step()
        self.peak_memory_bytes = peak_memory_bytes(self.device)

    def prepare(self) -> None:
        """Set the device's modes and threads: another side may have set others."""
        device = self.config["device"]
        prepare_device(device["kind"], device["threads"], device["deterministic"])

    def block(self, steps: int) -> list[Step]:
        """Take and time some steps.

        A device that computes on its own shows where time goes only when it's waited for at each phase, which slows it down:
        it takes as many steps again for the split.
        """
        self.prepare()
        alone = self.device.type != "cpu"
        spent = self.count_phases(steps) if not alone else [self.step() for _ in range(steps)]
        if alone:
            plain, self.watch.clock = self.watch.clock, self.patient_clock
            self.count_phases(steps)
            self.watch.clock = plain
        self.timed += spent
        return spent

    def count_phases(self, steps: int) -> list[Step]:
        """Take some steps and add up what they went into."""
        phases, hooks = dict(self.watch.phases), dict(self.watch.hooks)
        spent = [self.step() for _ in range(steps)]
        for total, before, after in ((self.phases, phases, self.watch.phases), (self.hooks, hooks, self.watch.hooks)):
            for name, value in after.items():
                total[name] = total.get(name, 0.0) + value - before.get(name, 0.0)
        return spent

    def step(self) -> Step:
        """One update, with its rows, timed until the device has done it."""
        if self.state.step == self.state.steps:
            self.state.step = 0
        began = time.perf_counter()
        diverged = self.experiment.update()
        synchronize(self.device)
        if diverged is not None:
            raise ConfigError(
                f"this composition diverges at step {self.state.step}: {diverged}\ntime one that trains: lower its learning rate"
            )
        seconds = time.perf_counter() - began
        assert self.state.inputs_BT is not None
        return Step(seconds, self.state.inputs_BT.shape[1])

    def patient_clock(self) -> float:
        """Seconds, once the device has done all that was asked of it."""
        synchronize(self.device)
        return time.perf_counter()

    @property
    def share_of(self) -> dict[str, float]:
        """The share of a step in each phase; they sum to 1."""
        whole = sum(self.phases.values())
        return {name: spent / whole for name, spent in self.phases.items()}

    @property
    def price_of(self) -> dict[str, float]:
        """The share of a step in each hook's own calls."""
        whole = sum(self.phases.values())
        return {name: spent / whole for name, spent in self.hooks.items()}

    def about(self) -> dict[str, Any]:
        """What was timed, and on what."""
        device, trainer, model = self.config["device"], self.config["trainer"], self.config["model"]
        kind = device["kind"]
        return {
            "device": {
                "kind": kind,
                "name": cpu()[0] if kind == "cpu" else device_class(kind),
                "torch": str(torch.__version__),
                "precision": trainer["precision"],
                **{key: device[key] for key in ("threads", "attention", "compile", "micro_batch", "fused_optimizer", "deterministic")},
            },
            "batch": {"sequences": trainer["batch_size"], "tokens": model["context"], "tokens_per_step": self.tokens_per_step},
            "parameters": count.parameters(self.model),
        }

    @property
    def seconds(self) -> list[float]:
        """Of each timed step."""
        return [step.seconds for step in self.timed]

    def speed(self, step_seconds: float, quartiles: list[float]) -> dict[str, Any]:
        """How fast it was: seconds are those of the median step."""
        return {
            "tokens_per_second": self.tokens_per_step / step_seconds,
            "step_seconds": {"median": step_seconds, "quartiles": quartiles, "steps": len(self.timed)},
            "split": {name: {"share": share, "seconds": share * step_seconds} for name, share in self.share_of.items()},
            "hooks": {name: {"share": share, "seconds": share * step_seconds} for name, share in self.price_of.items()},
        }

    def flops_at(self, length: int) -> list[count.Flops]:
        """For a token of a sequence of this length, by module."""
        if length not in self.flops:
            self.flops[length] = count.flops_per_token(self.model, length)
        return self.flops[length]

    def flops_per_token(self) -> dict[str, Any]:
        """Of training, forward and backward: in both conventions, and by module. The mean over the timed steps, each at its own length."""
        by_module = zip(*(self.flops_at(step.length) for step in self.timed), strict=True)
        modules = [mean(steps) for steps in by_module]
        whole = count.total(modules)
        lengths = sorted({step.length for step in self.timed})
        return {"full": whole.full, "causal": whole.causal, "lengths": lengths, "modules": [asdict(each) for each in modules]}

    def flops_per_second(self, steps: Sequence[Step]) -> dict[str, float]:
        """What these steps reached in both conventions: their median, each at its own length."""
        counted = [(count.total(self.flops_at(step.length)), self.tokens_per_step / step.seconds) for step in steps]
        return {
            "full": median(whole.full * rate for whole, rate in counted),
            "causal": median(whole.causal * rate for whole, rate in counted),
        }

    def close(self) -> None:
        self.experiment.files.close()


def mean(steps: Sequence[count.Flops]) -> count.Flops:
    """One module's, over several steps."""
    return count.Flops(
        steps[0].module,
        fmean(each.matrix for each in steps),
        fmean(each.mixing_full for each in steps),
        fmean(each.mixing_causal for each in steps),
    )
