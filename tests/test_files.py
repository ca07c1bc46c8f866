"""Durable writing under faults that are really there: full files, failing syncs, kills. And readers that survive damage."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.files import (
    append_line,
    canonical_json,
    hash_head,
    make_folder,
    read_json,
    read_rows,
    read_sealed,
    sealed,
    sha256_file,
    sha256_of,
    walk_files,
    write_all,
    write_file,
    write_json,
)
from tests.cases import Cases
from tests.store.tiny import child, end, hear, tell

OLD, NEW = b"the old content, whole\n", b"the new content " * 5000
Writer = Callable[[Path, bytes], None]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def naive(path: Path, content: bytes) -> None:
    """What one writes without thinking; kept here so that we see each fault do harm."""
    with path.open("w") as stream:
        write_all(stream.fileno(), content)


def disk_full_half_way(patch: pytest.MonkeyPatch) -> None:
    room, write = [len(NEW) // 2], os.write

    def full(descriptor: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    patch.setattr(os, "write", full)


def disk_fails_to_sync(patch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    patch.setattr(os, "fsync", fail)


def keyboard_interrupt(patch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int, data: Any) -> int:
        raise KeyboardInterrupt

    patch.setattr(os, "write", interrupt)


@pytest.mark.parametrize("fault", [disk_full_half_way, disk_fails_to_sync, keyboard_interrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(OLD)
    with monkeypatch.context() as patch:
        fault(patch)
        with pytest.raises((OSError, KeyboardInterrupt)):
            write_file(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("fault", [disk_full_half_way, keyboard_interrupt])
def test_under_the_same_fault_the_naive_writer_loses_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(OLD)
    with monkeypatch.context() as patch:
        fault(patch)
        with pytest.raises((OSError, KeyboardInterrupt)):
            naive(path, NEW)
    assert path.read_bytes() != OLD


LIMITED = """
import resource, sys
from pathlib import Path
from lab.files import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    if sys.argv[2] == "ours":
        write_file(Path(sys.argv[1]), "new " * 5000)
    else:
        with Path(sys.argv[1]).open("w") as stream:
            stream.write("new " * 5000)
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize(("writer", "survives"), [("ours", True), ("naive", False)])
def test_a_file_size_limit_of_the_system_costs_only_the_naive_writer_the_old_file(tmp_path: Path, writer: str, survives: bool) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path), writer], capture_output=True, text=True, check=True)
    assert "too large" in done.stdout, "the limit was never met, so this test shows nothing"
    assert (path.read_bytes() == OLD) is survives
    assert names(tmp_path) == ["result.json"]


KILLED = """
import os, signal, sys
from pathlib import Path
from lab.files import write_file
write, fsync, moment = os.write, os.fsync, sys.argv[2]
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def half(descriptor, data):
    write(descriptor, data[: len(data) // 2])
    die()
if moment == "writing": os.write = half
if moment == "syncing": os.fsync = die
if moment == "after the rename": os.fsync = lambda descriptor: die() if os.path.isdir(f"/proc/self/fd/{descriptor}") else fsync(descriptor)
write_file(Path(sys.argv[1]), b"new " * 5000)
"""


@pytest.mark.parametrize(("moment", "left"), [("writing", OLD), ("syncing", OLD), ("after the rename", b"new " * 5000)])
def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one_whole(tmp_path: Path, moment: str, left: bytes) -> None:
    if moment == "after the rename" and not Path("/proc/self/fd").exists():
        pytest.skip("not run: needs /proc to tell a folder's descriptor")
    path = tmp_path / "result.json"
    path.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert path.read_bytes() == left
    assert all(name == "result.json" or name.startswith(".") for name in names(tmp_path)), "a torn file has a visible name"


def test_the_content_is_synced_before_the_rename_and_the_folder_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fsync, seen = tmp_path / "result.json", os.fsync, []
    path.write_bytes(OLD)

    def noting(descriptor: int) -> None:
        seen.append(("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file", path.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    write_file(path, NEW)
    assert seen == [("file", OLD), ("folder", NEW)]


def test_a_file_whose_place_is_taken_by_a_folder_is_refused_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    with pytest.raises(OSError):
        write_file(tmp_path / "result.json", NEW)
    assert names(tmp_path) == ["result.json"]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = os.write, []

    def seven_at_most(descriptor: int, data: Any) -> int:
        calls.append(len(data))
        return write(descriptor, data[:7])

    monkeypatch.setattr(os, "write", seven_at_most)
    write_file(tmp_path / "a", b"0123456789" * 10)
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 10
    assert len(calls) == 15


@pytest.mark.parametrize("content", [b"", b"\x00\xff\r\n", "ünï\r\n", "x" * 3_000_000])
def test_what_is_written_is_read_back_to_the_byte(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_file(path, content)
    expected = content.encode() if isinstance(content, str) else content
    assert path.read_bytes() == expected
    assert sha256_file(path) == hashlib.sha256(expected).hexdigest()


def test_a_name_that_is_not_utf8_survives_json(tmp_path: Path) -> None:
    typed = os.fsdecode(b"data.path=caf\xe9.txt")  # as Python hands it over from a command line
    write_json(tmp_path / "manifest.json", {"command": typed, "note": "naïve ✓"})
    assert read_json(tmp_path / "manifest.json") == {"command": typed, "note": "naïve ✓"}
    assert "naïve ✓" in (tmp_path / "manifest.json").read_text(encoding="utf-8"), "people read these files"


# -- one text for a value

EQUAL = [
    ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ({"a": (1, 2)}, {"a": [1, 2]}),
    ({"x": {"d": [], "c": None}}, {"x": {"c": None, "d": []}}),
    (1e-3, 0.001),
]
DIFFERENT = [
    ({"a": 1}, {"a": "1"}),
    ({"a": None}, {}),
    ({"a": []}, {"a": {}}),
    ([1, 2], [2, 1]),
    (True, 1),
    (0.1, math.nextafter(0.1, 1)),
    ({"a": {"b": 1}}, {"a.b": 1}),
    ("é", "e\u0301"),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_values_have_one_text(a: Any, b: Any) -> None:
    assert canonical_json(a) == canonical_json(b)
    assert sha256_of(a) == sha256_of(b)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_values_have_different_texts(a: Any, b: Any) -> None:
    assert sha256_of(a) != sha256_of(b)


def test_the_canonical_text_is_ascii_without_spaces_and_reads_back() -> None:
    value = {"ü": [1, 2.5, -0.0, 1e300, 5e-324, None, True], "a": {"nested": "line\nend\udce9"}}
    text = canonical_json(value)
    assert text.isascii() and " " not in text and "\n" not in text
    assert json.loads(text) == value


def test_the_hash_of_a_value_is_pinned() -> None:
    assert sha256_of({"b": [1, 2.5, None], "a": "ü"}) == "703dceec79c30480a5c3da98f5873d45349c66854150b1f903de556fe4042245", (
        "the canonical text changed: every identity, lock and certificate that was ever written becomes another one"
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("write", [lambda _, value: canonical_json(value), write_json, append_line], ids=["canonical", "file", "row"])
def test_a_number_that_is_not_finite_is_refused_before_anything_is_written(
    tmp_path: Path, write: Callable[[Path, dict[str, Any]], Any], number: float
) -> None:
    with pytest.raises(ValueError):
        write(tmp_path / "file", {"loss": [number]})
    assert names(tmp_path) == []


# -- rows

GOOD = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.25}]
LINES = b'{"step":1,"loss":2.5}\n{"step":2,"loss":2.25}\n'


def test_each_row_is_one_write_to_a_file_opened_for_appending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, lines = os.write, []

    def noting(descriptor: int, data: Any) -> int:
        lines.append(bytes(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", noting)
    for row in GOOD:
        append_line(tmp_path / "rows.jsonl", row)
    assert lines == [b'{"loss":2.5,"step":1}\n', b'{"loss":2.25,"step":2}\n']
    assert read_rows(tmp_path / "rows.jsonl") == (GOOD, 0)


def test_a_row_is_synced_and_a_new_file_s_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def noting(descriptor: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(os, "fdatasync", noting, raising=False)
    append_line(tmp_path / "rows.jsonl", {"a": 1})
    append_line(tmp_path / "rows.jsonl", {"a": 2})
    assert synced == ["file", "folder", "file"]


APPENDER = """
import sys
from pathlib import Path
from lab.files import append_line
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    append_line(Path(sys.argv[1]), {"who": sys.argv[2], "number": number, "filler": "x" * 100_000})
"""


def test_rows_of_processes_that_append_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    writers = [child(APPENDER, path, who) for who in range(4)]
    assert [hear(each) for each in writers] == ["ready"] * 4
    for each in writers:
        tell(each, "go")
    for each in writers:
        end(each)
    rows, damaged = read_rows(path)
    assert damaged == 0
    assert sorted((row["who"], row["number"]) for row in rows) == sorted((str(who), number) for who in range(4) for number in range(40))


@pytest.mark.parametrize(
    ("content", "damaged"),
    [
        (LINES, 0),
        (LINES + b'{"step":3,"lo', 1),
        (LINES + b'{"step":3,"loss":2}', 1),  # whole to look at, but its line end never came
        (LINES + b"\x00" * 512, 1),
        (LINES.replace(b"\n", b"\nnot JSON\n", 1), 1),
        (LINES.replace(b"\n", b"\n[1,2]\n7\n", 1), 2),
        (LINES.replace(b"\n", b'\n{"step":\xff\xfe}\n', 1), 1),
        (LINES.replace(b"\n", b"\n\x00\x00\x00\x00\n", 1), 1),
        (LINES + b"\x00" * 512 + b"\n", 1),
        (LINES.replace(b"\n", b'\n{"step":3,\x00"loss":2}\n', 1), 1),
        (LINES.replace(b"\n", b'\n{"step":3}\x00\x00\n', 1), 1),
        (LINES.replace(b"\n", b"\n{\x00}\x00\n", 1), 1),  # json.loads takes these bytes for UTF-16
        (LINES.replace(b"\n", b"\n" + b"[" * 100_000 + b"\n", 1), 1),
        (LINES.replace(b"\n", b"\r\n"), 0),
    ],
    ids=[
        *("whole", "torn", "unended", "NUL tail", "bad middle", "not objects", "not UTF-8", "NUL line"),
        *("ended NUL tail", "NUL inside", "NULs behind", "NULs as of UTF-16", "deep brackets", "CRLF"),
    ],
)
def test_a_damaged_line_is_counted_and_hides_no_other(tmp_path: Path, content: bytes, damaged: int) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    assert read_rows(tmp_path / "rows.jsonl") == (GOOD, damaged)


HOLED = [{"step": number, "loss": 1 / (number + 1)} for number in range(6)]


def holed(lines: list[bytes], start: int, end: int) -> tuple[bytes, list[int]]:
    """Rows with NULs for the bytes from `start` to `end`, and the numbers of the lines that lost nothing."""
    content = b"".join(lines)
    ends = [sum(map(len, lines[: number + 1])) for number in range(len(lines))]
    whole = [number for number, at in enumerate(ends) if at <= start or at - len(lines[number]) > end - 1]
    # a line whose end before it is gone hangs together with what is lost
    whole = [number for number in whole if number == 0 or not start < ends[number - 1] <= end]
    return content[:start] + b"\x00" * (end - start) + content[end:], whole


def test_rows_with_a_hole_of_nuls_anywhere_keep_every_other_line(tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    """What a power cut leaves of blocks that were never written: NULs at the end, or between what was."""
    lines = [canonical_json(row).encode() + b"\n" for row in HOLED]
    size, path = sum(map(len, lines)), tmp_path / "rows.jsonl"
    ours, naive = cases("holes of NULs in a row file"), cases("holes of NULs in a row file")
    for first, last in itertools.combinations(range(0, size + 1, 5), 2):
        content, whole = holed(lines, first, last)
        path.write_bytes(content)
        rows, damaged = read_rows(path)
        ours.check(f"NULs from {first} to {last}", rows == [HOLED[number] for number in whole] and damaged >= 1)
        try:
            naive.check(f"NULs from {first} to {last}", len([json.loads(line) for line in content.splitlines()]) == len(whole))
        except ValueError:
            naive.check(f"NULs from {first} to {last}", False)
    ours.all_good(at_least=500)
    naive.some_bad()


def test_a_file_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "rows.jsonl") == ([], 0)


@pytest.mark.parametrize("tail", [b'{"step":2,"lo', b"\x00" * 100])
def test_a_row_after_a_torn_one_is_not_lost_with_it(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b'{"step":1}\n' + tail)
    append_line(path, {"step": 3})
    append_line(path, {"step": 4})
    assert read_rows(path) == ([{"step": 1}, {"step": 3}, {"step": 4}], 1)


def test_the_digest_of_a_head_is_carried_on_as_the_file_grows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(LINES + b"more")
    digest = hash_head(path, len(LINES))
    assert digest.hexdigest() == hashlib.sha256(LINES).hexdigest()
    digest.update(b"more")
    assert digest.hexdigest() == sha256_file(path) == hash_head(path, 10_000).hexdigest()
    assert hash_head(path, 0).hexdigest() == hashlib.sha256(b"").hexdigest()


# -- folders


def test_each_new_folder_is_synced_into_the_one_that_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, seen = os.fsync, []

    def noting(descriptor: int) -> None:
        seen.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    make_folder(tmp_path / "a" / "b" / "c")
    assert seen == [path.stat().st_ino for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]
    make_folder(tmp_path / "a" / "b" / "c")
    assert len(seen) == 3, "what is there needs no sync"


# -- whole JSON files


SEALED = {"loss": 1e-05, "exact": 0.30000000000000004, "name": "naïve", "typed": "caf\udce9", "deep": {"list": [1, None, True]}}


def test_a_sealed_file_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", sealed(SEALED))
    assert read_sealed(tmp_path / "result.json") == sealed(SEALED)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"1e-05", b"2e-05", "its own digest isn't that of its content"),
        (b'"sha256_of_this"', b'"sha256_of_thas"', "its own digest isn't that of its content"),
        (b"1e-05", b"1E-05", "its bytes aren't"),
        (b"0.30000000000000004", b"0.30000000000000005", "its bytes aren't"),  # the same number
        (b"\n", b"", "its bytes aren't"),
        (b"true", b"\x00rue", "isn't a JSON object"),
    ],
)
def test_a_sealed_file_with_another_byte_is_refused_by_name(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = tmp_path / "result.json"
    write_json(path, sealed(SEALED))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"result\.json.*{words}"):
        read_sealed(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\x00" * 100, b'{"a": 1}{"b": 2}', b'{"a": "\xff"}', b"[" * 100_000])
def test_a_json_file_that_is_no_object_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"result\.json isn't a JSON object"):
        read_json(tmp_path / "result.json")


def test_a_json_file_over_the_limit_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    write_json(path, {"a": "x" * 100})
    size = path.stat().st_size
    assert read_json(path, largest=size) == {"a": "x" * 100}
    with pytest.raises(ValueError, match=f"has {size} bytes; at most {size - 1}"):
        read_json(path, largest=size - 1)


def test_files_are_walked_in_the_order_of_their_paths_whatever_the_disk_says(tmp_path: Path) -> None:
    for name in ("b/2", "a", "b/1", "b.txt", "c/d/e"):
        write_file(tmp_path / name, name)
    assert [path.relative_to(tmp_path).as_posix() for path in walk_files(tmp_path)] == ["a", "b.txt", "b/1", "b/2", "c/d/e"]
