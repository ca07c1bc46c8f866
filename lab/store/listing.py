"""The store as a person reads it: a line for each run, and one run whole. Reads small files only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import StoreError
from lab.files import read_json, read_rows, sha256_of
from lab.store.console import duration
from lab.store.layout import RunFolder, run_folders, store
from lab.store.manifest import not_paired, pairing_in_words
from lab.store.plain import plain
from lab.store.runs import read_result, status_of
from lab.store.sound import read_manifest, sound_request, sound_result

COLUMNS = ("baseline", "arm", "seed", "run", "status", "bits/byte", "time")
NUMBERS = ("seed", "bits/byte", "time")
PIPED = 200  # columns where no terminal shows the table: a name that is cut in two can't be searched for
WIDE = 76  # below this many columns the first and the last are left out


def print_runs(root: Path, baseline: str = "*") -> None:
    """Every run: baseline, arm, seed, status, bits per byte, seconds. A damaged one is named and hides no other."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED)
    folders = run_folders(root, baseline)
    if not folders:
        console.print("no runs yet\ntrain one: python run.py" if baseline == "*" else f"no runs first trained for baseline `{baseline}`")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = COLUMNS if console.width >= WIDE else COLUMNS[1:-1]
    for name in shown:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold", no_wrap=name != "arm")
    damaged, twins = [], 0
    for folder in folders:
        baseline, arm, run = folder.path.relative_to(store(root)).parts
        seed, _, identity = run.removeprefix("seed=").partition("-")
        try:
            state, metric, spent = line_of(folder)
            if twin_of(folder):
                state, twins = f"{state}, twin", twins + 1
        except StoreError as error:
            state, metric, spent = "damaged", "", ""
            damaged.append(str(error).splitlines()[0])
        row = dict(zip(COLUMNS, (baseline, arm, seed, identity, state, metric, spent), strict=True))
        table.add_row(*(Text(plain(row[name])) for name in shown))
    console.print(table)
    counted = f", {twins} of them {'a twin that counts' if twins == 1 else 'twins that count'} with its first run" if twins else ""
    console.print(f"{len(folders)} run{'s' * (len(folders) != 1)}{counted}" + (f", {len(damaged)} damaged:" if damaged else ""))
    for each in damaged:
        console.print(Text(f"  {plain(each)}"))


def line_of(folder: RunFolder) -> tuple[str, str, str]:
    """A run's status, primary measure and duration as text."""
    state = status_of(folder)
    if state not in ("finished", "diverged"):
        return state, "", ""
    result = read_result(folder)
    metric = result["metrics"].get("validation_bits_per_byte")
    return state, "" if metric is None else f"{metric:.4f}", duration(result["cost"]["seconds"])


def twin_of(folder: RunFolder) -> str:
    """The name of the run that this one was trained beside, to have more observers or rows; empty for one that is no twin."""
    name, dot, number = folder.path.name.rpartition(".")
    return name if dot and number.isdigit() else ""


def print_run(folder: RunFolder, told_of_code: Callable[[Mapping[str, Any]], list[str]] = lambda manifest: []) -> None:
    """One run: what it is, who asked for it, how it went, where its files are.

    `told_of_code` says what replays found on the code in its manifest: a wing above this one keeps those.
    """
    console = Console(highlight=False, soft_wrap=True)
    manifest = read_manifest(folder)
    title = f"{manifest['label']}, seed {manifest['seed']}, first asked for by baseline `{manifest['baseline']}`"
    console.print(Text(plain(title), style="bold"))
    console.print(Text(plain(str(folder.path))))
    console.print(facts(manifest, folder))
    if pairing := manifest.get("pairing"):
        console.print(Text("pairing with the baseline that it was first asked for", style="bold"))
        if apart := not_paired(pairing):
            console.print(Text(f"  NOT PAIRED IN {' AND '.join(apart).upper()}", style="bold red"))
        console.print(Text(plain(f"  {pairing_in_words(pairing)}")))
    if findings := told_of_code(manifest):
        console.print(Text("replays of the baseline that concern its code", style="bold"))
        console.print(Text("\n".join(plain(f"  {finding}") for finding in findings)))
    console.print(Text("requests", style="bold"))
    for line in request_lines(folder):
        console.print(Text(plain(f"  {line}")))
    if folder.failure.exists():
        try:
            reason = str(read_json(folder.failure).get("error"))
        except (ValueError, OSError) as error:
            reason = str(error)
        for line in f"failed: {reason}\nthe traceback is in {folder.log}".splitlines():
            console.print(Text(plain(line)))
    if folder.result.exists():
        print_result(console, sound_result(folder))
    console.print(Text("files", style="bold"))
    for path in sorted(folder.path.rglob("*")):
        if path.is_file():
            console.print(Text(plain(f"  {path.relative_to(folder.path).as_posix()}  {path.stat().st_size:,} bytes")))


def request_lines(folder: RunFolder) -> list[str]:
    """Who asked for a run, when and in which study; lines that can't be used are counted."""
    rows, damaged = read_rows(folder.requests)
    sound = [row for row in rows if sound_request(row)]
    lines = []
    for each in sound:
        extra, note = " (exploring)" if each["exploring"] else "", f": {each['note']}" if each["note"] else ""
        lines.append(f"{each['at']}  {each['label']} of `{each['baseline']}` in study `{each['study']}`{extra}{note}")
    damaged += len(rows) - len(sound)
    return [*lines, f"{damaged} damaged or cut {'line' if damaged == 1 else 'lines'} left out"] if damaged else lines


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """What a run came to and what it cost."""
    console.print(Text("result", style="bold"))
    console.print(values(result["metrics"]))
    console.print(Text("cost", style="bold"))
    parameters = {f"parameters, {name}": count for name, count in result["parameters"].items()}
    console.print(values(result["cost"] | parameters))
    # runs of before these were measured have neither
    for title, key in (("where a step's time went", "split"), ("price of each hook: share of a step", "prices")):
        if result.get(key):
            console.print(Text(title, style="bold"))
            console.print(values({name: f"{share:.2%}" for name, share in result[key].items()}))
    if result["diverged"]:
        console.print(Text(plain(f"diverged at step {result['diverged']['step']}: {result['diverged']['reason']}")))


def facts(manifest: Mapping[str, Any], folder: RunFolder) -> Table:
    """The parts of a run's identity, a line each."""
    bits, git = manifest["bits"], manifest.get("git")
    twin = f", a twin: trained beside {twin_of(folder)} for more observers or rows, and counted with it" if twin_of(folder) else ""
    rows = {
        "status": f"{status_of(folder)}{twin}",
        "identity": manifest["identity"][:12],
        "arm": manifest["arm_id"][:12],
        "cohort": manifest["cohort"][:12],
        "budget": f"{manifest['steps']:,} steps of {manifest['tokens_per_step']:,} tokens",
        "torch": f"{bits['torch']['version']} on {bits['cpu']}, {bits['leaves']['device.threads']} threads",
        "code": f"{len(manifest['code'])} modules, map {sha256_of(manifest['code'])[:8]}",
        "git": f"{git['commit'][:12]}{', with uncommitted edits' if git['dirty'] else ''}" if git else "not a git checkout",
        "command": manifest["command"],
    }
    table = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        table.add_row(Text(f"  {key}"), Text(plain(value), overflow="fold"))
    return table


def values(named: Mapping[str, Any]) -> Table:
    """Names and numbers in two columns."""
    table = Table.grid(padding=(0, 2))
    for key, value in named.items():
        shown = (
            "none"
            if value is None
            else f"{value:,.6g}"
            if isinstance(value, float)
            else f"{value:,}"
            if isinstance(value, int)
            else str(value)
        )
        table.add_row(Text(plain(f"  {key}")), Text(shown))
    return table
