"""How long training took, without what isn't training: evaluations, checkpoints, and a sitting's first steps, which warm up."""

from __future__ import annotations

from collections.abc import Callable

WARM_UP_STEPS = 3


class Stopwatch:
    """Counts over all sittings of a run: `load_state_dict` brings in the earlier ones. `clock` gives seconds, never backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.began = clock()
        self.step_began = self.began
        self.steps_here = 0
        self.earlier = 0.0
        self.timed_seconds = 0.0
        self.timed_tokens = 0

    @property
    def seconds(self) -> float:
        """All the time since the run began, over its sittings."""
        return self.earlier + self.clock() - self.began

    @property
    def tokens_per_second(self) -> float | None:
        """Mean over all timed steps; None before the first of them."""
        return self.timed_tokens / self.timed_seconds if self.timed_seconds > 0 else None

    def start_step(self) -> None:
        self.step_began = self.clock()

    def end_step(self, tokens: int) -> float:
        """The seconds that this step took. Counted as training from the sitting's fourth step on."""
        taken = self.clock() - self.step_began
        self.steps_here += 1
        if self.steps_here > WARM_UP_STEPS:
            self.timed_seconds += taken
            self.timed_tokens += tokens
        return taken

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds, "timed_seconds": self.timed_seconds, "timed_tokens": self.timed_tokens}

    def load_state_dict(self, saved: dict[str, float]) -> None:
        self.earlier = saved["seconds"]
        self.timed_seconds = saved["timed_seconds"]
        self.timed_tokens = int(saved["timed_tokens"])
