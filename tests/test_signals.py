"""Ctrl-C and SIGTERM: a run saves and leaves within seconds and says how to go on; a process that trains nothing leaves at once."""

from __future__ import annotations

import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lab.ablate.baseline import pin
from lab.store.layout import RunFolder, run_folders
from tests.cases import Cases
from tests.conftest import Project
from tests.test_kills import FORKS, Instant, command, differences, forked, job_in, memory, moved_to, quietly

__all__ = ["memory"]  # a fixture

WITHIN = 10.0  # seconds
GOES_ON = re.compile(r"stopped at step \d+ of \d+, and saved: the same command goes on from there")
NOTHING = "stopped; nothing was being trained"
SWALLOWING = """
import os, signal
from lab.signals import leave_on_interrupt
leave_on_interrupt()
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:  # as torch's imports and OmegaConf's conversions do
    pass
print("swallowed")
"""


def test_an_interrupt_cannot_get_lost_in_code_that_catches_everything() -> None:
    done = subprocess.run([sys.executable, "-c", SWALLOWING], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == NOTHING


# -- at chosen instants, in forks that send themselves the signal

TRAINING = {
    "inside the first row": Instant("write", "*/metrics.jsonl", when="inside"),
    "inside a row": Instant("write", "*/metrics.jsonl", 7, when="inside"),
    "inside a sample": Instant("write", "*/samples.txt", when="inside"),
    "inside the tensors' file": Instant("write", "*/.step-00000012.safetensors.*", when="inside"),
    "between a checkpoint's files": Instant("open", "*/.step-00000012.json.*"),
    "inside the pruning": Instant("unlink", "*/step-00000006.*", 2),
    "before the final evaluation": Instant("replace", "*/.step-00000020.json.*", when="after"),
}
AROUND = {
    "inside the data": Instant("write", "*/.cache/*", when="inside"),
    "inside the manifest": Instant("write", "*/.manifest.json.*", when="inside"),
    "before the request's number": Instant("write", "*/.requests"),
    "inside the result": Instant("write", "*/.result.json.*", when="inside"),
}


def test_a_signal_at_a_chosen_instant_saves_and_leaves_or_leaves_at_once(
    tiny: Project, memory: Path, cases: Callable[[str], Cases]
) -> None:
    count, slowest = cases("a signal at a chosen instant, and the same again"), 0.0
    job = job_in(tiny, memory / "straight", "baseline=tiny", "model.dropout=0.1", "trainer.sampling.every=10")
    assert forked(command, memory / "said.txt", job, None) == 0, (memory / "said.txt").read_text()
    (straight,) = run_folders(memory / "straight")
    for number, (what, instant) in enumerate((TRAINING | AROUND).items()):
        sent = (signal.SIGINT, signal.SIGTERM)[number % 2]
        root, said = memory / what, memory / f"{number}.txt"
        again = moved_to(job, root)
        at = time.monotonic()
        status = forked(command, said, again, replace(instant, signal=sent))
        slowest = max(slowest, time.monotonic() - at)
        words = said.read_text()
        if what in TRAINING:
            left = status == 130 and GOES_ON.search(words) is not None
        else:
            left = (status == 130 and NOTHING in words) or (status, sent) == (-signal.SIGTERM, signal.SIGTERM)
        ended = forked(command, said, again, None) == 0 and not differences(*run_folders(root), straight)
        if not count.check(f"{sent.name} {what}", left and "Traceback" not in words and ended):
            print(f"{sent.name} {what}: {status}, ended {ended}\n{words}")
    count.note = f"the slowest left {slowest:.1f} s after its start"
    count.all_good(at_least=11)
    assert slowest < WITHIN


def test_a_signal_inside_a_long_final_evaluation_does_not_wait_for_its_end(tiny: Project, memory: Path) -> None:
    text = tiny.root / "text.txt"
    text.write_text(text.read_text() * 20)
    pin(tiny.composer(), "long", ("baseline=tiny", "trainer.evaluation.bytes=null", "data.validation_fraction=0.4", "trainer.tokens=640"))
    job = job_in(tiny, memory / "run", "baseline=long")
    said = memory / "said.txt"
    process = FORKS.Process(target=quietly, args=(command, said, job, None))
    process.start()
    last = "checkpoint/step-00000010.json"
    wait_for(lambda: any((each.path / last).exists() for each in run_folders(memory / "run")), process.is_alive)
    time.sleep(0.2)
    sent = time.monotonic()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    took, words = time.monotonic() - sent, said.read_text()
    assert (process.exitcode, took < WITHIN) == (130, True) and "stopped at step 10 of 10, and saved" in words, (took, words)
    assert forked(command, said, job, None) == 0
    straight = moved_to(job, memory / "straight")
    begun = time.monotonic()
    assert forked(command, said, straight, None) == 0
    assert time.monotonic() - begun > 2 * took, "the evaluation is too short to tell"
    assert differences(*run_folders(memory / "run"), *run_folders(memory / "straight")) == []


# -- whole processes


def wait_for(condition: Callable[[], bool], alive: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert alive() and time.monotonic() < end, "it ended first, or never came so far"
        time.sleep(0.002)


class Terminal:
    """`python run.py ...` in the foreground of a terminal of its own, where Ctrl-C is a key."""

    def __init__(self, project: Project, *words: str) -> None:
        self.keys, screen = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=project.root,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(screen)
        self.said = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        """Until the terminal is left: Linux says so with an error."""
        try:
            while some := os.read(self.keys, 4096):
                self.said += some
        except OSError:
            pass

    def wait_until(self, condition: Callable[[], bool]) -> None:
        wait_for(condition, lambda: self.process.poll() is None)

    def press_ctrl_c(self) -> None:
        os.write(self.keys, b"\x03")

    def left(self) -> tuple[int, str]:
        """Its exit status and all that it said."""
        try:
            status = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        os.close(self.keys)
        return status, self.said.decode(errors="replace").replace("\r\n", "\n")


def run_of(project: Project) -> RunFolder | None:
    return next(iter(run_folders(project.root)), None)


def test_ctrl_c_in_a_terminal_and_sigterm_leave_a_run_in_time_wherever_it_is(
    tiny: Project, memory: Path, cases: Callable[[str], Cases]
) -> None:
    """While Python loads its modules the signal's own effect is enough; once all is loaded a word and status 130 are owed."""
    count, chance, seconds = cases("Ctrl-C in a terminal, or SIGTERM, at an instant of a whole process"), random.Random(1), []
    pin(tiny.composer(), "signals", ("baseline=tiny", f"trainer.tokens={400 * 64}", "model.dropout=0.1", "trainer.checkpoint.every=50"))
    job = job_in(tiny, memory / "straight", "baseline=signals")
    assert forked(command, memory / "said.txt", job, None) == 0
    (straight,) = run_folders(memory / "straight")

    def rows() -> int:
        folder = run_of(tiny)
        return folder.metrics.read_bytes().count(b"\n") if folder is not None and folder.metrics.exists() else 0

    for what, least in (("loading", 0), ("the first step", 1), ("training", chance.randint(2, 40))):
        for sent in ("Ctrl-C", "SIGTERM"):
            goal = rows() + least
            terminal = Terminal(tiny, "run.py", "baseline=signals")
            if what == "loading":
                time.sleep(chance.uniform(0, 1.5))
            else:
                terminal.wait_until(lambda goal=goal: rows() >= goal)  # type: ignore[misc]
            at = time.monotonic()
            terminal.press_ctrl_c() if sent == "Ctrl-C" else terminal.process.send_signal(signal.SIGTERM)
            status, words = terminal.left()
            seconds.append(time.monotonic() - at)
            if what == "loading":
                good = status in ((130, -signal.SIGINT, 1) if sent == "Ctrl-C" else (130, -signal.SIGTERM))
            else:
                good = status == 130 and GOES_ON.search(words) is not None and "Traceback" not in words
            if not count.check(f"{sent} while {what}", good and seconds[-1] < WITHIN):
                print(f"{sent} while {what}: {status} after {seconds[-1]:.1f} s\n{words}")
    assert forked(command, memory / "said.txt", replace(job, root=str(tiny.root)), None) == 0
    count.check("it ends to the same bits", not differences(*run_folders(tiny.root), straight))
    count.note = f"the slowest left after {max(seconds):.1f} s"
    count.all_good(at_least=7)
