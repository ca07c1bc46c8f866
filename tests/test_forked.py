"""A program that a test starts as a fork is the one that a fresh process runs: the same words, exit status, signals and bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.files import read_json
from lab.store.layout import RunFolder
from tests.conftest import Project
from tests.forked import FRESH, Forked, can_fork, start
from tests.test_kills import differences

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not run: nothing is forked on this system")

LINES = """
import os, sys, threading
print(sys.argv, sys.path, sys.orig_argv, __name__, globals().get("__file__"), os.getcwd())
print(sorted(os.environ.items()), sys.stdin.isatty(), threading.active_count(), len(sys.warnoptions))
print([(each.encoding, each.line_buffering, each.errors) for each in (sys.stdin, sys.stdout, sys.stderr)])
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("lab", "tests", "hydra_plugins", "pytest")))
print("aside", file=sys.stderr)
"""
ENDS = {
    "the last line": ("", 0),
    "a status": ("sys.exit(3)", 3),
    "a word": ("sys.exit('bad')", 1),
    "an error in a function": ("def f():\n    raise ValueError('bad')\nf()", 1),
    "an interrupt": ("raise KeyboardInterrupt", -signal.SIGINT),
    "a kill": ("sys.stdout.flush(); os.kill(os.getpid(), 9)", -signal.SIGKILL),
    "a thread and what is done at exit": (
        "import atexit\natexit.register(print, 'last')\nthreading.Timer(0.1, print, ['late']).start()",
        0,
    ),
    "no way back": ("sys.stdout.flush(); os._exit(4)", 4),
    "no syntax": ("1 +", 1),
}


def both(project: Project, *words: str) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """How a fork and a fresh process end, and what they say."""
    process = start(words, project.root, dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert isinstance(process, Forked)
    said, errors = process.communicate(timeout=60)
    done = project.fresh(*words, status=None)
    return (process.returncode, said, errors), (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["-c", "script", "-m"])
def test_a_fork_says_and_ends_as_a_fresh_process(tmp_path: Path, end: str, kind: str) -> None:
    code, status = ENDS[end]
    (tmp_path / "said.py").write_text(LINES + code + "\n")
    words = {"-c": ("-c", LINES + code), "script": ("said.py",), "-m": ("-m", "said")}[kind]
    forked, fresh = both(Project(tmp_path), *words, "a word", "")
    assert forked == fresh
    assert fresh[0] == status


def test_a_fork_has_the_path_and_the_variables_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "lab.py").write_text("HERE = True\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "there"))
    monkeypatch.setenv("COMP_LINE", "as typed")
    forked, fresh = both(Project(tmp_path), "-c", "import lab, os, sys; print(lab.HERE, sys.path, os.environ['COMP_LINE'])")
    assert forked == fresh
    assert fresh[:2] == (0, fresh[1]) and fresh[1].startswith("True") and fresh[1].endswith("as typed\n")


@pytest.mark.parametrize("variable", ["DNNL_MAX_CPU_ISA", "OMP_NUM_THREADS", "PYTHONHASHSEED", "MKL_CBWR", "LC_ALL", "not known"])
def test_a_variable_that_may_be_read_at_the_start_gets_a_fresh_process(tmp_path: Path, variable: str) -> None:
    for environment, expected in ((dict(os.environ), True), (os.environ | {variable: "1"}, False)):
        assert can_fork(("-c", ""), tmp_path, environment) == expected


@pytest.mark.parametrize("words", [("-X", "importtime", "-c", ""), ("-E", "said.py"), ("nosuch.py",)])
def test_an_option_of_pythons_gets_a_fresh_process(tmp_path: Path, words: tuple[str, ...]) -> None:
    with start(words, tmp_path, dict(os.environ), stderr=subprocess.PIPE) as process:
        assert type(process) is FRESH
        process.communicate(timeout=60)


def test_a_fork_can_be_signalled_polled_and_waited_for(tmp_path: Path) -> None:
    code = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    with start(("-c", code), tmp_path, dict(os.environ), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid and process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.terminate()
        while process.poll() is None:
            time.sleep(0.005)
        assert process.returncode == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_forks_do_not_share_their_random_numbers(tmp_path: Path) -> None:
    code = "import random, numpy, uuid, tempfile; print(random.random(), numpy.random.rand(), uuid.uuid4(), tempfile.mktemp())"
    said = [Project(tmp_path).python("-c", code).stdout.split() for _ in range(3)]
    assert all(len(set(drawn)) == 3 for drawn in zip(*said, strict=True))


NESTED = """
import subprocess, sys
print(subprocess.run([sys.executable, "-m", "lab.replay", "a word"], capture_output=True, text=True), flush=True)
print(subprocess.run([sys.executable, "-m", "other", "a word"], capture_output=True, text=True), flush=True)
"""


def test_what_a_fork_starts_and_waits_for_is_the_same_program(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    for name in ("lab/replay.py", "other.py"):
        (tmp_path / name).write_text("import sys\nprint(sys.argv, 'numpy' in sys.modules)\nsys.exit('told')\n")
    (tmp_path / "lab" / "__init__.py").write_text("")
    forked, fresh = both(Project(tmp_path), "-c", NESTED)
    assert (forked[0], forked[1].replace("True", "False", 1), forked[2]) == fresh  # the replay was a fork, and nothing else was
    assert fresh[1].count("returncode=1") == 2 and "told" in fresh[1]


def test_a_run_in_a_fork_has_the_bits_of_a_run_in_a_fresh_process(tiny: Project, tmp_path: Path) -> None:
    for name, way in (("forked", tiny.python), ("fresh", tiny.fresh)):
        way("run.py", "baseline=tiny", "hooks=ema", "trainer.sampling.every=10")
        (tiny.root / "runs" / "tiny").replace(tmp_path / name)
    forked, fresh = (RunFolder(next(place.glob("*/seed=*"))) for place in (tmp_path / "forked", tmp_path / "fresh"))
    assert differences(forked, fresh) == []
    results = [read_json(each.result) for each in (forked, fresh)]
    assert results[0]["digests"].keys() > {"weights", "optimizer", "judged_weights", "metrics.jsonl", "samples.txt"}
    assert all(results[0][part] == results[1][part] for part in ("identity", "status", "metrics"))
