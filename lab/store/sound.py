"""A run's small files held to the form that is shown: a field of another type is damage, named, and never a crash. Shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.errors import StoreError
from lab.files import read_sealed
from lab.store.layout import RunFolder
from lab.store.manifest import pairing_is_sound
from lab.store.runs import is_number, read_result

Fits = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    return isinstance(value, int) and is_number(value)


def is_measure(value: Any) -> bool:
    """A number that may not exist."""
    return value is None or is_number(value)


def table_of(fits: Fits) -> Fits:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def is_bits(value: Any) -> bool:
    """What is told of them: torch's version, the processor, the threads."""
    try:
        return is_text(value["torch"]["version"]) and is_text(value["cpu"]) and "device.threads" in value["leaves"]
    except (KeyError, TypeError):
        return False


def is_git(value: Any) -> bool:
    if value is None:
        return True
    whole = isinstance(value, dict) and is_text(value.get("commit")) and isinstance(value.get("dirty"), bool)
    return whole and (value.get("diff_sha256") is None or is_text(value["diff_sha256"]))


def is_divergence(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and is_count(value.get("step")) and is_text(value.get("reason")))


MANIFEST: Mapping[str, Fits] = {
    **dict.fromkeys(("identity", "arm_id", "cohort", "label", "baseline", "command"), is_text),
    **dict.fromkeys(("seed", "steps", "tokens_per_step"), is_count),
    "code": table_of(is_text),
    "bits": is_bits,
    "bytes_per_token": is_measure,  # runs of before it was written have none
    "git": is_git,
    "pairing": pairing_is_sound,
}
RESULT: Mapping[str, Fits] = {
    **dict.fromkeys(("metrics", "cost", "parameters"), table_of(is_measure)),
    **dict.fromkeys(("split", "prices"), lambda value: value is None or table_of(is_number)(value)),
    "diverged": is_divergence,
}
REQUEST: Mapping[str, Fits] = {
    **dict.fromkeys(("at", "label", "baseline", "study", "note"), is_text),
    "exploring": lambda value: isinstance(value, bool),
}


def odd_fields(value: Mapping[str, Any], form: Mapping[str, Fits]) -> list[str]:
    return [name for name, fits in form.items() if not fits(value.get(name))]


def read_manifest(folder: RunFolder) -> dict[str, Any]:
    """A run's manifest as it was written. Raises StoreError for a damaged or edited one."""
    try:
        manifest = read_sealed(folder.manifest)
    except (ValueError, OSError) as error:
        raise damaged(folder, str(error)) from None
    if odd := odd_fields(manifest, MANIFEST):
        raise damaged(folder, f"manifest.json: {', '.join(map(repr, odd))} not as written")
    return manifest


def sound_result(folder: RunFolder) -> dict[str, Any]:
    """A run's result as it was written. Raises StoreError for a damaged or edited one, or another run's."""
    result = read_result(folder)
    if odd := odd_fields(result, RESULT):
        raise damaged(folder, f"result.json: {', '.join(map(repr, odd))} not as written")
    return result


def sound_request(row: Mapping[str, Any]) -> bool:
    return not odd_fields(row, REQUEST)


def damaged(folder: RunFolder, why: str) -> StoreError:
    return StoreError(f"{folder.path} is damaged: {why}\nmove it away, and the same command trains it again")
