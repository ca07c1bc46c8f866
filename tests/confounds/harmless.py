"""Differences that may not matter: each must be let through, told of by nobody, found as the same run, and leave the report as it was."""

from __future__ import annotations

import ast
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.ablate.lock import lock_hash, lock_path, option_path
from lab.config.compose import Composer
from lab.edits import Edits
from lab.files import read_json, write_json
from lab.store.runs import find_identity
from tests.confounds.case import Harmless
from tests.confounds.world import ARM, Here, copy_of_lab, edited_at_step_three


def alike(name: str, differ: Callable[[Here], object], *lines: str) -> Harmless:
    """The baseline and an arm are asked for again once `differ` has made the difference, as `lines` say it."""

    def plant(here: Here) -> str:
        differ(here)
        complaints = [f"{line!r}: {said}" for line in lines or ("", ARM) if (said := here.finished.again(*line.split()))]
        before, after = lines_of(here.report), lines_of(here.finished.page())
        moved = [line for line in after if line not in before] + [f"no more: {line}" for line in before if line not in after]
        return "; ".join(complaints + [f"the report says {line!r}" for line in moved[:1]])

    return Harmless(name, plant)


def lines_of(report: str) -> list[str]:
    """A report's lines, however wide its columns. An arm's label repeats what was typed last, so also a value that is the hook's own."""
    return [" ".join(line.split()).replace(f"{ARM},max_norm=1", ARM) for line in report.replace("─", "").splitlines()]


def typed(name: str, *lines: str) -> Harmless:
    """Other words for the same runs."""
    return alike(f"typed: {name}", lambda here: None, *lines)


def edited(name: str, rewrite: Callable[[str], str], *files: str) -> Harmless:
    """An edit of files of the project that changes no value."""

    def differ(here: Here) -> None:
        for file in files:
            path = here.finished.root / file
            text = path.read_bytes().decode()
            new = rewrite(text)
            assert new != text, f"{file} is as it was"
            path.write_bytes(new.encode())
        here.finished.edited()

    return alike(f"edited: {name}", differ)


def remarked(text: str) -> str:
    """Comments, but not above the first line: in a baseline's file Hydra reads that one."""
    return text.replace("\n", "\n# a remark\n", 1) + "# and one more\n"


def turned(text: str) -> str:
    """An option file's values, each on one line, in the reverse order."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not any(line.startswith(" ") for line in lines)
    return "\n".join(reversed(lines)) + "\n"


def every_module(rewrite: Callable[[str], str]) -> Callable[[Here], None]:
    """An edit of every module of the code that runs."""

    def differ(here: Here) -> None:
        for path in sorted(copy_of_lab(here).rglob("*.py")):
            path.write_bytes(rewrite(path.read_text()).encode())

    return differ


def documented(text: str) -> str:
    """Another docstring on top, and another comment."""
    body = ast.parse(text).body
    rest = "\n".join(text.splitlines()[body[0].end_lineno :]) if body else ""
    return f'"""Another word on what this is."""  # and a comment\n{rest}\n'


def reformatted(text: str) -> str:
    """Python's own layout of the same syntax: no comments, other quotes, other line breaks."""
    return ast.unparse(ast.parse(text)) + "\n"


def more_code(here: Here) -> None:
    """A module that no run of these names, and another room's code edited."""
    copy = copy_of_lab(here)
    (copy / "hooks" / "brand_new.py").write_text("class BrandNew:\n    observes = False\n")
    (copy / "train" / "optimizer" / "brand_new.py").write_text("def brand_new(): ...\n")
    console = copy / "store" / "console.py"
    console.write_text(console.read_text() + "\nSHOWN = True\n")


def dates(here: Here) -> None:
    for path in here.finished.root.rglob("*"):
        os.utime(path, (1, 1))


def moved_corpus(here: Here) -> None:
    """The text lies elsewhere, and the baseline's file says so: the one value of it that may be edited."""
    root = here.finished.root
    (root / "texts").mkdir()
    (root / "text.txt").rename(root / "texts" / "corpus.txt")
    option = option_path(root, "tiny")
    option.write_text(option.read_text().replace("path: text.txt", "path: texts/corpus.txt"))
    here.finished.edited()


def absolute_path(here: Here) -> None:
    root = here.finished.root
    option = option_path(root, "tiny")
    option.write_text(option.read_text().replace("path: text.txt", f"path: {root / 'text.txt'}"))
    here.finished.edited()


def moved_project(here: Here) -> None:
    root = here.finished.root.rename(here.folder / "elsewhere")
    here.finished.root = root
    here.finished.edited()


def other_folder(here: Here) -> None:
    """Typed in a folder that isn't the project's."""
    here.finished.composer = Composer(here.finished.root, Path("/"))


def other_host(here: Here) -> None:
    here.patch.setattr(platform, "node", lambda: "another-host")
    here.patch.setenv("HOSTNAME", "another-host")


def other_variables(here: Here) -> None:
    for name, value in {"OMP_WAIT_POLICY": "ACTIVE", "LANG": "C", "PYTHONHASHSEED": "7", "USER": "somebody", "TZ": "UTC"}.items():
        here.patch.setenv(name, value)


def git(here: Here) -> None:
    """A commit, where there was no repository."""
    words = ["git", "-C", str(here.finished.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for more in (["init", "-q"], ["add", "conf"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*words, *more], check=True, capture_output=True)


def without_cache(here: Here) -> None:
    """The prepared tokens are gone and are made again."""
    shutil.rmtree(here.finished.runs / ".cache")


def renamed_arm(here: Here) -> None:
    """The arm's folder has another name: lookups go by id."""
    (folder,) = here.finished.runs.glob("tiny/hooks=grad_clip-*")
    folder.rename(folder.with_name("zz-mine"))


def older_lock(here: Here) -> str:
    """A pin from before a component's keys and some fields were there: filled with what means the same."""
    world = here.world
    path = lock_path(world.root, "tiny")
    content = read_json(path)
    del content["composition"]["model"]["attention"]["qk_norm"], content["composition"]["trainer"]["decay"]
    parts = {key: content[key] for key in ("file_digest", "choices", "overrides", "composition")}
    write_json(path, content | {"sha256": lock_hash("tiny", **parts)})
    return world.edited().again()


def certified(here: Here) -> str:
    """An edit that a certificate excuses: the baseline's runs under the code before it still answer."""
    found, _ = edited_at_step_three(here, difference=None)
    settled = Edits(here.finished.root, str).settle(found)
    folders = [find_identity(here.finished.root, identity) for identity in settled.joined]
    if settled.job.label != "baseline" or not any(folder is not None and folder.result.exists() for folder in folders):
        return f"{settled.job.label}, not found as the same run"
    beside = Edits(here.finished.root, str).settle(here.finished.identified(ARM)[0])
    return "" if beside.job.label == ARM else f"it is {beside.job.label}"


HARMLESS = [
    typed("a rate in other digits", "trainer.optimizer.lr=1e-3", "trainer.optimizer.lr=0.0010", f"{ARM} trainer.optimizer.lr=.001"),
    typed("a whole number for a number", f"{ARM} hooks.grad_clip.max_norm=1", f"{ARM} model.dropout=0"),
    typed("minus zero", "model.dropout=-0.0"),
    typed("a budget with underscores or an exponent", "trainer.tokens=1_280", "trainer.tokens=1.28e3"),
    typed("the baseline's own values", "model.d_model=16 model.n_heads=2", f"{ARM} data.test_fraction=0.05"),
    typed("the baseline's own options", "model=nano model/norm=layernorm trainer/optimizer=adamw hooks=none change=none"),
    typed(
        "a list of one hook, quotes and a plus sign",
        "hooks=[grad_clip]",
        'hooks=["grad_clip"]',
        "++hooks.grad_clip.max_norm=1.0 hooks=grad_clip",
    ),
    typed("words in another order", "hooks.grad_clip.max_norm=1.0 hooks=grad_clip"),
    typed("a note", f"note=why {ARM}", "note=again"),
    typed("explore=true on one change", f"explore=true {ARM}", "explore=true"),
    typed("an observer", "hooks=activation_stats", "hooks=[activation_stats,grad_clip]", "hooks=[grad_clip,gradient_norms]"),
    typed("cadences of logs, looks, samples", f"{ARM} trainer.log_every=1", "trainer.evaluation.every=7 trainer.sampling.every=3"),
    typed("the cadence of checkpoints", f"{ARM} trainer.checkpoint.every=1", "trainer.checkpoint.every=20"),
    typed("longer samples, hotter", "trainer.sampling.tokens=99 trainer.sampling.temperature=2"),
    typed("a device by its name, a path by its name", "device=cpu device.threads=1 device.attention=fused"),
    typed("a micro-batch that is the whole batch", f"{ARM} device.micro_batch=4"),
    typed("a newer field at its default", f"{ARM} trainer.decay.matrices=true trainer.rate.vectors=1 model.attention.qk_norm=false"),
    typed("a derived value written out", f"{ARM} trainer.evaluation.block=16"),
    edited("comments", remarked, "conf/model/nano.yaml", "conf/trainer/optimizer/adamw.yaml", "conf/baseline/tiny.yaml"),
    edited("order of keys", turned, "conf/trainer/optimizer/adamw.yaml"),
    edited("a number in other digits", lambda text: text.replace("max_norm: 1.0 ", "max_norm: 1.00e+0 "), "conf/hooks/grad_clip.yaml"),
    edited("line ends of another system", lambda text: text.replace("\n", "\r\n"), "conf/model/nano.yaml", "conf/baseline/tiny.yaml"),
    edited("empty lines at the end", lambda text: text + "\n\n", "conf/hooks/grad_clip.yaml", "conf/baseline/tiny.yaml"),
    edited("an option that nobody chose", lambda text: text.replace("eps: 1.0e-5", "eps: 1.0e-3"), "conf/model/norm/rmsnorm.yaml"),
    edited("the cadence in an option", lambda text: text.replace("temperature: 0.8", "temperature: 0.9"), "conf/trainer/default.yaml"),
    alike("code: docstrings and comments everywhere", every_module(documented)),
    alike("code: every module formatted anew", every_module(reformatted)),
    alike("code: line ends of another system", every_module(lambda text: text.replace("\n", "\r\n"))),
    alike("code: modules that no run executes", more_code),
    alike("dates of all files", dates),
    alike("a moved corpus", moved_corpus),
    alike("an absolute path of the corpus", absolute_path),
    alike("a moved project", moved_project),
    alike("another working directory", other_folder),
    alike("another host's name", other_host),
    alike("variables that steer nothing", other_variables),
    *([alike("a commit", git)] if shutil.which("git") else []),
    alike("no cache of tokens", without_cache),
    alike("a renamed folder of an arm", renamed_arm),
    Harmless("an edit that a certificate excuses", certified),
    Harmless("a lock from before newer fields", older_lock),
]
