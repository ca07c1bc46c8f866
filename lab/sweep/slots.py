"""How many runs of a sweep train at once, and where: a slot for each, with the environment that a run in it gets. Moves no number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lab.store import gpu
from lab.store.abilities import cores

VISIBLE = "CUDA_VISIBLE_DEVICES"


def slots_of(device: Mapping[str, Any]) -> list[dict[str, str]]:
    """The environment of each slot, for a settled device: `device.workers` of them, or as many as fit.

    On the processor as many fit as its cores (those that this process may use) hold runs of `device.threads`; of GPUs each takes
    one. More workers than GPUs share them, in turns. A GPU of another model than the first is left alone: its runs would have
    other bits than the plan says. Every run keeps its own thread count, so how many run at once changes no bit.
    """
    wanted: int | None = device["workers"]
    if device["kind"] == "cuda":
        cards = cards_of_one_model()
        return [{VISIBLE: cards[slot % len(cards)]} for slot in range(wanted or len(cards))]
    if device["kind"] == "mps":
        return [{}] * (wanted or 1)
    return [{}] * (wanted or max(1, cores() // device["threads"]))


def cards_of_one_model() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may be set to for each GPU of the first one's model."""
    driver = gpu.driver()
    assert driver is not None and driver.devices, "a settled device=cuda has one"
    named = [each.strip() for each in os.environ.get(VISIBLE, "").split(",") if each.strip()]
    names = named or [str(number) for number in range(len(driver.devices))]
    return [name for name, model in zip(names, driver.devices, strict=False) if model == driver.devices[0]]
