"""What a launcher beyond this machine is told: conf/hydra/launcher/NAME.yaml, and `hydra.launcher.KEY=VALUE` on top of it.

Launches nothing. Every value stands in the file; the classes here say which keys there are and of which type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lab.config import words
from lab.config.options import OptionFiles, read_yaml
from lab.config.ranges import nearest
from lab.errors import ConfigError
from lab.sweep.manner import LAUNCHERS_OWN

PLACE = "conf/hydra/launcher"


@dataclass
class Remote:
    """What every launcher beyond this machine is told."""

    at_once: int = MISSING
    tries: int = MISSING
    goes_on: int = MISSING


@dataclass
class OfRay(Remote):
    address: str = MISSING
    cpus: int | None = MISSING
    gpus: int | None = MISSING
    memory_gb: float = MISSING


@dataclass
class OfJobs(Remote):
    """What submitit is told on this machine."""

    minutes: int = MISSING
    notice_seconds: int = MISSING


@dataclass
class OfSlurm(OfJobs):
    partition: str | None = MISSING
    account: str | None = MISSING
    qos: str | None = MISSING
    constraints: list[str] = MISSING
    cpus: int | None = MISSING
    gpus: int | None = MISSING
    memory_gb: float = MISSING
    setup: list[str] = MISSING


LEAST = {"at_once": 1, "tries": 1, "goes_on": 0, "minutes": 2, "notice_seconds": 1, "cpus": 1, "gpus": 0}
Kind = TypeVar("Kind", bound=Remote)


def read_settings(kind: type[Kind], name: str, root: Path, typed: Sequence[str]) -> Kind:
    """A launcher's settings, each of its type and range. Raises ConfigError."""
    file = f"{PLACE}/{name}.yaml"
    if not (root / file).is_file():
        raise ConfigError(
            f"{file} isn't there, and hydra/launcher={name} reads its settings from it\nput it back from the project's checkout"
        )
    with words.explained((), OptionFiles(root / "conf")):
        tree: dict[str, Any] = read_yaml(root / file)
    for text, override in zip(typed, words.parse(typed), strict=True):
        key = override.key_or_group.removeprefix(LAUNCHERS_OWN)
        known = [each.name for each in fields(kind)]
        if key not in known:
            raise ConfigError(f"{text}: {name} has no setting {key!r}{nearest(key, known)}\nsettings: {', '.join(known)}")
        tree[key] = override.value()
    try:
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), OmegaConf.create(tree)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{file}: {str(error).splitlines()[0]}\nput it right there, or as hydra.launcher.KEY=VALUE") from None
    assert isinstance(made, kind)
    for key, least in LEAST.items():
        value = getattr(made, key, None)
        if value is not None and value < least:
            raise ConfigError(f"hydra.launcher.{key}={value} is out of range: at least {least}")
    if not getattr(made, "memory_gb", 1) > 0:
        raise ConfigError("hydra.launcher.memory_gb must be above 0")
    return made
