"""Configuration is data, and never much of it: no file is expanded before it is seen to be plain, none lets Hydra at the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config.options import LARGEST_OPTION_FILE, OptionFiles, read_yaml
from lab.config.words import check_single
from lab.errors import ConfigError, StoreError
from lab.store.layout import RunFolder
from lab.store.twins import begun_with
from tests.conftest import Project

# Lists of nine of the one before: 9 ** 4 words in the last. Five more would take all of a machine's memory.
BOMB = "a: &a [x]\n" + "".join(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in ("ab", "bc", "cd", "de"))


@pytest.mark.parametrize("place", ["config.yaml", "model/norm/layernorm.yaml", "data/unchosen.yaml"])
def test_a_file_of_aliases_is_refused_by_its_name_before_anything_expands_it(project: Project, place: str) -> None:
    path = project.root / "conf" / place
    path.write_text((path.read_text() if path.exists() else "") + BOMB)
    with pytest.raises(ConfigError, match=rf"conf/{place}, line \d+: \*a is a YAML alias.*\nwrite the value out"):
        project.composer().compose(("baseline=default",))


def test_a_run_is_not_read_from_a_configuration_of_aliases(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(BOMB)
    with pytest.raises(StoreError, match=r"(?s)config\.yaml can't be read: .*line 2: \*a is a YAML alias.*move .* away"):
        begun_with(RunFolder(tmp_path))


def test_a_file_too_large_to_be_a_configuration_is_refused_unread(project: Project) -> None:
    path = project.root / "conf/data/large.yaml"
    path.write_text("# " + "x" * LARGEST_OPTION_FILE)
    with pytest.raises(ConfigError, match=rf"data/large\.yaml has {path.stat().st_size} bytes.*at most {LARGEST_OPTION_FILE}"):
        project.composer().compose(("baseline=default",))


def test_a_star_that_is_no_alias_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# 4 * 16 tokens, *not* an alias\nnote: '*a'\nwhy: 2 *b\nlabel: env_copy\n")
    assert read_yaml(path) == {"note": "*a", "why": "2 *b", "label": "env_copy"}


@pytest.mark.parametrize(
    "word",
    ["hydra.job.env_copy=[HOME]", "++hydra.job.env_set.OMP_NUM_THREADS=4", "+hydra={job: {env_copy: [HOME]}}", "+hydra={run: {dir: /tmp}}"],
)
def test_no_word_on_a_command_line_lets_hydra_at_the_environment(project: Project, word: str) -> None:
    with pytest.raises(ConfigError, match=r"hydra.*around the run's place or the rule"):
        project.composer().compose(("baseline=default", word))
    with pytest.raises(ConfigError, match=r"hydra.*around the run's place or the rule"):
        check_single((word,), OptionFiles(project.root / "conf"))


@pytest.mark.parametrize(
    ("place", "lines", "key"),
    [
        ("config.yaml", "  job: {env_copy: [HOME]}\n", "hydra.job.env_copy"),
        ("config.yaml", "  job:\n    env_set:\n      OMP_NUM_THREADS: 4\n", "hydra.job.env_set"),
        ("config.yaml", '  job: {"env\\x5fcopy": [HOME]}\n', "hydra.job.env_copy"),
        ("change/sly.yaml", "# @package _global_\nhydra:\n  job: {env_copy: [HOME]}\n", "hydra.job.env_copy"),
    ],
    ids=["env_copy", "env_set", "written in escapes", "an option"],
)
def test_no_file_under_conf_lets_hydra_at_the_environment(project: Project, place: str, lines: str, key: str) -> None:
    path = project.root / "conf" / place
    path.write_text((path.read_text() if path.exists() else "") + lines)
    with pytest.raises(ConfigError, match=rf"conf/{place}, line \d+: {key} reads or sets the environment"):
        project.composer().compose(("baseline=default",))
