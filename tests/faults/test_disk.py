"""A disk that is full, fails or takes a part: at every write, sync, rename and cut of a save, of rows, of a request, of a finish."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.files import write_file
from tests.cases import Cases
from tests.faults.acts import ACTS, NAIVE, Act, add_rows, newest, rows_found, save_at

CALLS = ("write", "fsync", "fdatasync", "replace", "ftruncate", "open")
WRITES = ("write",)
SYNCS = ("fsync", "fdatasync")


class Fault:
    """Counts the calls of an act, and lets one of them fail: with `number`, or (`part`) after a part of what it was given."""

    def __init__(self, at: int | None, number: int | None, part: bool, names: tuple[str, ...]) -> None:
        self.at, self.number, self.part, self.names = at, number, part, names
        self.calls: list[str] = []
        self.came, self.failed = False, False

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) - 1 != self.at:
                return real(*words, **more)
            self.came = True
            if self.part and len(words[1]) > 1:
                written = real(words[0], words[1][: len(words[1]) // 2])
                if self.number is None:
                    return written
            self.failed = True
            raise OSError(self.number, os.strerror(self.number or 0))

        return call


def tried(act: Act, folder: Path, fault: Fault) -> str | None:
    """Do an act under a fault. The error that came out, or None."""
    with pytest.MonkeyPatch.context() as patch:
        for name in fault.names:
            patch.setattr(os, name, fault.wrap(name, getattr(os, name)))
        try:
            act.do(folder)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "?")
        return None


FAULTS: dict[str, tuple[int | None, bool, tuple[str, ...]]] = {
    "a full disk": (errno.ENOSPC, False, CALLS),
    "a failing disk": (errno.EIO, False, CALLS),
    "a disk that is full after half of a write": (errno.ENOSPC, True, WRITES),
    "a disk that takes half of a write": (None, True, WRITES),
}


def fail_each_call(name: str, act: Act, tmp_path: Path, cases: Cases, fault: str) -> None:
    """One try for each call: the error is told, no sync is tried again, and a reader finds the old or the new whole."""
    number, part, names = FAULTS[fault]
    clean = tmp_path / "clean"
    act.before(clean)
    shutil.copytree(clean, tmp_path / "dry")
    dry = Fault(None, None, False, names)
    assert tried(act, tmp_path / "dry", dry) is None and act.left(tmp_path / "dry") == act.new[-1]
    for at, call in enumerate(dry.calls):
        folder = tmp_path / str(at)
        shutil.copytree(clean, folder)
        planted = Fault(at, number, part, names)
        told = tried(act, folder, planted)
        left = act.left(folder)
        good = left == act.new[-1] if told is None else left in (act.old, *act.new)
        good = good and planted.came and told == (errno.errorcode[number] if number is not None and planted.failed else None)
        retried = planted.failed and call in SYNCS and any(each in SYNCS for each in planted.calls[at + 1 :])
        cases.check(f"{fault} at call {at + 1} ({call}) of {name}: told {told}, then {left}, synced again: {retried}", good and not retried)
        shutil.rmtree(folder)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_call_is_told_and_leaves_the_old_or_the_new_whole(fault: str, tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    counted = cases(f"{fault}, at every call of a save, rows, a request and a finish")
    for name, act in ACTS.items():
        (tmp_path / name).mkdir()
        fail_each_call(name, act, tmp_path / name, counted, fault)
    counted.all_good(at_least=7 if FAULTS[fault][2] == WRITES else 30)


def test_a_naive_writer_is_caught_by_a_full_disk(tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    """A stream doesn't write with os.write, so the full disk is a limit on the size of a file."""
    counted = cases("a full disk under a naive save, and a naive finish")
    resource = pytest.importorskip("resource", reason="not run: no limits on a file's size here")
    for name, act in NAIVE.items():
        folder = tmp_path / name
        act.before(folder)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # in bytes
        try:
            act.do(folder)
        except OSError:
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        left = act.left(folder)
        counted.check(f"{name}: {left}", left in (act.old, *act.new))
    counted.some_bad()


def test_a_sync_that_failed_is_not_tried_again_and_the_earlier_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ACTS["a save"].before(tmp_path)
    tries: list[int] = []

    def fail(descriptor: int) -> None:
        tries.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        save_at(15)(tmp_path)
    assert len(tries) == 1 and newest(tmp_path) == "step 10"


def test_a_disk_that_is_really_full_stops_the_run_and_takes_nothing(tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    """Small disks of other sizes, filled by rows and saves until no more goes on them."""
    if os.geteuid() != 0:
        pytest.skip("not run: only root may mount")
    counted = cases("a disk of memory that is filled by rows and saves")
    for kilobytes in range(1200, 3600, 200):
        place = tmp_path / str(kilobytes)
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"not run: no disk of memory here: {done.stderr.decode().strip()}")
        try:
            told, saved = fill(place / "run")
            rows = int(rows_found(place / "run").split()[0])
            counted.check(f"{kilobytes} kB: {told} after a save at {saved} and {rows} rows", told == "ENOSPC" and rows >= saved)
            counted.check(f"{kilobytes} kB: newest is {newest(place / 'run' / 'checkpoint')}", newest_is(place, saved))
        finally:
            subprocess.run(["umount", str(place)], check=True)
    counted.all_good(at_least=20)


def newest_is(place: Path, saved: int) -> bool:
    """The last that was told, or the one after it whose folder could still be synced."""
    return newest(place / "run" / "checkpoint") in (f"step {saved}", f"step {saved + 1}")


def fill(run: Path) -> tuple[str, int]:
    """Rows and saves until the disk is full: the error, and the last step that was saved."""
    saved = 0
    try:
        for step in range(1, 50):
            add_rows(step - 1, step)(run)
            save_at(step)(run / "checkpoint")
            saved = step
            write_file(run / f"ballast-{step}", bytes(200_000))
    except OSError as error:
        return errno.errorcode[error.errno or 0], saved
    return "no error", saved
