"""One run, one owner: real processes that want the same claim, hold it, and are killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.files import read_json, write_json
from lab.store.claim import Claim, claimed, is_claimed
from lab.store.layout import RunFolder, run_folder
from lab.store.metrics import RunFiles
from tests.cases import Cases
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
        assert read_json(claim)["pid"] == os.getpid()


def test_a_forked_child_does_not_keep_the_claim_of_its_dead_parent(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    holder = child(HOLDER_WITH_A_FORK, claim)
    orphan = int(hear(holder))
    try:
        assert is_claimed(claim)
        holder.kill()
        holder.wait()
        os.kill(orphan, 0)  # it lives
        until = time.monotonic() + 5  # on a busy machine it may not have had its first turn yet
        while is_claimed(claim) and time.monotonic() < until:
            time.sleep(0.01)
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


# -- an owner that lost its claim


@dataclass
class Owner:
    """A run in training: its folder, its claim, its growing files, and another process that may take it over."""

    folder: RunFolder
    claim: Claim
    files: RunFiles
    other: Callable[[], None]  # another process claims the run; it holds it until the end


@contextmanager
def training(root: Path, guarded: bool = True) -> Iterator[Owner]:
    """A run with a row of its own. With `guarded` false it is as if it never asked its claim."""
    folder = run_folder(root, "tiny", "baseline", "a" * 64, 0, "f" * 64)
    second = child(CONTENDER)

    def other() -> None:
        tell(second, folder.claim)
        assert hear(second) == "won"

    try:
        with claimed(folder.claim, folder.path) as claim:
            files = RunFiles(folder.path, claim.require) if guarded else RunFiles(folder.path)
            files.metrics.append_row({"step": 1})
            yield Owner(folder, claim, files, other)
            files.close()
    finally:
        end(second)


def claim_deleted(owner: Owner) -> None:
    owner.folder.claim.unlink()


def claim_taken_by_another(owner: Owner) -> None:
    owner.folder.claim.unlink()
    owner.other()


def claim_overwritten(owner: Owner) -> None:
    """As by another machine, on a disk whose locks don't reach that far."""
    told = read_json(owner.folder.claim)
    owner.folder.claim.write_text(json.dumps(told | {"pid": told["pid"] + 1, "token": "0" * 16, "host": "another machine"}) + "\n")


def all_claims_deleted(owner: Owner) -> None:
    shutil.rmtree(owner.folder.claim.parent)
    owner.other()


def moved_away(owner: Owner) -> None:
    owner.folder.path.rename(owner.folder.path.with_name("away"))


def moved_away_and_made_anew(owner: Owner) -> None:
    moved_away(owner)
    owner.folder.path.mkdir()


def deleted_and_made_anew(owner: Owner) -> None:
    shutil.rmtree(owner.folder.path)
    owner.folder.path.mkdir()  # a freed inode number is given out again, on many file systems at once


def store_moved_away(owner: Owner) -> None:
    owner.folder.path.parents[2].rename(owner.folder.path.parents[3] / "kept")
    owner.other()
    owner.folder.path.mkdir(parents=True)


LOSSES = (
    claim_deleted,
    claim_taken_by_another,
    claim_overwritten,
    all_claims_deleted,
    moved_away,
    moved_away_and_made_anew,
    deleted_and_made_anew,
    store_moved_away,
)


def a_row(owner: Owner) -> None:
    owner.files.metrics.append_row({"step": 2})


def a_text(owner: Owner) -> None:
    owner.files.samples.append("a sample")


def a_cut(owner: Owner) -> None:
    owner.files.truncate(None)


def the_files_again(owner: Owner) -> None:
    RunFiles(owner.folder.path, owner.files.metrics.guard).close()


def a_whole_file(owner: Owner) -> None:
    """A manifest, a checkpoint, a result: written by name, so they would land in a folder that was made anew."""
    owner.files.metrics.guard()
    write_json(owner.folder.result, {"status": "finished"})


PUBLICATIONS = (a_row, a_text, a_cut, the_files_again, a_whole_file)


def what_stands_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


def test_an_owner_that_lost_its_claim_publishes_nothing_more(tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    what = "publications of an owner that lost its run"
    ours, naive = cases(what), cases(what)
    for lose in LOSSES:
        with training(tmp_path / lose.__name__) as owner:
            lose(owner)
            before = what_stands_in(owner.folder.path)
            for publish in PUBLICATIONS:
                name = f"{lose.__name__}, {publish.__name__}"
                try:
                    publish(owner)
                    ours.check(f"{name}: not refused", False)
                except StoreError as error:
                    clear = str(error).startswith("this process doesn't own its run any more") and "\ntype the same again" in str(error)
                    ours.check(name, clear and what_stands_in(owner.folder.path) == before)
        with training(tmp_path / f"naive {lose.__name__}", guarded=False) as owner:
            lose(owner)
            for publish in PUBLICATIONS:
                before = what_stands_in(owner.folder.path)
                with contextlib.suppress(FileNotFoundError):  # its folder is gone, and it looks there by name
                    publish(owner)
                naive.check(f"{lose.__name__}, {publish.__name__}", what_stands_in(owner.folder.path) == before)
    naive.note = "never asks its claim"
    ours.all_good(at_least=40)
    naive.some_bad()


def test_an_owner_keeps_its_claim_while_its_run_grows(tmp_path: Path) -> None:
    with training(tmp_path) as owner:
        for publish in PUBLICATIONS:
            publish(owner)
        (owner.folder.path / "checkpoint").mkdir()
        owner.folder.path.chmod(0o700)
        assert is_claimed(owner.folder.claim)
        owner.claim.require()


def test_each_claim_has_a_token_of_its_own_and_says_whose_it_is(tmp_path: Path) -> None:
    told = []
    for _ in range(3):
        with claimed(tmp_path / "claim", tmp_path / "run") as claim:
            told.append(read_json(tmp_path / "claim"))
            assert told[-1]["token"] == claim.token and len(claim.token) == 16
    assert len({each["token"] for each in told}) == 3
    assert told[0].keys() == {"pid", "token", "boot", "host", "run"} and told[0]["run"] == str(tmp_path / "run")


def test_the_refusal_says_where_the_owner_trains_and_on_which_machine(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    with claimed(claim, tmp_path / "there"):
        with pytest.raises(StoreError, match=rf"by process {os.getpid()}: \S*/there\n"), claimed(claim, tmp_path / "here"):
            raise AssertionError("two owners")
        claim.write_text(json.dumps(read_json(claim) | {"host": "another machine"}))
        with pytest.raises(StoreError, match=rf"by process {os.getpid()} on another machine: "), claimed(claim):
            raise AssertionError("two owners")
        claim.write_text("")
        with pytest.raises(StoreError, match="by process unknown: "), claimed(claim):
            raise AssertionError("two owners")


def test_a_claim_that_is_deleted_while_it_is_taken_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, lock, deleted = tmp_path / "claim", fcntl.flock, []

    def delete_first(descriptor: int, operation: int) -> None:
        if not deleted:
            deleted.append(claim.unlink())
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with claimed(claim) as held:
        held.require()
        assert is_claimed(claim), "the lock is on the file that stands there"
    assert deleted


@pytest.mark.parametrize("call", ["ftruncate", "write"])
def test_a_disk_that_is_full_when_the_token_is_written_leaves_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space"), claimed(tmp_path / "claim"):
            raise AssertionError("a claim without a token")
    assert not is_claimed(tmp_path / "claim")
    with claimed(tmp_path / "claim") as claim:
        claim.require()
