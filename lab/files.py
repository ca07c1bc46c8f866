"""All durable writing, and the digests of what was written. Knows bytes and paths; knows no run, imports no torch.

A whole file is written beside its place, synced, and renamed over it, and then the folder is synced: after a power cut the
old or the new content is there, never a mixture. Rows are single writes on an O_APPEND descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.canonical import as_sealed, json_text, seal_holds
from lab.canonical import canonical_json as canonical_json
from lab.canonical import parse_object as parse_object
from lab.canonical import sealed as sealed
from lab.canonical import sha256_of as sha256_of

LARGEST_FILE = 64 << 20
# What a file system without F_FULLFSYNC (network disks, some sticks) answers.
NO_SUCH_FLUSH = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Any) -> str:
    """hashlib.file_digest for Python 3.10."""
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def hash_head(path: Path, size: int) -> hashlib._Hash:
    """SHA-256 over the first `size` bytes of a file that grows; its owner carries it on with each append."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as stream:
        while left and (chunk := stream.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    return digest


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` so that a crash at any instant leaves the old file or the new one, whole."""
    # A file name that isn't UTF-8 reaches us as lone surrogates; in JSON their backslash form is an escape that reads back the same.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        try:
            write_all(descriptor, data)
            sync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, each on the disk in the folder that holds it: a file in a lost folder is lost."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)  # another process may be as quick
        sync_folder(each.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, durably. NaN is refused: a reader elsewhere couldn't parse it."""
    write_file(path, json_text(value))


def write_all(descriptor: int, data: bytes) -> None:
    """os.write until every byte is out; the system may take fewer at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Make a file survive a power cut: its content, its size and its times."""
    os.fsync(descriptor)
    flush_drive(descriptor)


def sync_data(descriptor: int) -> None:
    """Make a file's content survive a power cut: fdatasync, or fsync where the system has none (macOS)."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)
    flush_drive(descriptor)


def flush_drive(descriptor: int) -> None:
    """On macOS, empty the drive's own cache too: fsync leaves the data in it (fsync(2) there). Elsewhere fsync has done so.

    After fsync, never instead of it: on network disks this may say yes and drop what was written (dotnet/runtime 130779).
    """
    flush = getattr(fcntl, "F_FULLFSYNC", None)
    if flush is None:
        return
    try:
        fcntl.fcntl(descriptor, flush)
    except OSError as error:
        if error.errno not in NO_SUCH_FLUSH:
            raise


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as one line with one write, and sync it. Creates the file.

    A line that an earlier crash or a full disk cut off is ended first, so that the new one isn't lost with it.
    """
    line = (canonical_json(row) + "\n").encode()
    fresh = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # so that another process's line isn't seen half written
        size = os.fstat(descriptor).st_size
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        write_all(descriptor, b"\n" + line if cut else line)
        sync_data(descriptor)
    finally:
        os.close(descriptor)
    if fresh:
        sync_folder(path.parent)


def read_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects of a row file, and how many lines had to be left out (torn tail, damaged middle).

    A missing file reads as no rows: a run that was cut before its first row has none.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    whole = content[: content.rfind(b"\n") + 1]
    rows, damaged = [], int(len(whole) < len(content))
    for line in whole.splitlines():
        row = parse_object(line)
        if row is None:
            damaged += 1
        else:
            rows.append(row)
    return rows, damaged


def read_json(path: Path, largest: int = LARGEST_FILE) -> dict[str, Any]:
    """A JSON object from a file of at most `largest` bytes. Raises ValueError with the path when it isn't one."""
    return json_object(path, limited(path, largest))


def limited(path: Path, largest: int = LARGEST_FILE) -> bytes:
    """A file's bytes. Raises ValueError with the path when there are more than `largest`."""
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > largest:
            raise ValueError(f"{path} has {size} bytes; at most {largest} are read")
        return stream.readall()


def json_object(path: Path, content: bytes) -> dict[str, Any]:
    row = parse_object(content)
    if row is None:
        raise ValueError(f"{path} isn't a JSON object (empty, cut or damaged)")
    return row


def read_sealed(path: Path) -> dict[str, Any]:
    """A sealed JSON object, its file byte for byte as `write_json` wrote it. Raises ValueError with the path when it isn't that.

    The bytes too: `1E-05` for `1e-05`, or another 17th digit, is a flipped bit that leaves the value, and so the seal, as it was.
    """
    content = limited(path)
    return json_object(path, content) if as_sealed(content) is not None else held(path, content)


def read_shared(path: Path) -> dict[str, Any]:
    """As `read_sealed`, and quicker where many files have parts in common: these parts are one object then, which nobody may change."""
    content = limited(path)
    return as_sealed(content) or held(path, content)


def held(path: Path, content: bytes) -> dict[str, Any]:
    """A sealed JSON object, looked at as a whole. Raises ValueError that says what is wrong with it."""
    value = json_object(path, content)
    if not seal_holds(value):
        raise ValueError(f"{path} was edited or damaged: its own digest isn't that of its content")
    try:
        written = json_text(value).encode(errors="backslashreplace")
    except RecursionError:  # json indents in Python, which from 3.12 on goes less deep than the C code that read and sealed it
        written = b""
    if written != content:
        raise ValueError(f"{path} was edited or damaged: its values are as they were, its bytes aren't")
    return value


def walk_files(folder: Path) -> Iterator[Path]:
    """Every plain file below a folder, in the order of its path, the same on every machine."""
    yield from sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())
