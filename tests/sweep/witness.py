"""A hook that writes down who trains which step, and projects that train with it: what a sweep did is read from outside of the lab.

The hook sleeps a moment at each step, so that there's time to interfere, and obeys a file of orders: at a step of a run it raises,
leaves, or kills its process, once or each time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.ablate.baseline import pin
from lab.files import read_json
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import status_of, verify
from tests.conftest import Project

HOOK = """
import os, signal, sys, time
from pathlib import Path

HERE = Path(__file__).resolve().parent if "code" not in Path(__file__).resolve().parts else Path(__file__).resolve().parents[3]


class Witness:
    observes = False

    def __init__(self, seconds):
        self.seconds = seconds

    def gradients(self, state):
        with open(HERE / "witness.txt", "a") as stream:
            stream.write(f"{state.folder.name} {os.getpid()} {state.step}\\n")
        for order in (HERE / "orders").glob(f"*-{state.step}-*"):
            run, _, what = order.name.rpartition("-")
            if state.folder.name.startswith(run.rpartition("-")[0]) and state.folder.parent.name.startswith(order.read_text()):
                if what.endswith("once"):
                    order.unlink()
                obey(what)
        time.sleep(self.seconds)


def obey(what):
    if what.startswith("raise"):
        raise ValueError("no gradient today")
    if what.startswith("exit"):
        sys.exit(0)
    if what.startswith("busy"):
        sys.exit(75)  # what a run leaves with that another process has
    if what.startswith("vanish"):
        os._exit(0)
    if what.startswith("memory"):
        raise MemoryError("out of memory")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Watched(Project):
    """A project whose baseline `watched` has the witness; its arms are learning rates."""

    def order(self, arm: str, seed: int, step: int, what: str) -> None:
        """raise, exit, vanish, memory or kill at a step, with `.once` behind it only the first time. `arm`: how its folder begins."""
        (self.root / "orders").mkdir(exist_ok=True)
        (self.root / "orders" / f"seed={seed}-{step}-{what}").write_text(arm)

    def sittings(self) -> dict[str, list[int]]:
        """By run: the processes that trained it, in the order of their steps; one that comes back after another stands there twice."""
        found: dict[str, list[int]] = {}
        path = self.root / "witness.txt"
        for line in path.read_text().splitlines() if path.exists() else []:
            run, pid, _ = line.split()
            sitting = found.setdefault(run, [])
            if not sitting or sitting[-1] != int(pid):
                sitting.append(int(pid))
        return found

    def words(self, *more: str, rates: int = 3, seeds: int = 2) -> tuple[str, ...]:
        listed = ",".join(f"{0.001 + 0.001 * rate:g}" for rate in range(rates + 1))
        return ("run.py", "--multirun", "baseline=watched", f"trainer.optimizer.lr={listed}", f"seed=range({seeds})", *more)

    def sweep(self, *words: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """A sweep in a process of its own, its words in a file: nobody has to read them while it runs."""
        with (log or self.root / "said.txt").open("ab") as stream:
            return subprocess.Popen([sys.executable, *words], cwd=self.root, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)

    def said(self) -> str:
        return (self.root / "said.txt").read_text(errors="replace")

    def states(self) -> list[str]:
        return sorted(status_of(folder) for folder in run_folders(self.root))

    def digests(self) -> dict[str, dict[str, str]]:
        """What each run came to, by its folder; every file of it verified."""
        found = {}
        for folder in run_folders(self.root):
            digests = verify(folder)["digests"]
            found[folder.path.name] = {name: digests[name] for name in ("weights", "optimizer", "metrics.jsonl", "samples.txt")}
        return found


def watched(tiny_template: Path, root: Path, steps: int, seconds: float = 0.0, *more: str) -> Watched:
    """A project with the baseline `watched`: so many steps, each with a pause."""
    shutil.copytree(tiny_template, root)
    (root / "witness.py").write_text(HOOK)
    (root / "conf" / "hooks" / "witness.yaml").write_text(f"witness:\n  _target_: witness.Witness\n  seconds: {seconds}\n")
    config = root / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("trusted_modules: []", "trusted_modules: [witness]"))
    project = Watched(root)
    pin(
        project.composer(),
        "watched",
        (
            "baseline=tiny",
            "hooks=witness",
            "trainer.optimizer.lr=0.001",
            f"trainer.tokens={steps * 64}",
            "trainer.evaluation.every=1000",
            *more,
        ),
    )
    return project


def until(happens: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait for something; an assertion where it takes too long."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process is there, and not just waiting to be looked at."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def trained_once(project: Watched) -> dict[str, bool]:
    """By run: whether no process came back to it after another had begun, so that never two of them trained it at once."""
    return {run: len(pids) == len(set(pids)) for run, pids in project.sittings().items()}


def label_of(folder: RunFolder) -> str:
    manifest = read_json(folder.manifest)
    return f"{manifest['label']} {manifest['seed']}"
