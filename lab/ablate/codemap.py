"""Which code a run executes: a hash of the syntax tree of each module that can move a number in it.

Found by walking imports statically from the modules that every run executes and from what the composition's `_target_`s
name; nothing is imported. Comments, docstrings and formatting don't count, and the hash is the same on every Python.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab.config.diff import flatten
from lab.errors import ConfigError

ROOTS = ("lab.experiment",)
# The rooms whose code can move a number. What experiment imports besides (files, errors, the row writer, samples, ...)
# writes down what was computed, and is left out.
COUNTED = ("experiment", "build", "streams", "numerics", "device", "data", "model", "train", "checkpoint")
LAB = Path(__file__).resolve().parents[1]


def code_map(resolved: Mapping[str, Any]) -> dict[str, str]:
    """Module name -> SHA-256 of its syntax tree, for a resolved composition. Raises ConfigError for a target without a file."""
    targets = sorted({value.rpartition(".")[0] for path, value in flatten(resolved).items() if path.endswith("._target_")})
    observers = {hook["_target_"].rpartition(".")[0] for hook in resolved["hooks"].values() if hook.get("observes") is True}
    trusted = tuple(resolved["trusted_modules"])
    found: dict[str, str] = {}
    waiting = [*ROOTS, *(each for each in targets if each not in observers)]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        path = file_of(module)
        if path is None:
            raise ConfigError(f"no module {module!r}: a `_target_` names it\ncheck the option file, or install the package that holds it")
        found[module] = syntax_hash(path, path.stat().st_mtime_ns)
        waiting += [each for each in imports_of(module, path) if counted(each, trusted) and file_of(each) is not None]
    return dict(sorted(found.items()))


def counted(module: str, trusted: Iterable[str]) -> bool:
    """Whether a module that is imported can move a number."""
    if module.startswith("lab."):
        return module.split(".")[1] in COUNTED
    return any(module == each or module.startswith(each + ".") for each in trusted)


@cache
def file_of(module: str) -> Path | None:
    """The source file of a module, found without importing it (a package's is its `__init__.py`)."""
    top, *rest = module.split(".")
    if top == "lab":
        folder = LAB
    else:
        spec = importlib.util.find_spec(top)
        if spec is None or spec.origin is None:
            return None
        origin = Path(spec.origin)
        if not rest:
            return origin if origin.suffix == ".py" else None
        folder = origin.parent
    stem = folder.joinpath(*rest)
    for path in (stem.with_suffix(".py") if rest else stem / "__init__.py", stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def imports_of(module: str, path: Path) -> list[str]:
    """The modules that a module's source imports anywhere in it; of `from a import b` both `a` and `a.b`."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[str] = []
    for here in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(here, ast.Import):
            found += [alias.name for alias in here.names]
        elif isinstance(here, ast.ImportFrom):
            base = here.module or ""
            if here.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - here.level + 1], *([base] if base else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in here.names)]
    return found


@cache
def syntax_hash(path: Path, _modified: int) -> str:
    """SHA-256 of a file's syntax tree as `dump` writes it."""
    return hashlib.sha256(dump(ast.parse(path.read_bytes())).encode()).hexdigest()


def dump(tree: Any) -> str:
    """A syntax tree as text, without positions, docstrings and empty fields, so that every Python writes the same."""
    if isinstance(tree, list):
        return "[" + ",".join(dump(each) for each in tree) + "]"
    if not isinstance(tree, ast.AST):
        return f"{type(tree).__name__}:{tree!r}"
    names = []
    for name, value in ast.iter_fields(tree):
        if name == "body" and isinstance(tree, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            value = without_docstring(value)
        if value is None or value == [] or name in ("type_comment", "type_ignores", "kind", "ctx"):
            continue
        names.append(f"{name}={dump(value)}")
    return f"{type(tree).__name__}({','.join(names)})"


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body
