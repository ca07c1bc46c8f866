"""One run directory read wholly: its run, its requests, and what of it had to be left out. Knows no other directory and no cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.results.record import LeftOut, Request, Run, Unreadable, read_requests, read_run


@dataclass(frozen=True)
class Reading:
    """What one run directory says. `content` is true where its files' content decided that, and no refusal of the system to open one."""

    run: Run | None
    requests: tuple[Request, ...]
    left_out: tuple[LeftOut, ...]
    content: bool


def read_directory(folder: Path, directory: str) -> Reading:
    """The run directory `directory`, named relative to the store's folder. Never raises for what lies in it."""
    path = folder / directory
    requests: tuple[Request, ...] = ()
    left_out, content = [], True
    try:
        found, damaged = read_requests(path, directory)
        requests = tuple(found)
        if damaged:
            left_out.append(LeftOut(f"{directory}/requests.jsonl", lines_left_out(damaged)))
    except Unreadable as error:
        left_out.append(LeftOut(f"{directory}/requests.jsonl", str(error)))
        content = False
    try:
        run = read_run(path, directory)
    except Unreadable as error:
        left_out.append(LeftOut(directory, str(error)))
        return Reading(None, requests, tuple(left_out), content=False)
    # a failure that can't be opened is a failure too, and its reason says so
    return Reading(run, requests, tuple(left_out), content and run.status != "failed")


def lines_left_out(count: int) -> str:
    return f"{count} damaged or cut {'line' if count == 1 else 'lines'} left out"
