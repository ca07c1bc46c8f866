"""One run, one owner: an exclusive claim on a run directory, held by the process that trains it, gone when it dies."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import StoreError

TRIES = 10
# What a file system without locks answers (some network disks).
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_held: set[int] = set()  # descriptors of the claims that this process holds


def _let_go() -> None:
    """In a forked child: the claim is its parent's alone. With the descriptor open it would outlive the parent."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the claim file `path` while the block runs. Raises StoreError when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    _held.add(descriptor)
    try:
        if not _lock(descriptor):
            owner = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            raise StoreError(
                f"this run is being trained already, by process {owner or 'unknown'}: {path.parent}\n"
                f"wait for it, or stop that process; then type the same again"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if descriptor in _held:  # else this is a forked child, which has closed it
            _held.discard(descriptor)
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Take the exclusive lock; a few tries, since somebody who only looks (`is_claimed`) holds it for an instant."""
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.02)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise StoreError(
                f"the disk of runs/ grants no locks ({error.strerror}), so two processes could train one run\n"
                f"put the project on a local disk, or mount this one with locks"
            ) from None
    return False


def is_claimed(path: Path) -> bool:
    """Whether some process holds the claim now. Where the disk grants no locks, nobody can."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    finally:
        os.close(descriptor)
    return False
