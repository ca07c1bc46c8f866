"""A process that has torch and the lab loaded, and makes a fresh process for each run by forking itself: 0.02 s instead of two.

Two halves. `ForkServer` lives in the sweep, which never loads torch; `serve` is what the other process does, started by name
(`python -m lab.sweep.forkserver`) in the folder whose lab/ the runs are to execute. Between them goes one JSON object a line on a
Unix socket; a run's two pipes travel with its request. Nothing but the lab's own modules is imported before the fork and no kernel
runs there, so a child computes what a fresh process would, to the bit (tests/sweep/test_launcher.py).

When the sweep dies, however it does, its end of the socket closes and the fork server leaves; its children see that their parent is
gone, checkpoint and leave (lab/runner.py).
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lab.ablate.codemap import LAB
from lab.processes import with_code
from lab.runner import MACHINE, train_frozen, warm

LONGEST = 65_536  # bytes of what is read at once; a request has some hundreds
LEAVE_SECONDS = 5.0
FORK = multiprocessing.get_context("fork")
LOOK_SECONDS = 1.0  # a child whose own child lives on doesn't wake us by ending


class ForkServer:
    """The sweep's half: asks for runs, signals them, and hears how they ended. Runs are known by numbers of the sweep's. Never waits."""

    def __init__(self, code: Path, environment: Mapping[str, str], warm_up: Path | None = None) -> None:
        """Start it on the lab/ in the folder `code`. `warm_up`: a job file whose code and text are read once, for all children."""
        self._ours, theirs = socket.socketpair()
        words = [sys.executable, "-m", "lab.sweep.forkserver", str(theirs.fileno()), str(Path.cwd()), str(warm_up or "")]
        # in a session of its own: a Ctrl-C in the terminal reaches the runs through the sweep alone
        self._process = subprocess.Popen(
            words,
            cwd=code,
            env=with_code(code, **environment),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._unread = b""
        self._ended: dict[int, int] = {}
        self.starting = False  # asked for a run, and not heard yet that it began
        self.gone = False  # it ended itself, and its runs with it

    def fileno(self) -> int:
        """To wait on: something to read is a run that began or ended, or the fork server's own end."""
        return self._ours.fileno()

    def start(self, number: int, job: Path, out: int, err: int, environment: Mapping[str, str]) -> None:
        """Train a frozen job in a fresh process that prints to two descriptors. One at a time: not while `starting`."""
        assert not self.starting
        self.starting = True
        try:
            socket.send_fds(self._ours, [line({"number": number, "job": str(job), "environment": dict(environment)})], [out, err])
        except OSError:
            self.gone = True

    def signal(self, number: int, sent: int) -> None:
        """Send a signal to a run, if it's still there: its process number can't be another's until its parent has looked."""
        try:
            self._ours.sendall(line({"number": number, "signal": sent}))
        except OSError:
            self.gone = True  # its children leave by themselves

    def hear(self) -> None:
        """Read what it says; call it when there is something."""
        try:
            data = self._ours.recv(LONGEST)
        except OSError:
            data = b""
        self.gone = not data
        *whole, self._unread = (self._unread + data).split(b"\n")
        for each in map(json.loads, whole):
            if "status" in each:
                self._ended[each["number"]] = each["status"]
            else:
                self.starting = False

    def ended(self) -> dict[int, int]:
        """The runs that ended since the last call, each with its exit status (negative: the signal that killed it)."""
        found, self._ended = self._ended, {}
        return found

    def close(self) -> None:
        """Let it go. Runs that are still there checkpoint and leave."""
        self._ours.close()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


# -- the other process


def serve(end: socket.socket, folder: str, warm_up: str) -> None:
    """Load what every run needs, then fork for each request until the sweep is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert LAB.parent == Path.cwd(), f"the code of this sweep is in {Path.cwd()}, and Python took {LAB}"
    load(Path(warm_up) if warm_up else None)
    os.chdir(folder)  # where the sweep was typed: only the imports are of the code's folder
    children: dict[int, BaseProcess] = {}
    gc.collect()
    gc.freeze()  # what is here stays, and the children share it
    while True:
        ready = wait([end, *(each.sentinel for each in children.values())], LOOK_SECONDS)
        for number in [number for number, each in children.items() if each.exitcode is not None]:
            tell(end, {"number": number, "status": children.pop(number).exitcode})
        if end in ready:
            obey(end, children)


def tell(end: socket.socket, message: Mapping[str, Any]) -> None:
    """Say something to the sweep; leave where it's gone."""
    try:
        end.sendall(line(message))
    except OSError:
        os._exit(0)


def obey(end: socket.socket, children: dict[int, BaseProcess]) -> None:
    """Do what the sweep asks: begin a run, or signal one. Leave where it's gone."""
    try:
        data, descriptors, *_ = socket.recv_fds(end, LONGEST, 2)
    except OSError:
        data = b""
    if not data:
        os._exit(0)
    for asked in map(json.loads, data.splitlines()):
        number = asked["number"]
        if "signal" in asked:
            pid = children[number].pid if number in children else None
            if pid is not None:
                os.kill(pid, asked["signal"])
            continue
        child = FORK.Process(target=train, args=(asked["job"], os.getpid(), descriptors, asked["environment"], end))
        try:
            child.start()
            children[number] = child
            tell(end, {"number": number})
        except OSError:  # no more processes, or no memory for one
            tell(end, {"number": number})
            tell(end, {"number": number, "status": MACHINE})
        for descriptor in descriptors:
            os.close(descriptor)


def load(warm_up: Path | None) -> None:
    """Import what every run imports; the first optimizer takes torch._dynamo. A mistake in the code is each run's own to tell."""
    for module in ("torch", "numpy", "safetensors.torch", "torch._dynamo", "lab.experiment", "lab.pairing"):
        try:
            importlib.import_module(module)
        except Exception:
            return
    if warm_up is not None:
        try:
            warm(warm_up)
        except (Exception, SystemExit):
            return


def train(job: str, parent: int, descriptors: Sequence[int], environment: Mapping[str, str], end: socket.socket) -> None:
    """In the forked child: one run, as `python -m lab.runner` trains it."""
    end.close()
    for number, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.update(environment)
    sys.exit(train_frozen(Path(job), parent))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3])
