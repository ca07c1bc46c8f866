"""What a user is offered before a run: the text of `--help`, and which of Hydra's completions are worth typing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from textwrap import fill

from omegaconf import OmegaConf

from lab.config.misread import STUDY
from lab.config.options import STUDIES, OptionFiles, read_yaml

WIDTH = 80
# Keys that completion would offer and that no command line may set.
NOT_TYPED = re.compile(r"\b_(range|target)_|^[+~]?(hydra|trusted_modules|why)\b")


def offered(completions: Sequence[str]) -> list[str]:
    """The completions that may be typed."""
    return [each for each in completions if not NOT_TYPED.search(each)]


def line_to_complete(line: str) -> str:
    """A line as Hydra may complete it: without a study that stands before its last word, which Hydra would take for an option."""
    *before, last = line.split(" ")
    return " ".join([*(each for each in before if not STUDY.match(each)), last])


def help_text(conf: Path) -> str:
    """What `--help` prints: the template in conf/config.yaml. Hydra would print each group on one line, however long."""
    files = OptionFiles(conf)
    groups = files.groups | ({STUDIES: files.studies} if files.studies else {})
    margin = max(map(len, groups)) + 4
    listed = [
        fill(
            ", ".join(sorted(groups[group])),
            WIDTH,
            break_on_hyphens=False,
            initial_indent=f"  {group}".ljust(margin),
            subsequent_indent=" " * margin,
        )
        for group in sorted(groups)
    ]
    template = OmegaConf.create(read_yaml(conf / "config.yaml")).hydra.help.template
    return Template(template).substitute(APP_CONFIG_GROUPS="\n".join(listed) + "\n")
