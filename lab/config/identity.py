"""What makes a run the run that it is: the roles of its leaves, and the three hashes over them.

arm_id    factors, protocol, code, tokens: what is being tried; the report pools runs by it
identity  arm_id, seed, bits: one run, repeatable to the bit
cohort    device class, torch's minor version, text, protocol: what must be equal for two runs to be compared
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from lab.config.diff import flatten, node, same
from lab.config.schema import LATER_KEYS, ROLES, Role, TrainingConfig, components, leaves
from lab.files import sha256_of


def role_of(path: str, hooks: Mapping[str, Any]) -> Role:
    """The role of a leaf; `hooks` is the composition's own, since a hook that only observes is a nuisance."""
    if path.startswith("hooks."):
        hook = hooks.get(path.split(".")[1])
        return "nuisance" if isinstance(hook, Mapping) and hook.get("observes") is True else "factor"
    for at, each in components().items():
        if path.startswith(at + "."):
            return each.role
    return leaves()[path].role


def of_role(role: Role, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of one role that a composition's identity counts: later fields only where they left their default."""
    return by_role(resolved)[role]


def by_role(resolved: Mapping[str, Any]) -> dict[Role, dict[str, Any]]:
    """Every leaf that an identity may count, under its role; `of_role` for all roles at once."""
    found: dict[Role, dict[str, Any]] = {role: {} for role in ROLES}
    for path, value in flatten(resolved).items():
        if not as_before(path, value, resolved):
            found[role_of(path, resolved["hooks"])][path] = value
    return found


def as_before(path: str, value: Any, resolved: Mapping[str, Any]) -> bool:
    """Whether a leaf was added after the first release and stands at the value that means what was before it."""
    if path in leaves():
        return leaves()[path].later and same(value, schema_defaults()[path])
    at, _, key = path.rpartition(".")
    later = LATER_KEYS.get(str((node(resolved, at) or {}).get("_target_")), {})
    return key in later and same(value, later[key])


def with_later_keys(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """A composition from before some components' keys were added, with these keys at the values that mean the same."""
    filled = {key: with_later_keys(value) if isinstance(value, Mapping) else value for key, value in resolved.items()}
    return dict(LATER_KEYS.get(str(resolved.get("_target_")), {})) | filled


@cache
def schema_defaults(schema: type = TrainingConfig, prefix: str = "") -> dict[str, Any]:
    """The default of every leaf of the schema, by path."""
    found: dict[str, Any] = {}
    types = get_type_hints(schema)
    for each in fields(schema):
        path = prefix + each.name
        if is_dataclass(types[each.name]):
            found |= schema_defaults(types[each.name], path + ".")
        elif "leaf" in each.metadata:
            found[path] = each.default_factory() if each.default_factory is not MISSING else each.default
    return found


def arm_id(factors: Mapping[str, Any], protocol: Mapping[str, Any], code: Mapping[str, str], tokens: str) -> str:
    """Hash of what is being tried, without the seed. `code` maps modules to hashes, `tokens` digests the token files."""
    return sha256_of({"factors": dict(factors), "protocol": dict(protocol), "code": dict(code), "tokens": tokens})


def change_id(factors: Mapping[str, Any], protocol: Mapping[str, Any], tokens: str) -> str:
    """Hash of an arm without its code: equal for the same change under several code maps."""
    return sha256_of({"factors": dict(factors), "protocol": dict(protocol), "tokens": tokens})


def run_identity(arm: str, seed: int, bits: Mapping[str, Any]) -> str:
    """Hash of one run: its arm, its seed, and everything about the machine that may move a bit."""
    return sha256_of({"arm_id": arm, "seed": seed, "bits": dict(bits)})


def cohort_id(parts: Mapping[str, Any]) -> str:
    """Hash of what must be equal for two runs to be compared: device, device_class, torch (minor), text, protocol."""
    assert set(parts) == {"device", "device_class", "torch", "text", "protocol"}
    return sha256_of(dict(parts))
