"""A sweep's closing report is made in a process of its own, and looks as if the sweep had made it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.files import read_json, write_json
from lab.results.collect import load
from lab.results.facts_of_cells import CurveFacts, FactorialFacts
from lab.results.report import build
from lab.results.telling import tell as facts_of
from lab.sweep import told
from lab.sweep.frozen import freeze
from lab.sweep.judged import judged
from lab.sweep.plan import make_plan
from tests.conftest import Project
from tests.results.store import Store

COHORT = "c" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A baseline and two arms on three seeds; the sweep is of the first of them."""
    made = Store(tmp_path)
    for seed in range(3):
        made.run("baseline", seed, 2.1 + seed / 100)
        folder = made.run("model/norm=rmsnorm", seed, 2.0 + seed / 100)
        made.run("hooks=ema", seed, 2.05 + seed / 100)
    (tmp_path / "multirun" / "sweep").mkdir(parents=True)
    rows = [{"arm_id": read_json(folder / "manifest.json")["arm_id"]}]
    write_json(tmp_path / "multirun" / "sweep" / "plan.json", {"rows": rows, "study": "mine"})
    return made


def child(root: Path, *words: str) -> subprocess.Popen[str]:
    folder = root / "multirun" / "sweep"
    started = [sys.executable, "-m", "lab.sweep.told", str(root), str(folder), *words]
    return subprocess.Popen(started, cwd=told.LAB.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_verdicts_are_told_in_brief_and_written_whole(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    folder = store.root / "multirun" / "sweep"
    assert told.main([str(store.root), str(folder), "demo", COHORT]) == 0
    said = capsys.readouterr()
    assert "rmsnorm" in said.out and "everything else: multirun/sweep/report.html" in said.out and not said.err
    assert "hooks=ema" not in said.out and "1 more arm under this pin: python -m lab report --baseline demo" in said.out
    for name in ("report.md", "report.html"):
        assert "rmsnorm" in (folder / name).read_text() and "hooks=ema" in (folder / name).read_text()


def test_effects_and_curves_of_other_studies_are_counted_and_not_told(store: Store) -> None:
    facts = facts_of(build(store.root, "demo", here=lambda known: COHORT, lab=load(store.root / "runs")))
    mine, other = (FactorialFacts(study, (), (), (), (), None) for study in ("mine", "other"))
    curve = CurveFacts("another", "trainer.optimizer.lr", (), None, None, "", (), None)
    section = replace(facts.sections[0], factorials=(mine, other), value_curves=(curve,))
    every = replace(facts, sections=(section,))
    own = told.of_the_sweep(every, {section.arms[0].arm_id}, "mine")
    assert (own.sections[0].factorials, own.sections[0].value_curves) == ((mine,), ())
    assert told.others_said(every, own) == "1 more arm, 1 more factorial, 1 more curve"
    assert told.others_said(every, every) == ""


def test_a_report_that_fails_says_why_and_how_to_go_on(tiny: Project, capfd: pytest.CaptureFixture[str]) -> None:
    made = make_plan(tiny.composer(), ["baseline=tiny", "hooks=none,grad_clip"], "python run.py --multirun ...")
    folder = freeze(made, tiny.root)
    told.report(made, tiny.root, folder)
    assert "everything else: multirun/" in capfd.readouterr().out
    lock = tiny.root / "conf" / "baseline" / "tiny.lock.json"
    lock.unlink()
    with pytest.raises(told.Untold, match=r"(?s)couldn't be made: .*no lock.*lab report --baseline tiny"):
        told.report(made, tiny.root, folder)
    assert capfd.readouterr() == ("", "")


def test_it_is_made_by_the_sweeps_own_lab_whatever_pythonpath_holds(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / "lab"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise SystemExit('another lab')\n")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    made = make_plan(tiny.composer(), ["baseline=tiny", "hooks=none,grad_clip"], "python run.py --multirun ...")
    told.report(made, tiny.root, freeze(made, tiny.root))
    assert "everything else: multirun/" in capfd.readouterr().out
    with pytest.raises(StoreError, match="these hold runs: none yet"):  # the lab's own answer: nothing was trained
        judged(made, tiny.root)


def test_it_is_told_where_the_sweep_was_typed_and_after_what_was_said(tiny: Project) -> None:
    program = (
        "import sys; from pathlib import Path; from lab.config.compose import Composer; from lab.sweep import told\n"
        "from lab.sweep.frozen import freeze; from lab.sweep.plan import make_plan\n"
        "root = Path('.'); made = make_plan(Composer(root.resolve()), ['baseline=tiny'], 'x'); folder = freeze(made, root.resolve())\n"
        "print('said before'); told.report(made, root, folder.relative_to(root.resolve()))\n"
        "print([name for name in ('torch', 'pandas') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(told.LAB.parent)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tiny.root, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "said before" and lines[-1] == "[]" and any(line.startswith("everything else: ") for line in lines)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc, to see how far the child is")
def test_ctrl_c_ends_it_without_a_traceback(store: Store) -> None:
    with child(store.root, "demo", COHORT) as started:
        maps, until = Path(f"/proc/{started.pid}/maps"), time.monotonic() + 60
        while "numpy" not in maps.read_text() and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(started.pid, signal.SIGINT)
        said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "Traceback" not in "".join(said) and not (store.root / "multirun" / "sweep" / "report.html").exists()
