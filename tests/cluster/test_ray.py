"""A Ray cluster of a head and two workers on loopback; one of them is killed while a sweep runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.store.layout import run_folders
from tests.cluster.sweeps import begin, checkpointed, owner, said, slow_project, wait_until, weights
from tests.conftest import Project

pytest.importorskip("ray", reason="not run: Ray isn't installed here (pip install '.[ray]')")
pytestmark = pytest.mark.soak
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",  # a dead node is noticed within seconds
    "RAY_health_check_failure_threshold": "3",
}
ARMS = ("baseline=long", "hooks=slow,none", "seed=0,1", "hydra/launcher=ray", "hydra.launcher.memory_gb=0.5")


@dataclass
class Cluster:
    """Ray's processes that this test started, and no others."""

    folder: Path
    port: int = 0
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"hydra.launcher.address=127.0.0.1:{self.port}"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A node with ports of its own, in the foreground of a process of ours."""
        names = ("object-manager-port", "node-manager-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")
        names += ("runtime-env-agent-port", "metrics-export-port")
        ports = [f"--{name}={port}" for name, port in zip(names, free_ports(len(names)), strict=True)]
        with (self.folder / "ray.txt").open("ab") as said:
            return subprocess.Popen(
                [str(Path(sys.executable).with_name("ray")), "start", "--block", "--object-store-memory=80000000", *ports, *words],
                env=os.environ | ENVIRONMENT,
                stdout=said,
                stderr=said,
            )

    def count(self) -> int:
        return (self.folder / "ray.txt").read_text().count("Ray runtime started")

    def said(self) -> str:
        return (self.folder / "ray.txt").read_text()[-3000:]


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def family(pid: int) -> list[int]:
    """A process and all that it started, and so on."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += [int(each) for each in task.read_text().split()]
    return [pid, *(each for child in children for each in family(child))]


def kill(process: subprocess.Popen[bytes]) -> list[int]:
    """As when the power of a node goes: everything on it, at once."""
    gone = family(process.pid)
    for pid in gone:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    return gone


@contextmanager
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as place:  # sockets need a short path
        made = Cluster(Path(place))
        (made.port,) = free_ports(1)
        nodes = [made.start("--head", f"--port={made.port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={place}/ray")]
        try:
            wait_until(lambda: made.count() == 1, 90, made.said)
            for number in (2, 3):  # one after the other: nodes that start together on one machine may choose one name
                made.workers.append(made.start(f"--address=127.0.0.1:{made.port}", "--num-cpus=1"))
                nodes.append(made.workers[-1])
                wait_until(lambda: made.count() == number, 90, made.said)  # noqa: B023 - called in this round only
            yield made
        finally:
            for node in reversed(nodes):
                if node.poll() is None:
                    kill(node)


def test_one_node_is_killed_and_the_others_finish_and_the_same_command_trains_what_is_missing(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = slow_project(tiny, monkeypatch, 0.04)
    with cluster() as ray:
        words = (*ARMS, ray.address, "hydra.launcher.tries=1")
        sweep = begin(project, *words, **ENVIRONMENT)
        wait_until(lambda: len(checkpointed(project)) == 2, 120, lambda: said(project) + ray.said())
        gone = kill(ray.workers[1])
        lost = [each for each in checkpointed(project) if owner(each) in gone]
        assert len(lost) == 1, "each node trained one"
        assert sweep.wait(240) == 1, said(project)
        assert "Ray lost it: " in said(project) and "1 of 4 runs failed" in said(project)
        assert [each.path for each in run_folders(project.root) if not each.result.exists()] == [lost[0].path]
        began = said(project).count(": training\n")
        assert begin(project, *words, **ENVIRONMENT).wait(240) == 0, said(project)
        assert said(project).count(": training\n") == began + 1, "nothing twice"
        assert said(project).count("found, not trained again") == 3 and "goes on from step" in said(project)
        assert len(weights(project)) == 4


def test_a_run_whose_node_dies_is_tried_once_more_on_another_one_and_a_stopped_sweep_takes_its_runs_along(
    tiny: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = slow_project(tiny, monkeypatch, 0.04)
    with cluster() as ray:
        words = (*ARMS, ray.address)
        sweep = begin(project, *words, **ENVIRONMENT)
        wait_until(lambda: len(checkpointed(project)) == 2, 120, lambda: said(project) + ray.said())
        kill(ray.workers[1])
        wait_until(lambda: "tried once more" in said(project), 60, lambda: said(project))
        wait_until(lambda: checkpointed(project), 60, lambda: said(project))
        sweep.terminate()
        assert sweep.wait(60) == 130, said(project)
        under_way = [owner(each) for each in checkpointed(project) if each.claim.read_bytes()]
        time.sleep(1)
        assert not [pid for pid in under_way if Path(f"/proc/{pid}").exists()], "an orphan trains on"
        assert begin(project, *words, **ENVIRONMENT).wait(240) == 0, said(project)
        assert len(weights(project)) == 4
