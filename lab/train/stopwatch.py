"""How long training took and where a step's time went, without what isn't training: evaluations, checkpoints, and a sitting's
first steps, which warm up.

On a device that computes on its own (a GPU) a phase's time is what the CPU spent in it; only the whole step is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WARM_UP_STEPS = 3
PHASES = ("data", "forward", "backward", "optimizer", "hooks", "rest")


class Stopwatch:
    """Counts over all sittings of a run: `load_state_dict` brings in the earlier ones. `clock` gives seconds, never backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.began = clock()
        self.step_began = self.lapped = self.began
        self.steps_here = 0
        self.earlier = 0.0
        self.timed_seconds = 0.0
        self.timed_tokens = 0
        self.phases: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self.hooks: dict[str, float] = {}
        self._in_step = False
        self._in_hook = False

    @property
    def seconds(self) -> float:
        """All the time since the run began, over its sittings."""
        return self.earlier + self.clock() - self.began

    @property
    def tokens_per_second(self) -> float | None:
        """Mean over all timed steps; None before the first of them."""
        return self.timed_tokens / self.timed_seconds if self.timed_seconds > 0 else None

    @property
    def split(self) -> dict[str, float]:
        """The share of the timed steps that went into each phase; empty before the first of them."""
        return {name: spent / self.timed_seconds for name, spent in self.phases.items()} if self.timed_seconds > 0 else {}

    @property
    def prices(self) -> dict[str, float]:
        """The share of the timed steps that went into each hook's own calls."""
        return {name: spent / self.timed_seconds for name, spent in self.hooks.items()} if self.timed_seconds > 0 else {}

    @property
    def warm(self) -> bool:
        return self.steps_here >= WARM_UP_STEPS

    def start_step(self) -> None:
        self.step_began = self.lapped = self.clock()
        self._in_step = True

    def lap(self, phase: str) -> None:
        """Count the time since the last lap as a phase's. Within a hook's call it is the hook's already."""
        if self._in_hook:
            return
        now = self.clock()
        if self.warm:
            self.phases[phase] += now - self.lapped
        self.lapped = now

    @contextmanager
    def hook(self, name: str) -> Iterator[None]:
        """Count the time of the block as a hook's, and not as the phase's that it lies in.

        A hook within a hook is the outer one's; outside a step (a site in an evaluation) nothing is counted.
        """
        if self._in_hook or not self._in_step:
            yield
            return
        self._in_hook = True
        began = self.clock()
        try:
            yield
        finally:
            spent = self.clock() - began
            self._in_hook = False
            self.lapped += spent
            if self.warm:
                self.phases["hooks"] += spent
                self.hooks[name] = self.hooks.get(name, 0.0) + spent

    def end_step(self, tokens: int) -> float:
        """The seconds that this step took. Counted as training from the sitting's fourth step on."""
        self.lap("rest")
        self._in_step = False
        taken = self.lapped - self.step_began
        if self.warm:
            self.timed_seconds += taken
            self.timed_tokens += tokens
        self.steps_here += 1
        return taken

    def state_dict(self) -> dict[str, Any]:
        counted = {"timed_seconds": self.timed_seconds, "timed_tokens": self.timed_tokens}
        return {"seconds": self.seconds, **counted, "phases": dict(self.phases), "hooks": dict(self.hooks)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.earlier = saved["seconds"]
        self.timed_seconds = saved["timed_seconds"]
        self.timed_tokens = int(saved["timed_tokens"])
        self.phases, self.hooks = saved["phases"], saved["hooks"]
