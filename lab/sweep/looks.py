"""The looks of a sweep: at how many seeds they are taken, and looks.json in its folder: how the arms stood when each was over.

Owns that file; judges nothing, trains nothing.

It is written before the runs of the next look begin. So a sweep that was killed goes on with what was said then, although the store may
hold runs of a later look by now. What was said by other rules than today's (the size of the family, its looks, D) is forgotten. Delete
the file, and every look is judged anew by what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.errors import MachineError
from lab.files import read_sealed, sealed, write_json
from lab.store.layout import store
from lab.store.studies import read_declarations
from lab.sweep.judged import Standing
from lab.sweep.plan import Plan

SCHEMA = 2
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
NAME = "looks.json"
Standings = Mapping[str, Standing]  # by arm_id


def planned_looks(plan: Plan) -> tuple[int, ...]:
    """Those that its seeds were laid out for: the declared study's, else the pin's."""
    return tuple(plan.looks or plan.rows[0].job.config["judgement"]["looks"])


def judged_looks(plan: Plan) -> tuple[int, ...]:
    """Those that the report judges its study by, once it is declared: the study's own hold only where they were fixed before its data."""
    declared = read_declarations(store(Path(plan.rows[0].job.root)), plan.baseline)[0]
    mine = next((each for each in declared if (each.name, each.lock) == (plan.study, plan.lock)), None)
    if mine is None:
        return planned_looks(plan)
    own = None if mine.asked_before else mine.looks
    return tuple(own or plan.rows[0].job.config["judgement"]["looks"])


def looks_of(plan: Plan) -> tuple[int, ...]:
    """The looks of its study's rules, as far as its seeds go."""
    return tuple(look for look in judged_looks(plan) if look <= len(plan.seeds))


class Looks:
    """What was said at the looks of one sweep so far."""

    def __init__(self, folder: Path, plan: Plan, say: Callable[[str], None]) -> None:
        self.path, self.plan = folder / NAME, plan
        self._said: dict[int, dict[str, Standing]] = {}
        self._over = False
        try:
            if self.path.exists():
                content = read(self.path, plan.id)
                self._said, self._over = standings_in(content), content["over"]
        except UNREADABLE as error:
            say(f"{NAME} can't be used, so every look is judged anew: {error}")

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return any(self._said.values())

    def at(self, look: int) -> Standings:
        """How the arms stood, by arm_id; nothing where the look wasn't judged."""
        return self._said.get(look, {})

    def knows(self, look: int, arms: Iterable[str]) -> bool:
        """Whether each of these arms was judged at the look."""
        return set(arms) <= set(self.at(look))

    def add(self, look: int, standings: Standings) -> None:
        """Keep how arms stand at a look. One that was judged at it before keeps what was said then."""
        self._said[look] = {**standings, **self.at(look)}
        self._over = False
        self._write(f"what came out at {look} seeds can't be written")

    def forget(self, now: Standings) -> list[str]:
        """Forget what was said of an arm by other rules than it is judged by now. Returns such arms, by arm_id."""
        moved = {arm_id: None for arms in self._said.values() for arm_id, then in arms.items() if not same_rules(then, now.get(arm_id))}
        self._said = {look: {key: each for key, each in arms.items() if key not in moved} for look, arms in self._said.items()}
        if moved:
            self._over = False
            self._write("what was said at earlier looks can't be taken back")
        return list(moved)

    def close(self, *, over: bool) -> None:
        """Keep whether there is nothing left to do in this sweep."""
        if over != self._over:
            self._over = over
            self._write("that the sweep is over can't be written")

    def _write(self, trouble: str) -> None:
        kept = {
            str(n): {arm_id: asdict(each) for arm_id, each in arms.items() if lasting(each, n)} for n, arms in sorted(self._said.items())
        }
        try:
            write_json(self.path, sealed({"schema": SCHEMA, "plan": self.plan.id, "over": self._over, "looks": kept}))
        except OSError as error:
            raise MachineError(f"{trouble}: {error}\nput that right; the same command goes on") from error


def is_over(folder: Path, plan_id: str) -> bool:
    """Whether the sweep in a folder was carried out until there was nothing left to do: the runs that lack were spared."""
    try:
        return bool(read(folder / NAME, plan_id)["over"])
    except UNREADABLE:
        return False


def same_rules(then: Standing, now: Standing | None) -> bool:
    """Whether an arm is still judged by what it was judged by. A D that wasn't known then contradicts none."""
    if now is None or (then.study, then.family, then.looks) != (now.study, now.family, now.looks):
        return False
    return then.effect is None or then.effect == now.effect


def lasting(standing: Standing, look: int) -> bool:
    """Whether it will still be so tomorrow: a refusal goes with a certificate, a pair that lacks comes with its run."""
    return standing.word != "refused" and (standing.over or standing.pairs >= look)


def read(path: Path, plan: str) -> dict[str, Any]:
    """The file's content. Raises ValueError and more for one that isn't whole, or is another plan's."""
    content = read_sealed(path)
    if (content["schema"], content["plan"]) != (SCHEMA, plan):
        raise ValueError("it is of another plan or version")
    return content


def standings_in(content: Mapping[str, Any]) -> dict[int, dict[str, Standing]]:
    """How the arms stood, by look and arm_id."""
    return {int(look): {arm_id: Standing(**each) for arm_id, each in arms.items()} for look, arms in content["looks"].items()}
