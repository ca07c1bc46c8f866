"""What a large sweep costs before and beside its training: `lab bench --plan`. Planned, refused, and found finished; nothing is trained.

Owns a copy of the project in a temporary folder, with a small baseline and finished runs made up for every row of the plan. Each
measurement is a fresh process, its start and its imports included. `python -m lab.bench.plan FILE ROOT WHAT WORDS...` is that process.
"""

from __future__ import annotations

import json
import resource
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lab.ablate.codemap import LAB
from lab.bench.ask import NO_ROOM, no_folder, tell, temporary_folder
from lab.bench.memory import peak_memory_bytes
from lab.errors import ConfigError, OneChangeError, StoreError
from lab.processes import with_code

SCHEMA = 1
PROJECT = ("conf", "hydra_plugins", "run.py")
SMALL = ("data=text", "data.path=text.txt", "model.context=64", "trainer.tokens=51200", "trainer.evaluation.block=64")
TEXT = "the cat sat on a mat and ran to see two dogs run.\n" * 2000
HEAVY = ("torch", "pandas")  # what the parent of a sweep never loads
Say = Callable[[str], None]


@dataclass(frozen=True)
class Shape:
    """A sweep over one setting's values; the first of them is the baseline's."""

    arms: int  # with the baseline
    seeds: int

    @property
    def words(self) -> list[str]:
        rates = ",".join(repr(round(0.001 + index / 100_000, 6)) for index in range(self.arms))
        return ["baseline=bench", f"trainer.optimizer.lr={rates}", f"seed=range({self.seeds})"]


SHAPES = (Shape(100, 3), Shape(37, 8), Shape(300, 1))


def bench_plan(root: Path, shapes: Sequence[Shape] = SHAPES, say: Say = tell, times: int = 3) -> dict[str, Any]:
    """Time plans of these shapes, and the first one's sweep where all its runs are there. Raises LabError; leaves nothing on the disk."""
    if not shapes or any(min(shape.arms, shape.seeds) < 1 for shape in shapes) or times < 1:
        raise ConfigError("nothing would be timed\ngive shapes of at least one arm and one seed")
    with temporary_folder() as folder:
        try:
            return timed(make_project(root, Path(folder) / "project"), shapes, say, times)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise no_folder(error) from error


def timed(project: Path, shapes: Sequence[Shape], say: Say, times: int) -> dict[str, Any]:
    """Every measurement, in turns, so that a slow minute of the machine slows all."""
    asked = [(f"plan {shape.arms} x {shape.seeds}", "plan", shape.words) for shape in shapes]
    asked += [(f"refuse {shape.arms} x {shape.seeds}", "plan", [*shape.words, "hooks=none,[grad_clip,z_loss]"]) for shape in shapes]
    turns = [[fresh(project, what, words) for _, what, words in asked] for _ in range(times)]
    parts = {name: told([turn[index] for turn in turns]) for index, (name, _, _) in enumerate(asked)}
    say(f"making the {shapes[0].arms * shapes[0].seeds} runs of {shapes[0].arms} x {shapes[0].seeds}")
    fresh(project, "make", shapes[0].words)
    fresh(project, "sweep", shapes[0].words)  # freezes the plan, as the first of two does
    parts[f"cached {shapes[0].arms} x {shapes[0].seeds}"] = told([fresh(project, "sweep", shapes[0].words) for _ in range(times)])
    for name, found in parts.items():
        say(f"{name}: {words_of(found)}")
    return {"schema": SCHEMA, "shapes": [asdict(shape) for shape in shapes], "measured": parts}


def make_project(root: Path, copy: Path) -> Path:
    """A copy of the project with a small baseline, pinned."""
    from lab.ablate.baseline import pin
    from lab.config.compose import Composer

    copy.mkdir()
    for name in PROJECT:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copy / name)
    (copy / "text.txt").write_text(TEXT)
    pin(Composer(copy, copy), "bench", SMALL)
    return copy


def fresh(project: Path, what: str, words: Sequence[str]) -> dict[str, Any]:
    """One measurement in a process of its own; `whole` is what its starter waited."""
    file = project / "measured.json"
    file.unlink(missing_ok=True)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lab.bench.plan", str(file), str(project), what, *words],
        cwd=project,
        env=with_code(LAB.parent),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    whole = time.perf_counter() - began
    if done.returncode or not file.exists():
        raise StoreError(f"the made sweep couldn't be measured:\n{(done.stdout + done.stderr).strip()[-2000:]}")
    found: dict[str, Any] = json.loads(file.read_text())
    return found | {"seconds": whole}


def told(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several measurements as one: medians, every whole time, the highest peak of memory, all that was loaded."""
    times = {name: median(each[name] for each in measured) for name in ("seconds", "processor_seconds")}
    peak = max(each["peak_memory_bytes"] for each in measured)
    loaded = sorted({name for each in measured for name in each["loaded"]})
    return measured[-1] | times | {"wholes": [each["seconds"] for each in measured], "peak_memory_bytes": peak, "loaded": loaded}


def words_of(found: dict[str, Any]) -> str:
    heavy = f", with {' and '.join(found['loaded'])} loaded" if found["loaded"] else ""
    return (
        f"{found['outcome']} in {found['seconds']:.2f} s ({found['processor_seconds']:.2f} s of the processor), "
        f"at most {found['peak_memory_bytes'] / 1e6:,.0f} MB{heavy}"
    )


# -- in the fresh process


def plan(root: Path, words: Sequence[str]) -> str:
    """Plan these words, or be refused."""
    from lab.config.compose import Composer
    from lab.sweep.plan import make_plan

    try:
        return f"{len(make_plan(Composer(root, root), words, 'python run.py --multirun').rows)} rows"
    except OneChangeError:
        return "refused"


def sweep(root: Path, words: Sequence[str]) -> str:
    """`python run.py --multirun WORDS` in this process. Raises StoreError where it trains, or fails."""
    before = counted(root)
    sys.argv = [str(root / "run.py"), "--multirun", *words]
    status: object = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as left:
        status = left.code
    if status not in (0, None) or counted(root) != before:
        raise StoreError(f"the cached sweep left with exit status {status}, with {counted(root) - before} more runs")
    return f"{before} runs found"


def counted(root: Path) -> int:
    from lab.store.layout import run_folders

    return len(run_folders(root))


def make(root: Path, words: Sequence[str]) -> str:
    """A finished run for every row of a plan, as the training wing would leave it but for what only training makes."""
    from lab.bench.made import make_finished
    from lab.config.compose import Composer
    from lab.request import Identifier
    from lab.sweep.plan import make_plan

    made, identifier = make_plan(Composer(root, root), words, "python run.py --multirun"), Identifier(root)
    for row in made.rows:
        make_finished(identifier.identify(row.job), row.number)
    return f"{len(made.rows)} runs made"


def main(words: list[str]) -> None:
    file, root, what, *rest = words
    outcome = {"plan": plan, "sweep": sweep, "make": make}[what](Path(root), rest)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "outcome": outcome,
        "processor_seconds": spent.ru_utime + spent.ru_stime + children.ru_utime + children.ru_stime,
        "peak_memory_bytes": peak_memory_bytes(),
        "loaded": [name for name in HEAVY if name in sys.modules],
    }
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
