"""Settles the rows of a plan beyond this machine: on a Ray cluster, in SLURM's queue, or by submitit's local executor.

What is typed and edited is Hydra's: `hydra/launcher=ray`, `hydra.launcher.KEY=VALUE`, conf/hydra/launcher/ray.yaml. Hydra's own launchers
aren't called: theirs compose each job on its node, from the files of that moment, and bring results back as pickles. Here a node trains
one frozen job with the sweep's own code, and the only thing read afterwards is the store on the shared folder.

All arms of a seed go to one kind of node (what can move a run's bits), so that they form pairs; placement.json in the sweep's folder
keeps which. Batches are bounded; what is begun once more is told.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lab.errors import Interrupted, LabError
from lab.files import read_json, write_json
from lab.runner import CLAIMED, MACHINE
from lab.store.console import outcome
from lab.sweep.launcher import ELSEWHERE_SECONDS, TICK_SECONDS, signals
from lab.sweep.plan import Plan, Row
from lab.sweep.remote.engine import Engine, Left, Task
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
    watcher.begin(plan, rows)
    try:
        with signals() as asked:
            while crew.busy(len(asked)):
                crew.turn()
    finally:
        engine.close()
        watcher.end()
    if asked:
        raise Interrupted(f"{what} was stopped\ntype the same again to go on: finished runs are kept, the others continue where they were")
    return crew.failed


class RemoteCrew:
    """The rows of a plan in an engine's hands, and those that wait."""

    def __init__(self, plan: Plan, rows: Sequence[Row], folder: Path, watcher: Watcher, settings: Remote, engine: Engine) -> None:
        self.plan, self.folder, self.watcher, self.settings, self.engine = plan, folder, watcher, settings, engine
        self.rows = {row.number: row for row in rows}
        self.waiting = deque(self.rows)
        self.elsewhere: dict[int, float] = {}  # rows that another process trains: when to look again
        self.tasks: dict[int, Task] = {}
        self.heard: dict[Path, int] = {}  # bytes of each output file that were passed on
        self.tries, self.begun_again = Counter[int](), Counter[int]()
        self.errors: dict[int, str] = {}  # the first line of what a row's run last complained of
        self.failed: list[Failed] = []
        kept = folder / PLACEMENT
        self.placed: dict[str, str] = read_json(kept) if kept.exists() else {}  # seed to kind of node
        self.kinds: dict[str, int] = {}
        self.told, self.told_at, self.listened, self.had_nodes = 0, 0.0, 0.0, time.monotonic()

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
            self.reap(left)
        self.watcher.tick()
        time.sleep(TICK_SECONDS)

    def hand_on(self) -> None:
        """Settle the waiting rows that there is room for; not so long that a long plan holds up the screen."""
        began = time.monotonic()
        for number in list(self.waiting):
            kind = self.place(self.rows[number])
            if kind is not None:
                self.waiting.remove(number)
                self.settle(self.rows[number], kind)
            if time.monotonic() - began > TICK_SECONDS:
                return

    def due(self) -> list[int]:
        """The rows that another process had, to be looked at again."""
        due = [number for number, when in self.elsewhere.items() if when <= time.monotonic() and number not in self.waiting]
        for number in due:
            self.elsewhere[number] = time.monotonic() + ELSEWHERE_SECONDS
        return due

    def give_up_without_nodes(self) -> None:
        if self.kinds or self.tasks or not self.waiting:
            self.had_nodes = time.monotonic()
        elif time.monotonic() - self.had_nodes > NODES_SECONDS:
            for number in self.waiting:
                self.end(self.rows[number], Ending("failed", "no node of the cluster has room for such a run", self.tries[number]))
            self.waiting.clear()

    def settle(self, row: Row, kind: str) -> None:
        """Find a row's run, leave it to whoever trains it, or hand it on."""
        try:
            result = found(row)
            if result is not None:
                self.end(row, Ending("found", f"found, not trained again: {outcome(result)}"))
            elif trained_elsewhere(row):
                self.leave(row)
            else:
                self.begin(row, kind)
        except LabError as error:
            self.end(row, Ending("failed", str(error)))
        except OSError as error:
            self.end(row, Ending("failed", f"the machine failed this run: {error}"))

    def leave(self, row: Row) -> None:
        """Another process trains this row: look again later, and say so once."""
        if row.number not in self.elsewhere:
            self.say(row, f"{row.name}: another process trains it; waiting for it", error=False)
        self.elsewhere[row.number] = time.monotonic() + ELSEWHERE_SECONDS

    def place(self, row: Row) -> str | None:
        """The kind of node for a row's seed, where it has room now. A seed keeps its kind as long as there is such a node."""
        seed = str(row.job.seed)
        if self.placed.get(seed) not in self.kinds:
            if not self.kinds:
                return None
            shares = Counter(self.placed.values())
            kind = min(sorted(self.kinds), key=lambda each: (shares[each] + 1) / self.kinds[each])
            if seed in self.placed:
                self.say(row, f"no node is left of the kind that seed {seed} was on: its other arms may have other bits", error=True)
            self.placed[seed] = kind
            write_json(self.folder / PLACEMENT, self.placed)
        kind = self.placed[seed]
        taken = Counter(task.kind for task in self.tasks.values())
        full = len(self.tasks) >= self.settings.at_once or taken[kind] >= self.kinds[kind]
        return None if full else kind

    def begin(self, row: Row, kind: str) -> None:
        """Hand a row's job to the engine."""
        code = code_of(self.folder).resolve()
        task = Task(row.number, (self.folder / "jobs" / f"{row.number}.json").resolve(), code, kind)
        kept = {"identity": row.identity, "arm_id": row.arm_id, "position": position(self.plan, row), "code": str(code)}
        write_json(task.job, {"job": asdict(row.job)} | kept)
        for path in (task.out, task.err):
            self.heard[path] = path.stat().st_size if path.exists() else 0
        self.engine.begin(task)
        self.tasks[row.number] = task
        self.elsewhere.pop(row.number, None)
        self.errors.pop(row.number, None)
        self.tries[row.number] += 1
        self.watcher.started(row)

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
                label = f"{position(self.plan, self.rows[task.number])} {self.rows[task.number].name}: "
                if error and line.startswith(label) and not line.startswith(f"{label}warning: "):
                    self.errors[task.number] = line.removeprefix(label)
                self.watcher.line(self.rows[task.number], line, error=error)

    def reap(self, left: Left) -> None:
        """A row's task is gone: the row too, or once more."""
        row = self.rows[left.number]
        complaint = self.errors.get(left.number, "")
        asked_to_leave = left.status == Interrupted.exit_status
        if left.status == 0:
            return self.finish(row)
        if self.told:
            return self.end(row, Ending("stopped", complaint))
        if left.status == CLAIMED:
            self.tries[row.number] -= 1
            return self.leave(row)
        if asked_to_leave and self.begun_again[row.number] < self.settings.goes_on:
            self.begun_again[row.number] += 1
            self.tries[row.number] -= 1
            self.say(row, f"{row.name}: the cluster asked it to leave; it goes on from its checkpoint", error=False)
            return self.waiting.append(row.number)
        lost = left.status is None or left.status < 0 or left.status == MACHINE
        why = left.why or (f"killed by signal {-left.status}" if left.status is not None and left.status < 0 else complaint)
        if lost and self.tries[row.number] < self.settings.tries:
            self.say(row, f"{row.name}: {why or 'the machine failed it'}; tried once more", error=True)
            return self.waiting.append(row.number)
        said = "the cluster asked it to leave too often" if asked_to_leave else why
        said = said or ("it was lost" if left.status is None else f"left with exit status {left.status}, and said nothing")
        return self.end(row, Ending("failed", said, self.tries[row.number], told=said == complaint))

    def finish(self, row: Row) -> None:
        """A task says that its run has an outcome: so the store has a result, or something else ended it."""
        try:
            result = result_of(row)
        except LabError as error:
            return self.end(row, Ending("failed", str(error).splitlines()[0], self.tries[row.number]))
        if result is None:
            why = "something in this run ended its process, with exit status 0 and without a result"
            return self.end(row, Ending("failed", why, self.tries[row.number]))
        return self.end(row, Ending(str(result["status"]), outcome(result), self.tries[row.number]))

    def say(self, row: Row, text: str, *, error: bool) -> None:
        self.watcher.line(row, f"{position(self.plan, row)} {text}", error=error)

    def end(self, row: Row, ending: Ending) -> None:
        self.elsewhere.pop(row.number, None)
        if ending.failed:
            self.failed.append(Failed(row, ending.said.splitlines()[0]))
        self.watcher.ended(row, ending)
