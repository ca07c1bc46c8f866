"""A kill at every system call of what must survive one: a reader then finds the old or the new, whole, and the same can be done again."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cases import Cases
from tests.faults.acts import ACTS, NAIVE, Act
from tests.faults.victim import Victims, victims

# Whatever changes a file or a folder, and what makes a change last. A name with ? may be unknown to a system (they differ by processor).
CALLS = (
    *("openat", "?open", "?creat", "write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync", "?sync_file_range", "close"),
    *("?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "?rmdir", "?mkdir", "mkdirat", "ftruncate", "?truncate", "?link"),
    *("linkat", "fallocate", "?sendfile", "?copy_file_range", "exit_group"),
)
SETS = {"ours": ACTS, "naive": NAIVE}


@pytest.fixture(scope="module")
def writers() -> Iterator[Victims]:
    with victims() as found:
        yield found


def traced(writers: Victims, kind: str, name: str, folder: Path, *inject: str) -> list[str]:
    """Let a writer do its act under strace; the system calls that it made, by their names, in their order."""
    trace = folder.with_name("trace")
    number = writers.fork(kind, name, folder)
    command = ["strace", "-p", str(number), "-o", str(trace), "-e", "signal=none", "-e", f"trace={','.join(CALLS)}", *inject]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        status = writers.go()
        said += strace.stderr.read()
    if "attached" not in said:
        pytest.skip(f"not run: strace is refused here: {said.splitlines()[0] if said else 'it said nothing'}")
    assert not inject or os.WIFSIGNALED(status), f"the kill that was ordered by {inject} never came"
    return re.findall(r"^(\w+)\(", trace.read_text(), re.MULTILINE)


def again(act: Act, folder: Path) -> str:
    """What a reader finds once the same was done again on what the kill left."""
    try:
        act.do(folder)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return act.left(folder)


def kill_at_each_call(writers: Victims, kind: str, name: str, place: Path, counted: Cases) -> None:
    """One writer for each system call, killed as it enters it: all that went before was done, nothing after."""
    act, clean = SETS[kind][name], place / "clean"
    act.before(clean)
    shutil.copytree(clean, place / "dry")
    calls, seen = traced(writers, kind, name, place / "dry"), Counter[str]()
    assert SETS[kind][name].left(place / "dry") == act.new[-1] and calls[-1] == "exit_group"
    for at, call in enumerate(calls):
        seen[call] += 1
        folder = place / f"{at}"
        shutil.copytree(clean, folder)
        traced(writers, kind, name, folder, "-e", f"inject={call}:signal=KILL:when={seen[call]}")
        left = act.left(folder)
        good = left in (act.old, *act.new)
        counted.check(f"{name}, killed at call {at + 1} of {len(calls)} ({call} {seen[call]}): {left}", good)
        if kind == "ours" and name in ("a save", "a finish"):  # what is appended isn't done again, a resume cuts it off first
            after = again(act, folder)
            counted.check(f"{name}, done again after a kill at call {at + 1}: {after}", after == act.new[-1])
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ACTS)
def test_a_kill_at_any_system_call_leaves_the_old_or_the_new_whole(
    name: str, writers: Victims, place: Path, cases: Callable[[str], Cases]
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("not run: strace isn't installed; the kills at random instants stand for it")
    counted = cases(f"a kill at every system call of {name}")
    counted.note = "by strace"
    kill_at_each_call(writers, "ours", name, place, counted)
    counted.all_good(at_least=5)


@pytest.mark.parametrize("name", NAIVE)
def test_the_naive_way_is_caught_by_a_kill_at_some_system_call(
    name: str, writers: Victims, place: Path, cases: Callable[[str], Cases]
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("not run: strace isn't installed")
    counted = cases(f"a kill at every system call of {name}")
    counted.note = "by strace"
    kill_at_each_call(writers, "naive", name, place, counted)
    counted.some_bad()


def kill_at_random(writers: Victims, kind: str, name: str, place: Path, counted: Cases, kills: int) -> None:
    """Writers killed at seeded instants, spread over somewhat more than the time that the act takes."""
    act, chance = SETS[kind][name], random.Random(f"{kind} {name}")
    clean, longest = place / "clean", 0.0
    act.before(clean)
    for number in range(kills + 3):
        instant = chance.uniform(0, 1.1 * longest)
        folder = place / f"{number}"
        shutil.copytree(clean, folder)
        process = writers.fork(kind, name, folder)
        begun = time.perf_counter()
        writers.begin()
        if number < 3:  # these show how long it takes
            writers.ended()
            longest = max(longest, time.perf_counter() - begun)
        else:
            while time.perf_counter() - begun < instant:
                pass
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(process, signal.SIGKILL)
            writers.ended()
            left = act.left(folder)
            counted.check(f"{name}, killed after {instant:.6f} s: {left}", left in (act.old, *act.new))
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ACTS)
def test_a_kill_at_a_random_instant_leaves_the_old_or_the_new_whole(
    name: str, writers: Victims, place: Path, cases: Callable[[str], Cases]
) -> None:
    counted = cases(f"a kill at a random instant of {name}")
    kill_at_random(writers, "ours", name, place, counted, 30)
    counted.all_good(at_least=30)


def test_the_naive_save_is_caught_by_a_kill_at_some_random_instant(writers: Victims, place: Path, cases: Callable[[str], Cases]) -> None:
    counted = cases("a kill at a random instant of a save")
    kill_at_random(writers, "naive", "a save", place, counted, 30)
    counted.some_bad()


@pytest.mark.soak
@pytest.mark.parametrize("name", ACTS)
def test_a_thousand_kills_at_random_instants_leave_the_old_or_the_new_whole(
    name: str, writers: Victims, place: Path, cases: Callable[[str], Cases]
) -> None:
    counted = cases(f"a thousand kills at random instants of {name}")
    kill_at_random(writers, "ours", name, place, counted, 1000)
    counted.all_good(at_least=1000)
