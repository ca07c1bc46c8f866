"""What Ctrl-C and SIGTERM do: to a process that trains nothing, and to a run. (A sweep passes them on: lab/sweep/launcher.py.)"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def leave_on_interrupt() -> None:
    """Let Ctrl-C end this process at once, with a word and exit status 130. Whatever is written is written whole or not at all.

    Raised as an exception an interrupt can get lost: torch's imports and OmegaConf's conversions catch everything.
    """
    signal.signal(signal.SIGINT, _leave)


def _leave(number: int, _frame: FrameType | None) -> None:
    os.write(2, b"\nstopped; nothing was being trained\n")
    os._exit(128 + number)


@contextmanager
def stopping() -> Iterator[Any]:
    """SIGINT and SIGTERM ask the run to checkpoint and leave; a second signal kills it."""
    asked: list[int] = []

    def ask(number: int, _frame: Any) -> None:
        if asked:
            os.write(2, b"\nstopped at once: the same command goes on from the last checkpoint\n")
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
