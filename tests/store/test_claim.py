"""One run, one owner: real processes that want the same claim, hold it, and are killed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.store.claim import claimed, is_claimed
from tests.store.tiny import child, end, hear, tell

CONTENDER = """
import sys
from pathlib import Path
from lab.errors import StoreError
from lab.store.claim import claimed
for path in iter(sys.stdin.readline, ""):
    try:
        with claimed(Path(path.strip())):
            print("won", flush=True)
            sys.stdin.readline()
    except StoreError as error:
        print(str(error).splitlines()[0], flush=True)
        sys.stdin.readline()
"""
LOOKER = """
import sys, time
from pathlib import Path
from lab.store.claim import is_claimed
print("looking", flush=True)
while not Path(sys.argv[2]).exists():
    is_claimed(Path(sys.argv[1]))
    time.sleep(0.0005)
"""
HOLDER_WITH_A_FORK = """
import os, sys, time
from pathlib import Path
from lab.store.claim import claimed
with claimed(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""


def test_of_sixteen_processes_that_start_at_once_exactly_one_wins(tmp_path: Path) -> None:
    starts = [child(CONTENDER) for _ in range(16)]
    try:
        for race in range(5):
            for process in starts:
                tell(process, tmp_path / f"run {race}" / "claim")
            answers = [hear(process) for process in starts]
            counted = Counter(answers)
            assert counted["won"] == 1, f"race {race}: {counted}"
            winner = starts[answers.index("won")].pid
            assert all(f"by process {winner}:" in answer for answer in answers if answer != "won"), counted
            for process in starts:
                tell(process, "let go")
    finally:
        for process in starts:
            end(process)


def test_a_claim_ends_with_its_block_even_when_that_raises(tmp_path: Path) -> None:
    claim = tmp_path / "run" / "claim"
    assert not is_claimed(claim)
    with pytest.raises(ZeroDivisionError), claimed(claim):
        assert is_claimed(claim)
        raise ZeroDivisionError
    assert not is_claimed(claim)
    with claimed(claim):
        assert is_claimed(claim)


def test_a_claim_in_use_is_refused_with_the_owner_and_the_way_out(tmp_path: Path) -> None:
    claim = tmp_path / "run" / "claim"
    with claimed(claim):
        with pytest.raises(StoreError, match=rf"by process {os.getpid()}: .*run\n.*type the same again") as refused, claimed(claim):
            raise AssertionError("two owners")
        assert refused.value.exit_status == 1
        assert is_claimed(claim), "the refused one must not take the claim with it"


def test_a_claim_dies_with_its_holder(tmp_path: Path) -> None:
    claim = tmp_path / "run" / "claim"
    holder = child(CONTENDER)
    tell(holder, claim)
    assert hear(holder) == "won"
    assert is_claimed(claim)
    holder.send_signal(signal.SIGKILL)
    end(holder)
    assert claim.exists() and not is_claimed(claim), "the file stays, the claim doesn't"
    with claimed(claim):
        assert claim.read_text() == f"{os.getpid()}\n"


def test_a_forked_child_does_not_keep_the_claim_of_its_dead_parent(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    holder = child(HOLDER_WITH_A_FORK, claim)
    orphan = int(hear(holder))
    try:
        assert is_claimed(claim)
        holder.kill()
        holder.wait()
        os.kill(orphan, 0)  # it lives
        assert not is_claimed(claim)
    finally:
        os.kill(orphan, signal.SIGKILL)
        end(holder)


def test_a_fork_leaves_the_claim_with_its_parent(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    with claimed(claim):
        forked = os.fork()
        if forked == 0:
            os._exit(0)
        os.waitpid(forked, 0)
        assert is_claimed(claim)


def test_somebody_who_only_looks_makes_no_start_fail(tmp_path: Path) -> None:
    claim, done = tmp_path / "claim", tmp_path / "done"
    with claimed(claim):
        pass
    lookers = [child(LOOKER, claim, done) for _ in range(3)]
    try:
        for looker in lookers:
            hear(looker)
        for _ in range(200):
            with claimed(claim):
                pass
    finally:
        done.touch()
        for looker in lookers:
            end(looker)


def test_looking_makes_no_file_and_changes_none(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path / "run" / "claim")
    assert not list(tmp_path.iterdir())
    (tmp_path / "claim").write_text("77\n")
    assert not is_claimed(tmp_path / "claim")
    assert (tmp_path / "claim").read_text() == "77\n"


@pytest.mark.parametrize("answer", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match=r"grants no locks[\s\S]*local disk"), claimed(tmp_path / "claim"):
        raise AssertionError("two processes could train this run")
    assert not is_claimed(tmp_path / "claim"), "where nobody can hold a claim, nobody does"


def test_another_fault_of_the_lock_is_not_taken_for_a_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "claim").touch()
    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), claimed(tmp_path / "claim"):
        raise AssertionError("the lock was never granted")
    with pytest.raises(OSError, match="Input/output"):
        is_claimed(tmp_path / "claim")
