"""A sweep of `until=decided` in a store on disk: its runs are written as training writes them, at values that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import Interrupted
from lab.request import Job
from lab.results.forms.as_json import to_json
from lab.store.layout import RunFolder
from lab.sweep.decided import until_decided
from lab.sweep.judged import Standing, standings_of
from lab.sweep.manner import Manner
from lab.sweep.plan import Plan, Row
from lab.sweep.watcher import Failed
from tests.results.store import BASE, BITS, CODE, WOBBLE, Store, digest

LOOKS = (3, 5, 8)
COHORT = "c" * 64
# how each arm differs from the baseline: by how much on every seed, and times the wobble of about 0.001 from seed to seed; D is 0.005
ARMS = {"worse": (0.03, 1.0), "noisy": (0.0, 30.0), "slow": (0.001, 2.5), "equal": (0.0, 0.5)}


def make_job(root: Path, label: str, seed: int, looks: Sequence[int], seeds: Sequence[int]) -> Job:
    changes = [] if label == "baseline" else [{"kind": "group", "path": "model/norm"}]
    config = {"seed": seed, "judgement": {"looks": list(looks), "seeds": list(seeds)}}
    return Job(str(root), "demo", "0" * 64, label, changes, False, "norms", "", [], [], config, config)


def make_plan(
    root: Path,
    arms: Sequence[str] = tuple(ARMS),
    looks: Sequence[int] = LOOKS,
    seeds: Sequence[int] | None = None,
    design: str = "one_factor",
    pinned: Sequence[int] | None = None,
) -> Plan:
    """Baseline and arms on the seeds up to the last look, in the order in which they run; or on these seeds, of those that are pinned."""
    pinned = tuple(range(looks[-1]) if pinned is None else pinned)
    rows = []
    for seed in pinned if seeds is None else seeds:
        for label in ("baseline", *arms):
            arm_id = digest(label, CODE)
            identity = digest(arm_id, seed, BITS, COHORT)
            folder = RunFolder(root / "runs" / "demo" / arm_id[:6] / f"seed={seed}-{identity[:12]}")
            job = make_job(root, label, seed, looks, pinned)
            rows.append(Row(len(rows) + 1, job, identity, (), arm_id, digest("change", label), COHORT, folder, "missing"))
    return Plan(
        id="0123abcd",
        study="norms",
        question="",
        by_hand=False,
        looks=None,
        smallest_effect=None,
        baseline="demo",
        lock="0" * 64,
        arms=tuple(arms),
        seeds=pinned if seeds is None else tuple(seeds),
        rows=tuple(rows),
        grid=0,
        untried=False,
        manner=Manner(design=design, until="decided"),
    )


@dataclass
class Sweep:
    """One store with its sweep; `go` is the user typing the command. What was trained, asked and said adds up over all of them."""

    store: Store
    arms: dict[str, tuple[float, float]] = field(default_factory=lambda: dict(ARMS))
    trained: list[tuple[str, int]] = field(default_factory=list)
    asked: int = 0
    said: list[str] = field(default_factory=list)
    fails: set[tuple[str, int]] = field(default_factory=set)
    ask: Callable[[Plan, Path], dict[str, Standing]] | None = None

    def __post_init__(self) -> None:
        self.store.pin(looks=list(LOOKS), seeds=list(range(LOOKS[-1])))
        self.store.declare("norms", *self.arms)
        self.plan = make_plan(self.root, tuple(self.arms))
        self.folder = self.root / "multirun" / "today_0123abcd"

    @property
    def root(self) -> Path:
        return self.store.root

    def go(self, killed_after: int | None = None) -> list[Failed]:
        """Run it to its end, or until so many runs of it were trained this time."""
        room = [killed_after]

        def settle(rows: Sequence[Row]) -> list[Failed]:
            return [Failed(row, "no gradient today") for row in rows if not self.settle_one(row, room)]

        return until_decided(self.plan, self.folder, self.root, settle, self.said.append, self.ask or self.judge)

    def settle_one(self, row: Row, room: list[int | None]) -> bool:
        """Find or train one run; false where it fails."""
        label, seed = row.job.label, row.job.seed
        if row.folder.result.exists():
            return True
        if (label, seed) in self.fails:
            return False
        if room[0] is not None:
            if room[0] == 0:
                raise Interrupted("killed")
            room[0] -= 1
        self.trained.append((label, seed))
        shift, wobble = self.arms.get(label, (0.0, 0.0))
        self.store.run(label, seed, BASE[seed] + shift + wobble * WOBBLE[seed])
        return True

    def judge(self, plan: Plan, root: Path) -> dict[str, Standing]:
        """The report's JSON, made here: test_judged.py asks a process for it."""
        self.asked += 1
        return standings_of(json.loads(to_json(self.store.facts())), plan)

    def seeds(self, label: str) -> list[int]:
        """Those that were trained of an arm."""
        return sorted(seed for each, seed in self.trained if each == label)
