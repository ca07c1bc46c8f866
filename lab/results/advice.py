"""What to type where something is missing: the first arms, or the baseline's half of pairs that wait for it. Runs nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.results.lineup import Arm, Lineup
from lab.results.pin import Pin
from lab.results.record import Request
from lab.results.typed import newest_run
from lab.results.wording import counted, seed_list
from lab.store.plain import plain


@dataclass(frozen=True)
class Advice:
    """A command, and the sentence that says what it makes."""

    why: str
    command: str


def first_arms(pin: Pin, where: str = "", begun: str = "Nothing to judge yet.") -> Advice:
    """How to begin. `where`: the machine, if it isn't this one."""
    why = f"{begun} To train arms beside the baseline{f' on {where}' if where else ''}, for example:"
    return Advice(plain(why), f"python run.py --multirun baseline={pin.name} hooks=none,grad_clip seed={joined(pin.seeds[: pin.looks[0]])}")


def missing_baseline(lineup: Lineup, pin: Pin, asked: Sequence[Request], where: str) -> tuple[Advice, ...]:
    """The command that makes the baseline's runs for which arms of this lineup wait.

    `asked`: all requests, oldest first. `where`: the machine, if it isn't this one.
    """
    base = lineup.baseline.runs if lineup.baseline else {}
    waiting = {seed: waits(lineup.arms, seed) for seed in pin.seeds if seed not in base or not base[seed].done}
    seeds = [seed for seed, arms in waiting.items() if arms]
    if not seeds:
        return ()
    arms = {arm_id for seed in seeds for arm_id in waiting[seed]}
    lack = {state_of(lineup.baseline, seed) for seed in seeds}
    why = (
        f"{counted(len(seeds), 'baseline run')} {'is' if len(seeds) == 1 else 'are'} {' or '.join(sorted(lack))} ({seed_list(seeds)}), "
        f"and {counted(len(arms), 'arm')} {'waits' if len(arms) == 1 else 'wait'} for {'it' if len(seeds) == 1 else 'them'}. "
        f"To make {'it' if len(seeds) == 1 else 'them'}{f' on {where}' if where else ''}:"
    )
    words = " ".join(["python run.py", *["--multirun"] * (len(seeds) > 1), f"baseline={pin.name}", *settings(lineup, asked)])
    return (Advice(plain(why), plain(f"{words} seed={joined(seeds)}")),)


def waits(arms: Iterable[Arm], seed: int) -> list[str]:
    """The arms that have an outcome on a seed."""
    return [arm.arm_id for arm in arms if seed in arm.runs and arm.runs[seed].done]


def state_of(baseline: Arm | None, seed: int) -> str:
    return baseline.runs[seed].status if baseline is not None and seed in baseline.runs else "missing"


def settings(lineup: Lineup, asked: Sequence[Request]) -> list[str]:
    """Where the text lies and which device it was, as they were typed for the newest run of this cohort: they are no change."""
    mine = {run.directory for arm in (*lineup.arms, *([lineup.baseline] if lineup.baseline else ())) for run in arm.runs.values()}
    typed = newest_run([request for request in asked if request.directory in mine]) or []
    return [shlex.quote(word) for word in typed if word.partition("=")[0] in ("data.path", "device") or word.startswith("device.")]


def joined(seeds: Sequence[int]) -> str:
    return ",".join(map(str, seeds))
