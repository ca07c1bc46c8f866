"""Sweeps with several runs at once: what fails stops no other, what the machine failed is tried once more, and one run has one process."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.files import read_rows
from lab.store.layout import run_folders
from lab.store.runs import verify
from lab.sweep.children import LONGEST, Pipe
from lab.sweep.slots import VISIBLE, slots_of
from tests.cases import Cases
from tests.conftest import Project
from tests.sweep.witness import Watched, alive, trained_once, until, watched


def test_a_sweep_with_two_at_once_has_the_bits_of_runs_in_fresh_processes(tiny: Project) -> None:
    words = ("baseline=tiny", "hooks=none,grad_clip", "seed=0", "device.workers=2")
    tiny.python("run.py", "--multirun", *words)
    swept = {folder.path.name: verify(folder)["digests"] for folder in run_folders(tiny.root)}
    (tiny.root / "runs").rename(tiny.root / "others")
    for hooks in ("none", "grad_clip"):
        tiny.python("run.py", "baseline=tiny", f"hooks={hooks}")
    alone = {folder.path.name: verify(folder)["digests"] for folder in run_folders(tiny.root)}
    same = ("weights", "optimizer", "metrics.jsonl", "samples.txt", "draws.json", "weights.jsonl")
    assert len(swept) == 2 and swept.keys() == alone.keys()
    for run, digests in swept.items():
        assert {name: digests.get(name) for name in same} == {name: alone[run].get(name) for name in same}


@pytest.fixture
def project(tiny_template: Path, tmp_path: Path) -> Watched:
    return watched(tiny_template, tmp_path / "watched", 20)


def test_runs_that_raise_leave_die_or_run_out_of_memory_stop_no_other(project: Watched, cases: Callable[[str], Cases]) -> None:
    """One of each kind beside two that are well; what the machine failed is tried twice, a hook's mistake once."""
    failing = {"raise": 1, "exit": 1, "vanish": 1, "memory": 2, "kill": 2, "busy": 2}
    arms = [f"trainer.optimizer.lr={0.002 + 0.001 * index:g}" for index in range(len(failing))]
    for arm, what in zip(arms, failing, strict=True):
        project.order(arm, 0, 7, what)
    done = project.python(*project.words("device.workers=3", rates=len(failing) + 1, seeds=1), status=1)
    counted = cases("one of several runs at once raises, calls sys.exit, vanishes, runs out of memory or is killed")
    sittings = {folder.path.parent.name: project.sittings()[folder.path.name] for folder in run_folders(project.root)}
    for arm, (what, tries) in zip(arms, failing.items(), strict=True):
        (name,) = [name for name in sittings if name.startswith(f"{arm}-")]
        counted.check(f"{what}: tried {len(sittings[name])} times", len(sittings[name]) == tries)
        counted.check(
            f"{what}: in the summary", bool(re.search(rf"^  {re.escape(arm)} seed 0: runs/.*\n    \S.*$", done.stderr, re.MULTILINE))
        )
    counted.check("the others finish", project.states().count("finished") == 2)
    counted.all_good()
    assert "6 of 8 runs failed:" in done.stderr and "Traceback" not in done.stderr + done.stdout, done.stderr
    for told in ("killed by signal 9", "ValueError: no gradient today", "memory is out", "without a result"):
        assert told in done.stderr, done.stderr
    assert done.stderr.count("tried once more") == 2 and done.stderr.count("another process had it, and left it: begun again") == 1
    assert "Baseline watched" in done.stdout, "the report of what is there"


def test_what_the_machine_failed_once_finishes_at_the_second_try(project: Watched) -> None:
    project.order("baseline", 0, 13, "kill.once")
    done = project.python(*project.words(rates=0, seeds=1))
    assert "[1/1] baseline `watched`, seed 0: killed by signal 9: tried once more" in done.stderr
    assert re.search(r"^\[1/1\] baseline `watched`, seed 0: goes on from step 12 of 20$", done.stdout, re.MULTILINE)
    assert project.states() == ["finished"] and len(project.sittings().popitem()[1]) == 2


def test_one_of_eight_workers_is_killed_and_the_others_finish(tiny_template: Path, tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    project = watched(tiny_template, tmp_path / "watched", 60, 0.05)
    with project.sweep(*project.words("device.workers=8", rates=7, seeds=1)) as process:
        until(lambda: len(project.sittings()) == 8)
        victim, (pid,) = next(iter(project.sittings().items()))
        os.kill(pid, signal.SIGKILL)
        assert process.wait(120) == 0, project.said()
    counted = cases("one of eight workers is killed: the seven others finish in one sitting, and it in two")
    for run, pids in project.sittings().items():
        counted.check(run, len(set(pids)) == len(pids) == (2 if run == victim else 1))
    counted.check("finished", project.states() == ["finished"] * 8)
    counted.all_good(9)


def test_two_overlapping_sweeps_at_once_train_each_run_once(tiny_template: Path, tmp_path: Path, cases: Callable[[str], Cases]) -> None:
    project = watched(tiny_template, tmp_path / "watched", 20, 0.02)
    logs = [tmp_path / "first.txt", tmp_path / "second.txt"]
    with (
        project.sweep(*project.words("device.workers=2", rates=2), log=logs[0]) as first,
        project.sweep(*project.words("device.workers=2", rates=3), log=logs[1]) as second,
    ):
        said = [process.wait(120) for process in (first, second)]
    assert said == [0, 0], [log.read_text() for log in logs]
    counted = cases("two overlapping sweeps at once: each run trained in one sitting")
    for run, pids in project.sittings().items():
        counted.check(run, len(pids) == 1)
    asked = [len(read_rows(folder.requests)[0]) for folder in run_folders(project.root)]
    counted.check("both asked for what both wanted", sorted(asked) == [1, 1] + [2] * 6)
    counted.all_good(9)
    assert any("another process trains it; waiting for it" in log.read_text() for log in logs)


def test_a_killed_fork_server_costs_each_run_one_try(tiny_template: Path, tmp_path: Path) -> None:
    project = watched(tiny_template, tmp_path / "watched", 60, 0.03)
    with project.sweep(*project.words("device.workers=2", rates=1, seeds=1)) as process:
        until(lambda: len(project.sittings()) == 2)
        pid = project.sittings().popitem()[1][0]
        os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert process.wait(120) == 0, project.said()
    assert all(trained_once(project).values()) and project.states() == ["finished"] * 2


def fork_server_of(sweep: int) -> int | None:
    """A sweep's fork server, from /proc."""
    children = Path(f"/proc/{sweep}/task/{sweep}/children")
    for pid in children.read_text().split() if children.exists() else []:
        if "lab.sweep.forkserver" in Path(f"/proc/{pid}/cmdline").read_text():
            return int(pid)
    return None


def test_a_fork_server_that_is_killed_while_it_loads_costs_one_try(project: Watched) -> None:
    with project.sweep(*project.words("device.workers=2", rates=1, seeds=1)) as process:
        until(lambda: fork_server_of(process.pid) is not None)
        os.kill(fork_server_of(process.pid) or 0, signal.SIGKILL)
        assert process.wait(120) == 0, project.said()
    assert project.states() == ["finished"] * 2


def test_a_worker_that_answers_no_signal_is_killed_by_the_second_one(tiny_template: Path, tmp_path: Path) -> None:
    project = watched(tiny_template, tmp_path / "watched", 60, 0.05)
    with project.sweep(*project.words("device.workers=2", rates=1, seeds=1)) as process:
        until(lambda: len(project.sittings()) == 2)
        os.kill(project.sittings().popitem()[1][0], signal.SIGSTOP)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        assert process.wait(10) == 130, project.said()
    assert "the sweep was stopped\ntype the same again to go on" in project.said()
    assert not [pid for pids in project.sittings().values() for pid in pids if alive(pid)]


def test_an_arm_whose_module_can_not_be_imported_harms_no_other(project: Watched) -> None:
    (project.root / "broken.py").write_text("raise ValueError('not today')\n\n\nclass Hook: ...\n")
    (project.root / "conf" / "hooks" / "broken.yaml").write_text("broken:\n  _target_: broken.Hook\n")
    config = project.root / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("trusted_modules: [witness]", "trusted_modules: [witness, broken]"))
    project.python(*project.words(rates=0, seeds=1))
    words = ("run.py", "--multirun", "baseline=watched", "hooks=[witness,broken],[witness,grad_clip],[witness,ema]", "seed=0")
    done = project.python(*words, status=1)
    assert "1 of 4 runs failed:" in done.stderr and "ValueError: not today" in done.stderr, done.stderr
    assert project.states() == ["finished"] * 3


def test_a_run_that_prints_without_line_ends_is_cut_into_lines() -> None:
    out, to_out = os.pipe()
    pipe = Pipe(1, out, error=False)
    os.set_blocking(out, False)
    os.write(to_out, b"10 %\r20 %\r\nthe end of a li")
    assert [each.text for each in pipe.lines()] == ["10 %", "20 %"]
    os.write(to_out, b"ne\n" + b"x" * 40_000)
    assert [each.text for each in pipe.lines()] == ["the end of a line"]
    os.write(to_out, b"x" * 40_000)
    assert [len(each.text) for each in pipe.lines()] == [80_000] and pipe.unread == b""
    os.write(to_out, b"x" * 60_000)
    assert pipe.lines() == []
    os.write(to_out, b"x" * 5_000 + b"the end")
    os.close(to_out)
    assert "".join(each.text for each in pipe.rest()) == "x" * 65_000 + "the end" and pipe.ended
    os.close(out)


def test_a_slot_is_a_thread_count_or_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.store import gpu

    cpu = {"kind": "cpu", "threads": 2, "workers": None}
    monkeypatch.setattr("lab.sweep.slots.cores", lambda: 9)
    assert [len(slots_of(cpu | {"threads": threads})) for threads in (1, 2, 9, 12)] == [9, 4, 1, 1]
    assert slots_of(cpu | {"workers": 3}) == [{}] * 3
    assert slots_of({"kind": "mps", "threads": 2, "workers": None}) == [{}]
    monkeypatch.setattr(gpu, "driver", lambda: gpu.Driver("12.4", ("A", "A", "B")))
    monkeypatch.delenv(VISIBLE, raising=False)
    cuda = cpu | {"kind": "cuda"}
    assert [slot[VISIBLE] for slot in slots_of(cuda)] == ["0", "1"], "a card of another model has other bits"
    assert [slot[VISIBLE] for slot in slots_of(cuda | {"workers": 3})] == ["0", "1", "0"]
    monkeypatch.setenv(VISIBLE, "GPU-5, GPU-7,GPU-9")
    assert [slot[VISIBLE] for slot in slots_of(cuda)] == ["GPU-5", "GPU-7"]


def test_what_a_run_printed_last_is_read_to_its_end_though_it_has_no_line_end() -> None:
    """More than one read's worth, none of it with a line end: the first piece is no reason to stop."""
    ours, theirs = socket.socketpair()  # it holds more than a pipe does
    with ours, theirs:
        theirs.sendall(b"x" * LONGEST + b"the end")
        theirs.shutdown(socket.SHUT_WR)
        said = Pipe(1, ours.fileno(), error=True).rest()
    assert "".join(each.text for each in said).endswith("the end")
