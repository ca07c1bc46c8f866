"""One request: what a run leaves behind, when it is found again, and how it fails. In this process, where no process is the point."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.ablate.baseline import pin
from lab.ablate.refusal import require_one_change
from lab.ablate.rule import count_changes
from lab.cli import main
from lab.errors import ConfigError, MachineError, OneChangeError, StoreError
from lab.files import read_json, read_rows, sealed, sha256_file, write_json
from lab.request import Identifier, job_of
from lab.runner import run
from lab.store.console import Console
from lab.store.layout import RunFolder, run_folders
from lab.store.runs import status_of
from tests.conftest import Project

HOOK = """
class Mine:
    observes = False

    def gradients(self, state):
        {body}
"""


def ask(project: Project, *typed: str) -> dict[str, Any]:
    """What `python run.py TYPED` does, in this process."""
    verdict = count_changes(project.composer(), typed)
    return run(job_of(verdict, project.root, " ".join(["python run.py", *typed])), Console())


def only_run(project: Project) -> RunFolder:
    (folder,) = run_folders(project.root)
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    found, damaged = read_rows(path)
    assert damaged == 0
    return found


def contents(folder: RunFolder) -> dict[str, tuple[str, int]]:
    """Every file but the requests and the claim: its digest and when it was last written."""
    paths = [path for path in folder.path.rglob("*") if path.is_file() and path not in (folder.requests, folder.claim)]
    return {path.relative_to(folder.path).as_posix(): (sha256_file(path), path.stat().st_mtime_ns) for path in paths}


def add_hook(project: Project, module: str, body: str) -> None:
    """A hook of the user's own, `hooks=mine`, in a module beside conf/ that conf/config.yaml trusts."""
    (project.root / f"{module}.py").write_text(HOOK.format(body=body))
    (project.root / "conf" / "hooks" / "mine.yaml").write_text(f"mine:\n  _target_: {module}.Mine\n")
    config = project.root / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("trusted_modules: []", f"trusted_modules: [{module}]"))


# -- what a run leaves behind


TYPED = ("baseline=tiny", "hooks=grad_clip", "seed=3", "note=does clipping help?")
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def finished(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one finished run, to look at; trained with a secret in the environment."""
    project = Project(tmp_path_factory.mktemp("finished") / "tiny")
    shutil.copytree(tiny_template, project.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_TEST_TOKEN", SECRET)
        ask(project, *TYPED)
    return project


def test_a_run_leaves_exactly_the_files_that_it_promises(finished: Project) -> None:
    folder = only_run(finished)
    names = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    checkpoints = {f"checkpoint/step-{step:08d}.{kind}" for step in (10, 20) for kind in ("json", "safetensors")}
    measured = {"metrics.jsonl", "samples.txt", "draws.json", "weights.jsonl", "documents.json"}
    digested = {"config.yaml", "overrides.yaml", "manifest.json", *measured, *checkpoints}
    assert names == digested | {"timing.jsonl", "requests.jsonl", "result.json", "run.log"}
    manifest, result = read_json(folder.manifest), read_json(folder.result)
    place = f"runs/tiny/hooks=grad_clip-{manifest['arm_id'][:6]}/seed=3-{manifest['identity'][:12]}"
    assert folder.path.relative_to(finished.root).as_posix() == place
    assert (result["status"], result["diverged"], result["identity"]) == ("finished", None, manifest["identity"])
    assert result["metrics"]["validation_bits_per_byte"] == rows(folder.metrics)[-1]["validation_bits_per_byte"]
    assert result["digests"].keys() == digested | {"weights", "optimizer"}
    assert all(sha256_file(folder.path / name) == result["digests"][name] for name in digested)
    said = folder.log.read_text()
    assert "20/20" in said and f"{result['metrics']['validation_bits_per_byte']:.4f} bits per byte" in said


def test_configuration_manifest_and_request_say_what_was_run_and_for_whom(finished: Project) -> None:
    folder = only_run(finished)
    config = yaml.safe_load(folder.config.read_text())
    assert config["trainer"]["evaluation"]["block"] == 16 and "${" not in folder.config.read_text()
    assert (config["seed"], config["hooks"]["grad_clip"]["max_norm"]) == (3, 1.0)
    assert yaml.safe_load(folder.overrides.read_text()) == list(TYPED)

    manifest = read_json(folder.manifest)
    parts = {"identity", "arm_id", "cohort", "factors", "protocol", "code", "tokens", "bits", "cohort_parts", "command", "git", "host"}
    assert parts <= manifest.keys()
    assert manifest["factors"]["hooks.grad_clip.max_norm"] == 1.0 and manifest["protocol"]["trainer.tokens"] == 1280
    assert {"lab.experiment", "lab.hooks.grad_clip", "lab.model.norm.layernorm"} <= manifest["code"].keys()
    assert not [name for name in manifest["code"] if name.startswith(("lab.hooks.z_loss", "lab.store", "lab.runner"))]
    assert manifest["bits"]["leaves"]["device.threads"] == 1 and manifest["bits"]["torch"]["version"]
    assert (manifest["steps"], manifest["tokens_per_step"]) == (20, 64)
    assert 0.9 < manifest["bytes_per_token"] < 1, "a character is a byte here, and marks are tokens without one"

    (request,) = rows(folder.requests)
    (change,) = request.pop("changes")
    assert (change["kind"], change["path"], change["typed"]) == ("hook", "hooks.grad_clip", ["hooks=grad_clip"])
    assert request.pop("at").startswith("20")
    assert request == {
        "number": 1,
        "baseline": "tiny",
        "lock": read_json(finished.root / "conf" / "baseline" / "tiny.lock.json")["sha256"],
        "label": "hooks=grad_clip",
        "held": [],
        "study": "screening",
        "exploring": False,
        "note": "does clipping help?",
        "why": "",
        "command": "python run.py " + " ".join(TYPED),
    }


def test_what_was_measured_of_the_machine_is_kept_apart_from_what_was_measured_of_the_model(finished: Project) -> None:
    folder = only_run(finished)
    assert {key for row in rows(folder.metrics) for key in row} == {
        *("step", "tokens", "loss", "lr", "gradient_norm", "curve_bits_per_byte", "curve_nats_per_token"),
        *("validation_bits_per_byte", "validation_nats_per_token", "validation_perplexity"),
    }
    assert {key for row in rows(folder.path / "timing.jsonl") for key in row} == {"step", "seconds", "tokens_per_second", "memory_bytes"}
    heads = re.findall(r"^=== (.*) ===$", (folder.path / "samples.txt").read_text(errors="replace"), re.MULTILINE)
    assert heads == ["step 20, greedy", "step 20, temperature 0.8"]


def test_no_saved_file_holds_the_environment_or_a_pickle(finished: Project) -> None:
    files = {path: path.read_bytes() for path in finished.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert len(files) > 40
    assert not [path for path, content in files.items() if SECRET.encode() in content]
    pickled = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    assert not [path for path, content in files.items() if content.startswith(pickled)]


def test_another_copy_of_the_project_gives_the_same_run(tiny: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "elsewhere" / "copy")
    shutil.copytree(tiny.root, other.root)
    first, second = ask(tiny, "baseline=tiny"), ask(other, "baseline=tiny")
    assert first["identity"] == second["identity"]
    for name in ("weights", "optimizer", "metrics.jsonl", "samples.txt"):
        assert first["digests"][name] == second["digests"][name], name


# -- finding a run


def test_the_same_request_again_finds_the_run_and_trains_nothing(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    first = ask(tiny, "baseline=tiny")
    before = contents(only_run(tiny))
    again = ask(tiny, "baseline=tiny", "note=once more")
    assert again == first and contents(only_run(tiny)) == before
    assert "found, not trained again" in capsys.readouterr().out
    asked = rows(only_run(tiny).requests)
    assert [(each["number"], each["note"]) for each in asked] == [(1, ""), (2, "once more")]


def test_an_arm_is_found_by_its_content_when_asked_for_under_another_baseline(tiny: Project) -> None:
    pin(tiny.composer(), "rms", ("baseline=tiny", "model/norm=rmsnorm"))
    first = ask(tiny, "baseline=tiny")
    before = contents(only_run(tiny))
    assert ask(tiny, "baseline=rms", "model/norm=layernorm") == first
    assert contents(only_run(tiny)) == before
    asked = [(each["baseline"], each["label"]) for each in rows(only_run(tiny).requests)]
    assert asked == [("tiny", "baseline"), ("rms", "model/norm=layernorm")]


def test_an_edited_text_is_another_cohort_and_another_run(tiny: Project) -> None:
    first = ask(tiny, "baseline=tiny")
    cohort = read_json(only_run(tiny).manifest)["cohort"]
    text = tiny.root / "text.txt"
    text.write_text(text.read_text().replace("the", "tho", 1))
    second = ask(tiny, "baseline=tiny")
    assert second["identity"] != first["identity"]
    cohorts = {read_json(folder.manifest)["cohort"] for folder in run_folders(tiny.root)}
    assert len(cohorts) == 2 and cohort in cohorts


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "metrics.jsonl": flip,
    "samples.txt": flip,
    "config.yaml": flip,
    "checkpoint/step-00000020.safetensors": flip,
    "checkpoint/step-00000010.json": Path.unlink,
    "result.json": lambda path: path.write_text("{"),
    "manifest.json": lambda path: path.write_text("{"),
}


def test_a_damaged_run_is_refused_and_named(tiny: Project) -> None:
    job = job_of(count_changes(tiny.composer(), ("baseline=tiny",)), tiny.root, "")
    run(job, Console())
    folder = only_run(tiny)
    for name, damage in DAMAGES.items():
        whole = (folder.path / name).read_bytes()
        damage(folder.path / name)
        with pytest.raises(StoreError, match=r"(?s)(is missing|isn't what it was|is damaged).*move .* away") as refused:
            run(job, Console())
        assert str(folder.path) in str(refused.value), name
        (folder.path / name).write_bytes(whole)
    assert len(rows(folder.requests)) == 1
    run(job, Console())

    flip(folder.metrics)
    done = tiny.python("run.py", "baseline=tiny", status=1)
    assert "metrics.jsonl isn't what it was" in done.stderr and "Traceback" not in done.stderr
    folder.path.rename(tiny.root / "moved away")
    assert run(job, Console())["status"] == "finished"


# -- exploring, diverging


def test_an_exploring_run_is_trained_and_marked(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("baseline=tiny", "hooks=grad_clip", "model/norm=rmsnorm")
    with pytest.raises(OneChangeError, match="2 changes"):
        ask(tiny, *typed)
    assert not (tiny.root / "runs").exists()
    assert ask(tiny, *typed, "explore=true")["status"] == "finished"
    (request,) = rows(only_run(tiny).requests)
    assert request["exploring"] is True and len(request["changes"]) == 2
    assert "exploring: enters no verdict" in capsys.readouterr().out


def test_exploring_with_one_change_is_the_ordinary_run(tiny: Project) -> None:
    first = ask(tiny, "baseline=tiny", "hooks=grad_clip", "explore=true")
    assert ask(tiny, "baseline=tiny", "hooks=grad_clip") == first
    assert [each["exploring"] for each in rows(only_run(tiny).requests)] == [False, False]


def test_a_diverged_run_is_an_outcome_and_is_found_again(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("baseline=tiny", "trainer.optimizer.lr=1000")
    result = ask(tiny, *typed)
    assert (result["status"], result["metrics"]["validation_bits_per_byte"]) == ("diverged", None)
    assert result["diverged"]["step"] <= 20 and "training loss" in result["diverged"]["reason"]
    assert f"diverged at step {result['diverged']['step']}: the training loss" in capsys.readouterr().out
    folder = only_run(tiny)
    before = contents(folder)
    assert status_of(folder) == "diverged"
    done = tiny.python("run.py", *typed, status=0)
    assert "found, not trained again: diverged at step" in done.stdout and contents(folder) == before
    assert main(["--root", str(tiny.root), "show", "optimizer.lr"]) == 0 and "diverged at step" in capsys.readouterr().out


# -- failing


def test_code_that_raises_leaves_the_traceback_in_the_run_and_one_line_on_the_console(
    tiny: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_hook(tiny, "mended_hook", "raise ValueError('no gradient today')")
    typed = ("baseline=tiny", "hooks=mine")
    done = tiny.python("run.py", *typed, status=1)
    folder = only_run(tiny)
    assert "Traceback" not in done.stdout + done.stderr
    assert (
        done.stderr.splitlines()[0] == "this run failed: ValueError: no gradient today"
        and str(folder.log) in done.stderr
        and "mended_hook.py:" in done.stderr
    )
    failure = read_json(folder.failure)
    assert failure["error"] == "ValueError: no gradient today"
    assert "mended_hook.py" in failure["traceback"] and "mended_hook.py" in folder.log.read_text()
    assert status_of(folder) == "failed" and not folder.result.exists()
    assert main(["--root", str(tiny.root), "show", "hooks=mine"]) == 0
    assert re.search(r"(?s)status +failed.*failed: ValueError: no gradient today", capsys.readouterr().out)

    add_hook(tiny, "mended_hook", "state.scale_gradients(0.5)")
    monkeypatch.syspath_prepend(str(tiny.root))
    assert ask(tiny, *typed)["status"] == "finished"
    assert sorted(status_of(each) for each in run_folders(tiny.root)) == ["failed", "finished"]


def test_a_run_that_failed_for_the_machines_sake_goes_on_when_that_is_put_right(tiny: Project) -> None:
    folder = Identifier(tiny.root).identify(job_of(count_changes(tiny.composer(), ("baseline=tiny",)), tiny.root, "")).folder
    folder.path.mkdir(parents=True)
    folder.metrics.mkdir()  # something stands where the rows should go
    with pytest.raises(MachineError, match=r"the machine failed this run: IsADirectoryError"):
        ask(tiny, "baseline=tiny")
    assert status_of(folder) == "failed" and "IsADirectoryError" in read_json(folder.failure)["error"]
    folder.metrics.rmdir()
    assert ask(tiny, "baseline=tiny")["status"] == "finished"
    assert status_of(folder) == "finished" and not folder.failure.exists()


@pytest.mark.parametrize("inside", ["", "tiny"], ids=["the store", "the baseline's folder"])
def test_a_store_that_cannot_be_written_is_said_in_one_message(tiny: Project, inside: str) -> None:
    place = tiny.root / "runs" / inside
    place.parent.mkdir(exist_ok=True)
    place.write_text("a file, where a folder should be")
    with pytest.raises(MachineError, match=r"runs.*: Not a directory|(Not a directory|File exists): .*runs"):
        ask(tiny, "baseline=tiny")


def test_a_console_that_nobody_reads_any_more_ends_no_training(tiny: Project) -> None:
    command = f"{sys.executable} run.py baseline=tiny | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tiny.root, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "baseline `tiny`, seed 0\n" and status_of(only_run(tiny)) == "finished"


def test_a_request_that_the_rule_refuses_cannot_become_a_job(tiny: Project) -> None:
    verdict = count_changes(tiny.composer(), ("baseline=tiny", "hooks=[grad_clip,z_loss]"))
    with pytest.raises(OneChangeError):
        require_one_change(verdict)
    with pytest.raises(OneChangeError):
        job_of(verdict, tiny.root, "")


def test_an_observer_that_failed_binds_no_later_request(tiny: Project) -> None:
    """The folder that it left has no checkpoint: whoever asks next begins anew, with what he asked for."""
    with pytest.raises(ConfigError, match="can't be told in this run's tokens"):
        ask(tiny, "baseline=tiny", "data/tokenizer=ascii", "hooks=samples", "hooks.samples.prompt='é'")
    folder = only_run(tiny)
    assert folder.failure.exists()
    result = ask(tiny, "baseline=tiny", "data/tokenizer=ascii")
    assert result["status"] == "finished" and only_run(tiny) == folder and not folder.failure.exists()
    assert "samples" not in folder.config.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.d_model=6", "model.n_heads=2", "model.position=rope"), "a group, chosen with a slash"),
        (("model/attention=gqa", "model.attention.kv_heads=3"), "kv_heads=3 doesn't divide the 2 heads"),
        (("hooks=gradient_scale", "hooks.gradient_scale.site=blocks.9.stream"), "no site matches"),
        (("trainer/schedule=warmup_stable_decay", "trainer.schedule.warmup=0.7", "trainer.schedule.decay=0.6"), "decay"),
    ],
    ids=["group", "heads", "site", "schedule"],
)
def test_what_a_part_refuses_leaves_no_folder_behind(tiny: Project, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask(tiny, "baseline=tiny", *words)
    assert not any((tiny.root / "runs").glob("tiny/*"))


def test_a_run_that_cannot_be_built_says_where_and_leaves_no_folder(tiny: Project) -> None:
    add_hook(tiny, "unattachable_hook", "pass")
    path = tiny.root / "unattachable_hook.py"
    path.write_text(path.read_text() + "\n    def attach(self, model, optimizer):\n        raise KeyError('no such thing')\n")
    done = tiny.python("run.py", "baseline=tiny", "hooks=mine", status=1)
    assert "this run can't be built: KeyError: 'no such thing'" in done.stderr and "unattachable_hook.py:" in done.stderr
    assert "Traceback" not in done.stderr and not any((tiny.root / "runs").glob("tiny/*"))


def test_a_run_goes_on_only_with_its_own_factors_and_with_the_cadence_that_it_was_begun_with(
    tiny: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    result = ask(tiny, "baseline=tiny")
    folder = only_run(tiny)
    folder.result.unlink()  # cut after its last checkpoint
    again = ask(tiny, "baseline=tiny", "trainer.log_every=1")
    assert "begun with trainer.log_every=2 and goes on with it, not with 1" in capsys.readouterr().out
    assert again["digests"]["metrics.jsonl"] == result["digests"]["metrics.jsonl"]
    folder.result.unlink()
    folder.config.write_text(folder.config.read_text().replace("lr: 0.001", "lr: 0.05"))
    with pytest.raises(StoreError, match=r"was edited: trainer\.optimizer\.lr is 0\.05 there"):
        ask(tiny, "baseline=tiny")


def test_what_a_finished_run_lacks_is_trained_beside_it_and_comes_to_the_same_weights(
    tiny: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ask(tiny, "baseline=tiny")
    folder = only_run(tiny)
    twin = ask(tiny, "baseline=tiny", "trainer.log_every=1", "hooks=gradient_norms")
    said = capsys.readouterr().out
    assert "without hooks.gradient_norms (it has none), trainer.log_every=1 (it has 2)" in said and "counts once" in said
    assert [each.path.name for each in run_folders(tiny.root)] == [folder.path.name, f"{folder.path.name}.2"]
    assert all(twin["digests"][name] == first["digests"][name] for name in ("weights", "optimizer", "weights.jsonl"))
    assert twin["digests"]["metrics.jsonl"] != first["digests"]["metrics.jsonl"]
    ask(tiny, "baseline=tiny")
    ask(tiny, "baseline=tiny", "hooks=gradient_norms")
    assert "found, not trained again" in capsys.readouterr().out and len(run_folders(tiny.root)) == 2


def test_a_twin_of_other_bits_is_kept_and_told(tiny: Project) -> None:
    ask(tiny, "baseline=tiny")
    folder = only_run(tiny)
    result = read_json(folder.result)
    digests = result["digests"] | {"weights": "0" * 64}
    write_json(folder.result, sealed(result | {"digests": digests}))
    with pytest.raises(MachineError, match=r"came to other bits than the same run before: weights differ(.|\n)*lab replay"):
        ask(tiny, "baseline=tiny", "trainer.log_every=1")
    assert [status_of(each) for each in run_folders(tiny.root)] == ["finished", "finished"]


def test_a_run_whose_hook_gives_the_weights_to_judge_is_found_again(tiny: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert "judged_weights" in ask(tiny, "baseline=tiny", "hooks=ema")["digests"]
    ask(tiny, "baseline=tiny", "hooks=ema")
    assert "found, not trained again" in capsys.readouterr().out


def test_the_values_that_a_swapped_component_gets_are_told(tiny: Project) -> None:
    tiny.python("-m", "lab", "pin", "tuned", "baseline=tiny", "model.mlp.expansion=2.0")
    job = job_of(count_changes(tiny.composer(), ("baseline=tuned", "model/mlp=swiglu")), tiny.root, "")
    assert job.held == ["model.mlp.expansion=4.0 (its own)"]


def test_an_exploring_run_may_be_of_a_text_that_its_baseline_has_not(tiny: Project) -> None:
    ask(tiny, "baseline=tiny", "data=stdlib", "data.path=null", "model/norm=rmsnorm", "explore=true", "trainer.tokens=640")
    (folder,) = run_folders(tiny.root)
    assert read_json(folder.manifest)["pairing"] is None
