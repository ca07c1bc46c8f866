"""Declared factorials and curves on disk, as a sweep leaves them, for the report to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from lab.files import read_sealed
from lab.store.declaration import CURVE, FACTORIAL, Declaration, DeclaredArm, Factor
from lab.store.studies import declare

from .store import BASE, WOBBLE, Store, digest

NORM = Factor("model/norm", ("layernorm", "rmsnorm"))
HOOKS = Factor("hooks", ("none", "grad_clip"))
LR = "trainer.optimizer.lr"
Value = Callable[[tuple[str, ...], int], "float | None"]  # of a cell and a seed; None: it diverged


def label_of(factors: Sequence[Factor], levels: Sequence[str]) -> str:
    """A cell's label as the rule makes it; `baseline` where nothing differs."""
    moved = [f"{each.key}={level}" for each, level in zip(factors, levels, strict=True) if level != each.levels[0]]
    return "+".join(moved) or "baseline"


def cells(factors: Sequence[Factor]) -> list[tuple[str, ...]]:
    return list(product(*(each.levels for each in factors)))


def declaration(store: Store, study: str, factors: Sequence[Factor], design: str = FACTORIAL) -> Declaration:
    arms = [(label_of(factors, levels), levels) for levels in cells(factors)]
    declared = tuple(DeclaredArm(label, digest("change", label), levels=levels) for label, levels in arms if label != "baseline")
    return Declaration(study, store.name, store.lock, "", False, declared, design=design, factors=tuple(factors))


def told(design: str, factors: Sequence[Factor], levels: Sequence[str]) -> dict[str, Any]:
    """The cell of a request."""
    return {"design": design, "levels": {each.key: level for each, level in zip(factors, levels, strict=True)}}


def factorial(
    store: Store, factors: Sequence[Factor], value: Value, seeds: int | Callable[[tuple[str, ...]], int], study: str = "grid", **more: Any
) -> None:
    """Declare the grid, and train all of its cells, each on so many seeds."""
    declare(store.root, declaration(store, study, factors))
    for levels in cells(factors):
        label = label_of(factors, levels)
        changes = sum(level != each.levels[0] for each, level in zip(factors, levels, strict=True))
        store.arm(
            label,
            [value(levels, seed) for seed in range(seeds if isinstance(seeds, int) else seeds(levels))],
            changes=changes,
            study=study,
            cell=told(FACTORIAL, factors, levels),
            command="python run.py --multirun hydra.sweeper.design=factorial model/norm=layernorm,rmsnorm hooks=none,grad_clip",
            **more,
        )


def ask_for_cells(store: Store, factors: Sequence[Factor], study: str) -> None:
    """Ask for the runs that are there as cells of another grid, as a sweep does that finds them."""
    places = {label_of(factors, levels): levels for levels in cells(factors)}
    for folder in sorted(store.root.glob(f"runs/{store.name}/*/seed=*")):
        label = read_sealed(folder / "manifest.json")["label"]
        if label in places:
            changes = sum(level != each.levels[0] for each, level in zip(factors, places[label], strict=True))
            store.ask(folder, label, changes=changes, study=study, cell=told(FACTORIAL, factors, places[label]))


def curve(store: Store, metric: Mapping[float, Value], seeds: int, study: str = "rates") -> None:
    """Declare a curve over learning rates, its first value the baseline's, and train its points."""
    factor = Factor(LR, tuple(f"{value:g}" for value in metric))
    declare(store.root, declaration(store, study, [factor], CURVE))
    for value, found in metric.items():
        levels = (f"{value:g}",)
        label = label_of([factor], levels)
        store.arm(label, [found(levels, seed) for seed in range(seeds)], study=study, cell=told(CURVE, [factor], levels))


def added(effects: Mapping[str, float], wobble: float = 1.0) -> Value:
    """Cells of which each level of `effects` moves the metric by so much, whatever the others are; each cell has noise of its own."""

    def value(levels: tuple[str, ...], seed: int) -> float:
        place = int(digest(levels)[:4], 16) % len(WOBBLE)
        return BASE[seed] + sum(effects.get(level, 0.0) for level in levels) + wobble * WOBBLE[(seed + place) % len(WOBBLE)]

    return value
