"""Runs, arms and lineups without a disk, for studies by the hundred. Their values are whatever a test draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.results.lineup import BASELINE, Arm, Lineup
from lab.results.record import Run

STUDY = "simulated"


def run(label: str, seed: int, value: float | None, weights: str | None = None, step: int = 40) -> Run:
    """A finished run; a value of None is a divergence, at this step. Its weights are its own unless told."""
    return Run(
        directory=f"demo/{label}/seed={seed}",
        baseline="demo",
        label=label,
        arm_id=label,
        change_id=label,
        cohort="c" * 64,
        identity=f"{label} {seed}",
        seed=seed,
        status="diverged" if value is None else "finished",
        code={},
        bits="b" * 64,
        parts={"bits": {}, "cohort": {}, "factors": {}},
        cohort_name="",
        steps=100,
        tokens_per_step=64,
        metrics={"validation_bits_per_byte": value},
        parameters={"total": 1000.0},
        cost={"seconds": 60.0},
        weights=weights or f"{label} {seed}",
        trained={},
        pairing=None,
        diverged_step=step if value is None else None,
        reason=None,
    )


def arm(label: str, values: Sequence[float | None]) -> Arm:
    """An arm's runs on the first seeds."""
    return arm_of(label, [run(label, seed, value) for seed, value in enumerate(values)])


def arm_of(label: str, runs: Sequence[Run]) -> Arm:
    return Arm(label, label, STUDY, {one.seed: one for one in runs}, (), (label,), is_edit=False)


def lineup(baseline: Arm, arms: Sequence[Arm]) -> Lineup:
    """One study of these arms."""
    families: Mapping[str, frozenset[str]] = {STUDY: frozenset(one.arm_id for one in arms)}
    return Lineup("c" * 64, "", None, baseline, tuple(arms), families, tried=len(arms))


__all__ = ["BASELINE", "STUDY", "arm", "arm_of", "lineup", "run"]
