"""Overrides as typed: what they may be, and one clear message for each way in which they can be wrong."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lab.config.check import KINDS
from lab.config.options import OptionFiles
from lab.config.ranges import RANGE, nearest
from lab.config.schema import components, leaves
from lab.errors import ConfigError

HYDRA_KEYS = ("hydra.verbose",)
OF_A_SWEEP = ("hydra.sweeper.", "hydra/launcher", "hydra.launcher.")  # what they may say: lab/sweep/manner.py
ONLY_IN_CONF = {"trusted_modules": "it says whose code may be called, so it stands in conf/config.yaml"}


def parse(overrides: Sequence[str]) -> list[Override]:
    """Hydra's own reading of some overrides. Raises ConfigError naming the one that can't be read."""
    parsed = []
    for text in overrides:
        try:
            parsed.append(copy.copy(parse_one(text)))  # a sweep gives its own to Hydra's loader
        except HydraException as error:
            if re.search(r"[=,]\s*,|,\s*$", text) and not re.search(r"[\[({'\"]", text):
                raise ConfigError(f"can't read the override {text!r}: a value is missing beside a comma") from None
            why = f"\n{first_line(error)}" if "=" in text else ""  # else all is said
            raise ConfigError(f"can't read the override {text!r}: expected key=value{why}") from None
    return parsed


@lru_cache(maxsize=4096)  # each word of a sweep is asked about in a dozen places
def parse_one(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def study_of(overrides: Sequence[str]) -> str | None:
    """The study that some overrides name. Raises ConfigError for what is no name."""
    named = [each for each in parse(overrides) if each.key_or_group == "study"]
    return name_of_study(named[-1]) if named else None


def name_of_study(override: Override) -> str:
    text, value = override.input_line or "", override.value()
    if override.is_add() and not override.is_force_add():
        raise ConfigError(f"{text}: every run has a study already\nwrite study=NAME")
    if isinstance(value, (list, dict)) or not str(value).strip() or value is None:
        raise ConfigError(f"{text}: a study has one name\nwrite study=NAME")
    return value if isinstance(value, str) else text.partition("=")[2]


def typed_keys(overrides: Sequence[str]) -> set[str]:
    """The keys of some overrides: `trainer.optimizer.lr`, `model/norm`."""
    return {override.key_or_group for override in parse(overrides)}


def of_keys(overrides: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The overrides of some keys."""
    return [each for each, read in zip(overrides, parse(overrides), strict=True) if read.key_or_group in keys]


def check_typed(overrides: Sequence[str], files: OptionFiles) -> None:
    """Refuse what Hydra would accept in silence or explain in many lines."""
    seen: dict[str, str] = {}
    for override in parse(overrides):
        key, text = override.key_or_group, override.input_line or ""
        if key in seen:
            raise ConfigError(f"{key} is given twice: {seen[key]} and {text}\nkeep one of them")
        seen[key] = text
        if override.is_sweep_override() and key in ("note", "why"):
            raise ConfigError(
                f"{text} lists several values, and a {key} is one text\nfor its comma, quote it for Hydra too: \"{key}='a,b'\""
            )
        if override.is_sweep_override():
            raise ConfigError(f"{text} lists several values: that needs --multirun\npython run.py --multirun '{text}' ...")
        check_key(override, text, files)


def check_single(overrides: Sequence[str], files: OptionFiles) -> None:
    """Refuse the wrong ones among the words of a sweep that list no values; the lists are checked arm by arm."""
    files.require_plain()
    for override in parse(overrides):
        if not override.is_sweep_override():
            check_key(override, override.input_line or "", files, sweep=True)


def check_key(override: Override, text: str, files: OptionFiles, *, sweep: bool = False) -> None:
    """One override's key: known, allowed on a command line, and with an option that exists. `sweep`: with --multirun."""
    key = override.key_or_group
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):  # the first: +hydra={job: ...}
        if key.startswith(OF_A_SWEEP) and "${" not in text and not override.is_add():
            if not sweep:
                raise ConfigError(f"{text}: how a sweep is carried out, and this is one run\nadd --multirun, or leave it out")
        elif not key.startswith(HYDRA_KEYS):
            raise ConfigError(
                f"{text}: this setting of Hydra would go around the run's place or the rule\nleave it out; allowed: {', '.join(HYDRA_KEYS)}"
            )
        return
    if override.package is not None:
        raise ConfigError(f"{text}: a group can't be moved to another place\nwrite {key}=OPTION")
    if "${" in text:
        raise ConfigError(f"{text}: a typed value can't refer to another key\nwrite the value itself; references stand in conf/")
    if override.is_delete():
        raise ConfigError(
            f"{text}: nothing can be removed, every setting has a value\nchoose another option (hooks=none, change=none), or a value"
        )
    if key in ONLY_IN_CONF:
        raise ConfigError(f"{text}: {ONLY_IN_CONF[key]}")
    if RANGE in key.split("."):
        raise ConfigError(f"unknown key {key}: what a value may be is said by its option file alone")
    if key.startswith("hooks.") and key.endswith(".observes"):
        raise ConfigError(f"{text}: whether a hook only observes is said by its class and its option file, never by an override")
    if key == "study":
        name_of_study(override)
        return
    as_group = key.replace(".", "/")
    if as_group in files.groups and "." in key:
        raise ConfigError(
            f"{text}: {key} is a group, chosen with a slash\nwrite {as_group}=OPTION; options: {', '.join(files.groups[as_group])}"
        )
    if key in files.groups:
        check_option(key, override.value(), text, files)
    elif "/" in key or (key not in leaves() and "." not in key and not override.is_add()):
        known = [*files.groups, *leaves()]
        raise ConfigError(f"unknown key {key}{nearest(key, known)}\ngroups: {', '.join(sorted(files.groups))}")


def check_option(group: str, value: Any, text: str, files: OptionFiles) -> None:
    """The option of a group override exists; only hooks take several."""
    options = [each for each in files.groups[group] if not each.endswith(".lock")]
    if isinstance(value, list) and group != "hooks":
        raise ConfigError(f"{text}: {group} takes one option, not a list\noptions: {', '.join(options)}")
    listed = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    for each in listed:
        if listed.count(each) > 1:
            raise ConfigError(f"{text}: {each} is listed twice\nkeep one of them")
        if each not in options:
            hint = "\nmake it: python -m lab pin NAME [overrides]" if group == "baseline" else ""
            raise ConfigError(f"{group} has no option {each!r}{nearest(each, options)}\noptions: {', '.join(options)}{hint}")


@contextmanager
def explained(overrides: Sequence[str], files: OptionFiles) -> Iterator[None]:
    """Turn what Hydra, OmegaConf and YAML raise into one message for the user; they see no file that isn't plain."""
    files.require_plain()
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError, AssertionError, ValueError) as error:
        raise ConfigError(explain(error, overrides, files)) from None


def explain(error: BaseException, overrides: Sequence[str], files: OptionFiles) -> str:
    """The message for an error of composing. Unknown kinds keep the first line of what was raised."""
    cause = root_of(error)
    if isinstance(cause, YAMLError):
        mark = getattr(cause, "problem_mark", None)
        where = f"{mark.name}, line {mark.line + 1}" if mark is not None else "a file in conf/"
        return f"{where} isn't valid YAML: {getattr(cause, 'problem', None) or first_line(cause)}"
    named = [each for each in parse(list(overrides)) if f"'{each.key_or_group}'" in str(error)]  # Could not override 'model.typo'
    unknown = unknown_keys(named or parse(list(overrides)), files)
    if unknown:
        return unknown[0]
    full_key = getattr(cause, "full_key", None)
    if full_key:
        return f"{full_key}: {first_line(cause)}"
    return first_line(cause)


def unknown_keys(overrides: Iterable[Override], files: OptionFiles) -> list[str]:
    """A message for each typed value key that neither the schema nor any option file knows."""
    having = files.options_having(components())
    known = [*leaves(), *having]
    messages = []
    for override in overrides:
        key = override.key_or_group
        if key.startswith("hooks."):
            messages.append(unknown_of_hook(key, files))
        elif key in known and key not in leaves():
            messages.append(f"the chosen option has no {key}\nchoose one that has it ({', '.join(having[key])}), or leave it out")
        elif key not in known and key not in files.groups and not key.startswith("hydra"):
            messages.append(f"unknown key {key}{nearest(key, known)}\n`python run.py --cfg job` shows every key")
    return messages


def unknown_of_hook(key: str, files: OptionFiles) -> str:
    """A key at a hook's node that isn't there: the hook isn't chosen, or it has no such key."""
    _, name, *rest = key.split(".")
    takes = [each for each in files.declared(f"hooks.{name}", {}) or {} if each not in ("_target_", "observes")]
    if not takes or ".".join(rest) in takes:
        return f"unknown key {key}: is the hook chosen?\nadd hooks={name}"
    return f"unknown key {key}{nearest(key, [f'hooks.{name}.{each}' for each in takes])}\n{name} takes: {', '.join(takes)}"


def root_of(error: BaseException) -> BaseException:
    """The first cause that says most: Hydra wraps what OmegaConf and YAML raise."""
    while error.__cause__ is not None and isinstance(error.__cause__, (OmegaConfBaseException, YAMLError, HydraException)):
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, in plain words where we have them."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for kind, short, plain in (("Integer", "int", KINDS[int]), ("Float", "float", KINDS[float]), ("Boolean", "bool", KINDS[bool])):
        line = re.sub(
            rf"( of type '\w+')? (could not be converted to {kind}|is not a valid {short}( \(type \w+\))?)$", f" isn't {plain}", line
        )
    return line


def render(value: Any) -> str:
    """A plain value in Hydra's override grammar."""
    if isinstance(value, str):
        # in Hydra's grammar a backslash is one unless it stands before a quote
        body = re.sub(r"(\\*)'", r"\1\1\\'", value)
        return "'" + re.sub(r"(\\+)$", r"\1\1", body) + "'"
    if isinstance(value, list):
        return "[" + ",".join(render(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{render(each)}" for key, each in value.items()) + "}"
    return "null" if value is None else repr(value).lower() if isinstance(value, bool) else repr(value)


def shell(word: str) -> str:
    """A word as it is typed in a shell: quoted only where it must be."""
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else shlex.quote(word)
