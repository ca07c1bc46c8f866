"""The processes that train a sweep's runs: started by fork servers, listened to line by line, and seen to their end. Knows no plan."""

from __future__ import annotations

import os
import re
import selectors
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.runner import MACHINE
from lab.store.machine import SPINS, variables_for
from lab.sweep.forkserver import ForkServer

LONGEST = 65_536  # bytes read at once, and of a line
LINE_END = re.compile(rb"\r?\n|\r(?!$)")


@dataclass(frozen=True)
class Said:
    """A run's process printed a line."""

    number: int
    text: str
    error: bool


@dataclass(frozen=True)
class Gone:
    """A run's process ended, with this exit status; negative: the signal that killed it."""

    number: int
    status: int


@dataclass
class Pipe:
    """One of the two ways in which a run's process prints, and what it printed of a line that isn't whole yet."""

    number: int
    descriptor: int
    error: bool
    unread: bytes = b""
    ended: bool = False  # nobody writes any more

    def lines(self) -> list[Said | Gone]:
        """The whole lines that stand in it now."""
        return self._split(self._read())

    def _read(self) -> bytes:
        """What stands in it now; nothing where nothing does, or nobody writes any more."""
        try:
            data = os.read(self.descriptor, LONGEST)
        except BlockingIOError:
            return b""
        self.ended = not data
        return data

    def _split(self, data: bytes) -> list[Said | Gone]:
        *whole, self.unread = LINE_END.split(self.unread + data)
        if len(self.unread) > LONGEST:  # whoever writes no line ends is cut
            whole, self.unread = [*whole, self.unread], b""
        return [Said(self.number, each.decode(errors="replace"), self.error) for each in whole]

    def rest(self) -> list[Said | Gone]:
        """All that is left in it when its process is gone, the last line too where it has no end."""
        found: list[Said | Gone] = []
        while data := self._read():
            found += self._split(data)
        left = [Said(self.number, self.unread.decode(errors="replace"), self.error)] if self.unread else []
        return found + left


@dataclass
class Child:
    number: int
    server: ForkServer
    pipes: tuple[Pipe, Pipe]


class Children:
    """Each row's process by the row's number. The lab/ in the folder `code` is what they run."""

    def __init__(self, code: Path) -> None:
        self.code = code
        self.servers: dict[tuple[tuple[str, str], ...], ForkServer] = {}
        self.there: dict[int, Child] = {}
        self.selector = selectors.DefaultSelector()

    def __len__(self) -> int:
        return len(self.there)

    @property
    def ready(self) -> bool:
        """Whether another run can be asked for: the last one has begun."""
        return not any(server.starting for server in self.servers.values())

    def start(self, number: int, job: Path, device: Mapping[str, Any], slot: Mapping[str, str]) -> None:
        """Train the job in a file in a process of its own. Raises OSError."""
        server = self.server(device, job)
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        pipes = Pipe(number, out, error=False), Pipe(number, err, error=True)
        server.start(number, job, to_out, to_err, slot)
        os.close(to_out)
        os.close(to_err)
        self.there[number] = Child(number, server, pipes)
        for pipe in pipes:
            os.set_blocking(pipe.descriptor, False)
            self.selector.register(pipe.descriptor, selectors.EVENT_READ, pipe)

    def server(self, device: Mapping[str, Any], job: Path) -> ForkServer:
        """The fork server with what must stand in the environment before torch is loaded; started on its first use."""
        needed = {"GOMP_SPINCOUNT": SPINS} | variables_for(device)
        missing = {name: value for name, value in needed.items() if name not in os.environ}
        key = tuple(sorted(missing.items()))
        if key not in self.servers:
            self.servers[key] = ForkServer(self.code, missing, job)
            self.selector.register(self.servers[key], selectors.EVENT_READ, key)
        return self.servers[key]

    def signal(self, number: int) -> None:
        """Send a signal to every run."""
        for child in self.there.values():
            child.server.signal(child.number, number)

    def events(self, seconds: float) -> list[Said | Gone]:
        """What happened, waiting at most so long for the first thing."""
        found: list[Said | Gone] = []
        for key, _ in self.selector.select(seconds):
            if not isinstance(key.data, Pipe):
                self.servers[key.data].hear()
                continue
            found += key.data.lines()
            if key.data.ended:
                self.selector.unregister(key.fd)
        for name in list(self.servers):
            found += self.reaped(name)
        return found

    def reaped(self, name: tuple[tuple[str, str], ...]) -> list[Said | Gone]:
        """The runs of a fork server that ended. When it's gone itself, so are its runs, in a moment: each leaves when its parent does."""
        server = self.servers[name]
        ended = server.ended()
        if server.gone:
            ended = {child.number: MACHINE for child in self.there.values() if child.server is server} | ended
            self.selector.unregister(self.servers.pop(name))
            server.close()
        found: list[Said | Gone] = []
        for child in [child for child in self.there.values() if child.server is server and child.number in ended]:
            found += [each for pipe in child.pipes for each in pipe.rest()]
            self.drop(child)
            del self.there[child.number]
            found.append(Gone(child.number, ended[child.number]))
        return found

    def drop(self, child: Child) -> None:
        for pipe in child.pipes:
            if pipe.descriptor in self.selector.get_map():
                self.selector.unregister(pipe.descriptor)
            os.close(pipe.descriptor)

    def close(self) -> None:
        """Let all go. A run that is still there checkpoints and leaves by itself."""
        for server in self.servers.values():
            server.close()
        for child in self.there.values():
            self.drop(child)
        self.selector.close()
