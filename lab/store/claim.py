"""One run, one owner: an exclusive claim on a run, held by the process that trains it, gone when it dies.

The claim's file lies beside the run folders, not in one: it can be taken before there is a folder, and two baselines that ask for
one run ask for one claim. A claim can be lost while its owner lives (its file deleted, the folder moved away and made anew), so
the owner calls `require` before each thing that it publishes. Between that look and the write lie microseconds that a file system
can't close; what is kept out is an owner that goes on.

On one machine the file's lock decides, alone. A disk that machines share may not share its locks: there a claim whose file names
another machine is respected until the looker has watched it miss its beats (lab/store/beats.py). Two machines that take one free
claim in one moment both write their token, and the second one's stands: the first finds out at its next `require`.
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
from lab.store.beats import Heart, beat_file, is_silent, outlasts

TRIES = 10
LONGEST = 20_000  # bytes of a claim's file: a path has at most 4096, JSON may take six for one
# What a file system without locks answers (some network disks).
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
BOOT = Path("/proc/sys/kernel/random/boot_id")
SETTLES_SECONDS = 1.0  # after taking over from another machine: a third one may do so at the same moment, and the last token stands
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
        self._heart = Heart(path, self.token, self._is_lost)

    def take(self) -> None:
        """Lock the claim's file and write the token. A file that was deleted meanwhile claims nothing: once more."""
        outlasted = False
        while not is_at(self.path, self._file):
            close(self._file)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = hold(self.path, os.O_RDWR | os.O_CREAT)
            if not _lock(self._file):
                raise self._taken()
            outlasted = is_elsewhere(self._file)
            if outlasted and not outlasts(self.path):
                raise self._taken()
        os.ftruncate(self._file, 0)
        write_all(self._file, self._content)
        if outlasted:
            time.sleep(SETTLES_SECONDS)
            if not self._is_ours():
                raise self._taken()
        self._in_its_folder()
        self._heart.start()

    def _taken(self) -> ClaimedError:
        return ClaimedError(
            f"this run is being trained already, by process {owner_of(self._file)}\n"
            f"wait for it, or stop that process; then type the same again"
        )

    def require(self) -> None:
        """Raise StoreError unless the run is still ours: the claim's file, our token in it, the folder. Costs microseconds."""
        assert self._file in _held, "this claim was let go, or is a forked child's"
        content = self._read()
        if content is None:
            how = f"its claim was deleted or replaced: {self.path}"
        elif content != self._content:
            how = f"it was taken over by process {owner_of(self._file)}"
        elif not self._in_its_folder():
            how = f"its folder was moved away or deleted: {self.folder}"
        else:
            return
        raise StoreError(f"this process doesn't own its run any more, and writes no more of it\n{how}\ntype the same again to go on")

    def _read(self) -> bytes | None:
        """What stands in the claim's file; None where another file, or none, is in its place. Opened anew: a network disk looks then."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            same = os.path.samestat(os.fstat(descriptor), os.fstat(self._file))
            return os.pread(descriptor, LONGEST, 0) if same else None
        finally:
            os.close(descriptor)

    def _is_ours(self) -> bool:
        with suppress(OSError):
            return self._file in _held and self._read() == self._content
        return False

    def _is_lost(self) -> bool:
        """Whether it's known to be another's. A disk that can't be read for a moment says nothing of that."""
        try:
            return self._file not in _held or self._read() != self._content
        except OSError:
            return False

    def _in_its_folder(self) -> bool:
        """Whether the run's folder is the one that we began in. Before there is one, any is."""
        if self._folder >= 0:
            return is_at(self.folder, self._folder)
        with suppress(FileNotFoundError):
            self._folder = hold(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        return True

    def let_go(self) -> None:
        """Give the claim back, and say so in its file: another machine sees no lock."""
        self._heart.stop()
        if self._is_ours():
            with suppress(OSError):
                os.ftruncate(self._file, 0)
                beat_file(self.path).unlink(missing_ok=True)
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


def is_elsewhere(descriptor: int) -> bool:
    """Whether a claim's file names another machine than this one, by name and by start: in one kernel the lock has decided."""
    owner = parse_object(os.pread(descriptor, LONGEST, 0)) or {}
    return "token" in owner and owner.get("host") != platform.node() and (boot() is None or owner.get("boot") != boot())


def boot() -> str | None:
    """Which start of the machine this is, where the system tells: a process's number alone is used again. None elsewhere."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return None


def is_claimed(path: Path) -> bool:
    """Whether some process holds the claim now. Where the disk grants no locks, nobody can.

    One of another machine does until this process, asking again and again, has watched it miss its beats.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return is_elsewhere(descriptor) and not is_silent(path)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    finally:
        os.close(descriptor)
    return False
