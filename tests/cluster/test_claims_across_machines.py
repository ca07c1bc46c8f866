"""One run, one owner, on a disk that machines share, though not its locks: real processes, each told that it is a machine of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.files import read_json
from lab.store import beats, claim
from lab.store.beats import beat_file
from lab.store.claim import ClaimedError, claimed, is_claimed
from tests.store.tiny import child, end, hear, tell

BEAT, MISSED = 0.1, 5
# A machine: its name, its start, beats that a test can wait for; and, `unshared`, a disk on which every machine grants itself its locks.
MACHINE = """
import fcntl, os, platform, sys
from pathlib import Path
from lab.store import beats, claim
beats.BEAT_SECONDS, beats.MISSED, claim.SETTLES_SECONDS = {beat}, {missed}, 0.05
name, locks = sys.argv[1:3]
platform.node, claim.boot = (lambda: name), (lambda: "start of " + name)
if locks == "unshared":
    fcntl.flock = lambda descriptor, operation: None
"""
OWNER = """
from lab.errors import StoreError
run = Path(sys.argv[3])
rows = run / "rows"
try:
    with claim.claimed(run / "claim") as owned:
        print("won", flush=True)
        for number, line in enumerate(sys.stdin):
            if line == "leave\\n":
                break
            owned.require()
            with rows.open("a") as stream:
                stream.write(f"{name} {number}\\n")
            print("wrote", flush=True)
    print("left", flush=True)
except StoreError as error:
    print(type(error).__name__, str(error).replace("\\n", "; "), flush=True)
sys.stdin.readline()
"""


@contextmanager
def machine(name: str, run: Path, locks: str = "unshared") -> Iterator[subprocess.Popen[str]]:
    process = child(MACHINE.format(beat=BEAT, missed=MISSED) + OWNER, name, locks, run)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        end(process)


def writes(process: subprocess.Popen[str]) -> str:
    tell(process, "write")
    return hear(process)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process counts in the machines' beats, on another machine than theirs, with locks of its own."""
    monkeypatch.setattr(beats, "BEAT_SECONDS", BEAT)
    monkeypatch.setattr(beats, "MISSED", MISSED)
    monkeypatch.setattr(claim, "SETTLES_SECONDS", 0.05)
    monkeypatch.setattr(claim.fcntl, "flock", lambda descriptor, operation: None)


def test_another_machines_claim_is_respected_though_the_lock_is_free(tmp_path: Path) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won"
        with machine("b", tmp_path) as b:
            said = hear(b)
            assert said.startswith("ClaimedError this run is being trained already, by process") and f"{a.pid} on a: " in said
        assert writes(a) == "wrote"


def test_a_claim_that_was_let_go_is_free_for_another_machine_at_once(tmp_path: Path) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won"
        tell(a, "leave")
        assert hear(a) == "left"
    assert not beat_file(tmp_path / "claim").exists()
    began = time.monotonic()
    with machine("b", tmp_path) as b:
        assert hear(b) == "won"
    assert time.monotonic() - began < 3, "nothing was waited for but a process's start"


def test_a_machine_that_died_is_taken_over_after_the_missed_beats(tmp_path: Path) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won"
        a.kill()
        a.wait()
    with machine("b", tmp_path) as b:
        began = time.monotonic()
        assert hear(b) == "won"
        assert time.monotonic() - began > BEAT * MISSED
        assert read_json(tmp_path / "claim")["host"] == "b"


def test_an_owner_that_was_paused_wakes_after_a_takeover_and_writes_nothing_more(tmp_path: Path) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won" and writes(a) == "wrote"
        a.send_signal(signal.SIGSTOP)
        with machine("b", tmp_path) as b:
            assert hear(b) == "won" and writes(b) == "wrote"
            a.send_signal(signal.SIGCONT)
            said = writes(a)
            assert said.startswith("StoreError this process doesn't own its run any more") and f"by process {b.pid} on b" in said
            time.sleep(BEAT * 3)
            assert writes(b) == "wrote", "the one that woke up took nothing back"
            assert beat_file(tmp_path / "claim").read_text().startswith(read_json(tmp_path / "claim")["token"])
    assert (tmp_path / "rows").read_text() == "a 0\nb 0\nb 1\n"


def test_an_owner_that_is_paused_for_a_few_beats_keeps_its_claim(tmp_path: Path) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won"
        a.send_signal(signal.SIGSTOP)
        with machine("b", tmp_path) as b:
            time.sleep(BEAT * 2)
            a.send_signal(signal.SIGCONT)
            assert hear(b).startswith("ClaimedError")
        assert writes(a) == "wrote"


def test_of_two_machines_that_take_a_dead_ones_claim_one_wins(tmp_path: Path) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won"
        a.kill()
        a.wait()
    with machine("b", tmp_path) as b, machine("c", tmp_path) as c:
        said = [hear(b), hear(c)]
        assert sum(each == "won" for each in said) == 1, said


def test_where_the_locks_are_shared_they_decide(tmp_path: Path) -> None:
    with machine("a", tmp_path, "shared") as a:
        assert hear(a) == "won"
        a.send_signal(signal.SIGSTOP)
        with machine("b", tmp_path, "shared") as b:
            assert hear(b).startswith("ClaimedError"), "its lock is held, beats or none"
        a.send_signal(signal.SIGCONT)
        assert writes(a) == "wrote"


def test_a_dead_owner_of_this_machine_is_not_waited_for(tmp_path: Path, quick: None) -> None:
    with machine(os.uname().nodename, tmp_path) as a:
        assert hear(a) == "won"
        a.kill()
        a.wait()
    began = time.monotonic()
    with claimed(tmp_path / "claim"):
        assert time.monotonic() - began < BEAT * MISSED, "the lock of one machine decides, also after another start of it"


def test_who_looks_once_takes_another_machines_run_for_running_and_who_watches_finds_out(tmp_path: Path, quick: None) -> None:
    with machine("a", tmp_path) as a:
        assert hear(a) == "won"
        for _ in range(3 * MISSED):
            assert is_claimed(tmp_path / "claim"), "it beats"
            time.sleep(BEAT / 2)
        with pytest.raises(ClaimedError, match=f"{a.pid} on a: "), claimed(tmp_path / "claim"):
            raise AssertionError("two owners")
        a.kill()
        a.wait()
    assert is_claimed(tmp_path / "claim")
    until = time.monotonic() + 20 * BEAT * MISSED
    while is_claimed(tmp_path / "claim") and time.monotonic() < until:
        time.sleep(BEAT / 2)
    assert not is_claimed(tmp_path / "claim")


def test_a_heart_writes_while_its_claim_is_held_and_never_after(tmp_path: Path, quick: None) -> None:
    path = tmp_path / "claim"
    with claimed(path) as held:
        time.sleep(BEAT * 4)
        token, count = beat_file(path).read_text().split()
        assert token == held.token and int(count) >= 3
    time.sleep(BEAT * 2)
    assert not beat_file(path).exists() and path.read_bytes() == b""
