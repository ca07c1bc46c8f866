"""Settles the rows of a plan beyond this machine: on a Ray cluster, in SLURM's queue, or by submitit's local executor.

What is typed and edited is Hydra's: `hydra/launcher=ray`, `hydra.launcher.KEY=VALUE`, conf/hydra/launcher/ray.yaml. Hydra's own launchers
aren't called: theirs compose each job on its node, from the files of that moment, and bring results back as pickles. Here a node trains
one frozen job with the sweep's own code, and the only thing read afterwards is the store on the shared folder.

All arms of a seed go to one kind of node (what can move a run's bits), so that they form pairs; placement.json in the sweep's folder
keeps which. Batches are bounded; what is begun once more is told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.errors import Interrupted
from lab.files import read_json, write_json
from lab.sweep.crew import Crew
from lab.sweep.launcher import TICK_SECONDS, signals
from lab.sweep.plan import Plan, Row
from lab.sweep.remote.engine import Engine, Task
from lab.sweep.remote.engines import ENGINES
from lab.sweep.remote.settings import Remote
from lab.sweep.remote.store import found, result_of, trained_elsewhere
from lab.sweep.snapshot import code_of
from lab.sweep.watcher import Ending, Failed, Watcher, position

PLACEMENT = "placement.json"
LEAVE_SECONDS = 60.0  # after a signal: by then every run has checkpointed and left, or its node doesn't answer
NODES_SECONDS = 60.0  # without any node that could take a run, before the sweep gives up
LISTEN_SECONDS = 1.0  # between two looks at what the runs printed: files on a shared folder


def launch(plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, what: str = "the sweep") -> list[Failed]:
    """Settle these rows of a frozen plan. Returns those that failed; raises Interrupted when a signal asked to stop `what`."""
    if not rows:
        return []
    settings, engine = ENGINES[plan.manner.launcher](plan, rows, folder)
    crew = RemoteCrew(plan, rows, folder, watcher, settings, engine)
    try:
        watcher.begin(plan, rows)
        with signals() as asked:
            crew.find()
            while crew.busy(len(asked)):
                crew.turn()
    finally:
        engine.close()
        watcher.end()
    if asked:
        raise Interrupted(f"{what} was stopped\ntype the same again to go on: finished runs are kept, the others continue where they were")
    return crew.failed


class RemoteCrew(Crew):
    """The rows of a plan in an engine's hands, and those that wait."""

    def __init__(self, plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, settings: Remote, engine: Engine) -> None:
        super().__init__(plan, rows, folder, watcher, settings.tries)
        self.settings, self.engine = settings, engine
        self.tasks: dict[int, Task] = {}
        self.heard: dict[Path, int] = {}  # bytes of each output file that were passed on
        self.went_on = Counter[int]()
        kept = folder / PLACEMENT
        self.placed: dict[str, str] = read_json(kept) if kept.exists() else {}  # seed to kind of node
        self.kinds: dict[str, int] = {}
        self.told_at, self.listened, self.had_nodes = 0.0, 0.0, time.monotonic()

    def busy(self, asked: int) -> bool:
        """Whether there's still something to do, when so many signals asked to stop. Nothing begins after the first."""
        if asked > self.told:
            self.waiting.clear()
            self.elsewhere.clear()
            self.engine.stop(at_once=asked > 1)
            self.told, self.told_at = asked, time.monotonic()
        if self.told and time.monotonic() - self.told_at > LEAVE_SECONDS:
            return False
        return bool(self.waiting or self.elsewhere or self.tasks)

    def turn(self) -> None:
        """Hand on what there is room for, and hear what happened."""
        if not self.told:
            self.kinds = self.engine.kinds()
            self.waiting.extendleft(self.due())
            self.hand_on()
            self.give_up_without_nodes()
        if time.monotonic() - self.listened > LISTEN_SECONDS:
            for task in self.tasks.values():
                self.listen(task)
            self.listened = time.monotonic()
        for left in self.engine.left():
            self.listen(self.tasks.pop(left.number))
            too_often = "the cluster asked it to leave too often" if left.status == Interrupted.exit_status and not self.told else ""
            self.reap(self.rows[left.number], left.status, left.why or too_often)
        self.watcher.tick()
        time.sleep(TICK_SECONDS)

    def hand_on(self) -> None:
        """Settle the waiting rows that there is room for; not so long that a long plan holds up the screen."""
        began = time.monotonic()
        for number in list(self.waiting):
            if self.has_place(self.rows[number]):
                self.waiting.remove(number)
                self.settle(self.rows[number])
            if time.monotonic() - began > TICK_SECONDS:
                return

    def give_up_without_nodes(self) -> None:
        if self.kinds or self.tasks or not self.waiting:
            self.had_nodes = time.monotonic()
        elif time.monotonic() - self.had_nodes > NODES_SECONDS:
            for number in self.waiting:
                self.end(self.rows[number], Ending("failed", "no node of the cluster has room for such a run", self.tries[number]))
            self.waiting.clear()

    def look(self, row: Row) -> tuple[dict[str, Any] | None, bool]:
        result = found(row)
        return result, result is None and trained_elsewhere(row)

    def published(self, row: Row) -> dict[str, Any] | None:
        return result_of(row)

    def goes_on(self, row: Row, status: int | None) -> bool:
        if status != Interrupted.exit_status or self.went_on[row.number] >= self.settings.goes_on:
            return False
        self.went_on[row.number] += 1
        self.tries[row.number] -= 1
        self.wait(row, "the cluster asked it to leave; it goes on from its checkpoint", elsewhere=False)
        return True

    def has_place(self, row: Row) -> bool:
        """Whether the kind of node for a row's seed has room now. A seed keeps its kind as long as there is such a node."""
        seed = str(row.job.seed)
        if self.placed.get(seed) not in self.kinds:
            if not self.kinds:
                return False
            shares = Counter(self.placed.values())
            kind = min(sorted(self.kinds), key=lambda each: (shares[each] + 1) / self.kinds[each])
            if seed in self.placed:
                lost = f"no node is left of the kind that seed {seed} was on: its other arms may have other bits"
                self.watcher.line(row, f"{position(self.plan, row)} {lost}", error=True)
            self.placed[seed] = kind
            write_json(self.folder / PLACEMENT, self.placed)
        kind = self.placed[seed]
        taken = Counter(task.kind for task in self.tasks.values())
        return len(self.tasks) < self.settings.at_once and taken[kind] < self.kinds[kind]

    def begin(self, row: Row) -> None:
        """Hand a row's job to the engine."""
        code = code_of(self.folder).resolve()
        task = Task(row.number, (self.folder / "jobs" / f"{row.number}.json").resolve(), code, self.placed[str(row.job.seed)])
        kept = {"identity": row.identity, "arm_id": row.arm_id, "position": position(self.plan, row), "code": str(code)}
        write_json(task.job, {"job": asdict(row.job)} | kept)
        for path in (task.out, task.err):
            self.heard[path] = path.stat().st_size if path.exists() else 0
        self.engine.begin(task)
        self.tasks[row.number] = task
        self.begun(row)

    def listen(self, task: Task) -> None:
        """Pass on the whole lines that a run has printed since."""
        for path, error in ((task.out, False), (task.err, True)):
            if not path.exists():
                continue
            with path.open("rb") as stream:
                stream.seek(self.heard[path])
                new = stream.read()
            whole = new[: new.rfind(b"\n") + 1]
            self.heard[path] += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                self.hear(self.rows[task.number], line, error=error)
