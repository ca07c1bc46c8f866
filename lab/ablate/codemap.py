"""Which code a run executes: a hash of the syntax tree of each module that can move a number in it.

Found by walking imports statically from the modules that every run executes and from what the composition's `_target_`s
name; nothing is imported. Comments, docstrings and formatting don't count, and the hash is the same on every Python.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import marshal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from struct import pack
from typing import Any

from lab.config.diff import flatten
from lab.config.ranges import nearest
from lab.errors import ConfigError, StoreError
from lab.files import canonical_json

ROOTS = ("lab.experiment",)
# The rooms whose code can move a number: all that is handed the model. What experiment imports besides (files, errors, the row
# writer, ...) writes down what was computed, and is left out.
COUNTED = (
    *("experiment", "look", "build", "streams", "numerics", "device", "data", "model", "train", "hooks", "checkpoint"),
    *("sampling", "trace"),
)
LAB = Path(__file__).resolve().parents[1]


def code_map(resolved: Mapping[str, Any]) -> dict[str, str]:
    """Module name -> SHA-256 of its syntax tree, for a resolved composition.

    Raises ConfigError for a target without a file or that its file doesn't define, and for a file that isn't Python.
    """
    for place, target in flatten(resolved).items():
        if place.endswith("._target_"):
            require_target(place.removesuffix("._target_"), target)
    observers = tuple(f"hooks.{name}." for name, hook in resolved["hooks"].items() if hook.get("observes") is True)
    named = {path: value for path, value in flatten(resolved).items() if path.endswith("._target_") and not path.startswith(observers)}
    return reached([*ROOTS, *sorted({target.rpartition(".")[0] for target in named.values()})], resolved["trusted_modules"])


class CodeMaps:
    """The code maps of many compositions at one moment: each set of modules is walked once, and is the same object for all of them."""

    def __init__(self) -> None:
        self._maps: dict[str, dict[str, str]] = {}

    def of(self, resolved: Mapping[str, Any]) -> dict[str, str]:
        """As `code_map`, of the code as it was when such a composition was first asked for."""
        observers = [name for name, hook in resolved["hooks"].items() if hook.get("observes") is True]
        targets = {place: target for place, target in flatten(resolved).items() if place.endswith("._target_")}
        key = canonical_json([targets, observers, resolved["trusted_modules"]])
        if key not in self._maps:
            self._maps[key] = code_map(resolved)
        return self._maps[key]


def reached(roots: Iterable[str], trusted: Iterable[str]) -> dict[str, str]:
    """Module name -> hash for these modules and all counted ones that they import, wherever they do."""
    found: dict[str, str] = {}
    waiting, trusted = list(roots), tuple(trusted)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        path = file_of(module)
        assert path is not None, "roots are ours, targets were looked for, and imports that lead nowhere were left out"
        with explained(path):
            found[module], imports = read_module(module, path.name == "__init__.py", path.read_bytes())
        further = [*packages_of(module), *(each for each in imports if counted(each, trusted))]
        waiting += [each for each in further if file_of(each) is not None]
    return dict(sorted(found.items()))


def require_target(at: str, target: str) -> None:
    """Raise ConfigError when no file defines what a `_target_` names; told without importing it, so also of a run that is found."""
    module, _, name = target.rpartition(".")
    path = file_of(module)
    if path is None:
        raise ConfigError(
            f"{at}: no module {module!r}, and its `_target_` names it\ncheck the option file, or install the package that holds it"
        )
    with explained(path):
        defined = defines(path.read_bytes())
    if name not in defined and "*" not in defined and "__getattr__" not in defined:
        raise ConfigError(f"{at}: {path} defines no {name}{nearest(name, defined)}\ncheck `_target_` in the option file")


@cache
def defines(source: bytes) -> frozenset[str]:
    """The names that a module gives to those who import it, wherever a statement outside its functions and classes binds one."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        here = waiting.pop()
        if isinstance(here, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(here.name)
            continue
        if isinstance(here, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in here.names}
        elif isinstance(here, ast.Name) and isinstance(here.ctx, ast.Store):
            found.add(here.id)
        waiting += ast.iter_child_nodes(here)
    return frozenset(found)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """A source that isn't Python, told in one line."""
    try:
        yield
    except (SyntaxError, ValueError) as error:  # the latter: a NUL in the source, on older Pythons
        raise ConfigError(f"{path} is part of this run and isn't Python: {error}") from None


def counted(module: str, trusted: Iterable[str]) -> bool:
    """Whether a module that is imported can move a number."""
    if module.startswith("lab."):
        return module.split(".")[1] in COUNTED
    return any(module == each or module.startswith(each + ".") for each in trusted)


def packages_of(module: str) -> list[str]:
    """The packages that a module lies in: Python executes them before it."""
    parts = module.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


@cache
def file_of(module: str) -> Path | None:
    """The source file of a module, found without importing it (a package's is its `__init__.py`)."""
    top, *rest = module.split(".")
    if top == "lab":
        folders = [LAB]
    else:
        spec = importlib.util.find_spec(top)
        if spec is None:
            return None
        if not rest and spec.origin is not None:
            return Path(spec.origin) if spec.origin.endswith(".py") else None
        folders = [Path(each) for each in spec.submodule_search_locations or ()]  # several, or without a file, for a namespace
    for folder in folders:
        stem = folder.joinpath(*rest)
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                return path
    return None


@cache
def read_module(module: str, is_package: bool, source: bytes) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a source's syntax tree as `dump` writes it, and what it imports."""
    tree = ast.parse(source)
    package = module if is_package else module.rpartition(".")[0]
    return hashlib.sha256(dump(tree).encode()).hexdigest(), tuple(imports_of(tree, package))


def imports_of(tree: ast.Module, package: str) -> list[str]:
    """The modules that a source imports anywhere in it; of `from a import b` both `a` and `a.b`."""
    found: list[str] = []
    for here in ast.walk(tree):
        if isinstance(here, ast.Import):
            found += [alias.name for alias in here.names]
        elif isinstance(here, ast.ImportFrom):
            base = here.module or ""
            if here.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - here.level + 1], *([base] if base else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in here.names)]
    return found


def dump(tree: Any) -> str:
    """A syntax tree as text, without positions, docstrings and empty fields, so that every Python writes the same."""
    if isinstance(tree, list):
        return "[" + ",".join(dump(each) for each in tree) + "]"
    if not isinstance(tree, ast.AST):
        return f"{type(tree).__name__}:{tree!a}"  # ASCII: which characters `repr` prints as they are depends on the Python
    names = []
    for name, value in ast.iter_fields(tree):
        if name == "body" and isinstance(tree, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            value = [each for each in without_docstring(value) if not isinstance(each, ast.Pass)]  # a docstring alone says as much
        if isinstance(tree, ast.JoinedStr) and name == "values":
            value = [each for each in value if getattr(each, "value", None) != ""]  # Python 3.12 ends some format specifications so
        if value is None or value == [] or name in ("type_comment", "type_ignores", "kind", "ctx"):
            continue
        names.append(f"{name}={dump(value)}")
    return f"{type(tree).__name__}({','.join(names)})"


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def require_fresh(code: Iterable[str]) -> None:
    """Raise StoreError where Python runs an older compiled form of one of these modules than its source.

    Python takes a compiled file whose recorded time, in whole seconds, and size are those of the source: an edit of the same length
    within the same second, or one that keeps the file's date, isn't seen. Asked only where the source changed after it was compiled.
    """
    for module in code:
        path = file_of(module)
        assert path is not None, "a mapped module has a file"
        compiled = Path(importlib.util.cache_from_source(str(path)))
        if not compiled.exists() or compiled.stat().st_mtime_ns > path.stat().st_ctime_ns:
            continue
        source, content = path.stat(), compiled.read_bytes()
        taken = content[:16] == importlib.util.MAGIC_NUMBER + bytes(4) + pack(
            "<II", int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF
        )
        if taken and marshal.loads(content[16:]) != compile(path.read_bytes(), str(path), "exec", dont_inherit=True):
            compiled.unlink()
            raise StoreError(f"{path} was edited without a trace that Python looks for, and its older form was loaded\ntype the same again")
