"""One screen for a sweep: what it shows of the runs, that it always fits, and that it gives the terminal back. Nothing is trained."""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as RichConsole

from lab.store.console import Console
from lab.store.layout import RunFolder
from lab.store.metrics import RowFile, encode_row
from lab.sweep.judged import Standing
from lab.sweep.plan import Plan, Row, make_plan
from lab.sweep.shown.fitted import share
from lab.sweep.shown.screen import Screen, watcher_of
from lab.sweep.shown.tail import MOST_BYTES, Tail
from lab.sweep.watcher import Ending, Lines
from tests.conftest import Project

FINISHED = Ending("finished", "1.2345 bits per byte")


@pytest.fixture(scope="module")
def template(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Baseline, hooks=grad_clip and model/norm=rmsnorm at seeds 0 and 1: 20 steps of 64 tokens each."""
    root = tmp_path_factory.mktemp("screen") / "tiny"
    shutil.copytree(tiny_template, root)
    typed = ["baseline=tiny", "hooks=none,grad_clip", "model/norm=layernorm,rmsnorm", "seed=range(2)"]
    return make_plan(Project(root).composer(), typed, "python run.py --multirun ...")


@pytest.fixture
def plan(template: Plan, tmp_path: Path) -> Plan:
    """The plan with run directories of this test's own."""
    return replace(template, rows=tuple(replace(row, folder=RunFolder(tmp_path / str(row.number))) for row in template.rows))


def grown(plan: Plan, arms: int, seeds: int) -> Plan:
    """The same plan with so many arms and seeds."""
    baseline, arm = plan.rows[0], plan.rows[1]
    rows: list[Row] = []
    for seed in range(seeds):
        for place in range(arms + 1):
            like, label = (baseline, "baseline") if place == 0 else (arm, f"trainer.optimizer.lr={place / 10000:.4f}")
            job = replace(like.job, label=label, config=like.job.config | {"seed": seed})
            rows.append(replace(like, number=len(rows) + 1, job=job, arm_id=label, folder=RunFolder(like.folder.path.with_name(label))))
    return replace(plan, rows=tuple(rows), seeds=tuple(range(seeds)), arms=tuple(row.job.label for row in rows[1 : arms + 1]))


class Sweep:
    """A screen in a terminal of the test's own, with its clock in hand."""

    def __init__(self, plan: Plan, width: int = 100, height: int = 40, judging: Verdicts | None = None) -> None:
        self.plan, self.now, self.stream = plan, 0.0, io.StringIO()
        console = Console()
        console.rich = RichConsole(file=self.stream, force_terminal=True, width=width, height=height, highlight=False, soft_wrap=True)
        console.errors = console.rich
        self.console = console
        self.screen = Screen(console, judging, clock=lambda: self.now)

    def __enter__(self) -> Sweep:
        self.screen.begin(self.plan, self.plan.rows)
        return self

    def __exit__(self, *_: object) -> None:
        self.screen.end()

    def row(self, label: str, seed: int) -> Row:
        return next(row for row in self.plan.rows if (row.job.label, row.job.seed) == (label, seed))

    def start(self, *rows: Row) -> None:
        for row in rows:
            self.screen.started(row)

    def finish(self, *rows: Row, ending: Ending = FINISHED) -> None:
        for row in rows:
            self.screen.ended(row, ending)

    def tick(self, seconds: float = 1.0) -> list[str]:
        """Time goes on; the picture then."""
        self.now += seconds
        self.screen.tick()
        return self.picture()

    @property
    def drawn(self) -> str:
        """All that was written so far, with colours and movements of the cursor."""
        return self.stream.getvalue()

    @property
    def printed(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.drawn)

    def picture(self) -> list[str]:
        """The lines that stand there now: what was written since the cursor last went up."""
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", re.split(r"\x1b\[2K", self.drawn)[-1]).splitlines()]

    def line(self, beginning: str) -> str:
        """The first line of the picture that begins so, its gaps closed; a run's line is the second of its arm."""
        return self.lines(beginning)[0]

    def lines(self, beginning: str) -> list[str]:
        return [re.sub(r" +", " ", line) for line in self.picture() if line.startswith(beginning)]


class Verdicts:
    """Who judges, and how often it was asked: its answers are there at once."""

    def __init__(self, *standings: Standing) -> None:
        self.standings, self.times, self.closed = standings, 0, False

    @property
    def asked(self) -> bool:
        return False

    def ask(self) -> None:
        self.times += 1

    def answer(self) -> dict[str, Standing] | None:
        return {each.arm_id: each for each in self.standings} if self.times else None

    def close(self) -> None:
        self.closed = True


def standing(label: str, word: str, estimate: float, half: float) -> Standing:
    told: dict[str, Any] = {"decimals": 4, "unit": "bits/byte", "look": 2, "n": 2, "pairs": 2, "chance": None, "stop": "", "sentence": ""}
    return Standing(arm_id=label, label=label, word=word, said=word, estimate=estimate, low=estimate - half, high=estimate + half, **told)


def write(row: Row, losses: dict[int, float]) -> RowFile:
    """A run's rows as training writes them."""
    row.folder.path.mkdir(parents=True, exist_ok=True)
    rows = RowFile(row.folder.metrics)
    for step, loss in losses.items():
        rows.append_row({"step": step, "tokens": step * 64, "loss": loss, "lr": 0.001})
    return rows


@contextmanager
def terminal() -> Iterator[tuple[io.FileIO, io.TextIOWrapper]]:
    """A real terminal of the system: the end that a user would look at, and the one that is written to."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as seen, os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield seen, stream


# -- what it shows


def test_each_run_has_its_state_beside_its_arm_and_seed(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        first = [sweep.row(label, 0) for label in ("baseline", *plan.arms)]
        sweep.finish(first[0], ending=Ending("found", "found, not trained again"))
        sweep.start(*first[1:], sweep.row("baseline", 1))
        sweep.finish(first[1], ending=Ending("diverged", "diverged at step 3"))
        sweep.finish(first[2], ending=Ending("failed", "out of memory"))
        write(sweep.row("baseline", 1), {2: 3.0, 9: 2.9})
        sweep.tick()
        assert sweep.line("arm ") == "arm seed 0 seed 1"
        assert sweep.line("baseline ") == "baseline found 45 %"
        assert sweep.line("hooks=grad_clip ") == "hooks=grad_clip diverged waiting"
        assert sweep.line("model/norm=rmsnorm ") == "model/norm=rmsnorm failed waiting"
        assert sweep.line("2 of 6").startswith("2 of 6 runs done (1 found, 1 diverged), 1 running, 1 failed, 2 waiting,")


def test_a_run_is_shown_beside_the_baseline_of_its_seed_at_the_same_step(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        baseline, arm = sweep.row("baseline", 1), sweep.row("hooks=grad_clip", 1)
        write(sweep.row("baseline", 0), {2: 9.0, 4: 9.0, 6: 9.0})  # of another seed
        sweep.start(sweep.row("baseline", 0), baseline, arm)
        sweep.tick()
        assert sweep.lines("hooks=grad_clip ")[1] == "hooks=grad_clip 1 starting"
        growing = write(baseline, {})
        write(arm, {2: 3.25, 4: 3.0, 6: 2.5})
        sweep.tick()
        assert sweep.lines("hooks=grad_clip ")[1] == "hooks=grad_clip 1 30 % 2.5000 baseline not there yet"
        growing.append_row({"step": 4, "tokens": 256, "loss": 2.75, "lr": 0.001})
        growing.append('{"step":6,"tokens":384,"lo')  # as a kill leaves it, or as it is being written
        sweep.tick()
        assert sweep.lines("hooks=grad_clip ")[1] == "hooks=grad_clip 1 30 % 2.5000 +0.2500 at step 4"
        growing.append('ss":2.625}\n')
        sweep.tick()
        assert sweep.lines("hooks=grad_clip ")[1] == "hooks=grad_clip 1 30 % 2.5000 -0.1250"
        assert sweep.lines("baseline ")[2] == "baseline 1 30 % 2.6250"


def test_another_batch_size_is_compared_after_the_same_tokens_and_another_tokenizer_not_at_all(plan: Plan) -> None:
    def altered(row: Row, **sections: dict[str, object]) -> Row:
        config = row.job.config | {name: row.job.config[name] | changed for name, changed in sections.items()}
        return replace(row, job=replace(row.job, config=config))

    arms: dict[str, Any] = {
        "hooks=grad_clip": {"trainer": {"batch_size": 8}},
        "model/norm=rmsnorm": {"data": {"tokenizer": {"_target_": "another"}}},
    }
    plan = replace(plan, rows=tuple(altered(row, **arms.get(row.job.label, {})) for row in plan.rows))
    with Sweep(plan) as sweep:
        rows = [sweep.row(label, 0) for label in ("baseline", *plan.arms)]
        for row, losses in zip(rows, ({2: 4.0, 4: 3.0, 8: 2.0}, {2: 3.5, 4: 2.25}, {2: 1.0}), strict=True):
            write(row, losses)
        sweep.start(*rows)
        sweep.tick()
        assert sweep.lines("hooks=grad_clip ")[1] == "hooks=grad_clip 0 40 % 2.2500 +0.2500"
        assert sweep.lines("model/norm=rmsnorm ")[1] == "model/norm=rmsnorm 0 10 % 1.0000 other tokens"


def test_a_loss_that_is_no_number_is_shown_as_such(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        write(sweep.row("baseline", 0), {2: 3.0, 4: 2.0})
        write(sweep.row("hooks=grad_clip", 0), {2: 3.0, 4: float("nan")})
        sweep.start(sweep.row("baseline", 0), sweep.row("hooks=grad_clip", 0))
        sweep.tick()
        assert sweep.lines("hooks=grad_clip ")[1] == "hooks=grad_clip 0 20 % nan not finite"


def test_a_file_that_was_cut_back_is_read_again_and_what_is_no_row_is_passed_over(plan: Plan) -> None:
    rows = write(plan.rows[0], {2: 3.0})
    kept = rows.sync()
    rows.append_row({"step": 4, "tokens": 256, "loss": 2.5, "lr": 0.001})
    rows.append_row({"step": 4, "curve_bits_per_byte": 1.0})
    rows.append('[1]\n"step"\n{"step": {}, "loss": 1}\n\0\0\0\nnot json\n{"step": 5, "loss": "x"}\n')
    tail = Tail(plan.rows[0].folder.metrics)
    for _ in range(2):
        tail.read()
        assert tail.losses == {2: 3.0, 4: 2.5}
    rows.truncate(kept)  # it goes on from its checkpoint
    tail.read()
    assert tail.losses == {2: 3.0}
    rows.append_row({"step": 3, "tokens": 192, "loss": 2.75, "lr": 0.001})
    tail.read()
    assert tail.losses == {2: 3.0, 3: 2.75}


def test_a_long_file_is_read_in_parts_and_to_its_end(plan: Plan) -> None:
    rows = write(plan.rows[0], {})
    rows.append("".join(encode_row({"step": step, "loss": 2.0, "said": "x" * 1000}) for step in range(600)))
    tail = Tail(plan.rows[0].folder.metrics)
    tail.read()
    assert 0 < len(tail.losses) < 600
    for _ in range(600_000 // MOST_BYTES + 1):
        tail.read()
    assert len(tail.losses) == 600


# -- how long it takes


def row_of(step: int) -> dict[str, Any]:
    return {"step": step, "tokens": 64 * step, "loss": 2.5, "lr": 0.001}


def test_before_a_run_has_ended_the_time_left_comes_from_how_fast_the_runs_go(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.start(plan.rows[0], plan.rows[1])
        files = [write(row, {5: 3.0}) for row in plan.rows[:2]]  # they go on from a checkpoint: what was done before says nothing of speed
        assert "time left: known once a run has got somewhere" in " ".join(sweep.tick(10)[:2])
        for file in files:
            file.append_row(row_of(10))
        said = " ".join(sweep.tick(10)[:2])  # a quarter of each in 10 s, and half is left; four wait for two slots
        assert "about 1:40 min left" in said and "runs per hour" not in said


def test_a_run_that_is_tried_again_is_as_far_as_its_checkpoint_and_sets_no_pace(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.finish(*plan.rows[1:], ending=Ending("found", "found"))
        sweep.start(plan.rows[0])
        file = write(plan.rows[0], {5: 3.0})
        sweep.tick(5)
        kept = file.sync()
        file.append_row(row_of(19))
        assert "about 1 s left" in " ".join(sweep.tick(14)[:2])
        sweep.screen.waits(plan.rows[0], "[1/6] killed by signal 9: tried once more", elsewhere=False)
        sweep.start(plan.rows[0])
        sweep.tick(1)  # the rows of the first try stand there until it goes on
        file.truncate(kept)
        assert "time left: known once" in " ".join(sweep.tick(1)[:2])
        file.append_row(row_of(10))
        assert "about 20 s left" in " ".join(sweep.tick(10)[:2])
        sweep.finish(plan.rows[0], ending=Ending("finished", "1.2 bits per byte", tries=2))
        assert "runs per hour" not in " ".join(sweep.tick()[:2])


def test_runs_of_another_process_and_those_in_a_queue_are_part_of_the_time_left(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.start(*plan.rows)  # six are handed to a queue, and one is at work
        file = write(plan.rows[0], {5: 3.0})
        sweep.tick(5)
        file.append_row(row_of(10))
        assert "about 3:40 min left" in " ".join(sweep.tick(10)[:2])  # 40 s each, one after the other, and half of the first is done
        sweep.finish(plan.rows[0])
        for row in plan.rows[1:]:
            sweep.screen.waits(row, "[2/6] another process trains it", elsewhere=True)
        write(plan.rows[1], {5: 3.0})
        assert "about 1:00 min left" in " ".join(sweep.tick(5)[:2])  # four of 15 s each that nobody is seen to train, in one slot


def test_the_time_left_is_unknown_until_a_run_has_finished_and_then_from_this_sweep_and_its_slots(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.finish(plan.rows[0], ending=Ending("found", "found"))
        sweep.start(plan.rows[1], plan.rows[2])
        assert "time left: known once a run has got somewhere" in " ".join(sweep.tick(60)[:2])
        sweep.finish(plan.rows[1], plan.rows[2])
        assert "120 runs per hour, about 2:00 min left" in " ".join(sweep.tick(0.5)[:2])  # three are left, of a minute each, in two slots
        sweep.start(plan.rows[3], plan.rows[4])
        assert "about 1:45 min left" in " ".join(sweep.tick(15)[:2])  # two are at 15 s of 60, and the third waits for one of them
        sweep.tick(45)
        sweep.finish(*plan.rows[3:])
    assert "6 of 6 runs done (1 found), 120 runs per hour, took 2:00 min" in sweep.picture()[0]


def test_a_run_that_waits_for_another_process_takes_no_slot(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.start(plan.rows[0])
        sweep.screen.waits(plan.rows[0], "[1/6] another process trains it", elsewhere=True)
        sweep.start(plan.rows[1])
        sweep.tick(60)
        assert sweep.line("baseline ") == "baseline elsewhere waiting"
        assert "1 running, 1 in another process, 4 waiting" in sweep.line("0 of 6")
        sweep.finish(plan.rows[1])
        assert "60 runs per hour" in " ".join(sweep.tick()[:2])


# -- failures, and what runs print


def test_a_failure_is_printed_at_once_and_stays_in_the_picture(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.start(plan.rows[0], plan.rows[1])
        sweep.now += 1
        sweep.screen.ended(plan.rows[1], Ending("failed", "killed by signal 9", tries=2))
        assert "[2/6] hooks=grad_clip, seed 0: killed by signal 9\n" in sweep.printed
        for _ in range(3):
            sweep.tick()
        assert sweep.line("failed ") == "failed hooks=grad_clip, seed 0: killed by signal 9 (2 tries)"
    assert sweep.printed.count("[2/6]") == 1


def test_what_a_run_complained_of_is_printed_once_and_what_it_said_else_is_not(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.start(plan.rows[0])
        sweep.screen.line(plan.rows[0], "[1/6] out of memory: 3.1 GiB asked for", error=True)
        sweep.screen.line(plan.rows[0], "[1/6] baseline, seed 0: training", error=False)
        sweep.finish(plan.rows[0], ending=Ending("failed", "out of memory: 3.1 GiB asked for", told=True))
        sweep.tick()
        assert sweep.line("failed ") == "failed baseline, seed 0: out of memory: 3.1 GiB asked for"
        assert sweep.printed.count("[1/6]") == 1 and "training" not in sweep.printed


def test_a_run_that_floods_its_standard_error_is_counted(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        sweep.start(plan.rows[0])
        before = sweep.drawn
        for number in range(1000):
            sweep.screen.line(plan.rows[0], f"warning {number}", error=True)
        assert sweep.drawn == before  # nothing is drawn for each
        sweep.tick()
        assert "warning 19\nand 980 more lines, not shown" in sweep.printed and "warning 20" not in sweep.printed


def test_errors_go_where_they_were_sent(plan: Plan) -> None:
    sweep, file = Sweep(plan), io.StringIO()
    sweep.console.errors = RichConsole(file=file, soft_wrap=True)
    with sweep:
        sweep.screen.line(plan.rows[0], "[1/6] out of memory", error=True)
        sweep.tick()
    assert file.getvalue() == "[1/6] out of memory\n" and "out of memory" not in sweep.printed


def test_hostile_names_and_errors_are_shown_as_they_are(plan: Plan) -> None:
    hostile = "[bold]x[/]\x1b[2J\n\u202e"
    plan = replace(plan, rows=tuple(replace(row, job=replace(row.job, label=hostile)) if row.job.changes else row for row in plan.rows))
    with Sweep(plan, judging=Verdicts(standing(hostile, "worse", 0.5, 0.1))) as sweep:
        sweep.start(*plan.rows)
        sweep.screen.line(plan.rows[0], hostile, error=True)
        sweep.finish(plan.rows[1], ending=Ending("failed", hostile))
        sweep.tick()
        assert len(sweep.lines(r"[bold]x[/]\x1b[2J\n\u202e ")) >= 2
    assert "\x1b[2J" not in sweep.drawn and "\u202e" not in sweep.drawn


# -- verdicts


def test_verdicts_are_asked_for_when_the_baseline_and_every_arm_have_a_look_and_shown_when_they_come(plan: Plan) -> None:
    judging = Verdicts(standing("hooks=grad_clip", "cannot tell", 0.001, 0.01), standing("model/norm=rmsnorm", "better", -0.03, 0.01))
    with Sweep(plan, judging=judging) as sweep:  # the pin's only look is at two seeds
        for row in plan.rows[:-1]:
            sweep.start(row)
            sweep.finish(row)
            sweep.tick()
            assert judging.times == 0
        sweep.finish(plan.rows[-1], ending=Ending("diverged", "diverged at step 3"))
        sweep.tick()
        assert judging.times == 1
        at = next(place for place, line in enumerate(sweep.picture()) if line.startswith("at the last look, "))
        assert [re.sub(r" +", " ", line) for line in sweep.picture()[at:]] == [
            "at the last look, bits/byte n difference interval verdict",
            "model/norm=rmsnorm 2 -0.0300 -0.0400 to -0.0200 better",
            "hooks=grad_clip 2 +0.0010 -0.0090 to +0.0110 cannot tell",
        ]
        sweep.tick()
        assert judging.times == 1
    assert judging.closed


def test_a_failed_run_is_no_seed_of_a_look(plan: Plan) -> None:
    judging = Verdicts()
    with Sweep(plan, judging=judging) as sweep:
        for row in plan.rows:
            sweep.finish(row, ending=Ending("failed", "out of memory") if row is plan.rows[3] else FINISHED)
            sweep.tick()
    assert judging.times == 0


def test_a_later_look_adds_its_seeds_to_those_that_are_there_and_waits_for_the_undecided_arms_only(plan: Plan) -> None:
    plan = grown(plan, arms=2, seeds=4)
    plan = replace(plan, looks=(2, 4))
    judging = Verdicts()
    sweep = Sweep(plan, judging=judging)
    first, second = plan.rows[:6], [row for row in plan.rows[6:] if row.job.label != plan.arms[1]]
    for rows in (first, second):
        sweep.screen.begin(plan, rows)
        for row in rows:
            sweep.start(row)
            sweep.finish(row)
            sweep.tick()
        assert f"{len(rows) if rows is first else 10} of {len(rows) if rows is first else 10} runs done" in sweep.picture()[0]
        sweep.screen.end()
    assert judging.times == 2
    assert sweep.line("arm ").endswith("seed 0 seed 1 seed 2 seed 3")
    assert sweep.line(plan.arms[1]) == f"{plan.arms[1]} finished finished"


# -- it fits


@pytest.mark.parametrize(("arms", "seeds"), [(1, 1), (3, 8), (60, 20), (2, 300)])
@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (100, 50), (200, 80), (60, 8), (40, 3)])
def test_the_picture_is_never_larger_than_the_terminal(plan: Plan, arms: int, seeds: int, width: int, height: int) -> None:
    plan = grown(plan, arms, seeds)
    with Sweep(plan, width, height, Verdicts(*(standing(label, "cannot tell", 0.1, 0.2) for label in plan.arms))) as sweep:
        for row in plan.rows[:9]:
            write(row, {2: 3.0, 4: 2.5})
        sweep.finish(*plan.rows[:2], ending=Ending("failed", "out of memory: " + "x" * 300))
        sweep.screen.judging.ask()  # type: ignore[union-attr]
        sweep.start(*plan.rows[2:9])
        lines = sweep.tick()
        assert len(lines) < height and max(map(len, lines)) <= width
        assert lines[0].startswith(f"0 of {len(plan.rows):,} runs")


def test_what_runs_or_failed_is_shown_before_what_waits_and_the_rest_is_counted(plan: Plan) -> None:
    plan = grown(plan, arms=60, seeds=20)
    with Sweep(plan, 80, 24) as sweep:
        failed, runs = sweep.row("trainer.optimizer.lr=0.0055", 3), sweep.row("trainer.optimizer.lr=0.0060", 7)
        sweep.start(failed, runs)
        sweep.finish(failed, ending=Ending("failed", "out of memory"))
        lines = sweep.tick()
        arms = [line for line in lines if line.endswith(" ." * 10) or line.count(" .") > 12]
        assert len(arms) > 3 and " X " in arms[0] and arms[0].split()[0].endswith("0.0055") and " 0 " in arms[1]
        rest = re.fullmatch(r"and (\d+) more arms: ([\d,]+) waiting", next(line for line in lines if line.startswith("and ")))
        assert rest is not None and int(rest[1]) + len(arms) == 61 and rest[2] == f"{int(rest[1]) * 20:,}"


def test_lines_that_one_part_does_not_want_go_to_the_others() -> None:
    assert share(20, [3, 30, 30]) == [3, 8, 9]
    assert share(20, [3, 4, 5]) == [3, 4, 5]
    assert share(2, [5, 5, 5]) == [0, 1, 1]


def test_it_draws_at_most_four_times_a_second(plan: Plan) -> None:
    with Sweep(plan) as sweep:
        before = sweep.drawn
        for _ in range(10):
            sweep.tick(0.02)
        assert sweep.drawn == before
        sweep.tick(0.06)
        assert sweep.drawn != before


# -- the terminal is given back


def test_the_last_picture_stays_and_the_cursor_comes_back(plan: Plan) -> None:
    stdout = sys.stdout
    with Sweep(plan) as sweep:
        assert sweep.drawn.endswith("\x1b[?25l") or "\x1b[?25l" in sweep.drawn
        assert sys.stdout is not stdout  # what is printed meanwhile goes above the picture
        sweep.start(*plan.rows)
        sweep.finish(*plan.rows[:-1])
    assert sys.stdout is stdout
    assert sweep.drawn.rindex("\x1b[?25h") > sweep.drawn.rindex("\x1b[?25l")
    assert sweep.picture()[0].startswith("5 of 6 runs done, 1 stopped")
    assert sweep.drawn.rstrip("\x1b[?25h").endswith("\n")


def test_the_cursor_comes_back_after_an_error_of_the_sweep_and_ending_twice_is_no_matter(plan: Plan) -> None:
    sweep, stdout = Sweep(plan), sys.stdout
    with pytest.raises(RuntimeError), sweep:
        raise RuntimeError("a launcher's own")
    sweep.screen.end()
    assert sweep.drawn.endswith("\x1b[?25h") and sys.stdout is stdout


def test_a_terminal_that_is_gone_ends_no_sweep(plan: Plan) -> None:
    stdout = sys.stdout
    with terminal() as (seen, stream), os.fdopen(os.dup(stream.fileno()), "w", encoding="utf-8") as errors:
        console = Console()
        console.rich = RichConsole(file=stream, soft_wrap=True, width=80, height=24, force_terminal=True)
        console.errors = RichConsole(file=errors, soft_wrap=True, force_terminal=True)
        screen = Screen(console)
        screen.begin(plan, plan.rows)
        drawn = b""
        while b"0 of 6 runs done" not in drawn:  # a terminal hands on what it has, in pieces
            drawn += seen.read(1 << 16)
        seen.close()
        for row in plan.rows:
            screen.started(row)
            screen.ended(row, Ending("failed", "out of memory"))
            time.sleep(0.1)  # more than one redraw
        screen.end()
        assert sys.stdout is stdout and console.rich.quiet and console.errors.quiet


def test_a_screen_is_drawn_in_a_terminal_only(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    with terminal() as (_, stream):
        console.rich = RichConsole(file=stream)
        assert isinstance(watcher_of(console), Screen)
        monkeypatch.setenv("TERM", "dumb")
        console.rich = RichConsole(file=stream)
        assert isinstance(watcher_of(console), Lines)
    monkeypatch.setenv("TERM", "xterm")
    for forced in (False, True):  # FORCE_COLOR, where a log is kept
        console.rich = RichConsole(file=io.StringIO(), force_terminal=forced)
        assert isinstance(watcher_of(console), Lines)
