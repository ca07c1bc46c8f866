"""What was typed to make an arm, why, and what to type for its next seeds. Knows commands as text; runs nothing.

Commands come from requests.jsonl, so from outside: they are split as a shell splits them, and quoted again word by word.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from lab.results.evidence import NextLook
from lab.results.lineup import Arm
from lab.results.record import Request, Run

RUN = ["python", "run.py"]
SAID_ONCE = ("seed=", "note=", "why=")
ByArm = Mapping[tuple[str, str], list[Request]]  # cohort and arm_id


def requests_by_arm(asked: Iterable[Request], found: Iterable[Run], baseline: str, lock: str) -> ByArm:
    """The requests under one pin, by cohort and arm_id of what they asked for."""
    arms = {run.directory: (run.cohort, run.arm_id) for run in found}
    groups: dict[tuple[str, str], list[Request]] = {}
    for request in asked:
        if (request.baseline, request.lock) == (baseline, lock) and request.directory in arms:
            groups.setdefault(arms[request.directory], []).append(request)
    return groups


def of_arm(arm: Arm, cohort: str, requests: ByArm) -> list[Request]:
    """The requests of all that is pooled in one arm, oldest first."""
    found = [request for arm_id in arm.pooled for request in requests.get((cohort, arm_id), [])]
    return sorted(found, key=lambda request: (request.number, request.directory))


def commands(requests: Iterable[Request]) -> tuple[str, ...]:
    """As typed, each once, in the order of asking."""
    return tuple(dict.fromkeys(request.command for request in requests if request.command))


def hypothesis(requests: Sequence[Request]) -> str:
    """The newest reason that somebody gave; of one request the intervention's why before the note."""
    return next((request.why or request.note for request in reversed(requests) if request.why or request.note), "")


def next_command(look: NextLook, arm: Sequence[Request], baseline: Sequence[Request], done: tuple[set[int], set[int]]) -> str:
    """What trains the pending seeds: the newest command of the arm, and the baseline's where it doesn't bring the baseline along.

    `done` are the seeds that the arm and the baseline already have. Empty where no command is known that can be typed again.
    """
    mine = newest_run(arm)
    if mine is None:
        return ""
    if "--multirun" in mine or "-m" in mine:
        return with_seeds(mine, look.pending)
    parts = [with_seeds(mine, seeds) if (seeds := [seed for seed in look.pending if seed not in done[0]]) else ""]
    lacking = [seed for seed in look.pending if seed not in done[1]]
    theirs = newest_run(baseline)
    parts.append(with_seeds(theirs, lacking) if theirs is not None and lacking else "")
    return "; ".join(part for part in parts if part)


def command_of_study(study: str, baseline: str, look: NextLook) -> str:
    """What trains the pending seeds of a study that conf/study declares: of all of its arms."""
    return with_seeds([*RUN, "--multirun", f"study={study}", f"baseline={baseline}"], look.pending)


def newest_run(requests: Sequence[Request]) -> list[str] | None:
    """The words of the newest command that is a training run's or a sweep's."""
    for request in reversed(requests):
        try:
            words = shlex.split(request.command)
        except ValueError:  # cut in a quote: not as the runner wrote it
            continue
        if words[:2] == RUN:
            return words
    return None


def with_seeds(words: Sequence[str], seeds: Sequence[int]) -> str:
    """The same command on these seeds, without what was said of the earlier ones. A single run takes one, so several become a loop."""
    rest = " ".join(shlex.quote(word) for word in words if not word.startswith(SAID_ONCE))
    listed = ",".join(map(str, seeds))
    if "--multirun" in words or "-m" in words or len(seeds) == 1:
        return f"{rest} seed={listed}"
    return f"for seed in {' '.join(map(str, seeds))}; do {rest} seed=$seed; done"
