"""The heartbeat of a claim: a counter in a file beside it, which the owner raises while it lives; and how another machine watches it.

Needed where a disk is shared between machines and its locks aren't. Clocks of two machines are never compared: who looks measures with
its own clock for how long it has seen no change. Nothing here is synced: a beat that a power cut loses was made by a machine that is off.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

BEAT_SECONDS = 5.0  # a beat costs a write of 30 bytes
MISSED = 6  # beats in a row that a looker has seen missing before it takes the owner for dead
_seen: dict[Path, tuple[bytes, float]] = {}  # the last change of each claim that this process watches, and when it saw it


def beat_file(claim: Path) -> Path:
    return claim.with_name(f"{claim.name}.beat")


class Heart:
    """Beats in a thread of its own until it is stopped, or until the claim isn't ours any more."""

    def __init__(self, claim: Path, token: str, lost: Callable[[], bool]) -> None:
        self.file, self.token, self.lost = beat_file(claim), token, lost
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No beat comes after this."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        count = 0
        while not self.lost():
            count += 1
            with suppress(OSError):  # a full disk: the next one may get through, and the token keeps two owners apart
                write_beat(self.file, f"{self.token} {count:012d}\n".encode())
            if self._stopped.wait(BEAT_SECONDS):
                return


def write_beat(path: Path, beat: bytes) -> None:
    """Opened and closed each time: a network disk sends on close, and looks for news on open."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, beat, 0)  # of one length, so that no rest of an earlier one stays
    finally:
        os.close(descriptor)


def sighting(claim: Path) -> bytes:
    """What moves while a claim's owner lives."""
    found = b""
    for path in (claim, beat_file(claim)):
        with suppress(OSError):
            found += path.read_bytes()
    return found


def is_silent(claim: Path) -> bool:
    """Whether this process has itself watched the claim miss its beats. To a process that looks once everything is alive."""
    now, looked = time.monotonic(), sighting(claim)
    last, since = _seen.get(claim, (None, now))
    if looked != last:
        _seen[claim] = (looked, now)
        return False
    return now - since > MISSED * BEAT_SECONDS


def outlasts(claim: Path) -> bool:
    """Watch a claim until it beats (False) or has missed its beats (True): at most so many beats long."""
    first = sighting(claim)
    while not is_silent(claim):
        if sighting(claim) != first:
            return False
        time.sleep(BEAT_SECONDS / 5)
    return True
