"""How the arms of a plan stand by now: the report's verdicts, asked for in a child process, since a sweep's parent holds no pandas.

What is decided, and what has no chance to be, is the report's word (`stop` in lab/results/facts.py): no rule of its own stands here.
An arm is found by its arm_id, never by its label. Writes nothing but what a report does (a D of `auto`, frozen once). A signal that
asks the sweep to stop ends the question too, and leaves no process behind.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lab.ablate.codemap import LAB
from lab.errors import Interrupted, LabError, StoreError
from lab.processes import with_code
from lab.results.facts import SCHEMA
from lab.store.plain import plain
from lab.sweep.launcher import signals
from lab.sweep.plan import Plan

POLL_SECONDS = 0.05
STOPPED = "the sweep was stopped\ntype the same again to go on: finished runs are kept, and what was said at the looks that are over"


@dataclass(frozen=True)
class Standing:
    """One arm at its last complete look, as the report has it."""

    arm_id: str
    label: str  # not escaped
    word: str  # one of lab/results/facts.py's VERDICTS
    said: str  # the word as a table shows it: "better, negligible"
    estimate: float | None  # arm - baseline
    low: float | None
    high: float | None
    decimals: int  # how many of them deserve to be written
    unit: str
    look: int | None  # seeds of that look; None before the first
    n: int  # pairs that the numbers stand on
    pairs: int  # all of them, also those on the way to the look that follows
    chance: float | None  # of a decision at the last look
    stop: str  # why to train no more of it: decided, chance, last look; empty: go on
    sentence: str  # the report's reading of it
    # by what it was judged: what was said stands as long as these do
    study: str = ""
    family: int = 0  # arms that its p is corrected over
    effect: float | None = None  # D; None: not known yet
    looks: str = ""  # of its study's rules: "3, 5, 8"
    next: int | None = None  # seeds of the look that follows; None where none does

    @property
    def decided(self) -> bool:
        return self.stop == "decided"

    @property
    def futile(self) -> bool:
        """Even the last look would hardly decide it."""
        return self.stop == "chance"

    @property
    def over(self) -> bool:
        """More seeds would change nothing: decided, futile, or its last look was taken."""
        return bool(self.stop)

    def numbers(self) -> str:
        """The difference with its interval, as far as there are some: `-0.012 bits/byte (-0.018 to -0.006, 5 seeds)`."""
        if self.estimate is None:
            return ""
        seeds = f"{self.n} seed{'s' * (self.n != 1)}"
        known = self.low is not None and self.high is not None
        interval = f"{self.low:+.{self.decimals}f} to {self.high:+.{self.decimals}f}, " if known else ""
        return f"{self.estimate:+.{self.decimals}f} {self.unit} ({interval}{seeds})"


def standing_of(arm: Mapping[str, Any], studies: Mapping[str, Mapping[str, Any]], unit: str) -> Standing:
    """One arm of a report's JSON; `studies` are those of its section, by name."""
    off, study = arm["off_schedule"], studies[arm["study"]]
    return Standing(
        arm_id=arm["arm_id"],
        label=arm["label"],
        word=arm["verdict"],
        said=arm["said"],
        estimate=arm["difference"],
        low=arm["low"],
        high=arm["high"],
        decimals=arm["decimals"],
        unit=unit,
        look=arm["look"],
        n=arm["n"],
        pairs=arm["n"] if off is None else off["n"],
        chance=arm["chance"],
        stop=arm["stop"],
        sentence=arm["reading"],
        study=arm["study"],
        family=arm["family"],
        effect=study["smallest_effect"],
        looks=", ".join(map(str, study["rules"]["looks"])),
        next=None if arm["next"] is None else arm["next"]["seeds"],
    )


def standings_of(facts: Mapping[str, Any], plan: Plan) -> dict[str, Standing]:
    """The plan's arms that a report's JSON holds, by arm_id, in the plan's order. Raises StoreError for JSON of another version."""
    if facts.get("schema") != SCHEMA:
        raise StoreError(
            f"the report has schema {facts.get('schema')!r}, this version reads {SCHEMA}\nfinish the sweep with the lab of one version"
        )
    wanted = dict.fromkeys(row.arm_id for row in plan.rows if row.job.changes)
    found = {
        arm["arm_id"]: standing_of(arm, {each["name"]: each for each in section["studies"]}, facts["rules"]["unit"])
        for section in facts["sections"]
        if section["cohort"] == plan.cohort
        for arm in section["arms"]
        if arm["arm_id"] in wanted
    }
    return {arm_id: found[arm_id] for arm_id in wanted if arm_id in found}


def command(plan: Plan, root: Path) -> list[str]:
    """What is asked, as it would be typed."""
    asked = ["report", "--baseline", plan.baseline, "--cohort", plan.cohort, "--format", "json"]
    return [sys.executable, "-m", "lab", "--root", str(root), *asked]


def judged(plan: Plan, root: Path) -> dict[str, Standing]:
    """How the arms stand by the runs that are there now; waits for it. Raises LabError: Interrupted for Ctrl-C and SIGTERM."""
    with signals() as asked:
        child = Child(command(plan, root))
        try:
            while (heard := child.heard()) is None and not asked:
                time.sleep(POLL_SECONDS)
        finally:
            child.end()
    if asked or heard is None:
        raise Interrupted(STOPPED)
    return read(*heard, plan)


def read(status: int, printed: bytes, errors: bytes, plan: Plan) -> dict[str, Standing]:
    """A child's answer. Raises StoreError where it has none."""
    try:
        if status == 0:
            return standings_of(json.loads(printed), plan)
        why = f"it was killed by signal {-status}" if status < 0 else errors.decode(errors="replace").strip()
    except ValueError as error:
        why = f"what it printed is no JSON: {error}"
    shown = "\n".join(map(plain, why.splitlines()))
    raise StoreError(f"the verdicts can't be told: {shown}\nput that right; the same command goes on: what is finished is kept")


class Judging:
    """The same, asked for while runs go on: neither asking nor hearing the answer ever waits. Close it when the sweep is over."""

    def __init__(self, plan: Plan, root: Path) -> None:
        self.plan, self.root = plan, root
        self.error = ""  # why the newest question had no answer; as long as no run is there, there is none
        self._newest: dict[str, Standing] | None = None
        self._child: Child | None = None
        self._again = False

    @property
    def asked(self) -> bool:
        """Whether an answer is still to come."""
        return self._child is not None

    def ask(self) -> None:
        """Ask anew; while a question is open, it is asked again once that is answered, since runs may have ended meanwhile."""
        if self._child is None:
            self._child = Child(command(self.plan, self.root))
        else:
            self._again = True

    def answer(self) -> dict[str, Standing] | None:
        """The newest answer, by arm_id; None before the first."""
        if self._child is None or (heard := self._child.heard()) is None:
            return self._newest
        self._child = None
        try:
            self._newest, self.error = read(*heard, self.plan), ""
        except LabError as error:
            self.error = str(error)
        if self._again:
            self._again = False
            self.ask()
        return self._newest

    def close(self) -> None:
        """Ask no more, and leave no process behind."""
        if self._child is not None:
            self._child.end()
            self._child = None


class Child:
    """One question under way. It writes into files: a pipe that nobody reads would stop it."""

    def __init__(self, words: list[str]) -> None:
        self.printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child is; _shut closes both
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        # by the sweep's own code, wherever that was typed; in a session of its own, so that Ctrl-C is the sweep's alone to hear
        self.process = subprocess.Popen(
            words, cwd=LAB.parent, env=with_code(LAB.parent), stdout=self.printed, stderr=self.errors, start_new_session=True
        )

    def heard(self) -> tuple[int, bytes, bytes] | None:
        """Its exit status and what it printed, on both streams; None while it works."""
        status = self.process.poll()
        if status is None:
            return None
        self.printed.seek(0)
        self.errors.seek(0)
        found = status, self.printed.read(), self.errors.read()
        self._shut()
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._shut()

    def _shut(self) -> None:
        self.printed.close()
        self.errors.close()
