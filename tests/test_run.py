"""`python run.py` as a user types it: wrong words, refusals, and what it shows without training. Each in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, Project, copy_of_the_project

# What is typed, and words that its one message must hold.
MALFORMED = {
    "modle=nano": ("unknown key modle", "did you mean model"),
    "model=nanoo": ("no option 'nanoo'", "did you mean nano"),
    "model/nrom=rmsnorm": ("unknown key model/nrom", "model/norm"),
    "model/norm=rms": ("model/norm has no option 'rms'", "layernorm, none, rmsnorm"),
    "model.norm=rmsnorm": ("is a group", "model/norm=OPTION"),
    "model=[nano,small]": ("takes one option, not a list",),
    "trainer.optimizer.lrr=1": ("unknown key trainer.optimizer.lrr", "did you mean trainer.optimizer.lr"),
    "+model.typo=3": ("unknown key model.typo",),
    "++model.typo=3": ("unknown key model.typo",),
    "+model.norm.typo=3": ("unknown key model.norm.typo", "takes: eps"),
    "trainer.optimizer.momentum=0.9": ("no trainer.optimizer.momentum", "trainer/optimizer=sgd"),
    "hooks=[ema,ema]": ("ema is listed twice",),
    "model.norm._range_.eps=3": ("unknown key model.norm._range_.eps",),
    "data=grammar data.corpus.wrods=10": ("unknown key data.corpus.wrods", "did you mean data.corpus.words"),
    "hooks=ema hooks.ema.dekay=0.9": ("unknown key hooks.ema.dekay", "did you mean hooks.ema.decay", "ema takes: "),
    "model/attention=gqa model.attention.kv_heads=0": ("model.attention.kv_heads=0 is out of range",),
    "trainer/optimizer=lion trainer.optimizer.betas=[0.9,1.5]": ("trainer.optimizer.betas[1]=1.5 is out of range",),
    "--multirun model/attention=mha,gqa model.attention.kv_heads=1": ("no model.attention.kv_heads", "model/attention=gqa"),
    "hooks=attention_temperature": ("hooks.attention_temperature.site", "add device.attention=written"),
    "model.attention.logit_cap=30": ("model.attention.logit_cap=30", "add device.attention=written"),
    "device=mps device.deterministic=true": ("device.",),
    "trainer.optimizer.momentun=0.9": ("unknown key trainer.optimizer.momentun", "did you mean trainer.optimizer.momentum"),
    "hooks.grad_clip.max_norm=1": ("hooks.grad_clip.max_norm", "add hooks=grad_clip"),
    "hooks=gradclip": ("no option 'gradclip'", "did you mean grad_clip"),
    "trainer.batch_size=many": ("trainer.batch_size", "isn't a whole number"),
    "model.n_layers=2.5": ("model.n_layers", "isn't a whole number"),
    "trainer.optimizer.lr=fast": ("trainer.optimizer.lr", "must be a number"),
    "trainer.optimizer.lr=null": ("trainer.optimizer.lr", "must be a number"),
    "trainer.optimizer.betas=0.9": ("trainer.optimizer.betas", "must be a list"),
    "trainer.optimizer.betas=[0.9]": ("trainer.optimizer.betas", "has 1 entries"),
    "model.tie_embeddings=3.5": ("model.tie_embeddings", "isn't true or false"),
    "trainer.precision=fp16": ("trainer.precision=fp16", "fp32, bf16"),
    "device.kind=gpu": ("device.kind=gpu", "allowed are auto, cpu, cuda, mps"),
    "device.threads=0": ("device.threads=0", "from 1"),
    "model.dropout=1.5": ("model.dropout=1.5", "from 0 to 1"),
    "model.dropout=1": ("below 1",),
    "model.d_model=130": ("model.d_model=130", "isn't a multiple of model.n_heads=4"),
    "device.micro_batch=3": ("isn't a multiple of device.micro_batch=3",),
    "model.context=128 trainer.evaluation.block=256": ("longer than model.context",),
    "trainer.tokens=100": ("less than two steps",),
    "seed=-1": ("seed=-1", "from 0"),
    "seed=1 seed=2": ("seed is given twice", "seed=1 and seed=2"),
    "seed=0,1": ("lists several values", "--multirun"),
    "model.n_layers": ("can't read the override", "expected key=value"),
    "model.n_layers=[3": ("can't read the override",),
    "hooks=,ema": ("can't read the override 'hooks=,ema': a value is missing beside a comma",),
    "hooks=grad_clip,": ("can't read the override 'hooks=grad_clip,': a value is missing beside a comma",),
    "data=text": ("data.path must be given", "add data.path=VALUE"),
    "baseline=nosuch": ("no option 'nosuch'", "python -m lab pin NAME"),
    "~baseline": ("nothing can be removed",),
    "~model.norm.eps": ("nothing can be removed",),
    "model/norm@model.mlp=rmsnorm": ("can't be moved",),
    "-cn other": ("--config-name", "without a pinned baseline"),
    "--config-dir /tmp": ("--config-dir",),
    "hydra.run.dir=/tmp/x": ("hydra.run.dir",),
    "hydra.searchpath=[file:///tmp]": ("hydra.searchpath",),
    "hydra/sweeper=basic": ("hydra/sweeper=basic",),
    "trainer.optimizer.lr=inf": ("trainer.optimizer.lr=inf", "must be finite"),
    "trainer.optimizer.betas=[nan,0.9]": ("must be finite",),
    "trainer.batch_size=7": ("whole number of steps", "batch sizes that fit"),
    "model.n_heads=${seed}": ("can't refer to another key",),
    "--experimental-rerun x.pickle": ("--experimental-rerun",),
    "study=mine": ("study=mine", "--multirun"),
    "data.path=my.txt": ("data=stdlib reads no data.path", "data=text"),
    "model.norm._target_=os.system": ("model.norm._target_ is 'os.system'", "trusted_modules"),
    "trusted_modules=[os]": ("trusted_modules", "conf/config.yaml"),
    "note=${oc.env:HOME}": ("can't refer",),
    "model.n_layers=${nosuch}": ("can't refer",),
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_of_the_project(tmp_path_factory.mktemp("malformed") / "project")


@pytest.mark.parametrize("line", MALFORMED)
def test_a_users_mistake_gets_one_clear_message(untouched: Project, line: str) -> None:
    before = untouched.files()
    done = untouched.python("run.py", *line.split(), status=2)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 8, done.stderr
    for words in MALFORMED[line]:
        assert words in done.stderr
    assert untouched.files() == before


def test_at_least_twenty_five_malformed_lines_are_tried() -> None:
    assert len(MALFORMED) >= 25


BROKEN_CONF = {
    "model/nano.yaml": ("defaults: [\n", "isn't valid YAML"),
    "trainer/optimizer/adamw.yaml": ("lr: 1.0\n", "_target_"),
    "model/norm/layernorm.yaml": ("_target_: builtins.open\neps: 1.0\n", "builtins.open"),
    "hooks/none.yaml": ("- a\n- b\n", "conf"),
}


@pytest.mark.parametrize("name", BROKEN_CONF)
def test_a_broken_file_in_conf_gets_one_clear_message(project: Project, name: str) -> None:
    text, words = BROKEN_CONF[name]
    (project.root / "conf" / name).write_text(text)
    done = project.python("run.py", status=2)
    assert "Traceback" not in done.stderr
    assert words in done.stderr, done.stderr


def test_a_refusal_writes_nothing_imports_no_torch_and_leaves_with_status_2(project: Project) -> None:
    before = project.files()
    done = project.python("-X", "importtime", "run.py", "model/norm=rmsnorm", "trainer.optimizer.lr=3e-3", status=2)
    assert "makes 2 changes" in done.stderr
    assert_not_imported(done.stderr, "torch", "pandas", "scipy")
    assert project.files() == before


def assert_not_imported(importtime: str, *modules: str) -> None:
    imported = {line.rpartition("|")[2].strip() for line in importtime.splitlines() if line.startswith("import time:")}
    assert "lab.errors" in imported, "the log of imports is empty: this test could not fail"
    assert not imported & set(modules)


def test_cfg_job_shows_what_would_run_without_torch(project: Project) -> None:
    done = project.python("-X", "importtime", "run.py", "model/norm=rmsnorm", "--cfg", "job")
    assert "_target_: lab.model.norm.rmsnorm.RMSNorm" in done.stdout
    assert_not_imported(done.stderr, "torch", "pandas", "scipy")
    assert not (project.root / "runs").exists()


def test_cfg_job_shows_the_own_values_of_a_swapped_component(project: Project) -> None:
    (project.root / "conf/trainer/optimizer/sgd.yaml").write_text("_target_: lab.train.optimizer.sgd.sgd\nlr: 0.1\nmomentum: 0.9\n")
    project.python("-m", "lab", "pin", "tuned", "trainer.optimizer.lr=3e-3", "trainer.optimizer.betas=[0.8,0.9]")
    shown = project.python("run.py", "--cfg", "job", "-p", "trainer.optimizer", "baseline=tuned", "trainer/optimizer=sgd").stdout
    assert "lr: 0.1" in shown
    assert "betas" not in shown


@pytest.mark.parametrize("words", [("--help",), ("--info", "defaults"), ("--hydra-help",), ("-sc", "query=bash")])
def test_what_hydra_shows_is_shown(untouched: Project, words: tuple[str, ...]) -> None:
    done = untouched.python("run.py", *words, status=None, COMP_LINE="python run.py model=", COMP_POINT="20", _HYDRA_OLD_COMP="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_flags_may_stand_anywhere_between_the_words(untouched: Project) -> None:
    shown = untouched.python("run.py", "model=small", "--cfg", "job", "seed=3").stdout
    assert "n_layers: 6" in shown
    assert "seed: 3" in shown


def test_an_edited_lock_or_baseline_is_refused(project: Project) -> None:
    lock = project.root / "conf/baseline/default.lock.json"
    whole = lock.read_text()
    lock.write_text(whole.replace('"alpha": 0.05', '"alpha": 0.5'))
    assert "was edited" in project.python("run.py", status=2).stderr
    lock.write_text(whole)
    option = project.root / "conf/baseline/default.yaml"
    option.write_text(option.read_text().replace("alpha: 0.05", "alpha: 0.5"))
    assert "was edited since it was pinned" in project.python("run.py", status=2).stderr
    lock.unlink()
    assert "has no lock" in project.python("run.py", status=2).stderr


def test_run_py_works_from_any_folder(untouched: Project, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, untouched.root / "run.py", "--cfg", "job"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "n_layers: 4" in done.stdout


def test_the_shipped_baselines_are_locked_as_they_stand(tmp_path: Path) -> None:
    for lock in sorted((CHECKOUT / "conf/baseline").glob("*.lock.json")):
        project = copy_of_the_project(tmp_path / lock.name)
        name = lock.name.removesuffix(".lock.json")
        before = lock.read_text()
        project.python("-m", "lab", "--root", str(project.root), "pin", name, "--again")
        again = (project.root / "conf/baseline" / lock.name).read_text()
        assert again == before, f"conf/ was edited since `{name}` was pinned: pin it again"
        shutil.rmtree(project.root)
