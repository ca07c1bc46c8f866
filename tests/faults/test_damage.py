"""Bits that flip and files that are cut, in every kind of file that a digest covers: each is refused, or warned about and not used."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch

from lab.checkpoint import latest
from lab.errors import LabError, StoreError
from lab.files import read_json
from lab.store.layout import RunFolder
from lab.store.metrics import RunFiles
from lab.store.runs import MEASURED_IN_MEMORY, verify
from tests.cases import Cases
from tests.conftest import Project
from tests.test_runner import add_hook, ask, only_run

FLIPS, CUTS = 600, 200


@dataclass(frozen=True)
class Kept:
    """A run's folder, the files in it that digests cover (of a growing one its first bytes), and what to do before it is used."""

    folder: RunFolder
    covered: dict[str, int]
    use: Callable[[RunFolder], bool]
    """Raises LabError, or returns whether something was left aside with a warning."""


def verified(folder: RunFolder) -> bool:
    verify(folder)
    return False


def resumed(folder: RunFolder) -> bool:
    """What a run does before it goes on."""
    found, warnings = latest(folder.checkpoint, read_json(folder.manifest)["identity"])
    assert found is not None
    files = RunFiles(folder.path)
    try:
        files.truncate(found.offsets, found.digests)
    finally:
        files.close()
    return bool(warnings)


@pytest.fixture(scope="module")
def finished(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    project = Project(tmp_path_factory.mktemp("finished") / "tiny")
    shutil.copytree(tiny_template, project.root)
    # Words and samples long enough that each kind of file has as many places as are to be damaged.
    digests = ask(project, "baseline=tiny", "hooks=grad_clip", "trainer.sampling.tokens=160", f"note={'why it is tried ' * 12}")["digests"]
    folder = only_run(project)
    names = [name for name in digests if name not in MEASURED_IN_MEMORY]
    return Kept(folder, {name: (folder.path / name).stat().st_size for name in (*names, "result.json")}, verified)


@pytest.fixture(scope="module")
def stopped(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A run that failed at step 16: its last checkpoint is of step 12, its rows go on behind it."""
    project = Project(tmp_path_factory.mktemp("stopped") / "tiny")
    shutil.copytree(tiny_template, project.root)
    add_hook(project, "failing", "assert state.step < 16")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(LabError, match="AssertionError"):
        patch.syspath_prepend(str(project.root))
        ask(project, "baseline=tiny", "hooks=mine")
    folder = only_run(project)
    found, warnings = latest(folder.checkpoint, read_json(folder.manifest)["identity"])
    assert found is not None and found.step == 12 and not warnings
    files = [path for path in folder.checkpoint.iterdir() if path.stem == "step-00000012"]
    sizes = {path.relative_to(folder.path).as_posix(): path.stat().st_size for path in files}
    grown = {name: offset for name, offset in found.offsets.items() if offset}
    assert (folder.path / "metrics.jsonl").stat().st_size > grown["metrics.jsonl"]
    return Kept(folder, sizes | grown, resumed)


def kind_of(name: str) -> str:
    """What a file is: both checkpoints of a run count as one kind."""
    return f"checkpoint/*{Path(name).suffix}" if name.startswith("checkpoint/") else name


def flipped(content: bytes, bit: int) -> tuple[str, bytes]:
    return f"bit {bit}", content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


def cut(content: bytes, size: int) -> tuple[str, bytes]:
    return f"cut to {size} bytes", content[:size]


# What spoils a file, how many different ones of each kind of file are tried, and how many there are for each byte.
DAMAGES = {"bit flips": (flipped, FLIPS, 8), "truncations": (cut, CUTS, 1)}


def places(kept: Kept, kind: str) -> dict[str, list[int]]:
    """Where each file is damaged, no place twice; a file with fewer places than are wanted is damaged at every one of them."""
    _, times, per_byte = DAMAGES[kind]
    kinds = [kind_of(name) for name in kept.covered]
    wanted = {name: -(-times // kinds.count(kind_of(name))) for name in kept.covered}
    return {
        name: random.Random(f"{kind} {name}").sample(range(covered * per_byte), min(covered * per_byte, wanted[name]))
        for name, covered in kept.covered.items()
    }


def noticed(kept: Kept, folder: RunFolder) -> str:
    """How damage was met: refused, set aside with a warning; else it was accepted, or the reader broke."""
    try:
        return "warned" if kept.use(folder) else "ACCEPTED"
    except StoreError:
        return "refused"
    except Exception as error:  # no word for a user, so a bad case as well
        return f"{type(error).__name__}: {error}"


def damage(kept: Kept, place: Path, kind: str, counted: Cases, met: Callable[[Kept, RunFolder, str], str]) -> None:
    """Damage one file of a copy at a time, see how that is met, and put everything back: a resume cuts rows."""
    spoil, times, _ = DAMAGES[kind]
    folder = RunFolder(place / "run")
    shutil.copytree(kept.folder.path, folder.path)
    whole = {folder.path / name: (folder.path / name).read_bytes() for name in kept.covered}
    for name, spots in places(kept, kind).items():
        path = folder.path / name
        for spot in spots:
            where, content = spoil(whole[path], spot)
            path.write_bytes(content)
            how = met(kept, folder, name)
            counted.check(f"{name}, {where}: {how}", how in ("refused", "warned"))
            for each, content in whole.items():
                if each == path or each.stat().st_size != len(content):
                    each.write_bytes(content)
    kinds = sorted({kind_of(name) for name in kept.covered})
    counted.note = f"{times} places, none twice, in each of {len(kinds)} kinds of file: {', '.join(kinds)}"


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("run", ["finished", "stopped"])
def test_no_damage_is_accepted_in_silence(
    kind: str, run: str, request: pytest.FixtureRequest, place: Path, cases: Callable[[str], Cases]
) -> None:
    kept: Kept = request.getfixturevalue(run)
    assert not kept.use(RunFolder(Path(shutil.copytree(kept.folder.path, place / "whole")))), "a whole run isn't used as it is"
    counted = cases(f"{kind} in the files of a {run} run")
    damage(kept, place, kind, counted, lambda kept, folder, _: noticed(kept, folder))
    counted.all_good(at_least=sum(map(len, places(kept, kind).values())))


NAIVELY: dict[str, Callable[[bytes], object]] = {
    "checkpoint/step-00000020.safetensors": safetensors.torch.load,
    "checkpoint/step-00000020.json": json.loads,
    "metrics.jsonl": lambda content: [json.loads(line) for line in content.splitlines()],
    "result.json": json.loads,
}


def naively(_: Kept, folder: RunFolder, name: str) -> str:
    """A reader without digests: it is content when the file can be parsed."""
    try:
        NAIVELY[name]((folder.path / name).read_bytes())
    except Exception:  # any reason to refuse will do
        return "refused"
    return "ACCEPTED"


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_reader_without_digests_accepts_damage(kind: str, finished: Kept, place: Path, cases: Callable[[str], Cases]) -> None:
    counted = cases(f"{kind} in the files of a finished run")
    some = {name: size for name, size in finished.covered.items() if name in NAIVELY}
    damage(Kept(finished.folder, some, verified), place, kind, counted, naively)
    counted.some_bad()
    assert kind != "bit flips" or set(NAIVELY) == {each.split(",")[0] for each in counted.bad}


def test_a_run_whose_rows_were_damaged_does_not_go_on(stopped: Kept, tiny_template: Path, tmp_path: Path) -> None:
    """The same through the door that a user takes: the command is typed again."""
    project = Project(tmp_path / "tiny")
    shutil.copytree(stopped.folder.path.parents[3], project.root)
    path = only_run(project).path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"loss":', b'"lass":', 1))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreError, match=r"(?s)metrics\.jsonl.*damaged.*start it again"):
        patch.syspath_prepend(str(project.root))
        ask(project, "baseline=tiny", "hooks=mine")
