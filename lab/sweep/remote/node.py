"""One run inside a batch job: what submitit calls on the node. Started with the sweep's own code; leaves its exit status in a file.

A batch system says SIGTERM, SIGUSR1 or SIGUSR2 some time before it takes the node away: the run checkpoints and leaves, and the sweep
begins it again. submitit would requeue it itself, unseen: its handlers are replaced.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lab.errors import Interrupted
from lab.files import write_json
from lab.runner import train_frozen

APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def train(job: str) -> None:
    """Train the job in a file. Its output goes to the files beside it."""
    path = Path(job)
    before = {1: os.dup(1), 2: os.dup(2)}  # submitit's own words go on there afterwards
    turn_to({descriptor: os.open(path.with_suffix(ending), APPEND, 0o644) for descriptor, ending in ((1, ".out"), (2, ".err"))})

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        """Before the run has begun, and after it has ended: nothing to save."""
        write_left(path, Interrupted.exit_status)
        os._exit(Interrupted.exit_status)

    def warn(_number: int, _frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # what the run listens to while it trains

    signal.signal(signal.SIGTERM, leave)
    for warning in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, warn)
    try:
        status = train_frozen(path, os.getppid())
    except SystemExit as asked:  # a hook of the user's own may do that
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    turn_to(before)
    write_left(path, status)


def turn_to(streams: Mapping[int, int]) -> None:
    """Let what this process prints go elsewhere from here on."""
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor, stream in streams.items():
        os.dup2(stream, descriptor)
        os.close(stream)


def left_file(job: Path) -> Path:
    return job.with_suffix(".left")


def write_left(job: Path, status: int) -> None:
    write_json(left_file(job), {"status": status})
