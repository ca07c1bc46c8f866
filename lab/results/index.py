"""A cache of what run directories said when they were last read: deletable at any time, made anew, and never the truth.

It holds for a directory as long as its small files have the sizes, inodes and times that they had when they were read; a file's own
change time tells of an edit whose author set the other time back. Files that were touched within the last two seconds before the
index was written could change once more without showing it (git calls these racily clean), so what they said isn't kept.
Damaged, of another version, not writable: everything is read, and nobody is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from lab import canonical, files
from lab.results import directory as reader
from lab.results import fields as checks
from lab.results import record
from lab.results.directory import Reading, read_directory
from lab.results.record import PARTS, LeftOut, Request, Run
from lab.store import manifest

INDEX = Path(".index") / "runs.json"
SCHEMA = 1
WATCHED = ("manifest.json", "result.json", "failure.json", "requests.jsonl")
ABSENT = (-1, 0, 0, 0)
RACY_NS = 2_000_000_000
SMALLEST = 200  # directories: fewer are read as quickly as an index of them
RENEWED = 20  # written anew when one in so many directories had to be read: writing takes longer than reading fewer
READERS = (__file__, *(str(each.__file__) for each in (canonical, files, reader, checks, record, manifest)))
RUN_FIELDS = tuple(each.name for each in fields(Run))
REQUEST_FIELDS = tuple(each.name for each in fields(Request))
SHARED = ("code", "pairing")  # of a run's fields: tables that many runs have in common; `parts` holds more of them

Stamp = list[int]  # of each watched file: size, inode, time of its content, time of its change


@dataclass(frozen=True)
class Entry:
    """What a directory said, as rows of the index file, and how its files stood then."""

    stamp: Stamp
    row: list[Any]


class Index:
    """The index of one store: `read` a directory through it, and `write` it at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.began = folder, time.monotonic_ns()
        self.known, self.shared = opened(folder / INDEX)
        self.kept: dict[str, tuple[Stamp, Reading]] = {}
        self.fresh = 0

    def read(self, directory: str) -> Reading:
        """What a run directory says: from the index where its files stand as they stood, else from the files."""
        stamp = stamp_of(f"{self.folder}/{directory}")
        known = self.known.get(directory)
        reading = restored(directory, known.row, self.shared) if known is not None and known.stamp == stamp else None
        if reading is None:
            reading = read_directory(self.folder, directory)
            self.fresh += reading.content  # what is read each time is no reason to write
        if stamp is not None and reading.content:
            self.kept[directory] = stamp, reading
        return reading

    def write(self) -> None:
        """Replace the index file where that pays. A file system that refuses is left alone."""
        if len(self.kept) < SMALLEST or self.fresh * RENEWED < len(self.kept):
            return
        path = self.folder / INDEX
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        with contextlib.suppress(OSError):
            try:
                path.parent.mkdir(exist_ok=True)
                temporary.touch(exist_ok=False)
                # the file system's clock, which may be another machine's
                limit = temporary.stat().st_mtime_ns - (time.monotonic_ns() - self.began) - RACY_NS
                settled = {name: each for name, each in self.kept.items() if max(each[0][2::4] + each[0][3::4]) < limit}
                if settled:
                    # not synced: a cut index is refused by its digest, and made anew
                    temporary.write_bytes(packed(settled))
                    temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)


def stamp_of(path: str) -> Stamp | None:
    """How the watched files of a directory stand; None where the system doesn't say."""
    stamp: Stamp = []
    for name in WATCHED:
        try:
            found = os.stat(f"{path}/{name}")  # noqa: PTH116 - a Path for each of 40,000 files costs half a second
        except FileNotFoundError:
            stamp += ABSENT
        except OSError:
            return None
        else:
            stamp += (found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return stamp


def opened(path: Path) -> tuple[dict[str, Entry], list[Any]]:
    """The entries of an index file and the parts that they share; none where the file isn't what this version of the lab wrote."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        about = json.loads(head)
        if about != heading(body, about["form"]):
            return {}, []
        shared, entries = (orjson.loads if about["form"] == "orjson" else json.loads)(body)
        return {name: Entry(stamp, row) for name, stamp, row in entries}, shared
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}, []


def heading(body: bytes, form: str) -> dict[str, Any]:
    """What the first line of an index file says: its digest, and that of the code which reads run directories."""
    return {"schema": SCHEMA, "form": form, "code": code_digest(), "sha256": hashlib.sha256(body).hexdigest()}


def code_digest() -> str:
    """SHA-256 of the modules that read a run directory: newer code reads everything anew."""
    return hashlib.sha256(b"\0".join(Path(path).read_bytes() for path in READERS)).hexdigest()


def packed(kept: dict[str, tuple[Stamp, Reading]]) -> bytes:
    """The content of an index file."""
    parts = Parts()
    entries = [[name, stamp, packed_reading(reading, parts)] for name, (stamp, reading) in kept.items()]
    body, form = dumped([parts.values, entries])
    return json.dumps(heading(body, form)).encode() + b"\n" + body


def dumped(value: Any) -> tuple[bytes, str]:
    """JSON, and who must read it: numbers that need more than 64 bits and text that isn't UTF-8 are for Python's own."""
    try:
        return orjson.dumps(value), "orjson"
    except orjson.JSONEncodeError:
        return json.dumps(value).encode(), "json"


class Parts:
    """Tables that many runs share, each once: equal ones are known by their bytes, and the same ones by their place in memory."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.by_bytes: dict[bytes, int] = {}
        self.by_id: dict[int, int] = {}  # of objects that the readings hold, so that none gives its place away

    def place(self, value: Any) -> int:
        if id(value) not in self.by_id:
            content = dumped(value)[0]
            if content not in self.by_bytes:
                self.by_bytes[content] = len(self.values)
                self.values.append(value)
            self.by_id[id(value)] = self.by_bytes[content]
        return self.by_id[id(value)]


def packed_reading(reading: Reading, parts: Parts) -> list[Any]:
    run = reading.run
    assert run is not None, "what no run was read from isn't kept"
    values = vars(run) | {name: parts.place(getattr(run, name)) for name in SHARED}
    values["parts"] = [parts.place(run.parts[name]) for name in PARTS]
    requests = [[getattr(each, name) for name in REQUEST_FIELDS] for each in reading.requests]
    return [[values[name] for name in RUN_FIELDS], requests, [[each.name, each.why] for each in reading.left_out]]


PLACES = tuple(RUN_FIELDS.index(name) for name in SHARED)
PARTS_PLACE = RUN_FIELDS.index("parts")


def restored(directory: str, row: Sequence[Any], shared: Sequence[Any]) -> Reading | None:
    """A reading out of its row; None where the row isn't one."""
    try:
        values, requests, left_out = row
        for place in PLACES:
            values[place] = shared[values[place]]
        values[PARTS_PLACE] = dict(zip(PARTS, (shared[place] for place in values[PARTS_PLACE]), strict=True))
        return Reading(
            Run(*values), tuple(Request(*each) for each in requests), tuple(LeftOut(name, why) for name, why in left_out), content=True
        )
    except (TypeError, ValueError, IndexError):
        return None
