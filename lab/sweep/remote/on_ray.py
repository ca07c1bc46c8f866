"""Runs on the nodes of a Ray cluster that is there already. Starts and stops no cluster.

Ray places the tasks and tells which nodes live. Each run is a process of its own beside Ray's worker, with the sweep's own code: when
the worker goes, so does the run, after a checkpoint. Ray retries nothing here (`max_retries=0`), and its return values carry exit
statuses alone. The tasks are written so that a node needs no lab in the Python of Ray's worker: functions inside functions are sent whole.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import MachineError
from lab.files import sha256_of
from lab.sweep.remote.engine import Left, Task
from lab.sweep.remote.settings import OfRay

NODES_SECONDS = 2.0  # between two looks at which nodes live
PROBE_SECONDS = 60.0  # a node that hasn't said by then what it is gets no run
NODE_ID = "ray.io/node-id"  # a label that every node has
# What can move bits, as lab/store/machine.py knows it, said by a node of itself.
PROBE = """
import json, sys
from lab.store.gpu import driver
from lab.store.machine import cpu
found = driver() if sys.argv[1] == "cuda" else None
print(json.dumps([*cpu(), [] if found is None else sorted({*found.devices, found.cuda})]))
"""


class RayEngine:
    """A Ray cluster, joined."""

    def __init__(self, settings: OfRay, device: Mapping[str, Any], code: Path) -> None:
        try:
            self.ray = importlib.import_module("ray")
        except ImportError:
            raise MachineError(
                "Ray isn't installed in this environment\npip install -c constraints.txt -e '.[ray]', here and on every node"
            ) from None
        self.settings, self.device, self.code = settings, device, code
        self.needs = {
            "num_cpus": device["threads"] if settings.cpus is None else settings.cpus,
            "num_gpus": int(device["kind"] == "cuda") if settings.gpus is None else settings.gpus,
            "memory": int(settings.memory_gb * 2**30),
        }
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self.ray.init(address=settings.address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise MachineError(
                f"no Ray cluster answers at hydra.launcher.address={settings.address}: {str(error).splitlines()[0]}\n"
                f"start one (docs/cluster.md), or name its head: hydra.launcher.address=HOST:6379"
            ) from None
        self.tasks: dict[Any, Task] = {}
        self.on: dict[Any, list[str]] = {}  # the nodes that a task may be on
        self.kind_of: dict[str, str] = {}  # by node
        self.room: dict[str, int] = {}  # by node that lives
        self.looked = float("-inf")

    def kinds(self) -> dict[str, int]:
        self.look()
        found: dict[str, int] = {}
        for node, room in self.room.items():
            found[self.kind_of[node]] = found.get(self.kind_of[node], 0) + room
        return {kind: min(room, self.settings.at_once) for kind, room in found.items()}

    def look(self) -> None:
        """Which nodes live, what they have room for, and of which kind the new ones are."""
        if time.monotonic() - self.looked < NODES_SECONDS:
            return
        living = {each["NodeID"]: room_in(each["Resources"], self.needs) for each in self.ray.nodes() if each["Alive"]}
        able = {node: room for node, room in living.items() if room}
        self.probe([node for node in able if node not in self.kind_of])
        self.room = {node: room for node, room in able.items() if node in self.kind_of}
        self.looked = time.monotonic()

    def probe(self, nodes: list[str]) -> None:
        """Ask nodes what they are. One that can't say gets no run."""
        asked = {self.remote(asking(PROBE, self.code, self.device["kind"]), [node], num_cpus=0): node for node in nodes}
        done, late = self.ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS) if asked else ([], [])
        for each in late:
            self.ray.cancel(each, force=True)
        for each in done:
            with suppress(self.ray.exceptions.RayError):
                self.kind_of[asked[each]] = name_of(self.ray.get(each))

    def remote(self, function: Callable[[], Any], nodes: list[str], **needs: Any) -> Any:
        """A task on one of some nodes, begun once; its worker ends with it."""
        chosen = {NODE_ID: f"in({','.join(sorted(nodes))})"}
        options = {"max_retries": 0, "max_calls": 1, "label_selector": chosen} | needs
        return self.ray.remote(**options)(function).remote()

    def begin(self, task: Task) -> None:
        nodes = [node for node, kind in self.kind_of.items() if kind == task.kind and node in self.room]
        reference = self.remote(training(task), nodes, **self.needs)
        self.tasks[reference], self.on[reference] = task, nodes

    def left(self) -> list[Left]:
        self.look()
        done, pending = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0) if self.tasks else ([], [])
        found = []
        for each in done:
            task = self.tasks[each]
            try:
                found.append(Left(task.number, int(self.ray.get(each))))
            except self.ray.exceptions.TaskCancelledError:
                found.append(Left(task.number, 130))
            except self.ray.exceptions.RayError as error:
                found.append(Left(task.number, None, f"Ray lost it: {type(error).__name__}"))
        for each in pending:
            if not any(node in self.room for node in self.on[each]):  # Ray would wait for such a node for ever
                self.ray.cancel(each, force=True)
                found.append(Left(self.tasks[each].number, None, "every node of its kind is gone"))
                done.append(each)
        for each in done:
            del self.tasks[each], self.on[each]
        return found

    def stop(self, *, at_once: bool) -> None:
        for each in self.tasks:
            self.ray.cancel(each, force=at_once)

    def close(self) -> None:
        self.ray.shutdown()


def room_in(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many runs a node has room for, by what it offers."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    return int(min(resources.get(names[name], 0.0) // need for name, need in needs.items() if need))


def name_of(answer: str) -> str:
    """A kind of node, from what a node says of itself: readable, and different where anything in it is."""
    processor, _, gpus = json.loads(answer)
    return f"{', '.join([processor, *gpus])} ({sha256_of(answer)[:8]})"


def asking(program: str, code: Path, kind: str) -> Callable[[], str]:
    """A small program on a node, in a Python that sees the sweep's code. Returns what it prints."""
    where = str(code)

    def ask() -> str:
        import os
        import subprocess
        import sys

        seen = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}  # Ray hides what isn't booked
        seen["PYTHONPATH"] = os.pathsep.join([where, *filter(None, [seen.get("PYTHONPATH")])])
        return subprocess.check_output([sys.executable, "-c", program, kind], cwd=where, env=seen, text=True).strip()

    return ask


def training(task: Task) -> Callable[[], int]:
    """A run on a node, as a process beside Ray's worker. Returns its exit status."""
    job, out, err, where = str(task.job), str(task.out), str(task.err), str(task.code)

    def train() -> int:
        import os
        import subprocess
        import sys

        seen = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # Ray sets it; a run sets its own
        seen["PYTHONPATH"] = os.pathsep.join([where, *filter(None, [seen.get("PYTHONPATH")])])  # the node's own comes behind
        with open(out, "ab") as said, open(err, "ab") as complained:  # noqa: PTH123 - a Path of ours would need our Python on the node
            process = subprocess.Popen(
                [sys.executable, "-m", "lab.runner", job, str(os.getpid())],
                cwd=where,  # `-m` looks there first
                env=seen,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                start_new_session=True,
            )
            try:
                return process.wait()
            except BaseException:  # the sweep was asked to stop: Ray raises KeyboardInterrupt here
                process.terminate()
                process.wait()
                raise

    return train
