"""A run's state on disk, whole or not at all: two files a checkpoint, the last two checkpoints kept (and one that is named). No pickle.

    step-00000250.safetensors   every tensor, by its path in the state
    step-00000250.json          the rest of the state, the digests of both files, the run's identity; written last

What is read is verified first: a flipped bit in a weight would train on without a word. Knows nothing of what it keeps.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lab.errors import ConfigError, StoreError
from lab.files import read_sealed, sealed, write_file, write_json

SCHEMA = 1  # of a checkpoint's JSON file
KEPT = 2
TENSOR = "$tensor"
FLOAT = "$float"  # a number that JSON can't hold: nan, inf, -inf


@dataclass(frozen=True)
class Checkpoint:
    """`state` is nested dicts (keyed by text) and lists of tensors and plain values.

    `offsets` are the sizes of the growing files, `digests` the SHA-256 of what each held then.
    """

    step: int
    state: dict[str, Any]
    offsets: dict[str, int]
    digests: dict[str, str] = field(default_factory=dict)


class Damaged(Exception):
    """A checkpoint that can't be used, and why. Stays in this module."""


def save(
    folder: Path,
    checkpoint: Checkpoint,
    identity: str,
    guard: Callable[[], None] = lambda: None,
    *,
    kept: int = KEPT,
    keep: int | None = None,
) -> None:
    """Write a checkpoint durably, then drop all but the last `kept` and that of step `keep`.

    A failed write leaves the earlier ones as they were. `guard` is called before each file is written or dropped, and raises where
    the folder is another process's by now.
    """
    tensors, rest = pack(checkpoint.state)
    blob = safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in apart(tensors).items()})
    about = {
        "schema": SCHEMA,
        "step": checkpoint.step,
        "identity": identity,
        "offsets": checkpoint.offsets,
        "digests": checkpoint.digests,
        "sha256": hashlib.sha256(blob).hexdigest(),
        "state": rest,
    }
    stem = folder / name_of(checkpoint.step)
    guard()
    write_file(stem.with_suffix(".safetensors"), blob)
    guard()
    write_json(stem.with_suffix(".json"), sealed(about))
    guard()
    steps = {path.stem for path in folder.glob("step-*.json")}
    for path in folder.glob("step-*"):
        if path.stem not in sorted(steps)[-kept:] and (keep is None or path.stem != name_of(keep)):
            path.unlink()


def name_of(step: int) -> str:
    """The name of a checkpoint's files, without their endings."""
    return f"step-{step:08d}"


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, a copy of each whose memory an earlier one holds: a hook may keep a view of a weight."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return found


def latest(folder: Path, identity: str) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and a warning for each newer one that isn't. None when none was ever finished.

    Raises StoreError when every checkpoint is damaged (a run never starts over in silence), or one is of another version or run.
    """
    warnings: list[str] = []
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            return read(path, identity), warnings
        except Damaged as damage:
            warnings.append(f"checkpoint {path.name} is damaged and not used: {damage}")
    if warnings:
        raise StoreError(
            f"no checkpoint in {folder} can be used:\n" + "\n".join(warnings) + "\n"
            "Restore one from a copy, or move the run's folder away to train it from the beginning."
        )
    return None, warnings


def read(path: Path, identity: str) -> Checkpoint:
    """The checkpoint whose JSON file this is. Raises Damaged, or StoreError when it is of another version or another run."""
    try:
        about = read_sealed(path)
        blob = path.with_suffix(".safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise Damaged(str(error)) from error
    if about.get("schema") != SCHEMA:
        raise StoreError(
            f"{path} has schema {about.get('schema', '(none)')}, this version reads {SCHEMA}: another version of the lab wrote it\n"
            f"go on with that version, or move the run's folder away to train it from the beginning"
        )
    if about["identity"] != identity:
        raise StoreError(
            f"{path} belongs to run {about['identity'][:12]}, this is run {identity[:12]}: another configuration, code or machine.\n"
            f"Move the folder away to train this run from the beginning."
        )
    if hashlib.sha256(blob).hexdigest() != about["sha256"]:
        raise Damaged("its tensors' digest isn't the recorded one")
    # Copies: what safetensors returns are views of one buffer, placed where no allocator would place them.
    tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load(blob).items()}
    return Checkpoint(about["step"], unpack(about["state"], tensors), about["offsets"], about["digests"])


def pack(tree: Any, path: str = "") -> tuple[dict[str, Tensor], Any]:
    """Split a state into its tensors, named by their paths, and the rest, where `{"$tensor": path}` stands for each."""
    if isinstance(tree, Tensor):
        return {path: tree}, {TENSOR: path}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {}, {FLOAT: str(float(tree))}
    if not isinstance(tree, (dict, list, tuple)):
        if not isinstance(tree, (str, int, float, bool, type(None))):
            raise ConfigError(
                f"the state at {path!r} holds a {type(tree).__name__}\nkeep tensors, numbers, texts, and lists and dicts of them"
            )
        return {}, tree
    tensors: dict[str, Tensor] = {}
    rest: dict[Any, Any] = {}
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found, rest[key] = pack(value, f"{path}.{key}" if path else str(key))
        assert not tensors.keys() & found.keys(), f"two tensors of the state are called {sorted(tensors.keys() & found.keys())[0]}"
        tensors |= found
    if isinstance(tree, dict) and not all(isinstance(key, str) for key in tree):
        raise ConfigError(f"the state at {path!r} has keys that aren't text: {', '.join(repr(key) for key in tree)}\nmake them text")
    return tensors, rest if isinstance(tree, dict) else list(rest.values())


def unpack(rest: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The reverse of `pack`."""
    if isinstance(rest, list):
        return [unpack(each, tensors) for each in rest]
    if not isinstance(rest, dict):
        return rest
    if rest.keys() == {FLOAT}:
        return float(rest[FLOAT])
    return tensors[rest[TENSOR]] if rest.keys() == {TENSOR} else {key: unpack(value, tensors) for key, value in rest.items()}


def digest(state: Any) -> str:
    """SHA-256 over the tensors of a state: name, dtype, shape and bytes of each, in the order of names."""
    found = hashlib.sha256()
    for name, tensor in sorted(pack(state)[0].items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(safetensors.torch.save({"": tensor.detach().cpu().contiguous()})[8:])
    return found.hexdigest()
