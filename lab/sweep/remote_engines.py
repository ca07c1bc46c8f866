"""Which engine a launcher's name means, made with that launcher's settings for a sweep. Loads Ray or submitit only when one is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lab.sweep.plan import Plan, Row
from lab.sweep.remote_engine import Engine
from lab.sweep.remote_jobs import LocalJobs, SlurmJobs
from lab.sweep.remote_ray import RayEngine
from lab.sweep.remote_settings import OfJobs, OfRay, OfSlurm, Remote, read_settings
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


ENGINES: dict[str, Callable[[Plan, Sequence[Row], Path], tuple[Remote, Engine]]] = {"ray": ray, "slurm": slurm, "slurm_local": slurm_local}
