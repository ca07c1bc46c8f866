"""What the report needs of a pin: its name, its hash, its metric and the judgement. The lock itself is checked in lab/ablate/lock.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.ablate.lock import load_pin

UNITS = {"bits_per_byte": "bits/byte", "nats_per_token": "nats/token"}


@dataclass(frozen=True)
class Pin:
    """A baseline's name and lock, and how its arms are judged; fixed before the first ablation."""

    name: str
    sha256: str
    metric: str
    direction: str
    alpha: float
    smallest_effect: float | None  # None: auto, read from the baseline's own learning curve
    looks: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def measure(self) -> str:
        """The primary metric's name in a result."""
        return f"validation_{self.metric}"

    @property
    def unit(self) -> str:
        return UNITS[self.metric]


def read_pin(root: Path, name: str) -> Pin:
    """The pin of baseline `name` under the project's root. Raises PinError for a missing, damaged or edited one."""
    pin = load_pin(root, name)
    judgement = pin.judgement
    effect = judgement["smallest_effect"]
    return Pin(
        name=pin.name,
        sha256=pin.sha256,
        metric=pin.composition["trainer"]["evaluation"]["metric"],
        direction=judgement["direction"],
        alpha=judgement["alpha"],
        smallest_effect=None if effect == "auto" else effect,
        looks=tuple(judgement["looks"]),
        seeds=tuple(judgement["seeds"]),
    )
