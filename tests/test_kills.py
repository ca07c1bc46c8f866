"""A run killed at a chosen instant, and the same run again: it ends as if nothing had happened, to the bit.

Each run is a fork of one process that has torch loaded (multiprocessing's forkserver), so that a kill and its resume cost a
quarter of a second. A fork kills itself, with a real SIGKILL, at a system call that the test names: before it, or in the midst
of a write. tests/test_resume.py and the soak below do the same to whole processes.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import walk_packages
from subprocess import TimeoutExpired
from typing import Any

import pytest

import lab.data
import lab.hooks
import lab.model
import lab.train
from lab.ablate.baseline import pin
from lab.ablate.rule import count_changes
from lab.config.options import read_yaml, without_ranges
from lab.errors import LabError
from lab.experiment import assemble
from lab.experiment import run as train
from lab.files import read_json, read_rows
from lab.request import Job, job_of
from lab.runner import run
from lab.signals import leave_on_interrupt
from lab.store.console import Console
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import verify
from lab.train.progress import Silent
from tests.cases import Cases
from tests.conftest import CHECKOUT, Project
from tests.hooks.worlds import OPTIONS as HOOKS
from tests.train.tiny import IDENTITY, Counter, text, tiny

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["torch._dynamo", "numpy.fft", "lab.runner", "tests.test_kills"]  # the first is imported by the first step of any optimizer
    + [each.name for room in (lab.data, lab.hooks, lab.model, lab.train) for each in walk_packages(room.__path__, f"{room.__name__}.")]
)
WHAT = "a kill at a chosen instant, resumed"


# -- an instant, and a fork that sends itself a signal there


@dataclass(frozen=True)
class Instant:
    """At the `nth` call of os.`call` on a path like `path`: `before` it, `inside` (half of a write's bytes are out), or `after` it."""

    call: str
    path: str
    nth: int = 1
    when: str = "before"
    signal: int = signal.SIGKILL


def arm(instant: Instant) -> None:
    """Let this process send itself the signal there. The system's call is made as ever, but that it may come too late."""
    opened: dict[int, str] = {}
    calls = itertools.count(1)
    real_open, real = os.open, getattr(os, instant.call)

    def is_it(target: Any) -> bool:
        path = opened.get(target, "") if isinstance(target, int) else os.fspath(target)
        return fnmatch.fnmatch(path, instant.path) and next(calls) == instant.nth

    def note(path: Any, *more: Any, **named: Any) -> int:
        if instant.call == "open" and is_it(path):
            os.kill(os.getpid(), instant.signal)
        descriptor = real_open(path, *more, **named)
        opened[descriptor] = os.fspath(path)
        return descriptor

    def call(target: Any, *more: Any, **named: Any) -> Any:
        if not is_it(target):
            return real(target, *more, **named)
        done = None
        if instant.when == "inside":
            done = real(target, bytes(more[0])[: len(more[0]) // 2])
        elif instant.when == "after":
            done = real(target, *more, **named)
        os.kill(os.getpid(), instant.signal)
        return real(target, *more, **named) if instant.when == "before" else done

    os.open = note
    if instant.call != "open":
        setattr(os, instant.call, call)


def forked(target: Callable[..., None], said: Path, *words: Any, after: float | None = None) -> int:
    """Call `target` in a fork whose console is the file `said`; kill it `after` seconds. Its exit status, -9 when it was killed."""
    process = FORKS.Process(target=quietly, args=(target, said, *words))
    process.start()
    process.join(60 if after is None else after)
    if process.exitcode is None:
        assert after is not None, f"a fork hangs\n{said.read_text()}"
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def quietly(target: Callable[..., None], said: Path, *words: Any) -> None:
    """What a fork does: its console goes to a file, and Ctrl-C is python's own again."""
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    target(*words)
    sys.stdout.flush()


# -- one experiment in many worlds


def option(group: str, name: str) -> dict[str, Any]:
    """A component as conf/ offers it."""
    return without_ranges(read_yaml(CHECKOUT / "conf" / group / f"{name}.yaml"))


def hooked(*names: str) -> dict[str, Any]:
    return {"hooks": {name: HOOKS[name] for name in names}}


COUNTER = {"_target_": "tests.train.tiny.Counter"}
DROPOUT = {"model__dropout": 0.1}
BF16 = {"trainer__precision": "bf16"}
SECOND_EPOCH = {"trainer__batch_size": 32, "trainer__tokens": 32 * 16 * 12}  # an epoch has 239 windows: its end is inside step 8
OPTIMIZERS = sorted(path.stem for path in (CHECKOUT / "conf" / "trainer" / "optimizer").glob("*.yaml"))
WORLDS: dict[str, dict[str, Any]] = {
    "dropout": DROPOUT,
    "dropout in bf16": DROPOUT | BF16,
    "micro-batches of 3 in 4": DROPOUT | {"device__micro_batch": 3},
    "micro-batches in bf16": DROPOUT | BF16 | {"device__micro_batch": 1},
    "over an epoch's end": DROPOUT | SECOND_EPOCH,
    "a hook that counts": DROPOUT | {"hooks": {"counter": COUNTER}},
    "ema": DROPOUT | hooked("ema"),
    "sam": DROPOUT | hooked("sam"),
    "grad_noise": DROPOUT | hooked("grad_noise"),
    "length_warmup": DROPOUT | hooked("length_warmup"),
    **{f"optimizer {name}": DROPOUT | {"trainer__optimizer": option("trainer/optimizer", name)} for name in OPTIMIZERS},
    "all at once": DROPOUT
    | BF16
    | SECOND_EPOCH
    | {"device__micro_batch": 12, "trainer__optimizer": option("trainer/optimizer", "muon")}
    | {"hooks": hooked("ema", "sam", "grad_noise", "length_warmup")["hooks"] | {"counter": COUNTER}},
}
# Checkpoints after steps 3, 6, 9 and 12, rows at every second, the curve at every fourth, samples at every fifth and at the end.
SECOND = "*/.step-00000006"
SYNC = "fdatasync" if hasattr(os, "fdatasync") else "fsync"  # of rows
INSTANTS: dict[str, Instant | int] = {
    "inside the first row": Instant("write", "*/metrics.jsonl", 1, when="inside"),
    "before the first checkpoint": Instant("open", "*/.step-00000003.safetensors.*"),
    "inside the tensors' file": Instant("write", f"{SECOND}.safetensors.*", when="inside"),
    "before the tensors' sync": Instant("fsync", f"{SECOND}.safetensors.*"),
    "before the tensors' name": Instant("replace", f"{SECOND}.safetensors.*"),
    "between a checkpoint's files": Instant("open", f"{SECOND}.json.*"),
    "inside the JSON file": Instant("write", f"{SECOND}.json.*", when="inside"),
    "before the JSON file's name": Instant("replace", f"{SECOND}.json.*"),
    "before the pruning": Instant("unlink", "*/step-00000003.*", 1),
    "inside the pruning": Instant("unlink", "*/step-00000003.*", 2),
    "before the rows' sync": Instant(SYNC, "*/metrics.jsonl", 2),
    "inside a row": Instant("write", "*/metrics.jsonl", 7, when="inside"),
    "before a row": Instant("write", "*/metrics.jsonl", 8),
    "inside a row of timing": Instant("write", "*/timing.jsonl", 4, when="inside"),
    "inside a sample": Instant("write", "*/samples.txt", 3, when="inside"),
    "during the final evaluation": 14,  # the 14th time that the run asks whether to stop: twelve steps, then each block
    "inside the last row": Instant("write", "*/metrics.jsonl", 11, when="inside"),
    "after the last row": Instant(SYNC, "*/samples.txt", 5),
}


def experiment(folder: Path, changes: dict[str, Any], instant: Instant | int | None, naive: str, answer: Path) -> None:
    """In a fork: a tiny run, or what is left of one, with its outcome in a file. `naive` leaves out something that a resume needs."""
    asked = itertools.count(1)

    def stop() -> bool:
        if next(asked) == instant:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    config, data = tiny(**changes), text(answer.parent / "cache")
    parts = assemble(config, data)
    if isinstance(instant, Instant):
        arm(instant)
    if naive == "rows aren't cut":
        os.ftruncate = lambda *_: None
    if naive == "the data begins anew":
        parts = replace(parts, batches=Loader(parts.batches))  # type: ignore[arg-type]
    outcome = train(config, data, parts, folder, IDENTITY, Silent(), stop)
    answer.write_text(json.dumps({"status": outcome.status, "digests": outcome.digests, "metrics": outcome.metrics}))


class Loader:
    """Gives batches in the order of its own count, as an iterator does that a resume starts anew."""

    def __init__(self, batches: Any) -> None:
        self.batches, self.given = batches, itertools.count()

    def batch(self, _step: int) -> Any:
        return self.batches.batch(next(self.given))


class Forgetful:
    """A hook with a memory that no checkpoint gets."""

    observes = False
    __init__, loss, after_step = Counter.__init__, Counter.loss, Counter.after_step  # type: ignore[assignment]


class World:
    """Runs of one configuration, beside the undisturbed one."""

    def __init__(self, folder: Path, changes: dict[str, Any]) -> None:
        self.folder, self.changes, self.said = folder, changes, folder / "said.txt"
        folder.mkdir()
        self.numbers = itertools.count(1)
        self.straight = folder / "straight"
        self.expected = self.once(self.straight, None)

    def once(self, run: Path, instant: Instant | int | None, naive: str = "") -> dict[str, Any] | None:
        """The run's outcome; None when it was killed."""
        answer = self.folder / f"{run.name}.json"
        status = forked(experiment, self.said, run, self.changes, instant, naive, answer)
        assert status in (0, -signal.SIGKILL), self.said.read_text()
        return read_json(answer) if status == 0 else None

    def survives(self, *instants: Instant | int, naive: str = "") -> bool:
        """Kill the run at each instant in turn, let it end, and compare: digests, measures, and each file that a digest names."""
        run = self.folder / f"killed-{next(self.numbers)}"
        for instant in instants:
            assert self.once(run, instant, naive) is None, f"the run ended before {instant}"
        ended = self.once(run, None, naive)
        good = ended == self.expected and self.alike(run)
        shutil.rmtree(run)
        return good

    def alike(self, run: Path) -> bool:
        """Bit for bit, and no row of timing is missing or there twice (its values are the machine's)."""
        assert self.expected is not None
        grown = [name for name in self.expected["digests"] if (self.straight / name).is_file()]
        assert {"metrics.jsonl", "samples.txt"} <= set(grown)
        timed = [[row["step"] for row in read_rows(each / "timing.jsonl")[0]] for each in (run, self.straight)]
        return timed[0] == timed[1] and all((run / name).read_bytes() == (self.straight / name).read_bytes() for name in grown)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where the system has one: a killed process leaves there what it leaves on a disk, and nothing waits for it."""
    place = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="kills-", dir=place if os.access(place, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)


def test_a_run_killed_at_a_chosen_instant_ends_to_the_same_bits_in_every_world(memory: Path, cases: Callable[[str], Cases]) -> None:
    """The first world is killed at every instant, each other one at every fourth, so that they share them out; the soak tries all."""
    count = cases(WHAT)
    for number, (name, changes) in enumerate(WORLDS.items()):
        world = World(memory / str(number), changes)
        for what, instant in itertools.islice(INSTANTS.items(), number % 4, None, 4 if number else 1):
            count.check(f"{name}, {what}", world.survives(instant))
    count.all_good(at_least=70)


def test_a_run_killed_again_and_again_ends_to_the_same_bits(memory: Path, cases: Callable[[str], Cases]) -> None:
    count = cases("six kills of one run, each at a chosen instant")
    row = Instant("write", "*/metrics.jsonl", 4, when="inside")
    later = (INSTANTS["between a checkpoint's files"], INSTANTS["before the pruning"], replace(row, nth=2))
    for name in ("all at once", "a hook that counts"):
        world = World(memory / name, WORLDS[name])
        count.check(name, world.survives(row, *later, Instant("open", "*/.step-00000012.json.*"), 5))  # 5: three steps, two blocks
    count.all_good(at_least=2)


@pytest.mark.parametrize("naive", ["rows aren't cut", "the data begins anew", "a hook's memory is lost"])
def test_a_naive_resume_is_seen_to_fail(memory: Path, cases: Callable[[str], Cases], naive: str) -> None:
    count = cases(f"{WHAT}: {naive}")
    forgets = {"hooks": {"counter": {"_target_": "tests.test_kills.Forgetful"}}} if "memory" in naive else {}
    world = World(memory / "world", DROPOUT | forgets)
    for what in ("between a checkpoint's files", "before the pruning", "inside a row"):
        count.check(what, world.survives(INSTANTS[what], naive=naive))
    count.some_bad()


# -- a whole command: what the runner writes around the training

KILLS = (  # 40 steps, over an epoch's end at the 29th
    "baseline=tiny",
    "trainer.batch_size=32",
    f"trainer.tokens={40 * 32 * 16}",
    "trainer.evaluation.every=10",
    "trainer.sampling.every=15",
    "model.dropout=0.1",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "dropout": (),
    "bf16": ("trainer.precision=bf16",),
    "micro-batches": ("device.micro_batch=8",),
    "ema": ("hooks=ema",),
    "sam": ("hooks=sam",),
    "grad_noise": ("hooks=grad_noise",),
    "length_warmup": ("hooks=length_warmup",),
    **{f"optimizer {name}": (f"trainer/optimizer={name}",) for name in OPTIMIZERS if name != "adamw"},
    "rope and a wider MLP": ("model/position=rope", "model.mlp.expansion=6", "explore=true"),
    "all at once": (
        *("trainer.precision=bf16", "device.micro_batch=8", "trainer/optimizer=muon"),
        *("hooks=[ema,sam,grad_noise,length_warmup]", "explore=true"),
    ),
}
RESULT, MANIFEST = "*/.result.json.*", "*/.manifest.json.*"
AROUND = {
    "before the data is there": Instant("open", "*/.cache/*"),
    "inside the data": Instant("write", "*/.cache/*", when="inside"),
    "between the data's files": Instant("replace", "*/.cache/*", 2),
    "inside the configuration": Instant("write", "*/.config.yaml.*", when="inside"),
    "before the overrides' name": Instant("replace", "*/.overrides.yaml.*"),
    "before the manifest": Instant("open", MANIFEST),
    "inside the manifest": Instant("write", MANIFEST, when="inside"),
    "before the manifest's name": Instant("replace", MANIFEST),
    "after the manifest's name": Instant("replace", MANIFEST, when="after"),
    "before the request's number": Instant("write", "*/.requests"),
    "inside the request": Instant("write", "*/requests.jsonl", when="inside"),
    "inside the first row": Instant("write", "*/metrics.jsonl", when="inside"),
    "between a checkpoint's files": Instant("open", "*/.step-00000012.json.*"),
    "between the last row and the result": Instant("open", RESULT),
    "inside the result": Instant("write", RESULT, when="inside"),
    "before the result's name": Instant("replace", RESULT),
    "after the result's name": Instant("replace", RESULT, when="after"),
}


def command(job: Job, instant: Instant | None) -> None:
    """In a fork: what `python run.py` does once it has composed."""
    leave_on_interrupt()
    if instant is not None:
        arm(instant)
    try:
        run(job, Console())
    except LabError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_status)


def job_in(project: Project, root: Path, *typed: str) -> Job:
    """The job of a command, frozen here, to be run in a store of its own."""
    root.mkdir(parents=True)
    return replace(job_of(count_changes(project.composer(), typed), project.root, "python run.py"), root=str(root))


def moved_to(job: Job, root: Path) -> Job:
    root.mkdir(parents=True)
    return replace(job, root=str(root))


def differences(folder: RunFolder, straight: RunFolder) -> list[str]:
    """What of a finished run isn't as in the undisturbed one: digests of what was trained and measured, files, rows.

    The manifest and its like say when and where; a checkpoint's JSON file holds the stopwatch.
    """
    ours, theirs = (verify(each)["digests"] for each in (folder, straight))
    grown = [name for name in theirs if "/" not in name and name not in ("config.yaml", "overrides.yaml", "manifest.json")]
    last = max(name for name in theirs if fnmatch.fnmatch(name, "checkpoint/*.safetensors"))  # which came before it depends on the stops
    assert {"weights", "optimizer", "metrics.jsonl", "samples.txt"} <= set(grown)
    found = [name for name in (*grown, last) if ours.get(name) != theirs[name]]
    found += sorted(name for name in ours.keys() ^ theirs.keys() if not name.startswith("checkpoint/"))
    timed = [[row["step"] for row in read_rows(each.path / "timing.jsonl")[0]] for each in (folder, straight)]
    rows = [read_rows(each.metrics) for each in (folder, straight)]
    lost = len(rows[1][0]) - len(rows[0][0])
    return found + ["timing.jsonl"] * (timed[0] != timed[1]) + [f"{lost} rows lost"] * (lost != 0) + ["a torn row"] * rows[0][1]


def test_a_command_killed_at_a_chosen_instant_ends_to_the_same_bits(tiny: Project, memory: Path, cases: Callable[[str], Cases]) -> None:
    count, said = cases("a kill at a chosen instant of a command, and the same again"), memory / "said.txt"
    job = job_in(tiny, memory / "straight", "baseline=tiny", "hooks=ema")
    assert forked(command, said, job, None) == 0, said.read_text()
    (straight,) = run_folders(memory / "straight")
    for what, instant in AROUND.items():
        root = memory / what
        again = moved_to(job, root)
        assert forked(command, said, again, instant) == -signal.SIGKILL, f"not killed {what}\n{said.read_text()}"
        count.check(what, forked(command, said, again, None) == 0 and not differences(*run_folders(root), straight))
        shutil.rmtree(root)
    count.all_good(at_least=len(AROUND))


# -- the soak

KILLS_IN_ALL, OF_PROCESSES = 200, 30


@dataclass
class Soak:
    """Figures of many kills at random instants."""

    kills: int = 0
    in_training: int = 0  # kills after a first row
    resumes: int = 0  # starts that found a checkpoint
    starts: int = 0
    runs: int = 0
    bad: list[str] = field(default_factory=list)

    def finish(self, name: str, folder: RunFolder, straight: RunFolder) -> None:
        """Compare a run that has ended at last."""
        self.runs += 1
        found = differences(folder, straight)
        if found:
            self.bad.append(f"{name}: {', '.join(found)}")


@pytest.mark.soak
def test_every_instant_in_every_world(memory: Path, cases: Callable[[str], Cases]) -> None:
    count = cases(f"{WHAT}: every instant in every world")
    for number, (name, changes) in enumerate(WORLDS.items()):
        world = World(memory / str(number), changes)
        for what, instant in INSTANTS.items():
            count.check(f"{name}, {what}", world.survives(instant))
    count.all_good(at_least=len(WORLDS) * len(INSTANTS))


@pytest.mark.soak
def test_many_random_kills_move_no_bit(tiny: Project, memory: Path, cases: Callable[[str], Cases]) -> None:
    """Each attempt is killed at an instant drawn evenly from the length of a whole run, or from its first quarter, start included.

    Most runs are forks; some are `python run.py` as typed, killed while Python and torch are being loaded too.
    """
    soak, chance, begun = Soak(), random.Random(4), time.monotonic()
    pin(tiny.composer(), "kills", KILLS)
    straight, jobs, seconds = {}, {}, {}
    for name, typed in COMMANDS.items():
        jobs[name] = job_in(tiny, memory / "straight" / name, "baseline=kills", *typed)
        at = time.monotonic()
        assert forked(command, memory / "said.txt", jobs[name], None) == 0, (memory / "said.txt").read_text()
        seconds[name] = time.monotonic() - at
        (straight[name],) = run_folders(memory / "straight" / name)

    def attempts(name: str, root: Path, whole: float, start: Callable[[float | None], int]) -> None:
        """One run, killed until it ends."""
        for _ in range(50):
            soak.starts += 1
            soak.resumes += any(any(each.checkpoint.glob("step-*.json")) for each in run_folders(root))
            status = start(chance.uniform(0, whole * chance.choice((1, 0.25))))
            if status == 0:
                break
            assert status == -signal.SIGKILL, (memory / "said.txt").read_text()
            soak.kills += 1
            soak.in_training += any(each.metrics.exists() and each.metrics.stat().st_size > 0 for each in run_folders(root))
            whole *= 1.1  # a machine that got busier since would else never let it come beyond its start
        else:
            assert start(None) == 0
        soak.finish(name, *run_folders(root), straight[name])

    while soak.kills < OF_PROCESSES:
        name = list(COMMANDS)[soak.runs % len(COMMANDS)]
        project = Project(memory / f"process-{soak.runs}")
        shutil.copytree(tiny.root, project.root)
        attempts(name, project.root, seconds[name] + 3, lambda after, project=project, name=name: typed_and_killed(project, name, after))  # type: ignore[misc]
    of_processes = (soak.kills, soak.runs)
    while soak.kills < KILLS_IN_ALL or soak.runs < len(COMMANDS) + of_processes[1]:
        name = list(COMMANDS)[soak.runs % len(COMMANDS)]
        job = moved_to(jobs[name], memory / f"fork-{soak.runs}")
        attempts(
            name,
            Path(job.root),
            seconds[name],
            lambda after, job=job: forked(command, memory / "said.txt", job, None, after=after),  # type: ignore[misc]
        )
    count = cases("a run killed at random instants until it ended")
    count.note = (
        f"{soak.kills} kills, {of_processes[0]} of whole processes, {soak.in_training} after a first row; "
        f"{soak.starts} starts, {soak.resumes} from a checkpoint; {len(COMMANDS)} worlds, {time.monotonic() - begun:.0f} s"
    )
    print(f"\n{count.note}: {len(soak.bad)} of {soak.runs} runs bad")
    count.ran, count.bad = soak.runs, soak.bad
    count.all_good(at_least=10)


def typed_and_killed(project: Project, name: str, after: float | None) -> int:
    """`python run.py ...`, killed `after` seconds. Its exit status."""
    process = project.start("run.py", "baseline=kills", *COMMANDS[name], fresh=True)
    try:
        process.communicate(timeout=60 if after is None else after)
    except TimeoutExpired:
        process.kill()
        process.communicate()
    return process.returncode
