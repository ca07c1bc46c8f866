"""How a sweep is carried out: by which design, until when, from which plan, by which launcher. Read from its words, not Hydra's tree.

`python run.py --multirun` and `python -m lab plan` take the same words, and only the first has a tree of Hydra's. The keys stand in
hydra_plugins/ablation.py too, since Hydra wants to know them; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from lab.config import words
from lab.config.ranges import nearest
from lab.errors import ConfigError

SWEEPER, LAUNCHER, LAUNCHERS_OWN = "hydra.sweeper.", "hydra/launcher", "hydra.launcher."
CHOICES = {
    "design": ("one_factor", "factorial", "list", "leave_one_out", "curve"),
    "until": ("planned", "decided"),
    "plan": ("found", "new"),
    "launcher": ("local", "ray", "slurm", "slurm_local"),
}

UNJUDGED = ("factorial", "curve")  # designs whose runs get no verdict arm by arm


@dataclass(frozen=True)
class Manner:
    """What `hydra.sweeper.*`, `hydra/launcher=NAME` and `hydra.launcher.*` say of a sweep."""

    design: str = "one_factor"  # which arms the listed values make: lab/sweep/designs
    until: str = "planned"  # planned: the seeds that were asked for; decided: look by look, until each arm has its verdict
    plan: str = "found"  # found: an unfinished sweep of the same words goes on as it was frozen; new: today's files are planned anew
    arms: str | None = None  # of design=list: the file that lists them
    launcher: str = "local"
    settings: tuple[str, ...] = ()  # hydra.launcher.KEY=VALUE, as typed


def read_manner(typed: Sequence[str]) -> tuple[Manner, list[str]]:
    """The manner that the words of a sweep ask for, and the other words. Raises ConfigError for what isn't there."""
    values: dict[str, str | None] = {}
    settings: list[str] = []
    rest: list[str] = []
    for text, override in zip(typed, words.parse(typed), strict=True):
        key = override.key_or_group
        if not key.startswith((SWEEPER, LAUNCHER, LAUNCHERS_OWN)):
            rest.append(text)
        elif override.is_sweep_override() or override.is_delete():
            raise ConfigError(f"{text}: a sweep is carried out in one way\nwrite {key}=VALUE")
        elif key.startswith(LAUNCHERS_OWN):
            settings.append(text)
        else:
            name = "launcher" if key == LAUNCHER else key.removeprefix(SWEEPER)
            if name in values:
                raise ConfigError(f"{key} is given twice\nkeep one of them")
            value = override.value()
            values[name] = None if value is None else str(value)
            require_known(text, name, values[name])
    made = Manner(**values, settings=tuple(settings))  # type: ignore[arg-type]  # each is a known name, and only `arms` takes None
    if (made.arms is None) == (made.design == "list") and made.arms is not None:
        raise ConfigError(f"hydra.sweeper.arms={made.arms} belongs to hydra.sweeper.design=list\nadd it, or leave the file out")
    if made.until == "decided" and made.design in UNJUDGED:
        raise ConfigError(
            f"hydra.sweeper.until=decided waits for a verdict on each arm, and design={made.design} gives none\nleave one of the two out"
        )
    if made.settings and made.launcher == "local":
        raise ConfigError(f"{made.settings[0]}: this machine's launcher has no settings\nchoose one that has: hydra/launcher=ray, slurm")
    return made, rest


def require_known(text: str, name: str, value: str | None) -> None:
    """A setting of the sweeper that there is, at a value that it may have. Raises ConfigError."""
    known = [each.name for each in fields(Manner) if each.name not in ("settings", "launcher")]
    if name not in known and name != "launcher":
        raise ConfigError(f"{text}: the sweeper has no setting {name!r}{nearest(name, known)}\nsettings: {', '.join(known)}")
    allowed = CHOICES.get(name)
    if allowed is not None and value not in allowed:
        raise ConfigError(f"{text}: not one of {', '.join(allowed)}{nearest(str(value), allowed)}")
    if value is None and name != "arms":
        raise ConfigError(f"{text}: a value is missing")
