"""A list of arms: exactly those of `change=a,b`, and those of the file that `hydra.sweeper.arms=FILE.yaml` names (typed: --arms FILE.yaml).

    - model/norm=rmsnorm                                    # an arm: its words in one line,
    - [trainer/optimizer=lion, trainer.optimizer.lr=3e-4]   # or as a list

Owns the reading of such a file. Each arm is one change; what is wrong with them is told together, before anything starts. The file is
looked for from the shell's folder. A study that should stand in the repository with its question belongs to conf/study.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words as spelling
from lab.config.compose import Composer
from lab.config.options import require_plain
from lab.errors import ConfigError, LabError
from lab.store.plain import plain
from lab.sweep.arms import distinct, explores, factor_hash, judge_values, refuse_single_values
from lab.sweep.designs.laid import Laid, Words
from lab.sweep.listed import makes_an_arm

MOST, FLAG = 200, "--arms"
ARMS, DESIGN = "hydra.sweeper.arms=", "hydra.sweeper.design="
AS_WRITTEN = "write each arm as a line of words, as typed after `python run.py`, or as a list of words"


def lay(composer: Composer, words: Words) -> Laid:
    """The baseline and exactly the listed arms. Raises LabError for what makes no fair comparison."""
    rest = words.without("change")
    if rest.listed:
        raise ConfigError(
            f"{', '.join(rest.listed)} can't be listed with hydra.sweeper.design=list: it tries exactly its own arms\n"
            f"add them to a file: {FLAG} FILE.yaml; or leave the design out"
        )
    start = count_changes(composer, tuple(rest.fixed))
    refuse_single_values(start, rest.listed)
    if words.arms is None and not words.of("change"):
        raise ConfigError(
            f"hydra.sweeper.design=list names no arm\nlist named interventions: change=wide,deep; or a file: {FLAG} FILE.yaml\n{AS_WRITTEN}"
        )
    named = judge_values(composer, rest.fixed, "change", words.of("change"))
    filed = [] if words.arms is None else arms_of(composer, rest.fixed, Path(words.arms), start)
    return Laid(tuple(distinct([start, *named, *filed])))


def arms_of(composer: Composer, fixed: Sequence[str], path: Path, start: Tally) -> list[Tally]:
    """The arms of a file, counted. Raises ConfigError with all that is wrong, a paragraph for each arm."""
    wrong, tallies = [], []
    known = {factor_hash(start): "the baseline"}
    for place, arm in enumerate(read_arms(path), 1):
        try:
            tally = count(composer, fixed, arm)
            other = known.setdefault(factor_hash(tally), f"arm {place}")
            if other == "the baseline":
                raise ConfigError(f"it changes nothing in baseline `{start.pin.name}`\nleave it out")
            if other != f"arm {place}":
                raise ConfigError(f"it is {other} again\nkeep one of them")
            tallies.append(tally)
        except LabError as error:
            wrong.append(f"arm {place} ({plain(' '.join(map(spelling.shell, arm)))}): {error}")
    if wrong:
        raise ConfigError(f"{plain(str(path))}: {len(wrong)} of its arms can't be tried\n" + "\n".join(wrong))
    return tallies


def count(composer: Composer, fixed: Sequence[str], arm: Sequence[str]) -> Tally:
    """One arm of the file: one change, made of nothing but factors."""
    for each in spelling.parse(arm):
        key = each.key_or_group
        if each.is_sweep_override():
            raise ConfigError(f"{each.input_line} lists several values\ngive each an arm of its own")
        if not makes_an_arm(key, composer):
            raise ConfigError(f"{key} makes no arm\ntype it beside {FLAG}, for all arms alike, where that is allowed")
    tally = count_changes(composer, (*fixed, *arm))
    require_one_change(tally)
    if tally.exploring:
        raise explores(tally)
    return tally


def read_arms(path: Path) -> list[list[str]]:
    """Each arm of a file as its words. Raises ConfigError where the file isn't such a list."""
    said = plain(str(path))
    if path.exists() and not path.is_file():
        raise ConfigError(f"{FLAG} {said}: a folder, or something else that is no plain file\n{AS_WRITTEN}")
    if not path.is_file():
        raise ConfigError(f"{FLAG} {said}: there is no such file, seen from the folder that this was typed in\n{AS_WRITTEN}")
    try:
        require_plain(path)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise ConfigError(f"{said} can't be read: {plain(str(error).splitlines()[0])}\n{AS_WRITTEN}") from None
    if not isinstance(content, list) or not content:
        raise ConfigError(f"{said} holds no list of arms\n{AS_WRITTEN}")
    if len(content) > MOST:
        raise ConfigError(f"{said} lists {len(content)} arms: {MOST} is the most\nsplit it, and run one file after the other")
    wrong = [f"  arm {place}: {why}" for place, arm in enumerate(content, 1) if (why := why_no_arm(arm))]
    if wrong:
        raise ConfigError(
            "\n".join([f"{said}: {len(wrong)} of its arms aren't words", *wrong, f"{AS_WRITTEN}; quote one with a `:` or `#` in it"])
        )
    return [shlex.split(arm) if isinstance(arm, str) else arm for arm in content]


def why_no_arm(arm: Any) -> str:
    """Why an entry of the file is no list of words; empty where it is one."""
    if isinstance(arm, str):
        try:
            return "" if shlex.split(arm) else "it is empty"
        except ValueError as error:
            return f"it can't be split into words: {error}"
    if isinstance(arm, list) and all(isinstance(word, str) for word in arm):
        return "" if arm else "it is empty"
    return f"it is a {type(arm).__name__}, not a text or a list of texts"


def with_arms_as_words(typed: Sequence[str]) -> list[str]:
    """`--arms FILE` and `--arms=FILE` as the words that mean it; the design is `list` where none is typed. Raises ConfigError."""
    rest, files = [], []
    words = iter(typed)
    for word in words:
        if word == FLAG or word.startswith(f"{FLAG}="):
            files.append(word.partition("=")[2] if "=" in word else next(words, ""))
        else:
            rest.append(word)
    if not files:
        return rest
    if len(files) > 1 or not files[0] or any(word.startswith(ARMS) for word in rest):
        raise ConfigError(f"{FLAG} takes one file\n{FLAG} arms.yaml")
    design = [] if any(word.startswith(DESIGN) for word in rest) else [f"{DESIGN}list"]
    return [*rest, *design, f"{ARMS}{spelling.render(files[0])}"]


def as_typed(words: Sequence[str], root: Path) -> list[str]:
    """A sweep's words as a person writes them in the project's folder: `--arms=FILE` in place of what it stands for."""
    files = [value for word in words if word.startswith(ARMS) and isinstance(value := spelling.parse([word])[0].value(), str)]
    if not files:
        return list(words)
    path = Path(files[0]).absolute()
    said = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return [*(word for word in words if not word.startswith(ARMS) and word != f"{DESIGN}list"), f"{FLAG}={said}"]
