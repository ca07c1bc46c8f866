"""The pages that say how to add something of your own, followed to the letter: their files are written, their commands typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.baseline import pin
from lab.sweep.declared import NEEDED, OPTIONAL
from tests.conftest import CHECKOUT, TINY, Project
from tests.docs_examples.page import DOCS, Shown, commands, files, tables, write_files

SMALL = tuple(each for each in TINY if not each.startswith(("data", "model.context")))
ONLY_SOMETIMES = {"failure.json", "tensorboard/", "uncommitted.diff"}


def follow(project: Project, shown: Shown) -> str:
    """Type a command of a page on the tiny baseline, and hand back all that it says."""
    _, *words = shown.words
    words = [*(word for word in words if word.startswith("-")), "baseline=tiny", *(word for word in words if not word.startswith("-"))]
    done = project.python("run.py", *words, status=2 if shown.refused else 0)
    return done.stdout + done.stderr


def rows_of(project: Project, arm: str) -> list[dict[str, object]]:
    """The rows of metrics.jsonl of the newest run of an arm."""
    path = max(project.root.glob(f"runs/tiny/{arm}-*/seed=0-*/metrics.jsonl"), key=lambda each: each.stat().st_mtime_ns)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_page_on_hooks_works_as_it_says(tiny: Project) -> None:
    page = DOCS / "your-own-hook.md"
    write_files(page, tiny)
    shown = {each.command.removeprefix("python run.py "): each for each in commands(page)}
    assert "hooks.centre.share=2 is out of range" in follow(tiny, shown["hooks=centre hooks.centre.share=2"])
    assert "makes 2 changes" in follow(tiny, shown["hooks=[centre,grad_clip]"])
    assert "bits per byte" in follow(tiny, shown["hooks=[centre,largest]"])
    assert "bits per byte" in follow(tiny, shown["hooks=largest"])
    for arm in ("baseline", "hooks=centre"):
        assert "largest.entry" in {key for row in rows_of(tiny, arm) for key in row}
    assert "found, not trained again" in follow(tiny, shown["hooks=centre"]), "a hook that only watches must not make another arm"
    swept = follow(tiny, shown["--multirun hooks=none,centre"])
    assert swept.count("found, not trained again") == 2  # both at seed 0
    assert "hooks=centre" in swept.partition("verdict")[2]


def test_the_page_on_norms_works_as_it_says(tiny: Project) -> None:
    page = DOCS / "your-own-norm.md"
    shutil.copytree(CHECKOUT / "lab", tiny.root / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    write_files(page, tiny)
    looked, trained, _valued, misspelt, _swept = [each for each in commands(page) if each.command.startswith("python run")]
    shown = tiny.python(*looked.words).stdout
    assert "slope: 0.5" in shown
    assert "_range_" not in shown
    assert "bits per byte" in follow(tiny, trained)
    assert "did you mean model.norm.slope" in follow(tiny, misspelt)
    manifest = json.loads(next(tiny.root.glob("runs/tiny/model.norm=dyt-*/seed=0-*/manifest.json")).read_text())
    assert "lab.model.norm.dyt" in manifest["code"]


def test_the_page_on_data_works_as_it_says(tiny: Project) -> None:
    page = DOCS / "your-own-data.md"
    write_files(page, tiny)
    lines = (tiny.root / "text.txt").read_text()
    (tiny.root / "my.txt").write_text(lines)
    (tiny.root / "stories.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines.splitlines(keepends=True)))
    pins = {each.words[3]: each for each in commands(page) if each.concrete and each.command.startswith("python -m lab pin")}
    for name in ("mine", "stories"):
        tiny.python(*pins[name].words, *SMALL)
    for typed in ("baseline=mine data/tokenizer=char", "baseline=stories"):
        shown = next(each for each in commands(page) if each.command == f"python run.py {typed}")
        assert "bits per byte" in tiny.python(*shown.words).stdout
    wrong = tiny.python("run.py", "baseline=stories", "data.path=nosuch.jsonl", status=2)
    assert "no file of stories" in wrong.stderr
    assert "data.path=FILE" in wrong.stderr


def test_the_page_on_studies_works_as_it_says(tiny: Project) -> None:
    page = DOCS / "your-own-study.md"
    write_files(page, tiny)
    path = tiny.root / "conf" / "study" / "clipping.yaml"
    path.write_text(path.read_text().replace("baseline: default", "baseline: tiny").replace("looks: [8]", "looks: [4]"))  # it pins 4 seeds
    shown = {each.command: each for each in commands(page)}
    planned = tiny.python(*shown["python -m lab plan study=clipping"].words).stdout
    assert "baseline and 3 arms x 4 seeds = 16 runs" in planned
    assert "does clipping the gradient help" in planned
    _, _, *words = shown["python run.py --multirun study=clipping 'seed=range(3)'"].words
    assert "x 3 seeds = 12 runs" in tiny.python("-m", "lab", "plan", *words).stdout
    alone = shown["python run.py study=clipping hooks=grad_clip seed=5"]
    refused = tiny.python(*(word.replace("grad_clip", "ema") for word in alone.words), status=2)
    assert "hooks=ema is no arm of study `clipping`" in refused.stderr
    assert set(tables(page)["A file"]) == {*NEEDED, *OPTIONAL}


@pytest.fixture(scope="module")
def trained(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny project with its baseline trained, and an average judged on a language of known entropy: every measure that there is."""
    project = Project(tmp_path_factory.mktemp("trained") / "project")
    shutil.copytree(tiny_template, project.root)
    project.python("run.py", "baseline=tiny")
    pin(project.composer(), "spoken", ("data=grammar", "data.corpus.bytes=100000", *SMALL, "model.context=16"))
    project.python("run.py", "baseline=spoken", "hooks=ema")
    return project


def records(project: Project, name: str) -> list[dict[str, Any]]:
    """What stands in the files of this name of all runs: the whole of a .json, the rows of a .jsonl."""
    found = [path.read_text() for path in sorted(project.root.glob(f"runs/*/*/seed=0-*/{name}"))]
    assert len(found) == 2
    return [json.loads(each) for text in found for each in ([text] if name.endswith(".json") else text.splitlines())]


RUN_PAGE = DOCS / "a-run-directory.md"


def test_the_page_on_run_directories_names_every_file(trained: Project) -> None:
    found = {f"{path.name}/" if path.is_dir() else path.name for path in trained.root.glob("runs/*/*/seed=0-*/*")}
    claimed = set(tables(RUN_PAGE)["A run directory"])
    assert found <= claimed
    assert claimed - found == ONLY_SOMETIMES


@pytest.mark.parametrize("name", ["result.json", "manifest.json", "requests.jsonl", "metrics.jsonl", "timing.jsonl"])
def test_the_page_on_run_directories_names_every_key_and_no_other(trained: Project, name: str) -> None:
    assert set(tables(RUN_PAGE)[name]) == {key for record in records(trained, name) for key in record}


def test_the_page_on_run_directories_names_every_digest(trained: Project) -> None:
    (cell,) = re.findall(r"^\| `digests` \|(.*)\|$", RUN_PAGE.read_text(), flags=re.MULTILINE)
    found = {key for result in records(trained, "result.json") for key in result["digests"] if "." not in key}  # the rest are files
    assert set(re.findall(r"`([^`]+)`", cell)) == found | {"hooks=ema"}


def test_the_notebook_line_of_the_page_on_run_directories_works(trained: Project) -> None:
    (line,) = re.findall(r"In a notebook, `([^`]+)`", RUN_PAGE.read_text())
    said = trained.python("-c", f"{line}\nprint(len(lab.runs), len(lab.arms), len(lab.metrics) > 5)").stdout
    assert said.split() == ["2", "2", "True"]


def test_the_pages_spell_files_out() -> None:
    assert len(files(DOCS / "your-own-hook.md")) == 5
    assert len(files(DOCS / "your-own-norm.md")) == 2
    assert len(files(DOCS / "your-own-data.md")) == 3
    assert len(files(DOCS / "your-own-study.md")) == 1
