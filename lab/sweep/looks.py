"""looks.json in a sweep's folder: how the arms stood when each look was over. Owns that file; judges nothing, trains nothing.

It is written before the runs of the next look begin. So a sweep that was killed goes on with what was said then, although the store may
hold runs of a later look by now. Delete it, and every look is judged anew by what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from lab.errors import MachineError
from lab.files import read_sealed, sealed, write_json
from lab.sweep.judged import Standing
from lab.sweep.plan import Plan

SCHEMA = 1
NAME = "looks.json"
Standings = Mapping[str, Standing]  # by arm_id


class Looks:
    """What was said at the looks of one sweep so far."""

    def __init__(self, folder: Path, plan: Plan, say: Callable[[str], None]) -> None:
        self.path, self.plan = folder / NAME, plan
        self._said: dict[int, dict[str, Standing]] = {}
        try:
            self._said = read(self.path, plan.id) if self.path.exists() else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"{NAME} can't be used, so every look is judged anew: {error}")

    def at(self, look: int) -> Standings:
        """How the arms stood, by arm_id; nothing where the look wasn't judged."""
        return self._said.get(look, {})

    def knows(self, look: int, arms: Iterable[str]) -> bool:
        """Whether each of these arms was judged at the look."""
        return set(arms) <= set(self.at(look))

    def add(self, look: int, standings: Standings) -> None:
        """Keep how arms stand at a look. One that was judged at it before keeps what was said then."""
        self._said[look] = {**standings, **self.at(look)}
        kept = {
            str(n): {arm_id: asdict(each) for arm_id, each in arms.items() if lasting(each, n)} for n, arms in sorted(self._said.items())
        }
        try:
            write_json(self.path, sealed({"schema": SCHEMA, "plan": self.plan.id, "looks": kept}))
        except OSError as error:
            raise MachineError(
                f"what came out at {look} seeds can't be written: {error}\nput that right; the same command goes on"
            ) from error


def lasting(standing: Standing, look: int) -> bool:
    """Whether it will still be so tomorrow: a refusal goes with a certificate, a pair that lacks comes with its run."""
    return standing.word != "refused" and (standing.over or standing.pairs >= look)


def read(path: Path, plan: str) -> dict[int, dict[str, Standing]]:
    """The file's content. Raises ValueError and more for one that isn't whole, or is another plan's."""
    content = read_sealed(path)
    if (content["schema"], content["plan"]) != (SCHEMA, plan):
        raise ValueError("it is of another plan or version")
    return {int(look): {arm_id: Standing(**each) for arm_id, each in arms.items()} for look, arms in content["looks"].items()}
