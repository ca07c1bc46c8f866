"""Which engine a launcher's name means, made with that launcher's settings for a sweep. Loads Ray or submitit only when one is made."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import ConfigError
from lab.sweep.manner import Manner
from lab.sweep.plan import Plan, Row
from lab.sweep.remote.engine import Engine
from lab.sweep.remote.jobs import LocalJobs, SlurmJobs
from lab.sweep.remote.on_ray import RayEngine
from lab.sweep.remote.settings import OfJobs, OfRay, OfSlurm, Remote, read_settings
from lab.sweep.snapshot import code_of


def ray(plan: Plan, rows: Sequence[Row], folder: Path) -> tuple[Remote, Engine]:
    settings = read_settings(OfRay, "ray", Path(rows[0].job.root), plan.manner.settings)
    return settings, RayEngine(settings, rows[0].job.config["device"], code_of(folder).resolve())


def slurm(plan: Plan, rows: Sequence[Row], folder: Path) -> tuple[Remote, Engine]:
    settings = read_settings(OfSlurm, "slurm", Path(rows[0].job.root), plan.manner.settings)
    return settings, SlurmJobs(settings, rows[0].job.config["device"], code_of(folder).resolve(), logs(folder))


def slurm_local(plan: Plan, rows: Sequence[Row], folder: Path) -> tuple[Remote, Engine]:
    settings = read_settings(OfJobs, "slurm_local", Path(rows[0].job.root), plan.manner.settings)
    return settings, LocalJobs(settings, code_of(folder).resolve(), logs(folder))


def logs(folder: Path) -> Path:
    """Where submitit keeps its scripts and what a job printed before its run began."""
    return (folder / "slurm").resolve()


PACKAGES = {"ray": "ray", "slurm": "submitit", "slurm_local": "submitit"}
SETTINGS = {"ray": OfRay, "slurm": OfSlurm, "slurm_local": OfJobs}


def require_settings(manner: Manner, root: Path) -> None:
    """Raise what is wrong with the settings of a launcher beyond this machine."""
    if manner.launcher != "local":
        read_settings(SETTINGS[manner.launcher], manner.launcher, root, manner.settings)


def require_ready(manner: Manner, root: Path) -> None:
    """Raise that too, or that the launcher's engine isn't installed, before anything is written."""
    name = manner.launcher
    require_settings(manner, root)
    if name != "local" and importlib.util.find_spec(PACKAGES[name]) is None:
        extra = "ray" if name == "ray" else "slurm"
        raise ConfigError(
            f"hydra/launcher={name} needs {PACKAGES[name]}, which isn't installed here\n"
            f"pip install -c constraints.txt -e '.[{extra}]', here and on every node; or leave the launcher out"
        )


ENGINES: dict[str, Callable[[Plan, Sequence[Row], Path], tuple[Remote, Engine]]] = {"ray": ray, "slurm": slurm, "slurm_local": slurm_local}
