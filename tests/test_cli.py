"""The verbs of `python -m lab`: what they say of an empty store, of a full one and of a mistake, and what they leave on the disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from lab import verbs
from lab.cli import main
from lab.files import read_json
from lab.store.machine import torch_build
from lab.sweep.frozen import declare_family
from lab.sweep.plan import make_plan
from tests.conftest import CHECKOUT, Project
from tests.results.store import Store
from tests.test_runner import ask, only_run

VERBS = ("report", "runs", "show", "plan", "pin", "bench", "sites", "replay", "certify")


class Lab:
    """`lab WORDS` in a project, in this process."""

    def __init__(self, project: Project, captured: pytest.CaptureFixture[str]) -> None:
        self.project, self.captured = project, captured

    def __call__(self, *words: str, status: int = 0) -> str:
        """What it said on standard output, or on standard error where it has to fail."""
        found = main(["--root", str(self.project.root), *words])
        said = self.captured.readouterr()
        assert found == status, f"exit status {found}, not {status}\n{said.out}\n{said.err}"
        assert (said.out if status else said.err) == ""
        return said.err if status else said.out


@pytest.fixture
def lab(tiny: Project, capsys: pytest.CaptureFixture[str]) -> Lab:
    return Lab(tiny, capsys)


def test_help_lists_every_verb_and_a_verb_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"^ +{verb} +\w+", said, re.MULTILINE), verb
        with pytest.raises(SystemExit) as left:
            main([verb, "--help"])
        assert left.value.code == 0 and f"lab {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["nope"], ["report", "--format", "pdf"], ["runs", "more"], ["pin"], ["pin", "a", "--nope"]])
def test_a_misspelt_command_shows_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2 and capsys.readouterr().err.startswith("usage: lab")


def test_a_misspelt_verb_is_told_which_was_meant_and_words_without_quotes_to_quote_them(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", "somewhere", "reprot"]) == 2
    assert capsys.readouterr().err.startswith("there is no verb 'reprot': did you mean report?\n")
    assert lab("conclude", "hooks=ema", "it", "isn't", "so", status=2).endswith("put your words in quotes: 'it isn'\"'\"'t so'\n")
    assert "flags stand before `--`" in lab("conclude", "hooks=ema", "--", "-0.1", "--baseline", "tiny", status=2)


def test_long_lines_are_folded_to_their_own_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert verbs.folded("a: b\n\n  one two three four five\nx  y") == "a: b\n\n  one two three four\n  five\nx  y"


def test_only_the_report_goes_into_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    store.baseline(3)
    store.shifted("model/norm=rmsnorm", 3, -0.02)
    asked = {"baseline": "demo", "arms": "*", "cohort": None, "out": None, "figures": tmp_path / "figures"}
    verbs.report(Namespace(format="json", **asked), tmp_path)
    said = capsys.readouterr()
    assert json.loads(said.out)["rules"]["baseline"] == "demo"
    written = [line.removeprefix("written: ") for line in said.err.splitlines()]
    assert written
    assert sorted(written) == sorted(map(str, (tmp_path / "figures").iterdir()))


def test_a_file_that_cannot_be_written_is_named_and_its_ending_may_be_in_capitals(lab: Lab, tmp_path: Path) -> None:
    assert lab("report", "--baseline", "tiny", "--out", "/proc/x.md", status=1).startswith("/proc/x.md: ")
    assert lab("report", "--baseline", "tiny", "--out", str(tmp_path / "x.HTML")).startswith("written: ")


def test_an_arm_that_is_not_there_is_a_mistake_in_every_verb_that_takes_one(lab: Lab) -> None:
    for verb in (("conclude", "hooks=ema", "fine"), ("confirm", "hooks=ema")):
        assert lab(*verb, "--baseline", "tiny", status=2).startswith("no arm of baseline `tiny` fits 'hooks=ema'")
    assert "did you mean ingredients?" in lab("plan", "study=ingredient", status=2)


def test_a_plan_refuses_a_study_that_was_edited_since_it_was_declared_as_its_sweep_would(lab: Lab) -> None:
    path = lab.project.root / "conf" / "study" / "parts.yaml"
    path.write_text("question: which?\nbaseline: tiny\narms: [hooks=ema]\n")
    assert "question: which?" in lab("plan", "study=parts")
    declare_family(make_plan(lab.project.composer(), ["study=parts"], ""), lab.project.root)
    path.write_text(path.read_text().replace("hooks=ema", "hooks=grad_clip"))
    before = lab.project.files()
    refused = lab("plan", "study=parts", status=2)
    assert "study `parts` was declared with other things" in refused and "arms: now also hooks=grad_clip; without hooks=ema" in refused
    assert lab.project.files() == before


def test_an_empty_store_says_what_to_do_next(lab: Lab) -> None:
    assert lab("runs") == "no runs yet\ntrain one: python run.py\n"
    assert "python run.py --multirun baseline=tiny hooks=none,grad_clip seed=0,1\n" in lab("report", "--baseline", "tiny")
    planned = lab("plan", "baseline=tiny", "hooks=none,grad_clip")
    assert re.search(r"^hooks=grad_clip +missing +missing$", planned, re.MULTILINE)
    assert "4 of 4 runs to train: their cost is unknown until one has finished" in planned
    assert not list(lab.project.root.glob("runs/tiny")) and not (lab.project.root / "multirun").exists()


MISTAKES = {
    "report --baseline nope": (2, "there is no baseline `nope`\nbaselines: default, "),
    "report --baseline ../x": (2, "'../x' can't name a baseline"),
    "plan baseline=nope": (2, "baseline has no option 'nope'"),
    "plan hooks=nope": (2, "hooks has no option 'nope'"),
    "show nope": (1, "no run fits 'nope'\n`python -m lab runs` lists them"),
    "conclude hooks=ema fine --baseline tiny": (2, "no arm of baseline `tiny` fits 'hooks=ema'"),
    "pin tiny": (2, "baseline `tiny` is pinned already\nchoose another name, or pin it anew: python -m lab pin tiny --again"),
    "pin Tiny": (2, "'Tiny' can't name a baseline: use lower-case letters"),
    "pin ../tiny": (2, "can't name a baseline"),
    "pin none": (2, "can't name a baseline"),
    "pin a/b": (2, "can't name a baseline"),
    "pin more model.widht=3": (2, "model.widht"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_told_in_words_and_writes_nothing(lab: Lab, words: str) -> None:
    status, message = MISTAKES[words]
    before = lab.project.files()
    assert message in lab(*words.split(), status=status)
    assert lab.project.files() == before


def test_one_run_is_listed_shown_reported_and_costs_the_next(lab: Lab) -> None:
    result = ask(lab.project, "baseline=tiny", "note=the first")
    bits = f"{result['metrics']['validation_bits_per_byte']:.4f}"
    lab.captured.readouterr()
    listed = lab("runs").splitlines()
    assert (
        re.fullmatch(rf"tiny +baseline-\w{{6}} +0 +{result['identity'][:12]} +finished +{bits} +\d+ s", listed[1]) and listed[2] == "1 run"
    )
    assert "no runs first trained for baseline `other`" in lab("runs", "--baseline", "other")
    for word in (result["identity"][:12], result["identity"], "seed=0", str(only_run(lab.project).path)):
        shown = lab("show", word)
        assert "baseline of `tiny` in study `screening`: the first" in shown and "20 steps of 64 tokens" in shown
    assert f"{result['metrics']['validation_bits_per_byte']:,.6g}" in shown and "checkpoint/step-00000020.safetensors" in shown
    assert re.search(r"^1 of 2 runs to train: about \d+ s on this machine(, \d at once)?$", lab("plan", "baseline=tiny"), re.MULTILINE)

    markdown = lab("report", "--baseline", "tiny", "--format", "md")
    assert markdown.startswith("# Baseline tiny\n") and f"| {bits} |" in markdown
    out = lab.project.root / "new folder" / "report.md"
    assert lab("report", "--baseline", "tiny", "--out", str(out)) == f"written: {out}\n"
    assert out.read_text() == markdown


def test_a_report_replaces_no_device_and_no_folder(lab: Lab) -> None:
    for place in ("/dev/null", str(lab.project.root)):
        assert "isn't a plain file" in lab("report", "--baseline", "tiny", "--out", place, status=2)
    assert Path("/dev/null").is_char_device()
    blocked = lab.project.root / "text.txt" / "report.md"
    assert lab("report", "--baseline", "tiny", "--out", str(blocked), status=1).endswith(("Not a directory\n", "File exists\n"))


def test_a_pin_is_two_files_and_one_pinned_again_keeps_the_old_lock(lab: Lab) -> None:
    folder = lab.project.root / "conf" / "baseline"
    said = lab("pin", "clipped", "baseline=tiny", "hooks=grad_clip")
    assert "can't run it" not in said and "pinned baseline `clipped`" in said and said.endswith("next: python run.py baseline=clipped\n")
    old, lock = (folder / "clipped.lock.json").read_bytes(), read_json(folder / "clipped.lock.json")
    assert lock["composition"]["hooks"]["grad_clip"]["max_norm"] == 1.0
    assert "clipped" in lab("report", "--baseline", "clipped")

    for words in (("--again", "trainer.optimizer.lr=2e-3"), ("trainer.optimizer.lr=4e-3", "--again")):
        said = lab("pin", "clipped", *words)
        assert re.search(r"^  trainer.optimizer.lr: 0.00[12] -> 0.00[24]$", said, re.MULTILINE), said
    assert (folder / "clipped.lock.1.old.json").read_bytes() == old
    assert json.loads((folder / "clipped.lock.2.old.json").read_text())["composition"]["trainer"]["optimizer"]["lr"] == 0.002
    assert sorted(path.name for path in folder.glob("clipped*")) == [
        "clipped.lock.1.old.json",
        "clipped.lock.2.old.json",
        "clipped.lock.json",
        "clipped.yaml",
    ]
    assert read_json(folder / "clipped.lock.json")["composition"]["hooks"] == lock["composition"]["hooks"]
    assert "python run.py --multirun baseline=clipped" in lab("report", "--baseline", "clipped")


@pytest.mark.skipif(torch_build()["cuda"] is not None, reason="not run: this torch has CUDA")
def test_a_pin_for_a_device_that_is_not_here_is_made_and_says_so(lab: Lab) -> None:
    said = lab("pin", "elsewhere", "baseline=tiny", "device=cuda", "device.threads=1")
    assert "this machine can't run it: device.kind=cuda" in said and "pinned baseline `elsewhere`" in said


def test_a_pin_made_again_checks_the_composition_that_it_pins(lab: Lab) -> None:
    """24 x 16 is a whole part of 1920 tokens and none of the default's batch of 4; the text is found by the pin's own path."""
    lab("pin", "mine", "baseline=tiny", "trainer.tokens=1920")
    said = lab("pin", "mine", "--again", "trainer.batch_size=24")
    assert re.search(r"^  trainer.batch_size: 4 -> 24$", said, re.MULTILINE), said
    said = lab("pin", "mine", "--again", "data=text", "model.context=8", "trainer.evaluation.block=8")
    assert re.search(r"^  model.context: 16 -> 8$", said, re.MULTILINE), said
    assert "  path: text.txt\n" in (lab.project.root / "conf" / "baseline" / "mine.yaml").read_text()


def test_the_project_is_found_from_a_folder_inside_it_or_named(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = lab.project.root / "conf" / "model"
    monkeypatch.chdir(inside)
    assert main(["report", "--baseline", "tiny"]) == 0 and "Baseline tiny" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert "Baseline tiny" in lab("report", "--baseline", "tiny")
    assert main(["--root", str(tmp_path / "nowhere"), "runs"]) == 2
    assert "no conf/config.yaml there\ngive the folder" in capsys.readouterr().err


def test_a_broken_pipe_is_quiet(tiny: Project) -> None:
    for words in ("runs", "report --baseline tiny --format md"):
        command = f"exec 3>&1; {{ {sys.executable} -m lab {words}; echo $? >&3; }} | true"
        done = subprocess.run(["bash", "-c", f"{command}; wait"], cwd=tiny.root, capture_output=True, text=True, check=False, timeout=60)
        assert (done.stdout, done.stderr) == ("0\n", ""), words


def test_another_copy_of_the_code_than_the_projects_own_is_refused(lab: Lab, tmp_path: Path) -> None:
    """An edit of the project's lab/ would move nothing, and be taken for a change that did nothing."""
    shutil.copytree(CHECKOUT / "lab", lab.project.root / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    err = lab("runs", status=2)
    assert str(lab.project.root / "lab") in err and str(CHECKOUT / "lab") in err and "pip install -e" in err
