"""Runs as batch jobs: SLURM's by submitit, or submitit's local executor, which does the same on this machine. One job, one run.

Nothing is requeued by SLURM or by submitit: what is begun again is begun by the sweep, which tells it. A sweep whose process is gone
leaves its jobs in the queue; the same sweep, typed again, waits for the runs that they train, and a second job of a run finds it.
"""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.errors import MachineError
from lab.files import read_json
from lab.processes import search_path
from lab.sweep.remote.engine import ANY, Left, Task
from lab.sweep.remote.settings import OfJobs, OfSlurm


def submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError:
        raise MachineError("submitit isn't installed in this environment\npip install -c constraints.txt -e '.[slurm]'") from None


class JobsEngine(ABC):
    """Batch jobs; which executor makes them is the children's."""

    def __init__(self, settings: OfJobs, code: Path, logs: Path) -> None:
        self.settings, self.logs = settings, logs
        # of one node: what a job runs first is this, before it knows of any lab
        self.python = f"env PYTHONPATH={self.search_path(code)} {shlex.quote(sys.executable)}"
        self.jobs: dict[int, tuple[Any, Task]] = {}

    def search_path(self, code: Path) -> str:
        """What Python is to find first, as the job's command line has it."""
        return shlex.quote(search_path(code))

    @abstractmethod
    def executor(self, kind: str) -> Any:
        """submitit's executor, for a kind of node."""

    def kinds(self) -> dict[str, int]:
        return {ANY: self.settings.at_once}

    def begin(self, task: Task) -> None:
        node = importlib.import_module("lab.sweep.remote.node")  # sent by its name: the job imports it from the sweep's own code
        node.left_file(task.job).unlink(missing_ok=True)
        self.jobs[task.number] = (self.executor(task.kind).submit(node.train, str(task.job)), task)

    def left(self) -> list[Left]:
        done = [number for number, (job, _) in self.jobs.items() if job.done()]
        return [left_of(self.jobs.pop(number)[1]) for number in done]

    def stop(self, *, at_once: bool) -> None:
        for job, _ in self.jobs.values():
            self.ask(job, at_once)

    @abstractmethod
    def ask(self, job: Any, at_once: bool) -> None:
        """Ask one job to leave."""

    def close(self) -> None:
        """Forget the jobs: they are the batch system's."""
        self.jobs.clear()


def left_of(task: Task) -> Left:
    """How a job's run ended, by its own word; without one something took it away."""
    try:
        status = int(read_json(task.job.with_suffix(".left"))["status"])
    except (OSError, ValueError, KeyError):
        return Left(task.number, None, "its job ended without a word: out of memory or time, or its node failed")
    return Left(task.number, status)


class LocalJobs(JobsEngine):
    """submitit's local executor."""

    def executor(self, kind: str) -> Any:
        made = submitit().LocalExecutor(folder=self.logs, max_num_timeout=0, python=self.python)
        made.update_parameters(timeout_min=self.settings.minutes, signal_delay_s=self.settings.notice_seconds)
        return made

    def ask(self, job: Any, at_once: bool) -> None:
        """The controller passes SIGTERM on; its own cancelling would kill after a second."""
        if at_once:
            job.cancel(check=False)
        else:
            os.kill(int(job.job_id), signal.SIGTERM)


class SlurmJobs(JobsEngine):
    """SLURM's batch jobs."""

    def __init__(self, settings: OfSlurm, device: Mapping[str, Any], code: Path, logs: Path) -> None:
        super().__init__(settings, code, logs)
        wanted = {"partition": settings.partition, "account": settings.account, "qos": settings.qos}
        gpus = int(device["kind"] == "cuda") if settings.gpus is None else settings.gpus
        self.constraints = settings.constraints
        self.parameters = {name: value for name, value in wanted.items() if value is not None} | {
            "job_name": "lab",
            "time": settings.minutes,
            "cpus_per_task": device["threads"] if settings.cpus is None else settings.cpus,
            "mem": f"{int(settings.memory_gb * 1024)}MB",
            "signal_delay_s": settings.notice_seconds,
            "setup": settings.setup,
            "additional_parameters": {"no-requeue": True},
        }
        self.parameters |= {"gpus_per_node": gpus} if gpus else {}

    def search_path(self, code: Path) -> str:
        """The node's own comes behind: its shell fills it in, after `setup`."""
        return f'{shlex.quote(str(code))}"${{PYTHONPATH:+:$PYTHONPATH}}"'

    def kinds(self) -> dict[str, int]:
        return dict.fromkeys(self.constraints or [ANY], self.settings.at_once)

    def executor(self, kind: str) -> Any:
        try:
            made = submitit().SlurmExecutor(folder=self.logs, max_num_timeout=0, python=self.python)
        except RuntimeError as error:
            raise MachineError(
                f"{error}\ntype it where `sbatch` and `srun` are; to try without SLURM: hydra/launcher=slurm_local"
            ) from None
        made.update_parameters(**self.parameters, **({"constraint": kind} if kind else {}))
        return made

    def ask(self, job: Any, at_once: bool) -> None:
        """SLURM says SIGTERM, and after its KillWait SIGKILL."""
        job.cancel(check=False)
