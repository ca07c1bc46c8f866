"""How a sweep stands: the state of each of its runs, what failed, how fast it goes and how long it takes. Knows no terminal, no file.

Told by a watcher's calls; time is an argument. Only what this sweep trained itself enters its speed: a run that was found cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from statistics import fmean

from lab.sweep.plan import Plan, Row
from lab.sweep.watcher import Ending

OUTCOMES = ("finished", "diverged", "found")  # what a verdict can be given on

OVERDUE = 0.1  # of its usual time, a run that takes longer than usual is taken to need still
LEAST_SEEN = 0.05  # of a run, before its own speed says how long it takes


@dataclass(frozen=True)
class Failure:
    """A run that failed, and the one line that says why."""

    row: Row
    said: str
    tries: int


class Course:
    """The sweep's rows and what became of them."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.rows: list[Row] = []  # all that were asked for so far
        self.now: list[Row] = []  # those that are settled now
        self.state: dict[int, str] = {}  # by row number: waiting, running, elsewhere, stopped, or how it ended
        self.failures: list[Failure] = []
        self.baselines: dict[int, Row] = {}  # by seed
        self.began: float | None = None
        self.ended_at: float | None = None
        self.slots = 0  # most runs that were begun at once
        self.at_work = 0  # most of them that were seen at once to have trained
        self._started: dict[int, float] = {}
        self._seconds: dict[str, list[float]] = {}  # by arm, of the runs that this sweep trained to their end
        self._done: dict[int, float] = {}  # of each run that trains the share that is done
        self._seen: dict[int, tuple[float, float]] = {}  # when it was first seen, and how much was done then: it may go on

    def begin(self, plan: Plan, rows: Sequence[Row], now: float) -> None:
        """These rows come next. Those of an earlier call stay."""
        self.plan, self.now, self.ended_at = plan, list(rows), None
        self.began = now if self.began is None else self.began
        self.baselines = {row.job.seed: row for row in plan.rows if not row.job.changes}
        known = {row.number for row in self.rows}
        self.rows += [row for row in rows if row.number not in known]
        again = {row.number for row in rows}
        self.failures = [each for each in self.failures if each.row.number not in again]
        for row in rows:
            self.state[row.number] = "elsewhere" if row.status == "running" else "waiting"

    def started(self, row: Row, now: float) -> None:
        """A process of this sweep begins on a row."""
        self.state[row.number] = "running"
        self._started[row.number] = now
        self._seen.pop(row.number, None)
        self.slots = max(self.slots, sum(state == "running" for state in self.state.values()))

    def see(self, done: Mapping[int, float], now: float) -> None:
        """How much of each run that trains is done by now, from 0 to 1, by its row's number; of another process's too."""
        self._done = dict(done)
        mine = self._started.keys() & done.keys()
        self.at_work = max(self.at_work, len(mine))
        for number in mine:
            if number not in self._seen or done[number] < self._seen[number][1]:  # rows of an earlier try stand there until it goes on
                self._seen[number] = now, done[number]

    def waits(self, row: Row, *, elsewhere: bool) -> None:
        """No process of this sweep works on the row now: another one trains it, or it waits for a slot again."""
        self.state[row.number] = "elsewhere" if elsewhere else "waiting"
        self._started.pop(row.number, None)
        self._seen.pop(row.number, None)

    def ended(self, row: Row, ending: Ending, now: float) -> None:
        """A row has its outcome."""
        self.state[row.number] = ending.status
        began = self._started.pop(row.number, None)
        self._seen.pop(row.number, None)
        whole = ending.tries == 1 and row.status == "missing"
        if began is not None and whole and ending.status == "finished":  # one that diverged at once, or went on, sets no pace
            self._seconds.setdefault(row.arm_id, []).append(now - began)
        if ending.failed:
            self.failures.append(Failure(row, ending.said, ending.tries))

    def end(self, now: float) -> None:
        """Nothing of this sweep trains any more."""
        self.ended_at = now
        for number, state in self.state.items():
            if state == "running":
                self.state[number] = "stopped"
        self._started.clear()

    @property
    def counts(self) -> Counter[str]:
        """Rows by their state."""
        return Counter(self.state.values())

    @property
    def trains(self) -> list[Row]:
        """The rows that a process works on, of this sweep or of another."""
        return [row for row in self.rows if self.state[row.number] in ("running", "elsewhere")]

    @property
    def complete_seeds(self) -> int:
        """Seeds that the baseline and every arm of the rows that are settled now have: pairs, as verdicts are judged on."""
        if not self.now or not self.baselines:
            return 0
        done: dict[str, set[int]] = {row.arm_id: set() for row in self.now}
        for row in self.rows:
            if row.arm_id in done and self.state[row.number] in OUTCOMES:
                done[row.arm_id].add(row.job.seed)
        having = {seed for seed, row in self.baselines.items() if self.state.get(row.number) in OUTCOMES}
        return min(len(seeds & having) for seeds in done.values())

    @property
    def complete_look(self) -> int | None:
        """The last look, in seeds, that is complete."""
        if self.plan is None or not self.plan.arms:
            return None
        looks = self.plan.looks or self.plan.rows[0].job.config["judgement"]["looks"]
        return max((look for look in looks if look <= self.complete_seeds), default=None)

    def elapsed(self, now: float) -> float:
        """Seconds since the first row could start, or until the sweep ended."""
        return 0.0 if self.began is None else (now if self.ended_at is None else self.ended_at) - self.began

    def runs_per_hour(self) -> float | None:
        """From the mean duration of this sweep's own runs, and how many it had at once; None before one has ended."""
        seconds = [each for arm in self._seconds.values() for each in arm]
        return max(1, self.at_work or self.slots) * 3600 / max(fmean(seconds), 1e-3) if seconds else None

    def seconds_left(self, now: float) -> float | None:
        """About how long the rows that are left will take; None where nothing is known yet.

        An arm takes as long as its own runs did; one that has none as all did; until one has ended, as the runs that train do. Rows go
        into the slots as they come free. Where runs were seen at work, one that was begun and isn't yet takes no slot: on a cluster it
        may stand in a queue.
        """
        done = self._done
        seconds = [each for arm in self._seconds.values() for each in arm] or self.seconds_at_this_speed(now)
        if not seconds:
            return None
        usual, long = fmean(seconds), {arm: fmean(each) for arm, each in self._seconds.items()}
        slots: list[float] = []
        waits, others = [], [0.0]
        for row in self.rows:
            each, state = long.get(row.arm_id, usual), self.state[row.number]
            if row.number in done:
                (slots if state == "running" else others).append(each * (1 - done[row.number]))
            elif state == "running" and not self.at_work:
                slots.append(max(OVERDUE * each, each - now + self._started[row.number]))
            elif state in ("running", "waiting", "elsewhere"):
                waits.append(each)
        slots += [0.0] * (max(1, self.at_work or self.slots) - len(slots))
        heapify(slots)
        for each in waits:
            heapreplace(slots, slots[0] + each)
        return max(*slots, *others)

    def seconds_at_this_speed(self, now: float) -> list[float]:
        """How long each of this sweep's running runs would take as a whole, as fast as it went since it was first seen."""
        gone = [(now - when, self._done[number] - share) for number, (when, share) in self._seen.items() if number in self._done]
        return [seconds / share for seconds, share in gone if share >= LEAST_SEEN]
