"""`python -m lab selfcheck`: trains null arms beside a baseline, as any sweep would, and reads what the shipped report says of them.

A null arm moves every initial weight by its last bits, up or down by a draw of its own: nothing that could matter. What is claimed of
one is a false claim. Owns the plan; the numbers stand in noise.py, the text in told.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.ablate.lock import load_pin
from lab.ablate.rule import count_changes
from lab.config.compose import Composer
from lab.errors import ConfigError
from lab.results.report import build
from lab.selfcheck.noise import measure
from lab.selfcheck.told import text_of
from lab.store.console import Console
from lab.sweep.arms import hooks_as_typed
from lab.sweep.asked import Asked
from lab.sweep.plan import Plan, plan_of
from lab.sweep.sweeper import carry_out, refuse_failed
from lab.sweep.watcher import Lines

STUDY = "selfcheck"
SIZE = 1e-7  # share of each weight: about one unit in the last place of a float32


def selfcheck(root: Path, baseline: str, arms: int, seeds: int | None, say: Callable[[str], None]) -> str:
    """Train what is missing of `arms` null arms beside the baseline, at the first `seeds` pinned seeds (None: the first look's).

    Returns what came out, in words and numbers. Raises LabError, SweepFailed among them where a run failed.
    """
    plan = plan_of_nulls(root, baseline, arms, seeds, say)
    _, failed = carry_out(plan, root, say, Lines(Console()))
    refuse_failed(plan, failed, root)
    return told(root, plan)


def told(root: Path, plan: Plan) -> str:
    """What the shipped report and the runs of a plan come to."""
    report = build(root, plan.baseline, cohort=plan.cohort)
    nulls = [row.arm_id for row in plan.rows if row.job.changes]
    return text_of(measure(report, list(dict.fromkeys(nulls)), plan.seeds), SIZE)


def plan_of_nulls(root: Path, baseline: str, arms: int, seeds: int | None, say: Callable[[str], None]) -> Plan:
    """The baseline and its null arms, each composed and counted as one change. Raises LabError before anything is written."""
    judgement = load_pin(root, baseline).judgement
    count = judgement["looks"][0] if seeds is None else seeds
    if arms < 1:
        raise ConfigError(f"--arms {arms}: at least one null arm is trained beside the baseline")
    if not 2 <= count <= len(judgement["seeds"]):
        raise ConfigError(f"--seeds {count}: from 2 to the {len(judgement['seeds'])} that baseline `{baseline}` pins")
    composer = Composer(root)
    start = count_changes(composer, (f"baseline={baseline}",))
    hooks = list(start.composition.hooks)
    if "nudge" in hooks:
        raise ConfigError(
            f"baseline `{baseline}` has the hook nudge itself: a null arm would be another value of it\ncheck another baseline"
        )
    chosen = (f"baseline={baseline}", f"hooks={hooks_as_typed([*hooks, 'nudge'])}", f"hooks.nudge.size={SIZE}")
    tallies = [count_changes(composer, (*chosen, f"hooks.nudge.draw={draw}")) for draw in range(arms)]
    asked = Asked((start, *tallies), tuple(judgement["seeds"][:count]), STUDY)
    command = f"python -m lab selfcheck --baseline {baseline} --arms {arms} --seeds {count}"
    return plan_of(composer, asked, command, say, replay=True)
