"""One run, one owner, with whole runs: many starts at once, an owner that lost its claim, a sweep that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.baseline import pin
from lab.ablate.rule import count_changes
from lab.errors import StoreError
from lab.files import read_json, read_rows
from lab.request import job_of
from lab.runner import run
from lab.store.console import Console
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import status_of, verify
from lab.sweep.plan import make_plan
from tests.cases import Cases
from tests.conftest import TINY, Project

# Every start is a fork of one process that has imported all: 64 imports of torch would take minutes, and would spread the starts.
# Each waits for one gate. What follows it is what `python run.py` does after the rule: identify, find, build, claim, train.
STARTS = """
import gc, json, os, sys
from importlib import import_module
from pathlib import Path
import torch._dynamo  # an optimizer's first making imports it
from lab import runner
from lab.ablate.rule import count_changes
from lab.config.compose import Composer
from lab.errors import LabError
from lab.request import job_of
from lab.store.console import Console

root, said, waves = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(1)
jobs = {}
for word in {word for wave in waves for word in wave}:
    jobs[word] = job_of(count_changes(Composer(root), (word,)), root, f"python run.py {word}")
for module in ("lab.experiment", *runner.Identifier(root).identify(jobs[word]).manifest["code"]):
    import_module(module)
gc.freeze()

def start(job):
    try:
        runner.run(job, Console())
    except LabError as error:
        print(error)
        return error.exit_status
    return 0

def statuses_of(wave, said):
    said.mkdir()
    gate, key = os.pipe()
    ready, here = os.pipe()
    started = []
    for number, word in enumerate(wave):
        if (child := os.fork()) == 0:
            os.close(key)
            out = os.open(said / str(number), os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1), os.dup2(out, 2)
            status = 99
            try:
                os.write(here, b".")
                os.read(gate, 1)  # until it closes
                status = start(jobs[word])
            finally:
                sys.stdout.flush()
                os._exit(status)
        started.append(child)
    for _ in started:
        os.read(ready, 1)
    os.close(key)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]

print(json.dumps([statuses_of(wave, said / str(number)) for number, wave in enumerate(waves)]))
"""
OUTCOMES = {  # exit status, and the words
    "trained": (0, r"^\S.*: 20 steps of 64 tokens$"),
    "found": (0, r"found, not trained again"),
    "refused": (1, r"^this run is being trained already, by process \d+: \S+\nwait for it, or stop that process"),
}


def starts_at_once(project: Project, *waves: list[str]) -> list[list[str]]:
    """How each start of each wave ended: a word of OUTCOMES, or what it said. A wave starts when the one before has ended."""
    said = project.root / "said"
    said.mkdir()
    done = project.python("-c", STARTS, str(project.root), str(said), json.dumps(waves))
    statuses = json.loads(done.stdout.splitlines()[-1])
    return [
        [outcome(status, (said / str(at) / str(number)).read_text()) for number, status in enumerate(wave)]
        for at, wave in enumerate(statuses)
    ]


def outcome(status: int, said: str) -> str:
    fitting = [name for name, (its, words) in OUTCOMES.items() if status == its and re.search(words, said, re.MULTILINE)]
    return fitting[0] if len(fitting) == 1 else f"exit status {status}: {said}"


def rows_are_single(folder: RunFolder) -> bool:
    """Whether every row is there once: what was measured in steps of 2, as one owner writes it."""
    lines = folder.metrics.read_text().splitlines()
    timed = [row["step"] for row in read_rows(folder.path / "timing.jsonl")[0]]
    return len(lines) == len(set(lines)) and timed == list(range(2, 21, 2))


def requests_of(folder: RunFolder) -> list[dict[str, Any]]:
    """All requests; asserts that no line is torn."""
    requests, damaged = read_rows(folder.requests)
    assert damaged == 0
    return requests


def test_of_64_starts_of_one_run_one_trains_it(tiny: Project, cases: Callable[[str], Cases]) -> None:
    counted = cases("64 starts of one run at once, and 64 of it when it is finished")
    first, second = starts_at_once(tiny, ["baseline=tiny"] * 64, ["baseline=tiny"] * 64)
    tally = Counter(first)
    for number, ended in enumerate(first):
        counted.check(f"start {number}: {ended}", ended in OUTCOMES)
    for number, ended in enumerate(second):
        counted.check(f"start {64 + number}: {ended}", ended == "found")
    (folder,) = run_folders(tiny.root)
    counted.check(f"trained {tally['trained']} times", tally["trained"] == 1)
    counted.check("whole", verify(folder)["status"] == "finished" and rows_are_single(folder))
    numbers = sorted(request["number"] for request in requests_of(folder))
    counted.check(f"requests {numbers}", numbers == list(range(1, 1 + tally["trained"] + tally["found"] + 64)))
    counted.note = f"first {tally['trained']} trained, {tally['refused']} refused, {tally['found']} found it; then {len(second)} found it"
    counted.all_good(at_least=131)


def test_two_baselines_that_ask_for_one_run_at_once_get_one(tiny: Project, cases: Callable[[str], Cases]) -> None:
    counted = cases("16 starts of one run at once, under two baselines")
    pin(tiny.composer(), "other", TINY)
    both = ["baseline=tiny", "baseline=other"]
    ended, again = starts_at_once(tiny, both * 8, both)  # whoever was refused types the same again
    for number, each in enumerate(ended):
        counted.check(f"start {number}: {each}", each in OUTCOMES)
    counted.check(f"trained {ended.count('trained')} times", ended.count("trained") == 1)
    (folder,) = run_folders(tiny.root)
    counted.check("whole", verify(folder)["status"] == "finished" and rows_are_single(folder))
    counted.check(f"found by both: {again}", again == ["found", "found"])
    counted.check("both requests are kept", {request["baseline"] for request in requests_of(folder)} == {"tiny", "other"})
    counted.all_good(at_least=20)


# -- an owner that loses its run while it trains

HOOK = """
import time

class Hook:
    observes = False

    def gradients(self, state):
        claim = state.folder.parents[2] / ".claims" / state.folder.name
        {body}
"""
LOST = {
    "its claim deleted and made anew": "(claim.unlink(), claim.touch())",
    "its folder moved away and made anew": "(state.folder.rename(state.folder.with_name('away')), state.folder.mkdir())",
}
# What would be published next. Between its first and last 20 steps a run writes only at the cadence that was asked for.
NEXT = {"a row": "trainer.log_every=1", "a checkpoint": "trainer.log_every=100"}
LOST_AT = 30
SIXTY = ("baseline=tiny", "trainer.tokens=3840", "trainer.evaluation.every=100", "trainer.checkpoint.every=12")


def add_hook(project: Project, name: str, body: str) -> None:
    """A hook of the user's own, in a module beside conf/ that conf/config.yaml trusts."""
    (project.root / f"its_{name}.py").write_text(HOOK.format(body=body))
    (project.root / "conf" / "hooks" / f"{name}.yaml").write_text(f"{name}:\n  _target_: its_{name}.Hook\n")
    config = project.root / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("trusted_modules: [", f"trusted_modules: [its_{name}, ").replace(", ]", "]"))


def test_a_run_that_is_lost_while_it_trains_ends_and_publishes_nothing_more(
    tiny: Project, cases: Callable[[str], Cases], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = cases("runs whose owner lost them while it trained")
    monkeypatch.syspath_prepend(str(tiny.root))
    pin(tiny.composer(), "sixty", SIXTY)
    for number, (lost, body) in enumerate(LOST.items()):
        add_hook(tiny, f"loses{number}", f"{body} if state.step == {LOST_AT} else None")
        for what, cadence in NEXT.items():
            job = job_of(count_changes(tiny.composer(), ("baseline=sixty", f"hooks=loses{number}", cadence)), tiny.root, "")
            with pytest.raises(StoreError, match=r"^this process doesn't own its run any more"):
                run(job, Console())
            found = landed(tiny)
            counted.check(f"{lost}, then {what}: {sorted(found)}", not found)
            shutil.rmtree(tiny.root / "runs" / "sixty")
    counted.all_good(at_least=4)


def landed(project: Project) -> set[str]:
    """What was published after the loss."""
    runs = project.root / "runs" / "sixty"
    found = {path.name for name in ("result.json", "failure.json") for path in runs.glob(f"*/*/{name}")}
    found |= {path.name for path in runs.glob("*/*/checkpoint/*") if int(path.stem.partition("-")[2]) > LOST_AT}
    steps = {row["step"] for path in runs.glob("*/*/*.jsonl") if path.name != "requests.jsonl" for row in read_rows(path)[0]}
    return found | {f"row of step {step}" for step in steps if step > LOST_AT}


# -- the claim itself, and the naive one, in one race

RACES = """
import json, multiprocessing, sys
from pathlib import Path
from lab.errors import StoreError
from lab.store.claim import claimed

def ours(path, barrier):
    try:
        with claimed(path):
            barrier.wait()
            return True
    except StoreError:
        barrier.wait()
        return False

def naive(path, barrier):
    won = not path.exists()
    if won:
        path.mkdir(exist_ok=True)
    barrier.wait()
    return won

def race(number, way, folder, least, most, barrier, won):
    for at in range(most):
        path = folder / f"race {at}"
        barrier.wait()
        if at >= least and any(sum(won[each * 8 : each * 8 + 8]) != 1 for each in range(at)):
            return
        won[at * 8 + number] = way(path, barrier)

if __name__ == "__main__":
    way, folder, least, most = globals()[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    fork = multiprocessing.get_context("fork")
    barrier, won = fork.Barrier(8), fork.Array("b", 8 * most, lock=False)
    racers = [fork.Process(target=race, args=(number, way, folder, least, most, barrier, won)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    found = [sum(won[at * 8 : at * 8 + 8]) for at in range(most)]
    print(json.dumps(found if 0 not in found else found[: found.index(0)]))
"""


def winners(way: str, folder: Path, least: int, most: int) -> list[int]:
    """How many of eight processes won each race; after the least number of races they end with the first bad one."""
    command = [sys.executable, "-c", RACES, way, str(folder), str(least), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: list[int] = json.loads(done.stdout)
    return found


def test_a_race_for_the_claim_has_one_winner_and_without_a_lock_some_have_two(tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    what = "races of 8 processes for one claim"
    (tmp_path / "ours").mkdir()
    (tmp_path / "naive").mkdir()
    ours, naive = cases(what), cases(what)
    for number, won in enumerate(winners("ours", tmp_path / "ours", 15, 15)):
        ours.check(f"race {number}: {won} won", won == 1)
    for number, won in enumerate(winners("naive", tmp_path / "naive", 500, 10_000)):
        naive.check(f"race {number}: {won} won", won == 1)
    naive.note = "exists, then mkdir"
    ours.all_good(at_least=15)
    naive.some_bad()


# -- a sweep that is killed

SECONDS = 10.0  # how soon an orphan has left
STEPS = 400
LONG = ("baseline=tiny", "trainer.checkpoint.every=20", f"trainer.evaluation.every={STEPS}", f"trainer.tokens={STEPS * 64}", "hooks=slow")
SWEEP = ("run.py", "-m", "baseline=long", "seed=0")
SLOW = "time.sleep(0.005)"  # each step: else a fast machine has finished before anybody sees that the sweep is gone


def trainer_of(process: subprocess.Popen[str]) -> int | None:
    """The process in which a sweep trains now, from /proc: the fork server's child."""
    for pid in children_of(process.pid):
        with contextlib.suppress(OSError):
            if b"lab.sweep.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return next(iter(children_of(pid)), None)
    return None


def children_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def is_there(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody waited for doesn't."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until(condition: Callable[[], object], seconds: float) -> float:
    """Seconds until the condition held; asserts that it did."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="not run: a sweep's child is found in /proc, which this system hasn't")
def test_a_sweep_that_is_killed_takes_its_run_along_and_goes_on(
    tiny: Project, cases: Callable[[str], Cases], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = cases("kills of a sweep: its run has left within 10 s, and the same sweep goes on")
    add_hook(tiny, "slow", SLOW)
    monkeypatch.syspath_prepend(str(tiny.root))
    pin(tiny.composer(), "long", LONG)
    (row,) = make_plan(tiny.composer(), SWEEP[2:], "").rows
    folder, left = row.folder, {}
    moments: dict[str, Callable[[], object]] = {
        "in the run's imports": lambda: True,
        "after a checkpoint": lambda: list(folder.checkpoint.glob("step-*.json")),
    }
    for name, moment in moments.items():
        with tiny.start(*SWEEP) as process:
            wait_until(lambda: trainer_of(process), 60)
            child = trainer_of(process)
            assert child is not None
            wait_until(moment, 60)
            process.kill()
            process.wait()
            left[name] = wait_until(lambda: not is_there(child), 60)  # noqa: B023 - called in this round only
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        counted.check(f"{name}: left after {left[name]:.1f} s", left[name] < SECONDS)
    stopped = re.search(rf"stopped at step (\d+) of {STEPS}, and saved", folder.log.read_text())
    counted.check("it was saved when it left", stopped is not None and status_of(folder) == "stopped")
    tiny.python(*SWEEP)
    timed = [each["step"] for each in read_rows(folder.path / "timing.jsonl")[0]]
    counted.check(
        "the same sweep went on",
        stopped is not None
        and f"goes on from step {int(stopped[1]):,}\n" in folder.log.read_text()
        and timed == list(range(2, STEPS + 1, 2)),
    )
    counted.check("to the end", read_json(folder.result)["status"] == "finished")
    counted.note = ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in left.items())
    counted.all_good(at_least=5)
