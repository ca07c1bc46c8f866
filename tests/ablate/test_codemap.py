"""Which code counts: edits that can move a number change the map, and nothing else does; on every Python, at every place."""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from lab.ablate.codemap import code_map, dump, require_fresh
from lab.config.compose import Composition
from lab.errors import ConfigError, StoreError
from tests.conftest import CHECKOUT, copy_of_the_project


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Composition]:
    composer = copy_of_the_project(tmp_path_factory.mktemp("codemap") / "project").composer()
    return lambda *overrides: composer.compose(overrides)


@pytest.fixture(scope="module")
def shipped(compose: Callable[..., Composition]) -> dict[str, Any]:
    return compose().resolved


PROGRAM = """
import json, sys
from lab.ablate.codemap import code_map
code = code_map(json.load(sys.stdin))
print(json.dumps({"code": code, "loaded": sorted(sys.modules)}))
"""


def map_of(place: Path, resolved: dict[str, Any], python: str = sys.executable) -> dict[str, Any]:
    """The code map that a fresh process makes of the `lab` at a place, and the modules that it has loaded by then."""
    done = subprocess.run(
        [python, "-c", PROGRAM],
        input=json.dumps(resolved),
        env=os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A copy of lab/ at another place, to edit."""
    shutil.copytree(CHECKOUT / "lab", tmp_path / "elsewhere" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "elsewhere"


# -- our own code


def test_the_map_holds_the_story_the_parts_and_only_rooms_that_move_numbers(shipped: dict[str, Any]) -> None:
    code = code_map(shipped)
    for module in ("experiment", "build", "streams", "checkpoint", "train.loop", "model.gpt", "model.norm.layernorm", "data.batches"):
        assert f"lab.{module}" in code
    assert {module.split(".")[1] for module in code if "." in module} <= {
        *("experiment", "look", "build", "streams", "numerics", "device", "data", "model", "train", "hooks", "checkpoint"),
        *("sampling", "trace"),
    }
    assert list(code) == sorted(code)
    assert all(len(digest) == 64 for digest in code.values())


@pytest.mark.parametrize("module", ["files", "errors", "store", "store.metrics", "config", "runner", "results", "cli", "ablate.codemap"])
def test_what_only_writes_down_or_asks_is_not_in_the_map(shipped: dict[str, Any], module: str) -> None:
    assert f"lab.{module}" not in code_map(shipped)


@pytest.mark.parametrize(
    ("overrides", "gone", "come"),
    [
        (("model/norm=rmsnorm",), {"lab.model.norm.layernorm"}, {"lab.model.norm.rmsnorm"}),
        (("model/mlp=swiglu",), {"lab.model.mlp.gelu"}, {"lab.model.mlp.swiglu"}),
        (("hooks=grad_clip",), set(), {"lab.hooks", "lab.hooks.grad_clip"}),
        (("model=small", "seed=3", "trainer.optimizer.lr=0.1", "device.threads=1"), set(), set()),
    ],
)
def test_an_option_brings_its_module_and_only_its_own(
    compose: Callable[..., Composition], overrides: tuple[str, ...], gone: set[str], come: set[str]
) -> None:
    before, after = code_map(compose().resolved), code_map(compose(*overrides).resolved)
    assert before.keys() - after.keys() == gone
    assert after.keys() - before.keys() == come
    assert all(before[module] == after[module] for module in before.keys() & after.keys())


EXECUTED = """
import importlib, json, sys
for module in json.load(sys.stdin):
    importlib.import_module(module)
print(json.dumps([name for name in sys.modules if name == "lab" or name.startswith("lab.")]))
"""


def test_no_module_of_these_rooms_is_executed_without_being_in_the_map(compose: Callable[..., Composition]) -> None:
    code = code_map(compose("hooks=[grad_clip,z_loss]", "model/norm=rmsnorm").resolved)
    done = subprocess.run([sys.executable, "-c", EXECUTED], input=json.dumps(list(code)), capture_output=True, text=True, check=True)
    executed = set(json.loads(done.stdout))
    assert set(code) <= executed
    left_out = {module.split(".")[1] for module in executed - set(code)}
    assert left_out == {"canonical", "errors", "files", "store"}, "executed by a run, and not counted: can it move a number?"


def test_nothing_is_imported_by_mapping(shipped: dict[str, Any]) -> None:
    loaded = map_of(CHECKOUT, shipped)["loaded"]
    assert not {"torch", "numpy", "omegaconf", "lab.experiment", "lab.build", "lab.model", "lab.data", "lab.train"} & set(loaded)


def test_the_map_is_the_same_from_a_moved_copy_of_other_dates(moved: Path, shipped: dict[str, Any]) -> None:
    for path in moved.rglob("*.py"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert map_of(moved, shipped)["code"] == code_map(shipped)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_edit_of_our_code_shows_in_its_own_module_unless_it_only_says_something(moved: Path, shipped: dict[str, Any]) -> None:
    gpt = moved / "lab" / "model" / "gpt.py"
    edit(gpt, "from __future__ import annotations\n", "# A remark.\nfrom   __future__   import annotations  # another\n\n\n")
    edit(gpt, '"""', '"""Other words. ')
    (moved / "lab" / "files.py").write_text((moved / "lab" / "files.py").read_text() + "\nTOTALLY_DIFFERENT = True\n")
    assert map_of(moved, shipped)["code"] == code_map(shipped)
    gpt.write_text(gpt.read_text() + "\nONE_MORE = 1\n")
    after = map_of(moved, shipped)["code"]
    assert {module for module, digest in code_map(shipped).items() if after[module] != digest} == {"lab.model.gpt"}


def test_what_a_hook_imports_from_beside_it_counts_too(moved: Path, compose: Callable[..., Composition]) -> None:
    hooks = moved / "lab" / "hooks"
    (hooks / "norms.py").write_text("SCALE = 1\n")
    (hooks / "grad_clip.py").write_text("from lab.hooks.norms import SCALE\n" + (hooks / "grad_clip.py").read_text())
    assert "lab.hooks.norms" in map_of(moved, compose("hooks=grad_clip").resolved)["code"]


# -- a user's own modules


class Package:
    """A package of the user's, in a folder that Python looks in."""

    def __init__(self, folder: Path, name: str, shipped: dict[str, Any]) -> None:
        self.folder, self.name, self.shipped = folder / name, name, shipped

    def write(self, **files: str) -> None:
        """Files by their path, with __ for a slash; NAME stands for the package's name."""
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".py") if name != "init" else self.folder / "__init__.py"
            path = path.with_name("__init__.py") if path.name == "init.py" else path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.replace("NAME", self.name).encode())

    def resolved(self, *hooks: str, observing: Iterable[str] = (), trusted: str = "NAME") -> dict[str, Any]:
        """The shipped composition with hooks from this package: `clip.Clip` and the like."""
        resolved = copy.deepcopy(self.shipped) | {"trusted_modules": [trusted.replace("NAME", self.name)]}
        for target in (*hooks, *observing):
            said = {"observes": True} if target in observing else {}
            resolved["hooks"][target.replace(".", "_")] = {"_target_": f"{self.name}.{target}", **said}
        return resolved

    def mapped(self, *hooks: str, **more: Any) -> dict[str, str]:
        """This package's part of the map, by names inside the package ("" is the package itself)."""
        code = code_map(self.resolved(*hooks, **more))
        assert {module: digest for module, digest in code.items() if module.startswith("lab")} == code_map(self.shipped)
        return {module.removeprefix(self.name).lstrip("."): digest for module, digest in code.items() if not module.startswith("lab")}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: dict[str, Any]) -> Package:
    monkeypatch.syspath_prepend(tmp_path)
    unique = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]  # what Python once found under a name, it keeps
    return Package(tmp_path, f"mine_{unique}", shipped)


def test_a_trusted_module_of_the_user_s_is_in_the_map(mine: Package) -> None:
    mine.write(init="", clip="class Clip: ...")
    assert set(mine.mapped("clip.Clip")) == {"", "clip"}


def test_a_single_file_is_a_module_too(mine: Package) -> None:
    mine.folder.with_suffix(".py").write_text("class Clip: ...")
    assert set(mine.mapped("Clip")) == {""}


def test_imports_are_followed_wherever_they_stand_and_however_they_are_written(mine: Package) -> None:
    mine.write(
        init="from . import base",
        base="",
        hooks__init="",
        hooks__clip="""
            from ..tools import norm
            from .near import thing
            import NAME.dotted.deep
            import torch, json
            class Clip:
                def loss(self):
                    from .late import later
                    if thing:
                        import NAME.under_if as other
            """.replace("\n            ", "\n"),
        hooks__near="thing = 1",
        hooks__late="later = 1",
        hooks__unused="",
        tools__init="from .reexported import x",
        tools__norm="import NAME.tools.cycle",
        tools__cycle="import NAME.tools.norm",
        tools__reexported="x = 1",
        dotted__init="",
        dotted__deep="",
        under_if="",
        unused="",
    )
    assert set(mine.mapped("hooks.clip.Clip")) == {
        *("", "base", "hooks", "hooks.clip", "hooks.near", "hooks.late"),
        *("tools", "tools.norm", "tools.cycle", "tools.reexported", "dotted", "dotted.deep", "under_if"),
    }


def test_the_packages_around_a_module_count_since_python_executes_them(mine: Package) -> None:
    mine.write(init="PRECISION = 'highest'", hooks__init="", hooks__clip="class Clip: ...")
    before = mine.mapped("hooks.clip.Clip", trusted="NAME.hooks")
    mine.write(init="PRECISION = 'medium'")
    after = mine.mapped("hooks.clip.Clip", trusted="NAME.hooks")
    assert {module for module in before if before[module] != after[module]} == {""}


def test_a_folder_without_an_init_file_is_a_package_too(mine: Package) -> None:
    mine.write(hooks__clip="from ..tools.norm import norm\nclass Clip: ...", tools__norm="norm = 1")
    assert set(mine.mapped("hooks.clip.Clip")) == {"hooks.clip", "tools.norm"}


def test_a_class_in_a_package_s_own_file_counts_as_that_file(mine: Package) -> None:
    mine.write(init="", hooks__init="from .inner import y\nclass Clip: ...", hooks__inner="y = 1")
    assert set(mine.mapped("hooks.Clip")) == {"", "hooks", "hooks.inner"}


def test_an_observing_hook_s_module_is_not_in_the_map(mine: Package) -> None:
    mine.write(init="", watch="class Watch: ...", clip="class Clip: ...")
    assert mine.mapped(observing=["watch.Watch"]) == {}
    assert set(mine.mapped("clip.Clip", observing=["watch.Watch"])) == {"", "clip"}


def test_a_hook_that_acts_counts_though_an_observing_one_lives_in_the_same_file(mine: Package) -> None:
    mine.write(init="", both="class Clip: ...\nclass Watch: ...")
    assert set(mine.mapped("both.Clip", observing=["both.Watch"])) == {"", "both"}


def test_a_module_that_isn_t_trusted_is_not_followed(mine: Package) -> None:
    mine.write(init="", hooks__init="", hooks__clip="import NAME.other\nclass Clip: ...", other="")
    assert set(mine.mapped("hooks.clip.Clip", trusted="NAME.hooks")) == {"", "hooks", "hooks.clip"}


def test_mapping_executes_nothing_of_the_user_s(mine: Package) -> None:
    mine.write(init="raise SystemExit('executed')", clip="raise SystemExit('executed')\nclass Clip: ...")
    assert set(mine.mapped("clip.Clip")) == {"", "clip"}


@pytest.mark.parametrize("target", ["nowhere.Clip", "nowhere.at.all.Clip", "clip.Clip.inner"])
def test_a_target_without_a_file_is_a_mistake_in_the_configuration(mine: Package, target: str) -> None:
    mine.write(init="", clip="class Clip: ...")
    with pytest.raises(ConfigError, match=r"no module .*its `_target_` names it\ncheck the option file"):
        mine.mapped(target)


@pytest.mark.parametrize(
    "source",
    [
        "class Clip: ...",
        "Clip = 1",
        "from x import Clip",
        "import y as Clip",
        "try:\n    Clip = 1\nexcept ValueError: ...",
        "from x import *",
    ],
)
def test_a_name_that_the_file_binds_anywhere_is_found_without_executing_it(mine: Package, source: str) -> None:
    mine.write(init="", clip=source)
    assert set(mine.mapped("clip.Clip")) == {"", "clip"}


@pytest.mark.parametrize("observing", [False, True])
def test_a_class_that_the_file_lacks_is_told_with_the_nearest(mine: Package, observing: bool) -> None:
    mine.write(init="", clip="class Clip:\n    Clup = 1\ndef other():\n    Clup = 1")
    words = {"observing": ["clip.Clup"]} if observing else {}
    with pytest.raises(ConfigError, match=r"clip\.py defines no Clup: did you mean Clip\?"):
        mine.mapped(*([] if observing else ["clip.Clup"]), **words)


def test_a_package_that_isn_t_installed_is_a_mistake_in_the_configuration(mine: Package) -> None:
    with pytest.raises(ConfigError, match=f"no module '{mine.name}.clip'"):
        mine.mapped("clip.Clip")


@pytest.mark.parametrize("text", ["class Clip:", "x = (", "x = 1\x00"])
def test_a_file_that_is_not_python_is_named(mine: Package, text: str) -> None:
    mine.write(init="", clip=text)
    with pytest.raises(ConfigError, match=r"clip\.py is part of this run and isn't Python"):
        mine.mapped("clip.Clip")


PLAIN = '''\
"""Clips."""
import math
LIMIT = 1.0
NAMES = ("a", "b")
class Clip:
    """A hook."""
    def gradients(self, state, scale=2):
        """Clip them."""
        return f"{state:>{scale}}" if math.pi > LIMIT else None
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 1.0\n", "LIMIT = 1.0  # the usual\n"),
        ("import math\n", "import math\n\n\n# A section.\n\n"),
        ('"""Clips."""\n', ""),
        ('    """A hook."""\n', '    """Another text,\n    of two lines."""\n'),
        ('        """Clip them."""\n', ""),
        ('("a", "b")', "(  'a',\n    \"b\",\n)"),
        ("LIMIT = 1.0", "LIMIT = (1.00)"),
        ('"b"', 'u"b"'),
        ("\n", "\r\n"),
        ("scale=2", "scale = 0x2"),
    ],
    ids=["comment", "blank lines", "no docstring", "docstring", "no method docstring", "layout", "number", "u", "CRLF", "hex"],
)
def test_an_edit_that_only_says_or_lays_out_changes_no_hash(mine: Package, old: str, new: str) -> None:
    mine.write(init="", clip=PLAIN)
    before = mine.mapped("clip.Clip")
    assert old in PLAIN
    mine.write(clip=PLAIN.replace(old, new))
    assert mine.mapped("clip.Clip") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.0", "1.0000000000000002"),
        ("1.0", "1"),
        ("1.0", "-1.0"),
        ("1.0", "True"),
        ('"a"', '"A"'),
        ('"a"', 'b"a"'),
        ('("a", "b")', '["a", "b"]'),
        ('("a", "b")', '("a" "b")'),
        ('("a", "b")', '"a", *"b"'),
        (">", ">="),
        ("import math", "import cmath as math"),
        ("scale=2", "*, scale=2"),
        ("scale=2", "scale=None"),
        ("else None", "else ()"),
        ("{state:", "{state!r:"),
        ("LIMIT = 1.0\n", ""),
        ("class Clip:", "class Clip(object):"),
        ("    def ", "    @staticmethod\n    def "),
        ("    def ", "    async def "),
        ("LIMIT = 1.0\n", "LIMIT: float = 1.0\n"),
        ("return f", "yield f"),
    ],
)
def test_an_edit_that_can_move_a_number_changes_the_hash(mine: Package, old: str, new: str) -> None:
    mine.write(init="", clip=PLAIN)
    before = mine.mapped("clip.Clip")
    mine.write(clip=PLAIN.replace(old, new, 1))
    after = mine.mapped("clip.Clip")
    assert after["clip"] != before["clip"] and after[""] == before[""]


# -- the same on every Python

# What Pythons are known to parse into different trees: format specifications that nest (3.12 ends some with an empty text),
# characters that only newer Pythons know (`repr` shows them otherwise), u"", type parameters, parts of f-strings.
PECULIAR = '''\
"""Doc."""
def f(a, /, b=1, *c, d=2, **e) -> int:
    "doc"
    return f"{a!r:>{b}} {b:} {a=} {'q'}" f"{c}" "tail" "more"
class C(object, metaclass=type):
    y: tuple = b"bytes", "\\u0100\U0001fae8\U0001fadf", -0.0, 1e400, 1j, ..., None, True, u"u"
def only_doc():
    "doc"
async def g():
    async with a as b, c: pass
    return [i async for i in x if (y := i)]
match x:
    case {"a": 1, **rest}: pass
    case [1, *_] | C(y=2): pass
try: pass
except (A, B) as e: raise X from e
f"{x:{y}.{z}f}{{}}"
f"" ""
rf"\\d{x}\\{y}"
f"{x!s}{x:%Y-%m-%d}"
'''


def test_the_hash_of_a_syntax_tree_is_pinned() -> None:
    digest = hashlib.sha256(dump(ast.parse(PECULIAR)).encode()).hexdigest()
    assert digest[:16] == "acd5a12c61e69406", (
        "the way in which code is hashed changed (or this Python parses differently): every stored run's code differs from today's, "
        "and each would be trained again"
    )


@pytest.mark.parametrize("python", ["python3.10", "python3.11", "python3.12", "python3.13", "python3.14"])
def test_another_python_makes_the_same_map(mine: Package, python: str) -> None:
    found = shutil.which(python)
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"not run: {python} isn't on this machine's path")
    mine.write(init="", clip=PECULIAR + "\nclass Clip: ...\n")
    resolved = mine.resolved("clip.Clip")
    place = mine.folder.parent
    (place / "lab").symlink_to(CHECKOUT / "lab")
    assert map_of(place, resolved, found)["code"] == code_map(resolved)


def test_a_field_that_only_newer_pythons_have_is_left_out_while_it_is_empty() -> None:
    class FunctionDef(ast.FunctionDef):  # as of 3.12, or of a Python to come
        _fields = (*ast.FunctionDef._fields, "type_params", "colour")

    old = ast.parse("def f(): return 1").body[0]
    new = FunctionDef(**dict(ast.iter_fields(old)))
    new.type_params, new.colour = [], None  # type: ignore[attr-defined]
    assert dump(new) == dump(old)
    new.type_params = [ast.Name("T", ast.Load())]  # type: ignore[list-item]
    assert dump(new) != dump(old)


def test_a_docstring_instead_of_a_pass_changes_no_hash(mine: Package) -> None:
    mine.write(init="", clip="class Clip:\n    def gradients(self, state):\n        pass\n")
    before = mine.mapped("clip.Clip")
    mine.write(init="", clip='class Clip:\n    def gradients(self, state):\n        """Nothing yet."""\n')
    assert mine.mapped("clip.Clip") == before
    mine.write(init="", clip="class Clip:\n    def gradients(self, state):\n        return 1\n")
    assert mine.mapped("clip.Clip") != before


def test_python_is_not_let_run_an_older_form_of_what_was_edited(mine: Package) -> None:
    """An edit of the same length that keeps the file's date: Python would take the compiled file for its own."""
    mine.write(init="", clip="STEP = 1\n")
    path = mine.folder / "clip.py"
    py_compile.compile(str(path))
    require_fresh([f"{mine.name}.clip"])
    dated = path.stat()
    path.write_text("STEP = 2\n")
    os.utime(path, ns=(dated.st_atime_ns, dated.st_mtime_ns))
    assert importlib.import_module(f"{mine.name}.clip").STEP == 1, "Python does what this test is about"
    with pytest.raises(StoreError, match=r"clip\.py was edited without a trace that Python looks for(.|\n)*type the same again"):
        require_fresh([f"{mine.name}.clip"])
    require_fresh([f"{mine.name}.clip"])
    done = subprocess.run(
        [sys.executable, "-c", f"import {mine.name}.clip as c; print(c.STEP)"], cwd=mine.folder.parent, capture_output=True, text=True
    )
    assert done.stdout == "2\n"
