"""Starts `python WORDS` as a fork of one process that has torch, pandas and Hydra loaded: milliseconds, not seconds of importing each time.

What a fork runs is a program of its own: its process number, arguments, environment, folder, standard streams, exit status and signals
are those of a fresh process. Nothing of lab/ or of a project is loaded before the fork. What a fork can't show is how a process
starts: what it imports, how long that takes, which of Python's options and variables it was given. So a program with an option of
Python's, or with a variable that isn't known to be read late, gets a fresh process, and so does every program where Linux isn't.
Not shown either: an import that a program forgot and that is loaded here, an order of sets that differs from process to process,
and whether Python takes its modules apart without a fault. Tests that start fresh processes (`Project.fresh`) see all that.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

# What the lab's programs load, and nothing of the lab itself. The last two are what torch loads in a first step.
PRELOADED = ("hydra", "numpy", "omegaconf", "orjson", "pandas", "rich.console", "safetensors.torch", "torch", "torch._dynamo", "numpy.fft")
# Variables that may differ in a fork: Python, torch and the libraries below them don't read them while they're loaded.
READ_LATE = {"PYTHONPATH", "PYTEST_CURRENT_TEST", "COMP_LINE", "COMP_POINT", "_HYDRA_OLD_COMP"}
# `python -m` of these, which a program starts with torch and only waits for, is a fork too.
WAITED_FOR = {"lab.replay", "lab.confirm"}
SPINS = "GOMP_SPINCOUNT"  # a run sets it before it loads torch (lab/store/machine.py); here torch is loaded before


@dataclass(frozen=True)
class Server:
    """The process that forks, seen from outside."""

    control: socket.socket
    environment: dict[str, str]  # in which it loaded what it loaded


SERVERS: list[Server] = []  # of this process: none until the first program is started, then one


def start(words: tuple[str, ...], cwd: Path, environment: dict[str, str], **streams: Any) -> subprocess.Popen[str]:
    """`python WORDS`, not waited for: a fork where that shows the same, else a fresh process."""
    kind = Forked if can_fork(words, cwd, environment) else FRESH
    return kind([sys.executable, *words], cwd=cwd, env=environment, text=True, **streams)


def can_fork(words: tuple[str, ...], cwd: Path, environment: dict[str, str]) -> bool:
    """Whether a fork shows the same as a fresh process: of `-c`, `-m` or a script, in this environment."""
    if sys.platform != "linux" or not (words[0] in ("-c", "-m") or (cwd / words[0]).is_file()):
        return False
    before = server().environment
    asked = {SPINS: before[SPINS]} | environment
    return all(asked.get(name) == before.get(name) for name in {*asked, *before} - READ_LATE)


def server() -> Server:
    """The one of this process; started when first asked for."""
    if not SERVERS:
        from lab.store.machine import SPINS as spins

        environment = {SPINS: spins} | {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            words = [sys.executable, __file__, str(number)]
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(number,))
        SERVERS.append(Server(ours, environment))
        atexit.register(lambda: (ours.close(), process.wait(20)))  # it leaves when nobody is there to ask
    return SERVERS[0]


FRESH = subprocess.Popen


class Forked(subprocess.Popen):  # type: ignore[type-arg]
    """A Popen whose child is forked, and waited for, by the server. Only how it's started and waited for differs."""

    told: socket.socket | None = None

    def _execute_child(self, args: Any, executable: Any, _first: Any, _close: Any, _pass: Any, cwd: Any, env: Any, *rest: Any) -> None:
        pipes = rest[3:9]  # as subprocess.Popen.__init__ hands them on, in Python 3.10 to 3.14
        streams = [own if given == -1 else given for own, given in zip((0, 1, 2), (pipes[0], pipes[3], pipes[5]), strict=True)]
        self.told, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as request:
            request.write(json.dumps({"words": args[1:], "cwd": str(cwd), "environment": env}).encode())
            request.seek(0)
            control = server().control  # sent along, so that the fork can ask too
            socket.send_fds(control, [b"."], [request.fileno(), theirs.fileno(), control.fileno(), *streams])
            self.pid = int(self.told.recv(32))
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self.told is None:
            return FRESH._try_wait(self, flags)  # type: ignore[attr-defined,no-any-return]
        self.told.setblocking(flags == 0)
        try:
            said = self.told.recv(32)
        except BlockingIOError:
            return 0, 0
        assert said, "the process that forks is gone"
        self.told.close()
        return self.pid, int(said)

    def _internal_poll(self, *more: Any, **named: Any) -> int | None:
        if self.told is None:
            return FRESH._internal_poll(self, *more, **named)  # type: ignore[attr-defined,no-any-return]
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid == self.pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


class Nested(Forked):
    """What a forked program finds as subprocess.Popen: a fork for what is WAITED_FOR, else a process as ever."""

    def _execute_child(self, args: Any, executable: Any, first: Any, close: Any, passed: Any, cwd: Any, env: Any, *rest: Any) -> None:
        words = tuple(map(str, args)) if isinstance(args, (list, tuple)) else ()
        folder, variables = Path(cwd or Path.cwd()), dict(os.environ if env is None else env)
        if words[:2] == (sys.executable, "-m") and words[2] in WAITED_FOR and can_fork(words[1:], folder, variables):
            super()._execute_child(words, executable, first, close, passed, folder, variables, *rest)
        else:
            FRESH._execute_child(self, args, executable, first, close, passed, cwd, env, *rest)  # type: ignore[attr-defined]


# -- the process that forks


def main() -> None:
    control, environment = socket.socket(fileno=int(sys.argv[1])), dict(os.environ)
    os.set_inheritable(control.fileno(), False)
    sys.path.pop(0)  # tests/, which is no program's
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that a fork's collections don't copy what all share
    asked = forked_for(control)
    if asked is not None:
        request, asker = asked
        SERVERS.append(Server(asker, environment))
        become(request)


def forked_for(control: socket.socket) -> tuple[dict[str, Any], socket.socket] | None:
    """Fork for each message and tell each end. In a fork: the request, and where to ask for more. None once nobody is there to ask."""
    ended, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    running: dict[int, int] = {}  # process number -> where to tell its end
    while True:
        ready, _, _ = select.select([control, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
        for pid, told in list(running.items()):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone == pid:
                tell(told, status)
                os.close(running.pop(pid))
        if control not in ready:
            continue
        message, descriptors, *_ = socket.recv_fds(control, 1, 6)
        if not message:
            return None
        request, told, asker, *streams = descriptors
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            for stream, own in zip(streams, (0, 1, 2), strict=True):
                os.dup2(stream, own)
            for descriptor in (ended, waker, told, *streams, *running.values()):
                os.close(descriptor)
            with open(request, encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
                return json.load(file), socket.socket(fileno=asker)
        running[pid] = told
        tell(told, pid)
        for descriptor in (request, asker, *streams):
            os.close(descriptor)


def tell(whom: int, what: int) -> None:
    """A number, to a test that may not want to hear it any more."""
    with contextlib.suppress(OSError):
        os.write(whom, str(what).encode())


def become(request: dict[str, Any]) -> NoReturn:
    """Run a program as python runs what it's called with, and end as it would."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    random.seed()
    sys.modules["numpy"].random.seed()
    tempfile.tempdir = None
    subprocess.Popen = Nested  # type: ignore[misc]
    sys.orig_argv = [sys.executable, *request["words"]]
    sys.path[:0] = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    importlib.invalidate_caches()
    end_with(status_of(request["words"]))


def status_of(words: list[str]) -> int:
    """Run it. Its exit status as python would end with, after python's words on what it raised."""
    try:
        run(*words)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return (leaving.code or 0) & 0xFF
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def end_with(status: int) -> NoReturn:
    """Leave as python does, but for taking every module apart: a fork of a large process pays a second for that."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 120
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def run(first: str, *words: str) -> None:
    """`python -c`, `python -m` or a script, as the module `__main__`."""
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    if first == "-m":
        sys.argv, sys.path[:0] = ["-m", *words[1:]], [str(Path.cwd())]
        runpy._run_module_as_main(words[0])  # type: ignore[attr-defined]
        return
    if first == "-c":
        sys.argv, sys.path[:0] = ["-c", *words[1:]], [""]
        code = compile(words[0], "<string>", "exec")
    else:
        script = Path(first).absolute()
        main.__file__ = str(script)
        sys.argv, sys.path[:0] = [first, *words], [str(script.resolve().parent)]
        code = compile(script.read_bytes(), script, "exec")
    exec(code, main.__dict__)  # noqa: S102 - as `python` does


if __name__ == "__main__":
    main()
