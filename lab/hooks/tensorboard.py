"""Shows the training in TensorBoard: losses, rate, gradient norm, evaluations, and all that other observers record. Changes nothing.

Writes event files to `tensorboard/` in the run's folder, which no digest and no report reads: metrics.jsonl stays the truth.
Refuses to be built where the package isn't installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import ConfigError
from lab.train.state import TrainingState


class TensorBoard:
    """Speaks last of the observers, so that their numbers of this update are there; those are shown whenever they are recorded."""

    observes = True
    order = 100

    def __init__(self, *, every: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                f"hooks.tensorboard needs the package tensorboard: {error}\npip install -c constraints.txt '.[tensorboard]'"
            ) from error
        self.every = every
        self.open = SummaryWriter
        self.writer: Any = None
        self.due = False

    def batch(self, state: TrainingState) -> None:
        self.due = state.due(self.every)

    def after_step(self, state: TrainingState) -> None:
        values = {name.replace(".", "/", 1): value for name, value in state.records.items()}
        if self.due:
            own = {"loss": state.loss, "lr": state.learning_rate, "gradient_norm": state.gradient_norm}
            values |= {f"train/{name}": value for name, value in (own | state.auxiliary).items()}
        self.show(state, values, since=state.step)

    def evaluated(self, state: TrainingState, found: Mapping[str, float]) -> None:
        # of this step, a sitting that went before has written what training measured, and perhaps this same point
        self.show(state, {f"evaluation/{name}": value for name, value in found.items()}, since=state.step + 1)

    def show(self, state: TrainingState, values: Mapping[str, float], *, since: int) -> None:
        """Points at this step. Flushed at once: a run that is killed leaves what was measured.

        What an earlier sitting wrote from step `since` on was cut off with its rows: TensorBoard then leaves it out.
        """
        if state.folder is None or not values:
            return
        if self.writer is None:
            self.writer = self.open(str(state.folder / "tensorboard"), purge_step=since)
        for name, value in values.items():
            self.writer.add_scalar(name, value, state.step)
        self.writer.flush()
