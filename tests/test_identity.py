"""A run's identity end to end: what makes another run is never found as the same, and what doesn't always is.

Each difference is made for real (a file edited, a variable set, a word typed) in a world of its own: a copy of lab/, of a tiny
project with one finished run, a processor and a torch. Asked is a process that forks for each answer, so that none remembers another.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.config.diff import flatten
from lab.config.identity import role_of
from lab.files import sealed, sha256_of, write_file, write_json
from lab.store.layout import RunFolder
from lab.store.machine import VARIABLES
from tests.cases import Cases
from tests.conftest import CHECKOUT, TINY

PROGRAM = """
import copy, json, os, sys, traceback
from dataclasses import replace
from pathlib import Path

from lab.ablate import codemap
from lab.ablate.rule import count_changes
from lab.config.compose import Composer
from lab.request import Identifier, job_of
from lab.store import machine
from lab.store.runs import find_identity
from lab.store.twins import choose


def asked(composer, typed):
    return job_of(count_changes(composer, typed), composer.root, "a test")


def answer(ask):
    os.environ.update(ask["environment"])
    os.chdir(ask["cwd"])
    sys.path.insert(0, ask["torch"])
    machine.CPUINFO = Path(ask["cpuinfo"])
    root = Path(ask["root"])
    composer = Composer(root, root) if ask["anew"] else COMPOSER
    job = FIRST if composer is COMPOSER and ask["typed"] == TYPED else asked(composer, ask["typed"])
    config = copy.deepcopy(job.config)
    for path, value in ask["leaves"].items():
        here = config
        *nodes, key = path.split(".")
        for each in nodes:
            here = here[each]
        assert key in here and here[key] != value, path
        here[key] = value
    identified = Identifier(root).identify(replace(job, config=config))
    found = find_identity(root, identified.identity)
    beside = choose(root, identified.identity, config).beside
    assert "torch" not in sys.modules
    names = [each and str(each.path.relative_to(root)) for each in (identified.folder, found, beside)]
    return {"manifest": identified.manifest, "config": config, "folder": names[0], "found": names[1], "beside": names[2]}


TYPED, COMPOSER = ["baseline=tiny"], Composer(Path(sys.argv[1]), Path(sys.argv[1]))
FIRST = asked(COMPOSER, TYPED)
codemap.code_map(FIRST.config)  # each file is parsed once, and once more when its bytes are others
codemap.file_of.cache_clear()
for line in sys.stdin:
    if os.fork() == 0:
        try:
            said = answer(json.loads(line))
        except BaseException:
            said = {"error": traceback.format_exc()}
        print(json.dumps(said), flush=True)
        os._exit(0)
    os.wait()
"""
CPUINFO = "processor : 0\nmodel name : A processor\ncpu MHz : 2000\nmicrocode : 0x1\nflags : fpu avx avx2 fma sse4_1\n"
VERSION = "__version__ = '2.13.0+cpu'\ndebug = False\ncuda: str | None = None\ngit_version = 'a0b1'\nhip: str | None = None\n"
# Leaves whose other value can't be made up from the one that they have.
OTHERS: dict[str, Any] = {
    "data.validation_fraction": 0.2,
    "trainer.precision": "bf16",
    "trainer.evaluation.metric": "nats_per_token",
    "device.attention": "written",
    "model.attention.logit_cap": 30.0,
}
UNTRIED = {
    "device.kind",  # a machine without a GPU has one kind
    "data.corpus._target_",  # another corpus has other bytes: tried as such
}


class World:
    """A lab, a project with one finished run, a torch and a processor, all to be edited; and who answers what a request is there."""

    def __init__(self, place: Path, template: Path, program: str = PROGRAM) -> None:
        self.place, self.root, self.lab = place, place / "project", place / "lab"
        shutil.copytree(template, self.root)
        shutil.copytree(CHECKOUT / "lab", self.lab, ignore=shutil.ignore_patterns("__pycache__"))
        write_file(place / "cpuinfo", CPUINFO)
        write_file(place / "torch" / "torch" / "__init__.py", "raise SystemExit('torch was imported')")
        write_file(place / "torch" / "torch" / "version.py", VERSION)
        self.program = program
        self._process: subprocess.Popen[str] | None = None

    def ask(
        self,
        *typed: str,
        leaves: dict[str, Any] | None = None,
        anew: bool = False,
        root: Path | None = None,
        cwd: Path | None = None,
        baseline: str = "tiny",
        **environment: str,
    ) -> dict[str, Any]:
        """What a request is here: its manifest, its folder, and what the store has of it. `anew` where conf/ moved."""
        question = {
            "typed": [f"baseline={baseline}", *typed],
            "anew": anew or root is not None,
            "leaves": leaves or {},
            "root": str(root or self.root),
            "cwd": str(cwd or self.root),
            "environment": environment,
            "torch": str(self.place / "torch"),
            "cpuinfo": str(self.place / "cpuinfo"),
        }
        process = self.process()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        said: dict[str, Any] = json.loads(process.stdout.readline())
        assert "error" not in said, said["error"]
        return said

    def process(self) -> subprocess.Popen[str]:
        if self._process is None:
            kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
            kept |= {"PYTHONPATH": str(self.place), "PYTHONDONTWRITEBYTECODE": "1"}
            command = [sys.executable, "-c", self.program, str(self.root)]
            self._process = subprocess.Popen(
                command, cwd=self.root, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()

    def finish(self) -> dict[str, Any]:
        """The run that nobody has changed anything of, as finished in the store. Returns what was answered before it was there."""
        first = self.ask()
        assert first["found"] is None
        folder = RunFolder(self.root / first["folder"])
        write_json(folder.manifest, sealed(first["manifest"]))
        write_file(folder.config, yaml.safe_dump(first["config"]))
        write_json(folder.result, sealed({"identity": first["manifest"]["identity"], "status": "finished"}))
        return first

    @contextmanager
    def edited(self, path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
        """A file as an edit leaves it, for as long as the block lasts."""
        before = path.read_bytes()
        after = change(before)
        assert after != before, f"{path}: the edit changed nothing"
        path.write_bytes(after)
        try:
            yield
        finally:
            path.write_bytes(before)

    @contextmanager
    def rewritten(self, modules: list[str], change: Callable[[bytes], bytes]) -> Iterator[None]:
        """All these modules as an edit leaves them."""
        before = {path: path.read_bytes() for path in map(self.source, modules)}
        after = {path: change(content) for path, content in before.items()}
        assert after != before, "the edit changed nothing"
        for path, content in after.items():
            path.write_bytes(content)
        try:
            yield
        finally:
            for path, content in before.items():
                path.write_bytes(content)

    def source(self, module: str) -> Path:
        path = self.place.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@dataclass(frozen=True)
class Difference:
    """One thing that differs from the finished run's request, what was answered, and what a user typed for it, if anything."""

    name: str
    answer: dict[str, Any]
    typed: tuple[str, ...] = ()
    same_arm: bool | None = None  # None: either


@pytest.fixture(scope="module")
def world(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("identity"), tiny_template)
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(world: World) -> dict[str, Any]:
    return world.finish()


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old.encode(), new.encode(), 1)


# -- what makes another run


def another_value(path: str, value: Any) -> Any:
    """A value that a leaf hasn't."""
    if path in OTHERS:
        return OTHERS[path]
    if path.endswith("._target_"):
        folder = CHECKOUT / "conf" / path.removesuffix("._target_").replace(".", "/")
        return next(each for option in sorted(folder.glob("*.yaml")) if (each := yaml.safe_load(option.read_text())["_target_"]) != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if isinstance(value, int) else value / 2 or 0.5
    return value[::-1] if isinstance(value, list) else 2


def of_configuration(world: World, first: dict[str, Any]) -> Iterator[Difference]:
    """Every leaf of a role that makes a run, one at a time; then as a user types it."""
    config = first["config"]
    for path, value in flatten(config).items():
        role = role_of(path, config["hooks"])
        if role in ("factor", "protocol", "bits", "cohort") and path not in UNTRIED:
            other = another_value(path, value)
            yield Difference(f"{path}={other}", world.ask(leaves={path: other}), (f"{path}={other}",), same_arm=role == "bits")
    for typed in ("model/norm=rmsnorm", "hooks=grad_clip", "trainer.optimizer.lr=2e-3", "change=wide"):
        yield Difference(typed, world.ask(typed), (typed,), same_arm=False)
    for typed in ("device.threads=3", "device.micro_batch=1", "seed=1"):
        yield Difference(typed, world.ask(typed), (typed,), same_arm=True)
    yield Difference("several at once", world.ask("model.dropout=0.1", "trainer.tokens=640", "explore=true"), ("...",), same_arm=False)


def of_code(world: World, first: dict[str, Any]) -> Iterator[Difference]:
    """A statement more in each module of the run, then edits of every kind."""
    for module in first["manifest"]["code"]:
        with world.edited(world.source(module), lambda source: source + b"\nEDITED = 1\n"):
            yield Difference(f"a statement more in {module}", world.ask(), same_arm=False)
    for name, module, edit in EDITS:
        with world.edited(world.source(module), edit):
            yield Difference(f"{name} in {module}", world.ask(), same_arm=False)


def of_syntax(change: Callable[[ast.AST], bool]) -> Callable[[bytes], bytes]:
    """An edit of the first place in a source where `change` does something."""

    def edit(source: bytes) -> bytes:
        tree = ast.parse(source)
        assert any(change(node) for node in ast.walk(tree)), "no such place"
        return ast.unparse(tree).encode()

    return edit


def nudge(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        node.value += 1e-9
        return True
    return False


def turn_comparison(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
        node.ops[0] = ast.NotEq()
        return True
    return False


def drop_statement(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef) and len(node.body) > 2:
        del node.body[-2]
        return True
    return False


def swap_statements(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef) and len(node.body) > 2:
        node.body[-3:-1] = node.body[-2:-1] + node.body[-3:-2]
        return True
    return False


def swap_operands(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and ast.dump(node.left) != ast.dump(node.right):
        node.left, node.right = node.right, node.left
        return True
    return False


EDITS: list[tuple[str, str, Callable[[bytes], bytes]]] = [
    ("another number", "lab.streams", of_syntax(nudge)),
    ("a turned comparison", "lab.data.batches", of_syntax(turn_comparison)),
    ("a statement fewer", "lab.train.evaluate", of_syntax(drop_statement)),
    ("statements in another order", "lab.train.loop", of_syntax(swap_statements)),
    ("operands in another order", "lab.model.gpt", of_syntax(swap_operands)),
    ("an import of another part", "lab.model.block", lambda source: source + b"\nimport lab.model.norm.rmsnorm\n"),
]


def of_data(world: World) -> Iterator[Difference]:
    """Other bytes in what a run reads."""
    text = world.root / "text.txt"
    edits: dict[str, Callable[[bytes], bytes]] = {
        "the first byte": lambda content: b"X" + content[1:],
        "a byte of the validation range": lambda content: content[: len(content) * 9 // 10] + b"X" + content[len(content) * 9 // 10 + 1 :],
        "one space more": replaced("the ", "the  "),
        "CRLF in the text": lambda content: content.replace(b"\n", b"\r\n"),
        "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
        "lines in another order": lambda content: b"\n".join(content.split(b"\n")[::-1]),
        "a tenth of the text fewer": lambda content: content[: len(content) * 9 // 10],
    }
    for name, change in edits.items():
        with world.edited(text, change):
            yield Difference(name, world.ask(), same_arm=False)
    content, folder = text.read_bytes(), world.place / "folder"
    for name, parts in {"two documents": ("1.txt", "2.txt"), "two documents, the later first": ("2.txt", "1.txt")}.items():
        for part, piece in zip(parts, (content[:9000], content[9000:]), strict=True):
            write_file(folder / part, piece)
        yield Difference(name, world.ask(leaves={"data.path": str(folder)}), same_arm=False)


def of_machine(world: World) -> Iterator[Difference]:
    """Another processor, another torch, variables that steer them."""
    files = (world.place / "cpuinfo", world.place / "torch" / "torch" / "version.py")
    for name, path, edit in (
        ("another processor", files[0], replaced("A processor", "Another")),
        ("an instruction set fewer", files[0], replaced(" avx2", "")),
        ("an instruction set more", files[0], replaced(" avx2", " avx2 avx512f")),
        ("torch's patch version", files[1], replaced("2.13.0", "2.13.1")),
        ("torch's minor version", files[1], replaced("2.13.0", "2.14.0")),
        ("torch's local version", files[1], replaced("+cpu", "+cpu.cxx11")),
        ("torch's commit", files[1], replaced("a0b1", "a0b2")),
        ("torch's CUDA", files[1], replaced("cuda: str | None = None", "cuda: str | None = '13.0'")),
    ):
        with world.edited(path, edit):
            yield Difference(name, world.ask(), same_arm=True)
    for variable in VARIABLES:
        yield Difference(f"{variable}=1", world.ask(**{variable: "1"}), same_arm=True)


@pytest.fixture(scope="module")
def making_another(world: World, first: dict[str, Any]) -> list[Difference]:
    return [*of_configuration(world, first), *of_code(world, first), *of_data(world), *of_machine(world)]


def test_what_makes_another_run_is_never_found_as_the_same(
    first: dict[str, Any], making_another: list[Difference], cases: Callable[[str], Cases]
) -> None:
    counted = cases("differences that make another run")
    identities = {first["manifest"]["identity"]}
    for each in making_another:
        manifest = each.answer["manifest"]
        arms = {
            None: True,
            True: manifest["arm_id"] == first["manifest"]["arm_id"],
            False: manifest["arm_id"] != first["manifest"]["arm_id"],
        }
        counted.check(each.name, each.answer["found"] is None and manifest["identity"] not in identities and arms[each.same_arm])
        identities.add(manifest["identity"])
    counted.all_good(at_least=140)


# -- what doesn't


def of_words(world: World) -> Iterator[Difference]:
    """Nuisances, and the same said otherwise."""
    for words in (
        "note=again",
        "study=mine",
        "explore=true",
        "trainer.evaluation.every=7",
        "trainer=detailed_eval",
        "hooks=gradient_norms",
        "trainer.optimizer.lr=1e-3",
        "model=nano trainer.tokens=1_280",
        "seed=0 device.threads=1",
        "device.micro_batch=4",  # the whole batch
        "data.path=../elsewhere/corpus.txt",
    ):
        typed = tuple(words.split())
        yield Difference(words, world.ask(*typed), typed)
    for path, value in {
        "why": "because",
        "trusted_modules": ["mine"],
        "trainer.log_every": 1,
        "trainer.checkpoint.every": 1,
        "trainer.sampling.every": 3,
        "trainer.sampling.tokens": 0,
        "trainer.sampling.temperature": 1.0,
        "judgement.alpha": 0.01,
    }.items():
        yield Difference(f"{path}={value}", world.ask(leaves={path: value}), (f"{path}={value}",))


def of_places(world: World) -> Iterator[Difference]:
    """Where things lie, when they were touched, what stands beside them, and what the machine is called."""
    elsewhere = world.place / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    shutil.copytree(world.root, elsewhere / "moved project", dirs_exist_ok=True)
    yield Difference("a moved project", world.ask(root=elsewhere / "moved project"))
    yield Difference("another working directory", world.ask(anew=True, cwd=world.root / "conf" / "model"))
    yield Difference("a working directory outside", world.ask(anew=True, cwd=elsewhere))
    write_file(elsewhere / "a folder" / "renamed.md", (world.root / "text.txt").read_bytes())
    write_file(elsewhere / "a folder" / "picture.png", b"\x89PNG")
    yield Difference("a corpus in a folder, renamed", world.ask(leaves={"data.path": str(elsewhere / "a folder")}))
    with world.edited(world.root / "text.txt", lambda content: content[:-20] + b"X" * 20):
        yield Difference("bytes that no run reads", world.ask())
    for environment in (
        {"HOSTNAME": "another", "HOST": "another"},
        {"USER": "another", "HOME": str(elsewhere)},
        {"API_TOKEN": "secret", "HYDRA_FULL_ERROR": "1"},
        {"LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"},
        {"TORCHINDUCTOR_MAX_AUTOTUNE": "1"},  # nothing is compiled
    ):
        yield Difference(" ".join(environment), world.ask(**environment))
    files = (world.place / "cpuinfo", world.place / "torch" / "torch" / "version.py")
    for name, path, edit in (
        ("the processor's clock and microcode", files[0], replaced("2000\nmicrocode : 0x1", "2001\nmicrocode : 0x2")),
        ("an instruction set that no sum uses", files[0], replaced("fpu ", "fpu aes ")),
        ("instruction sets in another order", files[0], replaced("avx avx2", "avx2 avx")),
        ("what torch's file says besides", files[1], replaced("debug = False", "debug = True\nmore = 'x'")),
    ):
        with world.edited(path, edit):
            yield Difference(name, world.ask())


def of_layout(world: World, first: dict[str, Any]) -> Iterator[Difference]:
    """Every module of the run said otherwise, and modules that it doesn't execute."""
    modules = list(first["manifest"]["code"])
    for name, edit in LAYOUTS.items():
        with world.rewritten(modules, edit):
            yield Difference(f"{name} in {len(modules)} modules", world.ask())
    for module in modules:
        os.utime(world.source(module), (1e9, 1e9))
    yield Difference("file dates", world.ask())
    for module in ("lab.model.norm.unrelated", "lab.train.unrelated", "lab.unrelated", "lab.hooks.unrelated"):
        write_file(world.source(module), "raise SystemExit\n")
        yield Difference(f"a module more: {module}", world.ask())
        world.source(module).unlink()
    for module in ("lab.cli", "lab.results.report", "lab.store.console", "lab.model.norm.rmsnorm", "lab.hooks.grad_clip", "lab.bench.side"):
        with world.edited(world.source(module), lambda source: source + b"\nEDITED = 1\n"):
            yield Difference(f"an edit of {module}", world.ask())
    with world.edited(world.source("lab.hooks.gradient_norms"), lambda source: source + b"\nEDITED = 1\n"):
        yield Difference("an edit of an observer in use", world.ask("hooks=gradient_norms"), ("hooks=gradient_norms",))


def with_docstrings(change: Callable[[str], str | None]) -> Callable[[bytes], bytes]:
    """Each docstring made another, or dropped for None; one that is all there is of a body stays."""

    def edit(source: bytes) -> bytes:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and len(node.body) > 1 and ast.get_docstring(node) is not None:
                text = change(ast.get_docstring(node) or "")
                node.body[:1] = [] if text is None else [ast.Expr(ast.Constant(text))]
        return ast.unparse(ast.fix_missing_locations(tree)).encode()

    return edit


def indented_by(indent: str) -> Callable[[bytes], bytes]:
    """The source as another tool prints it, with other indents. Texts of several lines, docstrings apart, are printed on one."""

    def edit(source: bytes) -> bytes:
        printed = ast.unparse(ast.parse(source)).splitlines()
        return "\n".join(indent * ((len(line) - len(line.lstrip())) // 4) + line.lstrip() for line in printed).encode() + b"\n"

    return edit


def formatted(source: bytes) -> bytes:
    """As a formatter leaves it that wraps at 40 columns and likes other quotes."""
    ruff = [str(Path(sys.executable).with_name("ruff")), "format", "--isolated", "--line-length=40", "--config=format.quote-style='single'"]
    return subprocess.run([*ruff, "--stdin-filename=x.py", "-"], input=source, capture_output=True, check=True).stdout


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "comments": lambda source: b"# A comment.\n" + source + b"    # Another, indented.\n",
    "other docstrings": with_docstrings(lambda text: f"Otherwise: {text}"),
    "no docstrings": with_docstrings(lambda text: None),
    "another tool's layout": lambda source: ast.unparse(ast.parse(source)).encode(),
    "indents of two": indented_by("  "),
    "tabs": indented_by("\t"),
    "a formatter's short lines": formatted,
    "CRLF": lambda source: source.replace(b"\n", b"\r\n"),
    "a byte order mark": lambda source: b"\xef\xbb\xbf" + source,
    "blank lines at the end": lambda source: source + b"\n\n\n",
}


def of_options(world: World) -> Iterator[Difference]:
    """Option files said otherwise: comments, the order of keys, line ends, dates, an option more."""

    def turned(content: bytes) -> bytes:
        return yaml.safe_dump(dict(reversed(yaml.safe_load(content).items())), sort_keys=False).encode()

    for name, file, edit in (
        ("a comment in an option file", "trainer/default.yaml", lambda content: b"# Why.\n" + content),
        ("CRLF in an option file", "trainer/default.yaml", lambda content: content.replace(b"\n", b"\r\n")),
        ("another order of an option's keys", "trainer/optimizer/adamw.yaml", turned),
        ("another order of a group's keys", "model/nano.yaml", turned),
        ("a number spelt otherwise", "trainer/optimizer/adamw.yaml", replaced("weight_decay: 0.1 ", "weight_decay: 1.0e-1 ")),
    ):
        with world.edited(world.root / "conf" / file, edit):
            yield Difference(name, world.ask(anew=True))
    extra = world.root / "conf" / "model" / "norm" / "unused.yaml"
    write_file(extra, "_target_: lab.model.norm.layernorm.LayerNorm\neps: 1.0\n")
    yield Difference("an option more", world.ask(anew=True))
    extra.unlink()


@pytest.fixture(scope="module")
def making_no_other(world: World, first: dict[str, Any]) -> list[Difference]:
    write_file(world.place / "elsewhere" / "corpus.txt", (world.root / "text.txt").read_bytes())
    return [*of_words(world), *of_places(world), *of_layout(world, first), *of_options(world)]


def test_what_makes_no_other_run_is_always_found(
    first: dict[str, Any], making_no_other: list[Difference], cases: Callable[[str], Cases]
) -> None:
    counted = cases("differences that don't make another run")
    for each in making_no_other:
        same = all(each.answer["manifest"][part] == first["manifest"][part] for part in ("identity", "arm_id", "cohort"))
        counted.check(each.name, same and each.answer["found"] == first["folder"])
    counted.all_good(at_least=50)


def test_what_was_typed_and_the_seed_are_no_identity(
    making_another: list[Difference], making_no_other: list[Difference], cases: Callable[[str], Cases]
) -> None:
    def naive(typed: tuple[str, ...]) -> str:
        return sha256_of([sorted(typed), 0])

    another, no_other = cases("differences that make another run"), cases("differences that don't make another run")
    for each in making_another:
        another.check(each.name, naive(each.typed) != naive(()))
    for each in making_no_other:
        no_other.check(each.name, naive(each.typed) == naive(()))
    another.some_bad(at_least=50)
    no_other.some_bad(at_least=10)


# -- what is found, and yet lacks something


@pytest.mark.parametrize(
    ("typed", "lacking"),
    [
        (("hooks=gradient_norms",), True),
        (("trainer.sampling.every=10",), True),
        (("trainer=detailed_eval",), False),  # the pin's cadence outranks the option's, and a text every 100 steps is one at the end
        (("trainer.log_every=1",), True),
        (("trainer.log_every=4",), False),
        (("trainer.checkpoint.every=1",), False),
        (("note=again",), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_run_that_lacks_observers_or_a_cadence_is_found_and_gets_a_twin_beside_it(
    world: World, first: dict[str, Any], typed: tuple[str, ...], lacking: bool
) -> None:
    answer = world.ask(*typed)
    assert answer["found"] == first["folder"]
    assert answer["beside"] == (first["folder"] + ".2" if lacking else None)


def test_the_same_composition_under_another_baseline_s_name_is_the_same_run(world: World, first: dict[str, Any]) -> None:
    """Said by the store's folder: the run is found where it was first trained."""
    pinned = "from pathlib import Path; from lab.ablate.baseline import pin; from lab.config.compose import Composer; import sys; "
    pinned += "root = Path(sys.argv[1]); pin(Composer(root), 'again', sys.argv[2:])"
    environment = os.environ | {"PYTHONPATH": str(world.place), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", pinned, str(world.root), *TINY], cwd=world.root, env=environment, check=True)
    answer = world.ask(baseline="again", anew=True)
    assert answer["folder"].startswith("runs/again/") and answer["found"] == first["folder"]


# -- a lab of tomorrow, installed elsewhere


def test_a_lab_elsewhere_whose_schema_has_a_field_more_finds_the_runs_of_before(
    world: World, first: dict[str, Any], tmp_path: Path, cases: Callable[[str], Cases]
) -> None:
    added = '    patience: float = leaf(0.5, "factor", "a field of tomorrow", low=0, later=True)\n'
    told = "\npatience: 0.5  # a field of tomorrow\n"
    with (
        closing(World(tmp_path / "installed elsewhere", world.root)) as tomorrow,
        tomorrow.edited(tomorrow.lab / "config" / "schema.py", replaced("    batch_size: int = ", added + "    batch_size: int = ")),
        tomorrow.edited(tomorrow.root / "conf" / "trainer" / "default.yaml", lambda content: content + told.encode()),
    ):
        same, counted = cases("differences that don't make another run"), cases("differences that make another run")
        for typed in ((), ("trainer.patience=0.5",)):
            answer = tomorrow.ask(*typed)
            assert answer["config"]["trainer"]["patience"] == 0.5
            name = f"a later field {typed}"
            same.check(name, answer["found"] == first["folder"] and answer["manifest"]["identity"] == first["manifest"]["identity"])
        other = tomorrow.ask("trainer.patience=0.25")
        counted.check("a later field, moved", other["found"] is None and other["manifest"]["arm_id"] != first["manifest"]["arm_id"])
    same.all_good(at_least=2)
    counted.all_good()
