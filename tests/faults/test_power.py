"""The power is cut: a disk that forgets what wasn't synced. Whatever a run was told is durable must be there, and whole.

The disk is an image of ext4 or xfs on a loop device, told to go down without flushing its log (FS_IOC_GOINGDOWN) at a seeded
random instant, unmounted, mounted again and read.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.files import sync_folder, write_file
from tests.cases import Cases
from tests.faults.acts import ACTS, Act
from tests.faults.endless import lost, told_by
from tests.faults.victim import Victims, victims

GOING_DOWN, NO_LOG_FLUSH = 0x8004587D, 2  # linux/fs.h, xfs_fs.h
IMAGE_BYTES = 320 << 20  # the least that mkfs.xfs takes is 300 MB; it is sparse
SECONDS = (0.02, 0.3)  # from a run's beginning to the cut
# Left alone, ext4 syncs by itself what is renamed over another file; what we promise may not hang on that.
OPTIONS = {"ext4": "loop,noauto_da_alloc", "xfs": "loop"}


@dataclass(frozen=True)
class Disk:
    """A mounted image."""

    image: Path
    place: Path
    options: str

    def mount(self) -> None:
        subprocess.run(["mount", "-o", self.options, str(self.image), str(self.place)], check=True, capture_output=True, text=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.place)], check=True, capture_output=True, text=True)

    def cut(self) -> None:
        """What is not on the disk now never gets there; every later write fails."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, GOING_DOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Disk]:
    """A fresh disk, unmounted at the end whatever happened. Skips where this machine can't."""
    if os.geteuid() != 0:
        pytest.skip("not run: only root may mount")
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"not run: mkfs.{kind} isn't installed")
    made = Disk(folder / f"{kind}.image", folder / "disk", OPTIONS[kind])
    made.place.mkdir()
    with made.image.open("wb") as stream:
        stream.truncate(IMAGE_BYTES)
    try:
        subprocess.run([f"mkfs.{kind}", "-q", str(made.image)], check=True, capture_output=True, text=True)
        made.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"not run: no {kind} on a loop device here: {error.stderr.strip()}")
    try:
        yield made
    finally:
        if made.place.is_mount():
            made.unmount()
        made.image.unlink()


@pytest.fixture(scope="module")
def writers() -> Iterator[Victims]:
    with victims() as found:
        yield found


def cut_the_power(made: Disk, writers: Victims, kind: str, cuts: int, counted: Cases) -> None:
    """Let runs write, cut the power while they do, and see what is left of what they told; again and again."""
    chance = random.Random(f"{kind} {made.image.name}")
    for number in range(3 * cuts):  # on a slow machine a cut may come before the first fact: then there are more of them
        if number >= cuts and counted.ran >= cuts:
            break
        folder = made.place / f"cut-{number}"
        folder.mkdir()
        told_by(folder).touch()
        writer = writers.fork("endless", kind, folder)
        writers.begin()
        time.sleep(chance.uniform(*SECONDS))
        cut_at = time.monotonic()
        try:
            made.cut()
        except OSError as error:
            pytest.skip(f"not run: this file system can't be told to go down: {error}")
        finally:
            with suppress(ProcessLookupError):  # a failed write has ended it
                os.kill(writer, signal.SIGKILL)
            writers.ended()
        made.unmount()
        made.mount()
        for run, what in lost(kind, folder, cut_at).items():
            counted.check(f"cut {number}, {run}: {what}", not what)
        shutil.rmtree(folder, ignore_errors=True)
    counted.note = f"at least {cuts} cuts"


@pytest.mark.parametrize("system", OPTIONS)
def test_what_a_run_was_told_is_durable_survives_a_power_cut(
    system: str, writers: Victims, tmp_path: Path, cases: Callable[[str], Cases]
) -> None:
    counted = cases(f"a run's facts after a power cut on {system}")
    with disk(system, tmp_path) as made:
        cut_the_power(made, writers, "ours", 12, counted)
    counted.all_good(at_least=12)


@pytest.mark.parametrize("system", OPTIONS)
def test_a_naive_checkpoint_is_caught_by_a_power_cut(system: str, writers: Victims, tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    counted = cases(f"a run's facts after a power cut on {system}")
    with disk(system, tmp_path) as made:
        cut_the_power(made, writers, "naive", 6, counted)
    counted.some_bad()


def renamed_only(folder: Path) -> None:
    """A content that is synced and renamed into its place; the folder that holds the new name isn't."""
    with (folder / "new").open("wb") as stream:
        stream.write(b"new")
        stream.flush()
        os.fsync(stream.fileno())
    (folder / "new").replace(folder / "file")


RENAMED_ONLY = Act(
    lambda folder: (folder.mkdir(), write_file(folder / "file", "old"))[1],
    renamed_only,
    lambda folder: (folder / "file").read_text(),
    "old",
    ("new",),
)


def cut_straight_after(made: Disk, name: str, act: Act, counted: Cases) -> None:
    """The power goes as soon as an act returns, before anything else commits the journal for it: all of it must be there."""
    folder = made.place / name.replace(" ", "-")
    act.before(folder)
    sync_folder(folder)
    act.do(folder)
    try:
        made.cut()
    except OSError as error:
        pytest.skip(f"not run: this file system can't be told to go down: {error}")
    made.unmount()
    made.mount()
    left = act.left(folder)
    counted.check(f"{name}: {left}", left == act.new[-1])


@pytest.mark.parametrize("system", OPTIONS)
def test_what_was_written_is_there_after_a_cut_straight_after_it(system: str, tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    """A run that goes on syncs other files, which commits a journal's older entries too, and hides a folder that was never synced."""
    ours, naive = (cases(f"a cut straight after a write on {system}") for _ in range(2))
    with disk(system, tmp_path) as made:
        for name, act in ACTS.items():
            cut_straight_after(made, name, act, ours)
        cut_straight_after(made, "a rename without its folder", RENAMED_ONLY, naive)
    ours.all_good(at_least=len(ACTS))
    naive.some_bad()


@pytest.mark.soak
@pytest.mark.parametrize("system", OPTIONS)
def test_what_was_told_survives_hundreds_of_power_cuts(
    system: str, writers: Victims, tmp_path: Path, cases: Callable[[str], Cases]
) -> None:
    counted = cases(f"a run's facts after hundreds of power cuts on {system}")
    with disk(system, tmp_path) as made:
        cut_the_power(made, writers, "ours", 300, counted)
    counted.all_good(at_least=300)
