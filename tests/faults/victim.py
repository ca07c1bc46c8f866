"""A process that forks off a writer for each line it reads, so that a test can kill hundreds and pay for torch's import once.

A line is a JSON list: what to do (of KINDS, and its name there) and the folder. The answer is the writer's process number, and
once it is gone how it ended, as of os.waitpid. A writer begins when it is told to: by then whoever wants to trace it does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.acts import ACTS, NAIVE
from tests.faults.endless import LOOPS

KINDS: dict[str, dict[str, Callable[[Path], None]]] = {
    "ours": {name: act.do for name, act in ACTS.items()},
    "naive": {name: act.do for name, act in NAIVE.items()},
    "endless": dict(LOOPS),
}


class Victims:
    """The test's side of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self.say("")

    def say(self, line: str) -> str:
        self._to.write(line.encode() + b"\n")
        self._to.flush()
        return self._from.readline().decode().strip()

    def fork(self, kind: str, name: str, folder: Path) -> int:
        """A writer that waits; its process number."""
        return int(self.say(json.dumps([kind, name, str(folder)])))

    def go(self) -> int:
        """Let it begin, and wait for its end; the status of os.waitpid."""
        self.begin()
        return self.ended()

    def begin(self) -> None:
        self._to.write(b"go\n")
        self._to.flush()

    def ended(self) -> int:
        return int(self._from.readline())


@contextmanager
def victims() -> Iterator[Victims]:
    command = [sys.executable, "-m", "tests.faults.victim"]
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            yield Victims(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # its loop ends
            process.wait(20)


def main() -> None:
    lines = iter(sys.stdin.readline, "")
    next(lines)
    print("ready", flush=True)
    for line in lines:
        kind, name, folder = json.loads(line)
        gate, opened = os.pipe()
        number = os.fork()
        if number == 0:
            os.close(opened)
            print(os.getpid(), flush=True)  # said by itself: from here to the act it makes no call but the one that waits
            os.read(gate, 1)
            try:
                KINDS[kind][name](Path(folder))
            except BaseException:
                os._exit(1)
            os._exit(0)
        next(lines)
        os.write(opened, b"g")
        os.close(opened)
        os.close(gate)  # not before: the writer may be dead already, and a pipe without a reader would kill us
        print(os.waitpid(number, 0)[1], flush=True)


if __name__ == "__main__":
    main()
