"""One run, one owner: an exclusive claim on a run, held by the process that trains it, gone when it dies.

The claim's file lies beside the run folders, not in one: it can be taken before there is a folder, and two baselines that ask for
one run ask for one claim. A claim can be lost while its owner lives (its file deleted, the folder moved away and made anew), so
the owner calls `require` before each thing that it publishes. Between that look and the write lie microseconds that a file system
can't close; what is kept out is an owner that goes on.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import StoreError
from lab.files import parse_object, write_all

TRIES = 10
LONGEST = 20_000  # bytes of a claim's file: a path has at most 4096, JSON may take six for one
# What a file system without locks answers (some network disks).
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
BOOT = Path("/proc/sys/kernel/random/boot_id")
_held: set[int] = set()  # descriptors of the claims that this process holds


class ClaimedError(StoreError):
    """Another process holds the claim now."""


def _let_go() -> None:
    """In a forked child: the claim is its parent's alone. With the descriptor open it would outlive the parent."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


class Claim:
    """A claim on the run in `folder`: its fencing token, and whether it is still worth anything. Made by `claimed`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder, self.token = path, folder, secrets.token_hex(8)
        owner = {"pid": os.getpid(), "token": self.token, "boot": boot(), "host": platform.node(), "run": str(folder)}
        self._content = (json.dumps(owner) + "\n").encode()
        self._file = self._folder = -1  # descriptors; the folder's is kept so that no later folder can get its inode number

    def take(self) -> None:
        """Lock the claim's file and write the token. A file that was deleted meanwhile claims nothing: once more."""
        while not is_at(self.path, self._file):
            close(self._file)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = hold(self.path, os.O_RDWR | os.O_CREAT)
            if not _lock(self._file):
                raise ClaimedError(
                    f"this run is being trained already, by process {owner_of(self._file)}\n"
                    f"wait for it, or stop that process; then type the same again"
                )
        os.ftruncate(self._file, 0)
        write_all(self._file, self._content)
        self._in_its_folder()

    def require(self) -> None:
        """Raise StoreError unless the run is still ours: the claim's file, our token in it, the folder. Costs microseconds."""
        assert self._file in _held, "this claim was let go, or is a forked child's"
        if not is_at(self.path, self._file):
            how = f"its claim was deleted or replaced: {self.path}"
        elif os.pread(self._file, LONGEST, 0) != self._content:
            how = f"it was taken over by process {owner_of(self._file)}"
        elif not self._in_its_folder():
            how = f"its folder was moved away or deleted: {self.folder}"
        else:
            return
        raise StoreError(f"this process doesn't own its run any more, and writes no more of it\n{how}\ntype the same again to go on")

    def _in_its_folder(self) -> bool:
        """Whether the run's folder is the one that we began in. Before there is one, any is."""
        if self._folder >= 0:
            return is_at(self.folder, self._folder)
        with suppress(FileNotFoundError):
            self._folder = hold(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        return True

    def let_go(self) -> None:
        close(self._folder)
        close(self._file)


@contextmanager
def claimed(path: Path, folder: Path | None = None) -> Iterator[Claim]:
    """Hold the claim file `path` on the run in `folder` (the file's own, where it lies in the run) while the block runs.

    Raises ClaimedError when another process holds it.
    """
    claim = Claim(path, folder or path.parent)
    try:
        claim.take()
        yield claim
    finally:
        claim.let_go()


def hold(path: Path, flags: int) -> int:
    """A descriptor that forked children close."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    _held.add(descriptor)
    return descriptor


def close(descriptor: int) -> None:
    """Close what is held; a forked child has closed it already."""
    if descriptor in _held:
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


def is_at(path: Path, descriptor: int) -> bool:
    """Whether what is open is what stands at `path` now."""
    if descriptor < 0:
        return False
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def owner_of(descriptor: int) -> str:
    """Who holds a claim, from its file: the process, its host where that isn't this one, and where it trains."""
    owner = parse_object(os.pread(descriptor, LONGEST, 0)) or {}
    host = owner.get("host", platform.node())
    return f"{owner.get('pid', 'unknown')}{f' on {host}' * (host != platform.node())}: {owner.get('run', 'where, it has not said yet')}"


def boot() -> str | None:
    """Which start of the machine this is, where the system tells: a process's number alone is used again. None elsewhere."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return None


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
