"""What a sweep's running costs: `lab bench --sweep`. The standard study as one sweep, and the same runs one after the other.

Both happen in copies of the project in a temporary folder, which is removed; the sweep is the command that a user types. One after the
other is one process that has torch loaded already, and it trains half of the runs before the sweep and half after it, so that a machine
that slows down slows both. Refuses a sweep with a failed run, and runs whose bits differ between the two. Needs about 1 GB of
room, mostly for checkpoints.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ablate.rule import Tally, count_changes
from lab.bench import said
from lab.bench.alone import must, run_alone
from lab.bench.ask import NO_ROOM, no_folder, tell, temporary_folder
from lab.config.compose import Composer
from lab.errors import ConfigError, StoreError
from lab.request import Job, job_of
from lab.store.abilities import cores
from lab.store.layout import run_folders
from lab.store.machine import cpu
from lab.store.runs import read_result
from lab.train.stopwatch import WARM_UP_STEPS

SCHEMA = 2
NAME = "bench"
STEPS = 1000  # of each run, as many as conf/trainer/default.yaml gives: some 50 s on one core
LOOKS, CHECKPOINTS = 2, 4  # evaluated and checkpointed so often: the first as conf/trainer/fast.yaml has it, the second as default.yaml
FEWEST = 2 * WARM_UP_STEPS  # a run's steps are timed once it is warm
SEEDS = 5
PER_STEP = 12 * 64
NANO = (
    "model=nano",
    "data=stdlib",
    "model.context=64",
    "trainer.batch_size=12",
    "trainer.evaluation.bytes=32768",
    "trainer.sampling.tokens=20",
    "device=cpu",
    "device.threads=1",
)
ARMS = (
    "model/norm=rmsnorm",
    "model/mlp=swiglu",
    "model/mlp=relu2",
    "model/position=rope",
    "model/init=zero_output",
    "hooks=grad_clip",
    "hooks=z_loss",
)
PROJECT = ("conf", "hydra_plugins", "run.py")
GOALS = {"outside": 0.05, "ratio": 1.7}  # of the standard study on two cores: at most, at least
Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """What is trained: a pinned composition, its arms, so many seeds and steps."""

    steps: int = STEPS
    seeds: int = SEEDS
    arms: tuple[str, ...] = ARMS
    settings: tuple[str, ...] = NANO
    per_step: int = PER_STEP

    @property
    def runs(self) -> int:
        return self.seeds * (len(self.arms) + 1)

    @property
    def every(self) -> dict[str, int]:
        """Steps between two points of the curve, and between two checkpoints."""
        return {"evaluation": max(1, self.steps // LOOKS), "checkpoint": max(1, self.steps // CHECKPOINTS)}

    def pinned(self) -> list[str]:
        """The words that pin it."""
        budget = [f"trainer.tokens={self.steps * self.per_step}", *(f"trainer.{what}.every={steps}" for what, steps in self.every.items())]
        seeds = ",".join(map(str, range(self.seeds)))
        return [*self.settings, *budget, f"judgement.looks=[{self.seeds}]", f"judgement.seeds=[{seeds}]"]


def bench_sweep(root: Path, study: Study | None = None, say: Say = tell) -> dict[str, Any]:
    """Time the study both ways. Raises LabError; leaves nothing on the disk."""
    study = study or Study()
    if study.steps < FEWEST:
        raise ConfigError(
            f"--steps {study.steps}: a run's first {WARM_UP_STEPS} steps aren't timed\ngive {FEWEST} at least; the standard is {STEPS}"
        )
    with temporary_folder() as folder:
        try:
            return timed(root, Path(folder), study, say)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise no_folder(error) from error


def timed(root: Path, folder: Path, study: Study, say: Say) -> dict[str, Any]:
    """Both ways: half of the runs one by one, the sweep, the other half one by one."""
    swept, alone = folder / "swept", folder / "alone"
    say(f"preparing: the baseline and {len(study.arms)} arms on {study.seeds} seeds, {study.runs} runs of {study.steps} steps")
    make_project(root, swept, study)
    tallies = tallies_of(swept, study)
    typed = words_of(study, tallies)
    must(swept, "-m", "lab", "plan", *typed)  # prepares the text, for both
    shutil.copytree(swept, alone)
    jobs = jobs_of(tallies, alone, study)
    middle = len(jobs) // 2
    say(f"one after the other in one process: {middle} runs")
    first = run_alone(alone, jobs[:middle], folder / "first.json")
    drop_checkpoints(alone)
    say("the sweep")
    seconds = run_sweep(swept, typed)
    drop_checkpoints(swept)
    say(f"it took {seconds:.1f} s; one after the other again: {len(jobs) - middle} runs")
    second = run_alone(alone, jobs[middle:], folder / "second.json")
    return found(study, results_of(swept), results_of(alone), seconds, [first, second], say)


def drop_checkpoints(root: Path) -> None:
    """Make room: of a finished run the results are enough."""
    for folder in run_folders(root, NAME):
        shutil.rmtree(folder.checkpoint, ignore_errors=True)


def tallies_of(root: Path, study: Study) -> list[Tally]:
    """The baseline and each arm, composed and counted."""
    composer = Composer(root)
    return [count_changes(composer, (f"baseline={NAME}", *words)) for words in ((), *((arm,) for arm in study.arms))]


def words_of(study: Study, tallies: Sequence[Tally]) -> list[str]:
    """What is typed behind --multirun: each key with the pinned value and its arms', as `model/mlp=gelu,swiglu,relu2`."""
    values: dict[str, list[str]] = {}
    for arm, tally in zip(study.arms, tallies[1:], strict=True):
        (change,) = tally.changes
        key, _, value = arm.partition("=")
        values.setdefault(key, ["none" if change.kind == "hook" else str(change.old)]).append(value)
    return [f"baseline={NAME}", *(f"{key}={','.join(each)}" for key, each in values.items())]


def jobs_of(tallies: Sequence[Tally], root: Path, study: Study) -> list[Job]:
    """The same runs, frozen, in the order in which a sweep lists them."""
    return [job_of(tally, root, "python -m lab bench --sweep", NAME, seed) for seed in range(study.seeds) for tally in tallies]


def make_project(root: Path, copy: Path, study: Study) -> None:
    """A copy of the project, with the study's baseline pinned."""
    copy.mkdir()
    for name in PROJECT:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, copy / name)
    must(copy, "-m", "lab", "pin", NAME, *study.pinned())


def run_sweep(root: Path, typed: Sequence[str]) -> float:
    """The sweep, from the command to its end. Its seconds."""
    began = time.perf_counter()
    must(root, "run.py", "--multirun", *typed)
    return time.perf_counter() - began


def results_of(root: Path) -> dict[str, dict[str, Any]]:
    """Every run's result, by its identity."""
    return {result["identity"]: result for result in map(read_result, run_folders(root, NAME))}


def found(
    study: Study,
    swept: Mapping[str, Mapping[str, Any]],
    alone: Mapping[str, Mapping[str, Any]],
    seconds: float,
    one_by_one: Sequence[Mapping[str, float]],
    say: Say,
) -> dict[str, Any]:
    """What was measured, as data, and told in words."""
    unequal = [key for key in swept if key not in alone or alone[key]["digests"]["weights"] != swept[key]["digests"]["weights"]]
    if len(swept) != study.runs or len(alone) != study.runs or unequal:
        raise StoreError(
            f"the sweep trained {len(swept)} runs and one process {len(alone)}, of {study.runs}; {len(unequal)} differ in their bits\n"
            "this is a fault of the lab's: please tell its authors"
        )
    slots = cores()
    whole, training = slots * seconds, training_of(swept.values())
    inside = sum(result["cost"]["seconds"] for result in swept.values())
    one = sum(each["seconds"] for each in one_by_one)
    told = {
        "schema": SCHEMA,
        "study": {"arms": len(study.arms), "seeds": study.seeds, "runs": study.runs, "steps": study.steps, "equal_bits": len(swept)}
        | study.every,
        "device": {"name": cpu()[0], "cores": slots, "threads": 1},
        "sweep": {
            "seconds": seconds,
            "slots": slots,
            "runs_per_hour": 3600 * study.runs / seconds,
            "training_seconds": training,
            "outside": {
                "share": 1 - training / whole,
                "runs": (inside - training) / whole,  # evaluations, checkpoints, proofs, first steps
                "sweep": 1 - inside / whole,  # starts, planning, the report, slots without a run
            },
        },
        "one_by_one": {
            "seconds": one,
            "parts": [each["seconds"] for each in one_by_one],
            "runs_per_hour": 3600 * study.runs / one,
            "training_seconds": training_of(alone.values()),
        },
        "ratio": one / seconds,
        "goals": GOALS,
    }
    say(said.sweep(told))
    return told


def training_of(results: Iterable[Mapping[str, Any]]) -> float:
    """Seconds in training steps: those that were timed, and as long for each of the few that warmed up."""
    each = [(float(result["cost"]["training_seconds"]), int(result["steps"])) for result in results]
    return sum(seconds * steps / (steps - WARM_UP_STEPS) for seconds, steps in each)
