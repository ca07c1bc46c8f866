"""The index of a store: quicker, and never another answer than the files give."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.files import append_line, read_json, sealed, write_json
from lab.results import index
from lab.results.collect import Lab, load
from lab.results.index import INDEX, WATCHED, Index, stamp_of
from tests.cases import Cases

from .store import CODE, Store

TICK = 0.012  # seconds: a file system's clock goes on in steps of some milliseconds
Mutation = Callable[[Path], object]


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index for the smallest store, at once: the tests wait for the clock themselves."""
    monkeypatch.setattr(index, "SMALLEST", 1)
    monkeypatch.setattr(index, "RENEWED", 10**9)
    monkeypatch.setattr(index, "RACY_NS", int(TICK * 1e9))


@pytest.fixture
def filled(store: Store) -> Path:
    """A store with runs of every status. Returns its runs/."""
    store.baseline(2)
    store.shifted("hooks=ema", 2, -0.05, code={**CODE, "lab.model.gpt": "0" * 64})
    store.run("hooks=ema", 5, None, status="diverged")
    store.run("baseline", 6, status="failed")
    store.run("baseline", 7, status="unfinished")
    return store.root / "runs"


def read(folder: Path) -> Lab:
    """Without any index."""
    shutil.rmtree(folder / INDEX.parent, ignore_errors=True)
    return load(folder)


def same(one: Lab, other: Lab) -> bool:
    return (one.found, one.asked, one.left_out) == (other.found, other.asked, other.left_out)


def indexed(folder: Path) -> list[str]:
    """The directories that the index holds."""
    return sorted(Index(folder).known)


def test_what_the_index_gives_is_what_the_files_gave(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(2 * TICK)
    first = load(filled)
    assert len(indexed(filled)) == 6, "a failed run is read each time"
    opened: list[str] = []
    monkeypatch.setattr(
        index, "read_directory", lambda folder, name, read=index.read_directory: (opened.append(name), read(folder, name))[1]
    )
    again = load(filled)
    assert same(first, again)
    assert [name[-len("seed=6-") - 12 :][:7] for name in opened] == ["seed=6-"]


def test_a_small_store_has_none(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SMALLEST", 200)
    time.sleep(2 * TICK)
    load(filled)
    assert not (filled / INDEX.parent).exists()


def test_a_few_new_runs_are_no_reason_to_write_it_anew(store: Store, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "RENEWED", 4)
    time.sleep(2 * TICK)
    load(filled)
    before = (filled / INDEX).read_bytes()
    store.run("baseline", 8)
    time.sleep(2 * TICK)
    assert len(load(filled).found) == 8
    assert (filled / INDEX).read_bytes() == before
    store.run("baseline", 9)
    time.sleep(2 * TICK)
    assert len(load(filled).found) == 9
    assert len(indexed(filled)) == 8


def test_failed_runs_which_are_read_each_time_are_no_reason_either(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "RENEWED", 20)
    time.sleep(2 * TICK)
    load(filled)
    before = (filled / INDEX).stat().st_ino
    assert [run.status for run in load(filled).found].count("failed") == 1
    assert (filled / INDEX).stat().st_ino == before


# -- a store that changed


def rewritten(change: Callable[[bytes], bytes], old_time: bool) -> Callable[[Path], None]:
    """Another content in place, with the time of the old one set again, or not."""

    def mutate(path: Path) -> None:
        times = path.stat()
        path.write_bytes(change(path.read_bytes()))
        if old_time:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return mutate


def replaced(path: Path) -> None:
    """Another file of the same size and times in its place."""
    times, beside = path.stat(), path.with_name("beside")
    beside.write_bytes(path.read_bytes().replace(b"2.1", b"2.3").replace(b"norms", b"morns"))
    os.utime(beside, ns=(times.st_atime_ns, times.st_mtime_ns))
    beside.replace(path)


def linked(path: Path) -> None:
    """A link to another place with another content."""
    away = path.parents[4] / "away"
    away.write_bytes(path.read_bytes()[:-7])
    path.unlink()
    path.symlink_to(away)


def flipped(bit: int) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        spoiled = bytearray(content)
        spoiled[bit % (8 * len(content)) // 8] ^= 1 << bit % 8
        return bytes(spoiled)

    return flip


IN_A_FILE: dict[str, Callable[[Path], None]] = {
    "a bit flipped": rewritten(flipped(4321), old_time=False),
    "a bit flipped, the old time set": rewritten(flipped(777), old_time=True),
    "another bit flipped, the old time set": rewritten(flipped(1234567), old_time=True),
    "cut": rewritten(lambda content: content[:-9], old_time=True),
    "emptied": rewritten(lambda content: b"", old_time=True),
    "a line more": rewritten(lambda content: content + b'{"number": 99}\n', old_time=True),
    "replaced by one of its size": replaced,
    "gone": Path.unlink,
    "a link": linked,
    "a folder": lambda path: (path.unlink(), path.mkdir())[0],
}


def first(runs: Path, place: int = 0) -> Path:
    return sorted(path.parent for path in runs.glob("*/*/*/result.json"))[place]


def edited(path: Path, **told: object) -> None:
    write_json(path, sealed(read_json(path) | told))


def swapped(one: Path, other: Path) -> None:
    beside = one.with_name("beside")
    one.rename(beside)
    other.rename(one)
    beside.rename(other)


def hidden(path: Path) -> object:
    return path.rename(path.with_name(f".{path.name}"))


def became_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


IN_THE_STORE: dict[str, Mutation] = {
    "a run removed": lambda runs: shutil.rmtree(first(runs)),
    "an arm removed": lambda runs: shutil.rmtree(first(runs).parent),
    "a run renamed": lambda runs: first(runs).rename(first(runs).with_name("seed=3-000000000000")),
    "a run copied with its times": lambda runs: shutil.copytree(first(runs), first(runs).with_name("seed=0-copy.2")),
    "two runs swapped": lambda runs: swapped(first(runs, 0), first(runs, 1)),
    "two results swapped": lambda runs: swapped(first(runs, 0) / "result.json", first(runs, 1) / "result.json"),
    "two runs' requests swapped": lambda runs: swapped(first(runs, 0) / "requests.jsonl", first(runs, 1) / "requests.jsonl"),
    "a run hidden": lambda runs: hidden(first(runs)),
    "an arm hidden": lambda runs: hidden(first(runs).parent),
    "an arm in another baseline": lambda runs: ((runs / "other").mkdir(), first(runs).parent.rename(runs / "other" / "moved")),
    "a baseline renamed": lambda runs: (runs / "demo").rename(runs / "domo"),
    "an arm that is a folder of studies now": lambda runs: first(runs).parent.rename(runs / "demo" / "studies"),
    "a run that failed before": lambda runs: write_json(first(runs) / "failure.json", {"error": "x"}),
    "a run that is one no more": lambda runs: (first(runs) / "result.json").unlink(),
    "a run that failed since": lambda runs: [
        (first(runs) / "failure.json").write_text('{"error": "y"}'),
        (first(runs) / "result.json").unlink(),
    ],
    "a request more": lambda runs: append_line(first(runs) / "requests.jsonl", {"number": 50}),
    "sealed anew with another number": lambda runs: edited(first(runs) / "result.json", metrics={"validation_bits_per_byte": 1.5}),
    "sealed anew with another label": lambda runs: edited(first(runs) / "manifest.json", label="another"),
    "of another version": lambda runs: edited(first(runs) / "manifest.json", schema=2),
    "a file where an arm was": lambda runs: became_a_file(first(runs).parent),
    "rows and texts beside": lambda runs: [(first(runs) / name).write_text("x") for name in ("metrics.jsonl", "samples.txt")],
    "the time alone": lambda runs: os.utime(first(runs) / "manifest.json", (0, 0)),
}


def mutations() -> Iterator[tuple[str, Mutation]]:
    yield from IN_THE_STORE.items()
    for name in WATCHED:
        if name != "failure.json":
            for what, change in IN_A_FILE.items():
                yield f"{name}: {what}", lambda runs, name=name, change=change: change(first(runs) / name)


def sizes_and_times(runs: Path) -> dict[str, list[int]]:
    """What is often taken for enough to know that nothing changed."""
    folders = {path.relative_to(runs).as_posix(): stamp_of(str(path)) for path in runs.glob("*/*/seed=*")}
    return {name: [*stamp[0::4], *stamp[2::4]] for name, stamp in folders.items() if stamp is not None}


def test_no_change_of_a_store_is_missed(filled: Path, tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    what = "changes of a store between two readings"
    count, naive = cases(what), cases(what)
    for place, (name, mutate) in enumerate(mutations()):
        runs = shutil.copytree(filled, tmp_path / f"copy{place}" / "runs")
        time.sleep(2 * TICK)
        before, seen = load(runs), sizes_and_times(runs)
        assert len(indexed(runs)) == 6
        mutate(runs)
        noticed = sizes_and_times(runs) != seen
        with_index, without = load(runs), read(runs)
        count.check(name, same(with_index, without))
        naive.check(name, noticed or same(before, without))
    count.all_good(at_least=50)
    naive.some_bad()


def test_what_was_touched_just_now_is_read_again(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one tick of the clock a file can change twice: nothing would tell of the second time."""
    monkeypatch.setattr(index, "RACY_NS", 10**9)
    time.sleep(1.1)
    touched = first(filled)
    os.utime(touched / "requests.jsonl")
    load(filled)
    assert len(indexed(filled)) == 5
    assert touched.relative_to(filled).as_posix() not in indexed(filled)
    monkeypatch.setattr(index, "RACY_NS", int(TICK * 1e9))
    time.sleep(2 * TICK)
    load(filled)
    assert touched.relative_to(filled).as_posix() in indexed(filled)


# -- an index that isn't what it should be


def test_a_damaged_index_changes_no_answer(filled: Path, cases: Callable[[str], Cases]) -> None:
    time.sleep(2 * TICK)
    expected = load(filled)
    content, draw, count = (filled / INDEX).read_bytes(), random.Random(0), cases("bits flipped in an index, and ends cut off")
    spoiled = [(f"bit {bit}", flipped(bit)(content)) for bit in draw.sample(range(8 * len(content)), 60)]
    spoiled += [(f"cut to {size}", content[:size]) for size in draw.sample(range(len(content)), 20)]
    for name, other in spoiled:
        (filled / INDEX).write_bytes(other)
        assert indexed(filled) == []
        count.check(name, same(load(filled), expected))
    count.all_good(at_least=80)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n[]", b"[]\n[]", b"null\nnull", b'{"form": "pickle"}\n[]', b"\x80\x04K\x01.", b"[" * 100_000]
)
def test_a_foreign_file_in_its_place_is_made_anew(filled: Path, content: bytes) -> None:
    expected = read(filled)
    (filled / INDEX.parent).mkdir(exist_ok=True)
    (filled / INDEX).write_bytes(content)
    time.sleep(2 * TICK)
    assert same(load(filled), expected)
    assert len(indexed(filled)) == 6


def test_an_index_of_other_code_is_read_by_nobody(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(2 * TICK)
    load(filled)
    assert len(indexed(filled)) == 6
    monkeypatch.setattr(index, "READERS", (*index.READERS, __file__))
    assert indexed(filled) == []


def test_a_sealed_index_of_odd_rows_is_no_crash(filled: Path) -> None:
    time.sleep(2 * TICK)
    expected = load(filled)
    _, _, body = (filled / INDEX).read_bytes().partition(b"\n")
    shared, entries = json.loads(body)
    for odd in (None, [], [[], [], []], [[1], [[2]], [[3]]], [[None] * 40, [], []]):
        made = json.dumps([shared, [[name, stamp, odd] for name, stamp, _ in entries]]).encode()
        (filled / INDEX).write_bytes(json.dumps(index.heading(made, "json")).encode() + b"\n" + made)
        assert len(indexed(filled)) == 6
        assert same(load(filled), expected)


def test_where_nothing_may_be_written_everything_is_read(filled: Path) -> None:
    shutil.rmtree(filled / INDEX.parent, ignore_errors=True)
    (filled / INDEX.parent).write_text("in the way")
    time.sleep(2 * TICK)
    assert len(load(filled).found) == 7
    assert (filled / INDEX.parent).read_text() == "in the way"


def test_text_that_is_not_utf8_and_the_largest_numbers_come_back(store: Store, filled: Path) -> None:
    folder = first(filled)
    rows = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    (folder / "requests.jsonl").write_text("".join(json.dumps(row | {"command": "caf\udce9", "note": "ü\x00"}) + "\n" for row in rows))
    edited(folder / "manifest.json", factors={"large": 10**400, "small": 5e-324, "minus": -0.0, "word": "\udce9"})
    time.sleep(2 * TICK)
    written, again = load(filled), load(filled)
    assert len(indexed(filled)) == 6
    assert same(written, again)
    assert repr(written.found) == repr(again.found)
    assert any(request.command == "caf\udce9" for request in again.asked)


def test_several_that_write_it_at_once_leave_a_whole_one(filled: Path) -> None:
    time.sleep(2 * TICK)
    expected, found = read(filled), list[Lab]()
    threads = [threading.Thread(target=lambda: found.append(load(filled))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(same(each, expected) for each in found)
    assert len(indexed(filled)) == 6
    assert [path.name for path in (filled / INDEX.parent).iterdir()] == [INDEX.name]
