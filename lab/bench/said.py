"""What a bench found, in words for a person: a few lines beside the JSON. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def ratio(found: Mapping[str, Any]) -> str:
    """Two compositions against each other, with what can be told from so many pairs."""
    pairs = len(found["pairs"])
    start = f"A takes {found['median']:.2f} times as long as B for a token (median of {pairs} pairs"
    if found["interval"] is None:
        return f"{start}: too few for an interval; give more --steps)"
    low, high = found["interval"]
    told = ": which is the faster one can't be told from these" if low <= 1 <= high else ""
    return f"{start}, 95 % interval {low:.2f} to {high:.2f}){told}"


def one(found: Mapping[str, Any]) -> str:
    """One composition's speed, where its time goes, and what it reaches of the machine."""
    step, matmul, mfu = found["step_seconds"], found["matmul"], found["mfu"]
    split = sorted(found["split"].items(), key=lambda phase: -phase[1]["share"])
    hooks = "".join(f", {name} {price['share']:.1%}" for name, price in found["hooks"].items())
    over = found["overheads"]
    low, high = step["quartiles"]
    return "\n".join(
        [
            f"{found['tokens_per_second']:,.0f} tokens/s; a step takes {1e3 * step['median']:.1f} ms "
            f"(half of {step['steps']} lie from {1e3 * low:.1f} to {1e3 * high:.1f})",
            "where it goes: " + ", ".join(f"{name} {spent['share']:.1%}" for name, spent in split),
            *([f"hooks, share of a step: {hooks[2:]}"] if hooks else []),
            f"MFU {mfu['full']:.2f} by the full-attention convention, {mfu['causal']:.2f} by the causal one, "
            f"of {matmul['flops_per_second'] / 1e9:.0f} GFLOP/s, the best of the model's own matmuls here",
            f"beside the steps: evaluations {over['evaluations']['share']:.1%} of a run, proofs (digests of weights and draws, pairing) "
            f"{over['proofs']['share']:.2%}, {over['proofs']['seconds']:.2f} s; of a step: logging, norms and progress "
            f"{over['logging_norms_progress']['share']:.1%}, idle sites {over['sites_without_hooks']['share']:.2%}",
        ]
    )


def sweep(found: Mapping[str, Any]) -> str:
    """A sweep against the same runs one after the other, each beside its goal."""
    study, swept, one, goals = found["study"], found["sweep"], found["one_by_one"], found["goals"]
    outside = swept["outside"]
    slower = swept["training_seconds"] / one["training_seconds"]
    return "\n".join(
        [
            f"{study['runs']} runs of {study['steps']} steps in {swept['seconds']:.1f} s, {swept['runs_per_hour']:,.0f} an hour, "
            f"in {swept['slots']} slots; one after the other in one process {one['seconds']:.1f} s, {one['runs_per_hour']:,.0f} an hour",
            f"{found['ratio']:.2f} times as fast (goal on two cores: {goals['ratio']} or more); "
            f"beside other runs a step took {slower:.2f} times as long as alone",
            f"outside training steps {outside['share']:.1%} of the slots' time (goal for the standard study: under "
            f"{goals['outside']:.0%}): {outside['runs']:.1%} in the runs (evaluations, checkpoints, proofs), "
            f"{outside['sweep']:.1%} around them (starts, planning, the report, slots at rest)",
            f"weights bit-equal both ways: {study['equal_bits']} of {study['runs']}",
        ]
    )
