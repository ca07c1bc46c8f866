"""macOS is a home of the lab: what only Linux has is taken away, and the same promises still hold."""

from __future__ import annotations

import ast
import errno
import fcntl
import hashlib
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.files import append_line, read_rows, sha256_file, sync_data, write_file
from lab.store import machine
from lab.store.abilities import cores, without_cuda
from lab.store.claim import claimed, is_claimed
from lab.store.metrics import RowFile
from tests.conftest import CHECKOUT

F_FULLFSYNC = 51  # macOS's number


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Under macOS's rules of syncing: no fdatasync, and a full flush beside fsync. The order in which both were asked for."""
    asked: list[str] = []
    control, sync = fcntl.fcntl, os.fsync

    def controlled(descriptor: int, command: int, *rest: Any) -> Any:
        if command != F_FULLFSYNC:
            return control(descriptor, command, *rest)
        os.fstat(descriptor)  # raises for a descriptor that isn't open
        asked.append("flush")
        return 0

    def synced(descriptor: int) -> None:
        asked.append("fsync")
        sync(descriptor)

    monkeypatch.delattr(os, "fdatasync", raising=False)
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", F_FULLFSYNC, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", controlled)
    monkeypatch.setattr(os, "fsync", synced)
    return asked


@pytest.fixture
def a_mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine without /proc and without its processor's name there, that calls itself a Mac."""
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "nothing")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    machine.cpu.cache_clear()
    yield
    machine.cpu.cache_clear()


# -- durable writing


def test_a_whole_file_leaves_the_drive_s_cache_and_so_does_its_folder(tmp_path: Path, flushes: list[str]) -> None:
    write_file(tmp_path / "result.json", "{}")
    assert flushes == ["fsync", "flush"] * 2
    assert (tmp_path / "result.json").read_text() == "{}"


def test_a_row_leaves_the_drive_s_cache(tmp_path: Path, flushes: list[str]) -> None:
    append_line(tmp_path / "requests.jsonl", {"a": 1})
    assert flushes == ["fsync", "flush"] * 2  # the row, and the folder of a new file
    append_line(tmp_path / "requests.jsonl", {"a": 2})
    assert flushes == ["fsync", "flush"] * 3
    assert read_rows(tmp_path / "requests.jsonl") == ([{"a": 1}, {"a": 2}], 0)


def test_rows_that_a_checkpoint_counts_leave_the_drive_s_cache(tmp_path: Path, flushes: list[str]) -> None:
    rows = RowFile(tmp_path / "metrics.jsonl")
    rows.append_row({"step": 1})
    assert rows.sync() == (tmp_path / "metrics.jsonl").stat().st_size
    rows.close()
    assert flushes == ["fsync", "flush"]


@pytest.mark.parametrize("answer", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_a_disk_that_knows_no_full_flush_is_synced_as_well_as_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int) -> None:
    synced: list[int] = []

    def unknown(*_: Any) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", F_FULLFSYNC, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", unknown)
    monkeypatch.setattr(os, "fsync", synced.append)
    write_file(tmp_path / "result.json", "{}")
    assert len(synced) == 2


def test_a_drive_that_fails_to_flush_is_told_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "result.json").write_text("old")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", F_FULLFSYNC, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_file(tmp_path / "result.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_text() == "old"


def test_without_fdatasync_fsync_does_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.delattr(os, "fdatasync", raising=False)
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)
    monkeypatch.setattr(os, "fsync", synced.append)
    sync_data(7)
    assert synced == [7]


def test_digests_do_not_need_the_newest_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    monkeypatch.delattr(hashlib, "file_digest", raising=False)  # new in 3.11
    assert sha256_file(tmp_path / "file") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


# -- claims

CONTENDER = """
import os, sys
from pathlib import Path
for name in ("fdatasync", "sched_getaffinity", "O_TMPFILE", "posix_fadvise"):
    if hasattr(os, name):
        delattr(os, name)
from lab.errors import StoreError
from lab.store.claim import claimed
try:
    with claimed(Path(sys.argv[1])):
        print("won")
except StoreError:
    print("refused")
"""


def test_a_claim_is_exclusive_between_processes_that_have_no_more_than_posix(tmp_path: Path) -> None:
    def contend() -> str:
        done = subprocess.run([sys.executable, "-c", CONTENDER, tmp_path / "claim"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with claimed(tmp_path / "claim"):
        assert contend() == "refused"
        assert is_claimed(tmp_path / "claim")
    assert contend() == "won"


# -- what the machine is


@pytest.mark.parametrize("has_sysctl", [True, False])
def test_a_mac_s_fingerprint_names_its_chip(a_mac: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_sysctl: bool) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if has_sysctl:
        (tmp_path / "sysctl").write_text("#!/bin/sh\necho 'Apple M2 Pro'\n")
        (tmp_path / "sysctl").chmod(0o755)
    name, instructions = machine.cpu()
    assert name == ("Apple M2 Pro" if has_sysctl else platform.processor() or platform.machine())
    assert instructions == [platform.machine()]
    bits = machine.bits_of_machine()
    assert bits["cpu"] == name and bits["torch"]["version"]


def test_a_metal_run_s_bits_are_the_chip_and_the_system(a_mac: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sysctl").write_text("#!/bin/sh\necho 'Apple M2 Pro'\n")
    (tmp_path / "sysctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "mac_ver", lambda: ("14.5", ("", "", ""), "arm64"))
    bits = machine.bits_of_machine({"kind": "mps", "deterministic": False, "compile": False})
    assert (bits["gpu"], bits["driver"]) == ("Apple M2 Pro", "14.5")
    assert machine.cohort_parts("mps", "text", {})["device_class"] == "Apple M2 Pro"


def test_cores_are_counted_where_the_system_does_not_say_which_may_be_used(a_mac: None) -> None:
    assert cores() == os.cpu_count()


def test_a_mac_is_told_of_metal_when_it_asks_for_cuda(a_mac: None) -> None:
    assert "device=mps" in (without_cuda() or "device=mps, but CUDA is here")


@pytest.mark.parametrize(("system", "unit"), [("darwin", 1), ("linux", 1024)])
def test_peak_memory_is_in_bytes_whatever_the_system_counts_in(monkeypatch: pytest.MonkeyPatch, system: str, unit: int) -> None:
    from lab.device import peak_memory_bytes

    monkeypatch.setattr(sys, "platform", system)
    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = peak_memory_bytes()
    assert found is not None
    assert found // unit == pytest.approx(told, rel=0.01)


def test_without_the_resource_module_memory_is_unknown_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.device import peak_memory_bytes

    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_bytes() is None


# -- nothing else has slipped in

# What only Linux has, or what each system counts in its own way, and the one file that owns it with its fall-back.
OWNERS = {
    "fdatasync": {"lab/files.py"},
    "sched_getaffinity": {"lab/store/abilities.py"},
    "ru_maxrss": {"lab/device.py", "lab/bench/memory.py"},  # the second measures a process without torch
    "/proc/self/status": {"lab/bench/memory.py"},
    "mallopt": {"lab/device.py"},
    "/proc/cpuinfo": {"lab/store/machine.py"},
    "/proc/sys/kernel/random/boot_id": {"lab/store/claim.py"},
    "libcuda.so.1": {"lab/store/gpu.py"},
}
ONLY_LINUX = {
    *(
        "sched_setaffinity",
        "sched_setscheduler",
        "posix_fadvise",
        "posix_fallocate",
        "copy_file_range",
        "splice",
        "memfd_create",
        "eventfd",
    ),
    *("getrandom", "pipe2", "unshare", "setns", "pidfd_open", "setresuid", "getresuid", "O_TMPFILE", "O_DIRECT", "O_NOATIME", "O_PATH"),
    *("epoll", "prlimit", "RUSAGE_THREAD", "prctl", "PR_SET_PDEATHSIG", "sigtimedwait", "sigwaitinfo", "SIGRTMIN", "SIGPWR", "SIGSTKFLT"),
    *("CLOCK_BOOTTIME", "CLOCK_TAI", "F_OFD_SETLK", "F_SETPIPE_SZ", "AF_NETLINK", "MAP_POPULATE", "MADV_HUGEPAGE", "inotify_init"),
}
FOLDERS_OF_LINUX = ("/proc/", "/sys/", "/dev/shm", "/run/")


def linux_only(source: str) -> set[str]:
    """The names and paths in a source that only Linux has."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
        if isinstance(node, ast.alias):
            word = node.name.rpartition(".")[2]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            word = node.value
        if word and (word in OWNERS or word in ONLY_LINUX or word.startswith(FOLDERS_OF_LINUX)):
            found.add(word)
    return found


def test_what_only_linux_has_is_used_only_where_its_fall_back_is() -> None:
    sources = [*(CHECKOUT / "lab").rglob("*.py"), *(CHECKOUT / "hydra_plugins").rglob("*.py"), CHECKOUT / "run.py"]
    used = {path.relative_to(CHECKOUT).as_posix(): linux_only(path.read_text()) for path in sources}
    found = {name: {file for file, names in used.items() if name in names} for name in set().union(*used.values())}
    assert found == OWNERS, "give it a fall-back for macOS where it is used, and list that file as its owner here"


@pytest.mark.parametrize(
    "source", ["import os\nos.fdatasync(3)", "from os import posix_fadvise", "open('/proc/meminfo')", "hasattr(os, 'memfd_create')"]
)
def test_the_search_finds_what_only_linux_has(source: str) -> None:
    assert linux_only(source)
