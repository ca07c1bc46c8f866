"""One composition made ready to be timed: assembled, its growing files in a temporary folder, its steps counted.

The steps are those of a run, from the first one on; a run shorter than the bench is gone round. Refuses to time a composition
that diverges: its update stops before the optimizer, and so would be too fast.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lab.data.prepare import PreparedData
from lab.device import peak_memory_bytes, prepare_device, synchronize
from lab.errors import ConfigError
from lab.experiment import Experiment, assemble
from lab.model import count
from lab.store.machine import cpu, device_class
from lab.train.stopwatch import PHASES, WARM_UP_STEPS


class Silent:
    """A listener that shows nothing: what showing costs is measured apart."""

    def training(self, step: int, steps: int) -> None: ...

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None: ...

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def sample(self, step: int, kind: str, text: str) -> None: ...

    def warning(self, text: str) -> None: ...


class Side:
    """A composition that trains on demand. `seconds` holds each timed step, `phases` and `hooks` what they went into."""

    def __init__(self, config: Mapping[str, Any], data: PreparedData, folder: Path) -> None:
        self.config, self.data, self.folder = config, data, folder
        self.experiment = Experiment(config, data, assemble(config, data), folder, "bench", Silent(), lambda: False)
        self.state, self.watch = self.experiment.state, self.experiment.watch
        self.model, self.device = self.state.model, self.experiment.parts.loop.device
        self.tokens_per_step: int = config["trainer"]["batch_size"] * config["model"]["context"]
        self.flops = count.flops_per_token(self.model, config["model"]["context"])
        self.seconds: list[float] = []
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

    def block(self, steps: int) -> list[float]:
        """The seconds of each of some steps.

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
        self.seconds += spent
        return spent

    def count_phases(self, steps: int) -> list[float]:
        """Take some steps and add up what they went into."""
        phases, hooks = dict(self.watch.phases), dict(self.watch.hooks)
        spent = [self.step() for _ in range(steps)]
        for total, before, after in ((self.phases, phases, self.watch.phases), (self.hooks, hooks, self.watch.hooks)):
            for name, value in after.items():
                total[name] = total.get(name, 0.0) + value - before.get(name, 0.0)
        return spent

    def step(self) -> float:
        """One update, with its rows, and its seconds, until the device has done it."""
        if self.state.step == self.state.steps:
            self.state.step = 0
        began = time.perf_counter()
        diverged = self.experiment.update()
        synchronize(self.device)
        if diverged is not None:
            raise ConfigError(
                f"this composition diverges at step {self.state.step}: {diverged}\ntime one that trains: lower its learning rate"
            )
        return time.perf_counter() - began

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

    def speed(self, step_seconds: float, quartiles: list[float]) -> dict[str, Any]:
        """How fast it was: seconds are those of the median step."""
        return {
            "tokens_per_second": self.tokens_per_step / step_seconds,
            "step_seconds": {"median": step_seconds, "quartiles": quartiles, "steps": len(self.seconds)},
            "split": {name: {"share": share, "seconds": share * step_seconds} for name, share in self.share_of.items()},
            "hooks": {name: {"share": share, "seconds": share * step_seconds} for name, share in self.price_of.items()},
        }

    def flops_per_token(self) -> dict[str, Any]:
        """Of training, forward and backward: in both conventions, and by module."""
        whole = count.total(self.flops)
        return {"full": whole.full, "causal": whole.causal, "modules": [asdict(each) for each in self.flops]}

    def close(self) -> None:
        self.experiment.files.close()
