"""Faults that a run meets while it trains, through the real runner: each has one answer, and nothing that was saved is lost."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lab.attempt import explained
from lab.checkpoint import latest
from lab.errors import DataError, LabError, MachineError, StoreError
from lab.files import read_json
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import status_of
from tests.conftest import Project
from tests.test_runner import add_hook, ask, only_run

NOBODY = 65534
TYPED = ("baseline=tiny", "hooks=mine")


def trusted(project: Project, module: str, source: str) -> None:
    """A module of the user's own beside conf/, which holds `hooks=mine` and is trusted."""
    add_hook(project, module, "pass")
    (project.root / f"{module}.py").write_text(source)


def saved_at(folder: RunFolder) -> int:
    """The step of a run's last checkpoint."""
    found, warnings = latest(folder.checkpoint, read_json(folder.manifest)["identity"])
    assert found is not None and not warnings
    return found.step


# -- data and code that move under a run

SWAPS_TOKENS = """
from pathlib import Path

class Mine:
    observes = False

    def gradients(self, state):
        if state.step == 15 and not Path({flag!r}).exists():
            Path({flag!r}).touch()
            (path,) = Path({cache!r}).rglob("train.tokens")
            with path.open("r+b") as stream:
                stream.seek(-1, 2)
                last = stream.read(1)[0]
                stream.seek(-1, 2)
                stream.write(bytes([last ^ 1]))
"""


def test_a_run_whose_tokens_were_exchanged_while_it_trained_is_not_published(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tiny.root))
    trusted(tiny, "swaps_tokens", SWAPS_TOKENS.format(flag=str(tmp_path / "done"), cache=str(tiny.root / "runs" / ".cache")))
    with pytest.raises(DataError, match=r"train\.tokens(.|\n)*its digest was"):
        ask(tiny, *TYPED)
    folder = only_run(tiny)
    assert not folder.result.exists() and status_of(folder) == "failed" and "train.tokens" in read_json(folder.failure)["error"]


REWRITES_ITSELF = """
from pathlib import Path

class Mine:
    observes = False

    def gradients(self, state):
        state.scale_gradients(0.5)

Path(__file__).write_text(Path(__file__).read_text().replace("0.5", "0.25"))
"""


def test_code_that_moved_between_its_identification_and_its_import_is_not_trained(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python loaded may be either text, and the identity was made of the first."""
    monkeypatch.syspath_prepend(str(tiny.root))
    trusted(tiny, "rewrites_itself", REWRITES_ITSELF)
    with pytest.raises(StoreError, match=r"edited while this run started: its code isn't what its identity says\ntype the same again"):
        ask(tiny, *TYPED)
    assert not list((tiny.root / "runs").glob("tiny/*")), "a run of that name would be another code's"


IMPORTS_LATE = """
from pathlib import Path

class Mine:
    observes = False

    def gradients(self, state):
        if state.step == 3 and {edits}:
            path = Path(__file__).with_name("imported_late.py")
            path.write_text("raise AssertionError('the edited code runs')\\n")
        if state.step >= 5:
            import imported_late
            state.scale_gradients(imported_late.FACTOR)
"""


def test_a_module_that_is_edited_while_a_run_trains_and_imported_after_that_neither_changes_nor_spoils_it(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every module of the run was imported before it began, also the one that its code asks for at step 5."""
    monkeypatch.syspath_prepend(str(tiny.root))
    for module, edits in (("imports_late", True), ("imports_late_again", False)):
        monkeypatch.delitem(sys.modules, "imported_late", raising=False)
        (tiny.root / "imported_late.py").write_text("FACTOR = 0.5\n")
        trusted(tiny, module, IMPORTS_LATE.format(edits=edits))
        config = tiny.root / "conf" / "config.yaml"
        config.write_text(config.read_text().replace(f"[{module}]", f"[{module}, imported_late]"))
        assert ask(tiny, *TYPED)["status"] == "finished"
        config.write_text(config.read_text().replace(f"[{module}, imported_late]", "[]"))
    digests = [read_json(folder.result)["digests"]["weights"] for folder in run_folders(tiny.root)]
    assert len(digests) == 2 and digests[0] == digests[1]


# -- a machine that fails it


@pytest.mark.parametrize(
    ("module", "fault", "said"),
    [
        ("no_memory", "raise MemoryError('no room')", "memory is out: MemoryError: no room"),
        ("no_memory_in_torch", "__import__('torch').empty(10**14)", "memory is out: RuntimeError: .*"),
    ],
)
def test_a_run_without_memory_keeps_its_checkpoint_and_the_same_command_goes_on(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, fault: str, said: str
) -> None:
    monkeypatch.syspath_prepend(str(tiny.root))
    room = tmp_path / "room"
    add_hook(tiny, module, f"state.step < 16 or __import__('pathlib').Path({str(room)!r}).exists() or self.fail()")
    path = tiny.root / f"{module}.py"
    path.write_text(path.read_text() + f"\n    def fail(self):\n        {fault}\n")
    with pytest.raises(MachineError, match=rf"the machine failed this run, {said}\n.*the same command goes on from its last checkpoint"):
        ask(tiny, *TYPED)
    folder = only_run(tiny)
    assert status_of(folder) == "failed" and saved_at(folder) == 12
    room.touch()
    assert ask(tiny, *TYPED)["status"] == "finished" and not folder.failure.exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."), "memory is out: OutOfMemoryError: CUDA"),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."),
            "memory is out: RuntimeError: CUDA error: out of memory",
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "memory is out"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"), "memory is out"),
        (RuntimeError("CUDA error: unspecified launch failure\nCompile with ..."), "its device is lost: .*: CUDA error: unspecified"),
        (RuntimeError("CUDA error: device-side assert triggered"), "its device is lost"),
        (OSError(5, "Input/output error"), r"OSError: \[Errno 5\]"),
    ],
    ids=lambda each: None if isinstance(each, str) else str(each)[:30],
)
def test_what_a_device_says_when_it_is_full_or_lost_is_told_as_the_machines_fault(tmp_path: Path, error: Exception, said: str) -> None:
    """In the words of torch's own errors: a lost card can't be had for a test."""
    told = told_of(error, tmp_path)
    assert isinstance(told, MachineError) and "the same command goes on from its last checkpoint" in str(told)
    assert re.match(rf"the machine failed this run(, |: ){said}", str(told))
    assert "kernel errors might" not in str(told)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory")])
def test_a_mistake_in_the_code_is_not_laid_on_the_machine(tmp_path: Path, error: Exception) -> None:
    told = str(told_of(error, tmp_path))
    assert told.startswith(f"this run failed: {type(error).__name__}") and "goes on" not in told


def raised(error: Exception) -> None:
    raise error


def told_of(error: Exception, folder: Path) -> LabError:
    with pytest.raises(type(error)) as caught:
        raised(error)
    return explained(caught.value, RunFolder(folder))


# -- a store that may not be written


@pytest.fixture
def anybodys(tiny_template: Path) -> Iterator[Project]:
    """A copy of the tiny project that every user of the machine may enter and read: the tests' own folders are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Project(Path(shutil.copytree(tiny_template, Path(folder) / "tiny")))


def as_a_user_without_rights(act: Callable[[], object]) -> str:
    """What a LabError said to a user who isn't root, in a child of this process; else how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.seteuid(NOBODY)
            act()
            said = "done"
        except LabError as error:
            said = f"{type(error).__name__}: {error}"
        except BaseException as error:
            said = f"a traceback: {type(error).__name__}: {error}"
        os.write(writer, said.encode()[:4096])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def closed(folder: Path) -> None:
    """Nothing under it may be written; reading stays allowed."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))


def opened(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("before", ["nothing", "the text prepared", "the run stopped", "the run finished"])
def test_a_run_in_a_store_without_permission_is_told_in_one_message_and_takes_nothing(anybodys: Project, before: str) -> None:
    runs = anybodys.root / "runs"
    runs.mkdir()
    if before != "nothing":
        ask(anybodys, "baseline=tiny", "seed=1" if before == "the text prepared" else "seed=0")
    if before == "the run stopped":
        only_run(anybodys).result.unlink()
    closed(anybodys.root)
    held = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    said = as_a_user_without_rights(lambda: ask(anybodys, "baseline=tiny"))
    assert said.startswith(("MachineError:", "StoreError:", "DataError:")) and "Permission denied" in said and "runs" in said, said
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == held
    opened(anybodys.root)
    assert ask(anybodys, "baseline=tiny")["status"] == "finished"


def test_a_run_in_a_read_only_store_is_told_in_one_message_and_takes_nothing(tiny: Project) -> None:
    if os.geteuid() != 0:
        pytest.skip("not run: only root may mount")
    runs = tiny.root / "runs"
    runs.mkdir()
    if (done := mount("-t", "tmpfs", "tmpfs", str(runs))).returncode != 0:
        pytest.skip(f"not run: no disk of memory here: {done.stderr.strip()}")
    try:
        ask(tiny, "baseline=tiny", "seed=1")
        assert mount("-o", "remount,ro", str(runs)).returncode == 0
        with pytest.raises(MachineError, match=r"Read-only file system: .*runs(.|\n)*the same command goes on"):
            ask(tiny, "baseline=tiny", "seed=0")
        assert mount("-o", "remount,rw", str(runs)).returncode == 0
        assert ask(tiny, "baseline=tiny", "seed=0")["status"] == "finished" and len(run_folders(tiny.root)) == 2
    finally:
        subprocess.run(["umount", str(runs)], check=True)


def mount(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
