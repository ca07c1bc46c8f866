"""The words of a sweep: which stand alone, which list values, and which seeds they ask for. Composes no arm, judges no change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.types import Override, Sweep

from lab.config import words
from lab.config.compose import UNCOUNTED_GROUPS, Composer
from lab.config.identity import role_of
from lab.config.schema import leaves
from lab.errors import ConfigError

TEXTS = ("note", "why", "study", "data.path")
NOT_LISTED = ("baseline", "device", "data", "trainer")  # groups whose options make no arm
VERBS = {"selfcheck": "python -m lab selfcheck", "confirm": "python -m lab confirm ARM"}  # studies that only these ask for


def refuse_study_of_a_verb(study: str | None) -> None:
    """Raise ConfigError for a study whose arms and seeds a verb chooses: typed by hand it would mix others in."""
    if study in VERBS:
        raise ConfigError(f"study={study} is made by a verb, and by nothing else\ntype {VERBS[study]}, or give your study another name")


def sort_words(typed: Sequence[str], composer: Composer) -> tuple[list[str], dict[str, list[str]], list[int]]:
    """The words of a sweep: single values, listed values by key, and the seeds. Raises ConfigError for what can't be listed."""
    fixed: list[str] = []
    listed: dict[str, list[str]] = {}
    seeds: list[int] = []
    parsed = words.parse(typed)
    for override in parsed:
        override.config_loader = composer.loader  # for glob(*): the options that there are
        key, text = override.key_or_group, override.input_line or ""
        if sum(each.key_or_group == key for each in parsed) > 1:
            raise ConfigError(f"{key} is given twice\nlist its values together: {key}=a,b")
        if key == "seed":
            seeds = seed_values(override)
        elif override.is_sweep_override():
            listed[key] = values_of(override)
            words.check_key(replace_value(override, listed[key]), text, composer.files)
        else:
            fixed.append(text)
    for key in listed:
        require_factor(key, composer)
    return fixed, listed, seeds


def replace_value(override: Override, values: list[str]) -> Override:
    """The same override with its first value, to check its key; every value is checked when its arm is composed."""
    first = words.parse([f"{override.get_key_element()}={values[0]}"])[0]
    first.input_line = override.input_line
    return first


def values_of(override: Override) -> list[str]:
    """Every value that a sweep override lists, as it would be typed alone."""
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: an interval lists no values\nname them: {override.key_or_group}=a,b,c")
    values = [str(value) for value in override.sweep_string_iterator()]
    if not values:
        raise ConfigError(f"{override.input_line} lists no value at all")
    return list(dict.fromkeys(values))


def seed_values(override: Override) -> list[int]:
    """The seeds of `seed=3`, `seed=0,1`, `seed=range(3)`."""
    value = override.value()
    texts = values_of(override) if isinstance(value, Sweep) else [str(value)]
    if not all(re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= (leaves()["seed"].high or 0) for text in texts):
        raise ConfigError(
            f"{override.input_line}: a seed is a whole number from 0 to {leaves()['seed'].high:.0f}\nwrite 'seed=range(3)' or seed=0,1,2"
        )
    return [int(text) for text in texts]


def makes_an_arm(key: str, composer: Composer) -> bool:
    """Whether another value of this key is a change; an unknown key may be, until composing it says what is wrong."""
    if key in composer.files.groups:
        return key not in NOT_LISTED
    try:
        return role_of(key, composer.compose(()).hooks) == "factor"
    except KeyError:
        return True


def require_factor(key: str, composer: Composer) -> None:
    """Only factors and the seed may be listed: anything else makes no arm."""
    if makes_an_arm(key, composer):
        return
    if key in TEXTS:
        raise ConfigError(f"{key} can't be listed: it makes no arm\nfor a comma in one text, quote it for Hydra too: \"{key}='a,b'\"")
    other = [group for group in UNCOUNTED_GROUPS if group != "baseline"]
    raise ConfigError(
        f"{key} can't be listed: it makes no arm\nlist factors (model/norm, {', '.join(other)}, trainer.optimizer.lr, ...) and seed"
    )
