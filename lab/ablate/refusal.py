"""The refusal of a run that makes more than one change: what differs, where it came from, and the ways out. Counts nothing."""

from __future__ import annotations

from lab.ablate.rule import Tally
from lab.config import words
from lab.config.diff import Change, Move, say
from lab.errors import OneChangeError


def require_one_change(tally: Tally) -> None:
    """Raise OneChangeError unless the request is the baseline, one change, or explores."""
    if tally.exploring or (len(tally.changes) <= 1 and not tally.incomparable and not tally.drifted):
        return
    pin = f"baseline `{tally.pin.name}` ({tally.pin.short})"
    if len(tally.incomparable) > len(tally.stale):
        raise OneChangeError(incomparable_message(tally, pin))
    if tally.stale or tally.drifted:
        raise OneChangeError(drift_message(tally, pin))
    count = len(tally.changes)
    rows = [(change.path, f"{say(change.old)} -> {say(change.new)}", change.source, change) for change in tally.changes]
    listing = table([row[:3] for row in rows], [inner_moves(row[3]) for row in rows])
    commands = "\n".join(f"  {command(tally, change)}" for change in tally.changes)
    raise OneChangeError(
        f"refused: this run makes {count} changes to {pin}; an ablation makes one\n{listing}\n"
        f"run them one by one:\n{commands}\n"
        f"or name them together, with a reason, in conf/change/; or add explore=true (it never enters a verdict)"
    )


def require_cell(tally: Tally) -> None:
    """Raise OneChangeError unless a request may be a cell of a declared factorial: comparable, of today's pin, and not exploring."""
    if tally.exploring:
        raise OneChangeError(f"refused: {tally.label} explores, and a cell feeds effects\nleave explore=true out")
    if tally.incomparable or tally.drifted:
        require_one_change(tally)


def command(tally: Tally, change: Change) -> str:
    """What to type for just this change, on this baseline."""
    start = [] if tally.pin.name == "default" else [f"baseline={tally.pin.name}"]
    path = [each for each in tally.composition.overrides if each.startswith("data.path=")]
    return " ".join(["python run.py", *(words.shell(each) for each in (*start, *path, *change.typed))])


def inner_moves(change: Change) -> list[str]:
    """The leaves that a change moves, where its path alone doesn't say them."""
    moves = [move for move in change.moves if not move.path.endswith("._target_")]
    if change.kind not in ("group", "named") or not moves:
        return []
    return [f"moves {move.path}: {say(move.old)} -> {say(move.new)}" for move in moves]


def table(rows: list[tuple[str, str, str]], inner: list[list[str]] | None = None) -> str:
    """Rows in columns, indented; below each row its inner lines."""
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = []
    for i, (first, second, third) in enumerate(rows):
        lines.append(f"  {first:<{widths[0]}}   {second:<{widths[1]}}   {third}".rstrip())
        lines += [f"      {line}" for line in (inner[i] if inner else [])]
    return "\n".join(lines)


def incomparable_message(tally: Tally, pin: str) -> str:
    """Protocol or judgement differs: no count of changes would make the runs comparable."""
    rows = []
    held = []
    edited = {change.path: change.source for change in tally.stale}
    for move in tally.incomparable:
        source = tally.composition.unresolved_leaves.get(move.path)
        follows = isinstance(source, str) and source.startswith("${")
        why = edited.get(move.path, f"follows {source[2:-1]}" if follows and source else "")
        rows.append((move.path, f"{say(move.old)} -> {say(move.new)}", why))
        if follows and move.path not in edited and can_hold(tally, move):
            held.append(f"{move.path}={say(move.old)}")
    overrides = [each for each in tally.composition.overrides if not each.startswith(("seed=", "note=", "explore=", "study="))]
    start = "python -m lab pin NAME " + " ".join(words.shell(each) for each in overrides)
    hold = f"hold it where the baseline has it: add {' '.join(held)}\n" if held else ""
    return (
        f"refused: this run is not comparable with {pin}; it differs in what all its runs must share\n{table(rows)}\n"
        f"{hold}pin another baseline, and compare within it:\n  {start.strip()}\n"
        f"or add explore=true (it never enters a verdict)"
    )


def can_hold(tally: Tally, move: Move) -> bool:
    """Whether a derived leaf could keep the baseline's value here: a block longer than the context couldn't be read."""
    return move.path != "trainer.evaluation.block" or move.old <= tally.composition.resolved["model"]["context"]


def drift_message(tally: Tally, pin: str) -> str:
    """conf/ was edited since the pin: even the baseline itself would be another one."""
    rows = [(change.path, f"{say(change.old)} -> {say(change.new)}", change.source) for change in (*tally.stale, *tally.changes)]
    if tally.stale:
        effect, instead = (
            "its runs from before the edit are not comparable with those after it",
            "put the file back, or add a new option file;",
        )
    else:
        effect = "the edit counts as a change"
        instead = "put the file back and type the value instead (as KEY=VALUE), or add a new option file;"
    return (
        f"refused: conf/ was edited since {pin} was pinned, and {effect}\n{table(rows)}\n{instead}\n"
        f"or pin it anew: python -m lab pin {tally.pin.name} --again"
    )
