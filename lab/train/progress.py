"""What a run tells while it runs, to whoever shows it. Cheap to call: what is shown, and how often, is the listener's affair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """The contract. Step s is the moment after s updates."""

    def training(self, step: int, steps: int) -> None:
        """Training goes on from `step` (above 0: a resume) of `steps`."""

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None:
        """One more update is done. The speed is a mean over the timed steps, None before there are any."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """The model was measured, by the names of metrics.jsonl."""

    def sample(self, step: int, kind: str, text: str) -> None:
        """The model wrote a text; `kind` is `greedy` or `temperature 0.8`."""

    def warning(self, text: str) -> None:
        """Something was found wrong and put right."""


class Silent:
    """Shows nothing: for a bench, which measures what showing costs apart, and for tests."""

    def training(self, step: int, steps: int) -> None: ...

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None: ...

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def sample(self, step: int, kind: str, text: str) -> None: ...

    def warning(self, text: str) -> None: ...
