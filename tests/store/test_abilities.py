"""`auto` becomes what the machine has, and what can't be had is refused before torch is loaded, with the way out."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ConfigError
from lab.store import abilities
from lab.store.abilities import LIMITS, cores, settle_device, told_of_device
from lab.store.machine import torch_build
from tests.store.fake_gpu import fake_driver, fake_torch

NODE: dict[str, Any] = {
    "kind": "cpu",
    "threads": 1,
    "attention": "auto",
    "compile": False,
    "micro_batch": None,
    "fused_optimizer": True,
    "deterministic": True,
}
PROGRAM = """
import json, os, sys
from lab.errors import ConfigError
from lab.store.abilities import settle_device
from lab.store.machine import bits_of_machine, cohort_parts, set_variables
node, precision = json.loads(sys.argv[1])
try:
    settled = settle_device(node, precision)
    before = dict(os.environ)
    bits = bits_of_machine(settled)
    untouched = before == dict(os.environ)
    set_variables(settled)
    told = {"settled": settled, "bits": bits, "cohort": cohort_parts(settled["kind"], "text", {}), "untouched": untouched}
    print(json.dumps(told | {"environment": dict(os.environ), "bits after": bits_of_machine(settled)}))
except ConfigError as error:
    print(json.dumps({"refused": str(error)}))
"""


def on_a_gpu_machine(folder: Path, precision: str = "fp32", environment: dict[str, str] | None = None, **asked: Any) -> dict[str, Any]:
    """What the lab says there, in a fresh process that finds the driver and the torch of `folder`."""
    checkout = str(Path(__file__).resolve().parents[2])
    where = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": os.pathsep.join([str(folder), checkout])}
    kept = {name: value for name, value in os.environ.items() if name not in ("CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "CC")}
    words = [sys.executable, "-c", PROGRAM, json.dumps([NODE | asked, precision])]
    done = subprocess.run(words, env=kept | where | (environment or {}), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def a_mac(monkeypatch: pytest.MonkeyPatch, version: str = "14.5", machine: str = "arm64") -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "mac_ver", lambda: (version, ("", "", ""), machine))


def without_a_gpu() -> None:
    if torch_build()["cuda"] is not None:
        pytest.skip("not run: this torch is built with CUDA")


# -- auto


@pytest.mark.parametrize(("precision", "path"), [("fp32", "fused"), ("bf16", "written")])
def test_attention_auto_is_the_faster_path_of_a_processor(precision: str, path: str) -> None:
    assert settle_device(NODE, precision) == NODE | {"attention": path}


@pytest.mark.parametrize("path", ["fused", "written"])
def test_an_attention_path_that_was_asked_for_stays(path: str) -> None:
    assert settle_device(NODE | {"attention": path}, "bf16")["attention"] == path


def test_settling_a_settled_node_changes_nothing() -> None:
    once = settle_device(NODE | {"kind": "auto"}, "bf16")
    assert "auto" not in once.values()
    assert settle_device(once, "bf16") == once


def test_auto_is_the_gpu_where_there_is_one(tmp_path: Path) -> None:
    fake_driver(tmp_path)
    fake_torch(tmp_path)
    found = on_a_gpu_machine(tmp_path, kind="auto", precision="bf16")
    assert (found["settled"]["kind"], found["settled"]["attention"]) == ("cuda", "fused")


@pytest.mark.parametrize("lacking", ["driver", "build", "card"])
def test_auto_is_the_processor_where_no_gpu_can_be_used(tmp_path: Path, lacking: str) -> None:
    if lacking != "driver":
        fake_driver(tmp_path)
    fake_torch(tmp_path, cuda=None if lacking == "build" else "12.4")
    found = on_a_gpu_machine(tmp_path, kind="auto", environment={"FAKE_GPUS": ""} if lacking == "card" else None)
    assert found["settled"]["kind"] == "cpu"


def test_on_a_mac_auto_takes_metal_only_when_bits_need_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_gpu()
    a_mac(monkeypatch)
    assert settle_device(NODE | {"kind": "auto"}, "fp32")["kind"] == "cpu"
    assert settle_device(NODE | {"kind": "auto", "deterministic": False}, "fp32")["kind"] == "mps"


# -- what isn't here


def test_cuda_without_a_cuda_build_is_refused_with_the_way_out() -> None:
    without_a_gpu()
    with pytest.raises(
        ConfigError, match=r"device\.kind=cuda: this torch .* built without CUDA\ninstall a CUDA build.*device=cpu"
    ) as refused:
        settle_device(NODE | {"kind": "cuda"}, "fp32")
    assert refused.value.exit_status == 2


def test_cuda_without_a_driver_or_a_card_is_refused(tmp_path: Path) -> None:
    fake_torch(tmp_path)
    if not Path("/dev/nvidiactl").exists():  # else a driver is here, outside the folder
        assert "no NVIDIA driver answers" in on_a_gpu_machine(tmp_path, kind="cuda")["refused"]
    fake_driver(tmp_path)
    refused = on_a_gpu_machine(tmp_path, kind="cuda", environment={"FAKE_GPUS": "", "CUDA_VISIBLE_DEVICES": "7"})["refused"]
    assert "shows no GPU" in refused and "CUDA_VISIBLE_DEVICES='7'" in refused


@pytest.mark.parametrize(("version", "machine", "why"), [("14.5", "x86_64", "Apple's own chips"), ("12.6", "arm64", "macOS 13")])
def test_metal_is_refused_on_a_mac_that_has_none(monkeypatch: pytest.MonkeyPatch, version: str, machine: str, why: str) -> None:
    a_mac(monkeypatch, version, machine)
    with pytest.raises(ConfigError, match=why):
        settle_device(NODE | {"kind": "mps", "deterministic": False}, "fp32")


def test_metal_is_refused_off_a_mac() -> None:
    if platform.system() == "Darwin":
        pytest.skip("not run: this is a Mac")
    with pytest.raises(ConfigError, match=rf"device\.kind=mps: .* this is {platform.system()}.*\ntake device=auto"):
        settle_device(NODE | {"kind": "mps"}, "fp32")


# -- what it can't do


@pytest.mark.parametrize(
    ("asked", "precision", "why"),
    [
        ({"deterministic": True}, "fp32", r"device\.deterministic=true can't be had with device\.kind=mps.*195404"),
        ({"compile": True}, "fp32", r"device\.compile=true can't be had with device\.kind=mps"),
        ({}, "bf16", r"trainer\.precision=bf16 can't be had .* macOS 14"),
    ],
)
def test_what_metal_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], precision: str, why: str) -> None:
    a_mac(monkeypatch, "13.6")
    with pytest.raises(ConfigError, match=why):
        settle_device(NODE | {"kind": "mps", "deterministic": False} | asked, precision)


def test_bf16_on_metal_is_fine_from_macos_14(monkeypatch: pytest.MonkeyPatch) -> None:
    a_mac(monkeypatch, "14.0")
    if not abilities.metal_has_bf16():
        pytest.skip("not run: this torch is older than 2.6")
    assert settle_device(NODE | {"kind": "mps", "deterministic": False}, "bf16")["kind"] == "mps"


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        ConfigError, match=r"device\.compile=true .* needs a C\+\+ compiler \(CXX, g\+\+ or clang\+\+\)\n.*device\.compile=false"
    ):
        settle_device(NODE | {"compile": True}, "fp32")
    assert settle_device(NODE, "fp32")["compile"] is False
    own = tmp_path / "my-compiler"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("CXX", str(own))
    assert settle_device(NODE | {"compile": True}, "fp32")["compile"] is True


def test_repeatable_compiled_cuda_needs_a_torch_that_can_leave_timing_out(tmp_path: Path) -> None:
    if not (shutil.which("gcc") or shutil.which("clang")):
        pytest.skip("not run: needs a C compiler")
    fake_driver(tmp_path)
    fake_torch(tmp_path, version="2.5.1", inductor="")
    if importlib.util.find_spec("triton") is None:
        assert "needs Triton" in on_a_gpu_machine(tmp_path, kind="cuda", compile=True)["refused"]
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").touch()
    (tmp_path / "triton-3.1.0.dist-info").mkdir()
    (tmp_path / "triton-3.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: triton\nVersion: 3.1.0\n")
    refused = on_a_gpu_machine(tmp_path, kind="cuda", compile=True)["refused"]
    assert "device.compile=true with device.deterministic=true" in refused and "update torch" in refused
    assert on_a_gpu_machine(tmp_path, kind="cuda", compile=True, deterministic=False)["bits"]["compiler"] == "triton 3.1.0"


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.kind}:{limit.reason[:30]}")
def test_every_limit_says_why_and_names_a_value_to_set(limit: abilities.Limit) -> None:
    assert limit.kind in abilities.ABSENCES
    assert limit.reason and not limit.reason.endswith(".")
    assert "=" in limit.way_out


# -- a GPU's bits and cohort


def test_a_gpu_s_bits_are_its_name_and_its_driver_s_and_never_its_index(tmp_path: Path) -> None:
    fake_driver(tmp_path)
    fake_torch(tmp_path)
    gpus = {"FAKE_GPUS": "NVIDIA A100-SXM4-40GB,NVIDIA H100 80GB HBM3"}
    found = on_a_gpu_machine(tmp_path, kind="cuda", environment=gpus)
    assert (found["bits"]["gpu"], found["bits"]["driver"]) == ("NVIDIA A100-SXM4-40GB", "12.4")
    assert (found["cohort"]["device"], found["cohort"]["device_class"]) == ("cuda", "NVIDIA A100-SXM4-40GB")
    alone = on_a_gpu_machine(tmp_path, kind="cuda", environment={"FAKE_GPUS": "NVIDIA A100-SXM4-40GB", "CUDA_VISIBLE_DEVICES": "1"})
    assert alone["bits"] == found["bits"]


def test_what_a_repeatable_gpu_needs_is_counted_before_it_is_set_and_set_before_torch_is_loaded(tmp_path: Path) -> None:
    fake_driver(tmp_path)
    fake_torch(tmp_path)
    found = on_a_gpu_machine(tmp_path, kind="cuda")
    assert found["bits"]["variables"] == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    assert found["untouched"], "asking for the bits must not change the bits of the next job"
    assert found["environment"]["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert found["bits after"] == found["bits"]
    assert on_a_gpu_machine(tmp_path, kind="cuda", deterministic=False)["bits"]["variables"] == {}
    assert on_a_gpu_machine(tmp_path, kind="cpu")["bits"]["variables"] == {}


def test_a_workspace_that_breaks_the_promise_is_refused_and_the_other_good_one_is_kept(tmp_path: Path) -> None:
    fake_driver(tmp_path)
    fake_torch(tmp_path)
    refused = on_a_gpu_machine(tmp_path, kind="cuda", environment={"CUBLAS_WORKSPACE_CONFIG": ":0:0"})["refused"]
    assert "CUBLAS_WORKSPACE_CONFIG=:0:0 is set" in refused and "\nunset CUBLAS_WORKSPACE_CONFIG" in refused
    found = on_a_gpu_machine(tmp_path, kind="cuda", environment={"CUBLAS_WORKSPACE_CONFIG": ":16:8"})
    assert (
        found["bits"]["variables"]
        == {"CUBLAS_WORKSPACE_CONFIG": ":16:8"}
        == {"CUBLAS_WORKSPACE_CONFIG": found["environment"]["CUBLAS_WORKSPACE_CONFIG"]}
    )


# -- threads


def test_more_threads_than_cores_are_told_and_not_refused() -> None:
    more = NODE | {"threads": cores() + 1}
    assert settle_device(more, "fp32")["threads"] == cores() + 1
    assert len(told_of_device(more)) == 1 and f"{cores()} cores" in told_of_device(more)[0]
    assert told_of_device(NODE | {"threads": cores()}) == []
