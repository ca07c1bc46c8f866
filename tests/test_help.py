"""What a user sees before typing a run: `--help`, and bash's tab completion. Both come from conf/ as it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.config.compose import Composer
from lab.errors import ConfigError
from tests.conftest import Project, copy_of_the_project

HEAVY = ("torch", "numpy", "pandas", "scipy", "rich")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_of_the_project(tmp_path_factory.mktemp("help") / "project")


@pytest.fixture(scope="module")
def shown(untouched: Project) -> str:
    return untouched.python("run.py", "--help").stdout


def offered(project: Project, line: str) -> list[str]:
    """What completion offers behind `python run.py LINE`."""
    line = f"python run.py {line}"
    return project.python("run.py", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).stdout.split()


def test_help_fits_a_terminal_of_80_columns(shown: str) -> None:
    assert [line for line in shown.splitlines() if len(line) > 80] == []


def test_help_lists_every_group_with_every_option(untouched: Project, shown: str) -> None:
    words = shown.partition("Groups and their options:")[2].replace(",", " ").replace(":", " ").split()
    for group, options in untouched.composer().files.groups.items():
        assert group in words
        assert set(options) <= set(words), group


def test_help_lists_an_option_that_was_just_added(project: Project) -> None:
    (project.root / "conf/model/norm/mine.yaml").write_text("_target_: lab.model.norm.none.NoNorm\n")
    assert "mine" in project.python("run.py", "--help").stdout


def test_help_says_how_to_sweep_what_the_rule_is_and_where_the_verbs_are(shown: str) -> None:
    for words in ("--multirun", "seed=range(5)", "one\nchange", "explore=true", "--cfg job", "python -m lab", "-sc install=bash"):
        assert words in shown


@pytest.mark.parametrize("line", ["model/norm=", "data/tokenizer=", "trainer/schedule=", "hooks=", "baseline=", "device=", "change="])
def test_completion_offers_just_the_options_of_a_group(untouched: Project, line: str) -> None:
    options = untouched.composer().files.groups[line.rstrip("=")]
    assert offered(untouched, line) == sorted(f"{line}{option}" for option in options)


def test_completion_knows_nested_groups_and_the_keys_of_a_chosen_option(untouched: Project) -> None:
    assert {"model/norm=", "model/mlp="} <= set(offered(untouched, "model/"))
    assert "hooks.grad_clip.max_norm=" in offered(untouched, "hooks=grad_clip hooks.grad_clip.m")
    assert "trainer.optimizer.momentum=" in offered(untouched, "trainer/optimizer=sgd trainer.optimizer.m")


@pytest.mark.parametrize("line", ["", "model", "model.", "model.norm.", "trainer.", "trainer.optimizer.", "data.", "device.", "judgement."])
def test_what_completion_offers_is_a_key_that_can_be_typed(untouched: Project, line: str) -> None:
    found = offered(untouched, line)
    assert found
    composer = untouched.composer()
    for each in found:
        if each.endswith("=") and "/" not in each:
            require_known(composer, each)
        assert not each.startswith(("hydra", "trusted_modules")), "refused on a command line"
        assert "._range_" not in each and "._target_" not in each, "belongs to the option's file"


def require_known(composer: Composer, key: str) -> None:
    """A key is known if a wrong value is what its message complains of, or the value passes."""
    try:
        composer.compose((f"{key}1",))
    except ConfigError as error:
        assert "unknown key" not in str(error), key


def test_completion_loads_nothing_heavy(untouched: Project) -> None:
    line = "python run.py model/norm="
    done = untouched.python("-X", "importtime", "run.py", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    imported = {each.rpartition("|")[2].strip() for each in done.stderr.splitlines() if each.startswith("import time:")}
    assert "hydra" in imported, "the log of imports is empty: this test could not fail"
    assert not imported & set(HEAVY)


def test_bash_completes_after_the_line_that_help_shows(untouched: Project, shown: str) -> None:
    bash, folder = shutil.which("bash"), Path(sys.executable).parent
    if bash is None or not (folder / "python").exists():
        pytest.skip("not run: no bash here, or no `python` beside the interpreter")
    line = "python run.py model/norm=rms"
    script = (
        shown.rpartition("once: ")[2]
        + f"\nCOMP_LINE='{line}' COMP_POINT={len(line)} COMP_CWORD=2 hydra_bash_completion"
        + '\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", script], cwd=untouched.root, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["model/norm=rmsnorm"], done.stderr
