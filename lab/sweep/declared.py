"""Studies declared by hand: `conf/study/NAME.yaml` holds a question, a baseline, its arms, and how they will be judged.

    question: which of the standard ingredients matter at this budget?
    baseline: demo            # which pin it is about
    arms:                     # each one change, as typed after `python run.py`
      - model/norm=rmsnorm
      - trainer/optimizer=lion trainer.optimizer.lr=3e-4
    looks: [8]                # optional: in place of the pin's
    smallest_effect: 0.004    # optional: D in place of the pin's

Owns the reading of such a file and every reason to refuse it, before anything starts. Plans no run, writes nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.ablate.lock import load_pin
from lab.ablate.refusal import require_one_change
from lab.ablate.rule import Tally, count_changes
from lab.config import words
from lab.config.check import check_judgement
from lab.config.compose import Composer
from lab.config.diff import say
from lab.config.options import STUDIES, read_yaml
from lab.config.ranges import nearest
from lab.errors import ConfigError, LabError, OneChangeError
from lab.store.studies import require_free
from lab.sweep.arms import factor_hash
from lab.sweep.listed import makes_an_arm

NEEDED = ("question", "baseline", "arms")
OPTIONAL = ("looks", "smallest_effect")
NAME = re.compile(r"[\w.=+-]+")


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_text, value))


def are_counts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)


def is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "question": (is_text, "a text"),
    "baseline": (is_text, "the name of a pinned baseline"),
    "arms": (are_texts, "a list with a line for each arm, as typed after `python run.py` (with a `:` or `#` in it, quote the line)"),
    "looks": (are_counts, "a list of whole numbers of seeds, as [8]"),
    "smallest_effect": (is_amount, "a positive number, in the metric's unit"),
}


@dataclass(frozen=True)
class Declared:
    """A study as its file declares it. None for looks or smallest_effect: the pin's own."""

    name: str
    question: str
    baseline: str
    arms: tuple[tuple[str, ...], ...]  # each as its words
    looks: tuple[int, ...] | None
    smallest_effect: float | None

    @property
    def file(self) -> str:
        return f"conf/{STUDIES}/{self.name}.yaml"

    def wrong(self, at: str, why: str) -> ConfigError:
        return ConfigError(f"{self.file}, {at}: {why}")

    def started(self, typed: Sequence[str]) -> list[str]:
        """Typed words with the study's baseline before them, where they name none."""
        return list(typed) if "baseline" in words.typed_keys(typed) else [f"baseline={self.baseline}", *typed]


def read_study(composer: Composer, name: str) -> Declared | None:
    """The study of this name, checked but for its arms; None where no file declares it. Raises ConfigError."""
    path = composer.conf / STUDIES / f"{name}.yaml"
    if not NAME.fullmatch(name) or not path.is_file():
        return None
    file = f"conf/{STUDIES}/{name}.yaml"
    try:
        require_free(name)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    with words.explained((), composer.files):
        tree = read_yaml(path)
    for key in tree:
        if key not in KINDS:
            raise ConfigError(
                f"{file}, {key}: unknown key{nearest(key, KINDS)}\na study has {', '.join(NEEDED)}, and may have {', '.join(OPTIONAL)}"
            )
    for key, (fits, kind) in KINDS.items():
        if key in NEEDED and key not in tree:
            raise ConfigError(f"{file}, {key}: it is missing\nwrite {kind}")
        if (key in NEEDED or tree.get(key) is not None) and not fits(tree[key]):
            raise ConfigError(f"{file}, {key}: {say(tree[key])} is not {kind}")
    looks, smallest = tree.get("looks"), tree.get("smallest_effect")
    declared = Declared(
        name=name,
        question=" ".join(tree["question"].split()),
        baseline=tree["baseline"],
        arms=tuple(tuple(split_words(line, f"{file}, arm {number}")) for number, line in enumerate(tree["arms"], 1)),
        looks=None if looks is None else tuple(looks),
        smallest_effect=None if smallest is None else float(smallest),
    )
    check_rules(declared, composer)
    return declared


def split_words(line: str, where: str) -> list[str]:
    """An arm's words, as a shell would split them."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"{where}: {line!r} can't be split into words: {error}\nclose the quote") from None


def check_rules(declared: Declared, composer: Composer) -> None:
    """The study's baseline is pinned, and its looks can be taken on the pin's seeds."""
    try:
        judgement = load_pin(composer.root, declared.baseline).judgement
    except LabError as error:
        raise declared.wrong("baseline", str(error)) from None
    try:
        check_judgement(judgement | ({} if declared.looks is None else {"looks": list(declared.looks)}))
    except ConfigError as error:
        raise declared.wrong("looks", str(error)) from None


def family_of(composer: Composer, declared: Declared, beside: Sequence[str] = ()) -> list[Tally]:
    """The baseline, then each declared arm, composed with the words that were typed beside the study. Raises LabError."""
    start = count_changes(composer, tuple(declared.started(beside)))
    if start.pin.name != declared.baseline:
        raise ConfigError(f"baseline={start.pin.name}: study `{declared.name}` is about baseline `{declared.baseline}`\nleave the word out")
    if start.drifted or start.stale:
        require_one_change(start)
    if start.changes or start.incomparable or start.exploring:
        raise OneChangeError(
            f"refused: {start.label} beside study={declared.name} would change its baseline\n"
            f"leave it out; what is to be compared stands among the arms in {declared.file}"
        )
    found = {factor_hash(start): "the baseline"}
    tallies = [start]
    for number, arm in enumerate(declared.arms, 1):
        at = f"arm {number} ({' '.join(words.shell(word) for word in arm)})"
        tally = tally_of(composer, declared, at, (*declared.started(beside), *arm), arm)
        known = found.setdefault(factor_hash(tally), f"arm {number}")
        if known == "the baseline":
            raise declared.wrong(at, f"it changes nothing in baseline `{declared.baseline}`\nleave it out")
        if known != f"arm {number}":
            raise declared.wrong(at, f"it is {known} again\nkeep one of them")
        tallies.append(tally)
    return tallies


def tally_of(composer: Composer, declared: Declared, at: str, typed: tuple[str, ...], arm: Sequence[str]) -> Tally:
    """One declared arm, counted: at most one change, made of nothing but factors."""
    try:
        for key in words.typed_keys(arm):
            if not makes_an_arm(key, composer):
                raise ConfigError(f"{key} makes no arm\ntype it beside study={declared.name}, for all arms alike, where that is allowed")
        tally = count_changes(composer, typed)
        require_one_change(tally)
    except LabError as error:
        raise declared.wrong(at, str(error)) from None
    return tally


def require_member(composer: Composer, declared: Declared, tally: Tally) -> None:
    """A single run that names the study is its baseline or one of its arms. Raises LabError."""
    if tally.pin.name != declared.baseline:
        raise ConfigError(f"baseline={tally.pin.name}: study `{declared.name}` is about baseline `{declared.baseline}`")
    family = family_of(composer, declared, words.of_keys(tally.composition.overrides, ("data.path",)))
    if tally.exploring or factor_hash(tally) not in map(factor_hash, family):
        listing = "\n".join(f"  {' '.join(words.shell(word) for word in arm)}" for arm in declared.arms)
        raise OneChangeError(
            f"refused: {tally.label} is no arm of study `{declared.name}`; its arms were declared before their data:\n{listing}\n"
            f"leave study={declared.name} out, or declare another study with it in conf/{STUDIES}/"
        )
