"""What each kind of device can do on this machine: `auto` settled, and what can't be had refused with its way out. No torch.

What a kind can't do is a row of LIMITS, so that a new limit is a new row.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import ConfigError
from lab.store import gpu
from lab.store.machine import cxx, torch_build, torch_folder, variables_for

BEST_FIRST = ("cuda", "mps", "cpu")
# Where written-out attention is the faster path: torch's fused backward takes 6 ms a call there (docs/log.md). Else the fused one.
WRITTEN_IS_FASTER = {("cpu", "bf16")}
# The values of a variable that a repeatable device goes with (cuBLAS has two workspaces).
REPEATABLE = {"CUBLAS_WORKSPACE_CONFIG": (":4096:8", ":16:8"), "TORCHINDUCTOR_DETERMINISTIC": ("1",)}


def settle_device(device: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """The device node with `auto` replaced by what this machine has. Raises ConfigError for what can't be had.

    `kind=auto` takes the first of cuda, mps, cpu that is here and can do all that the node asks: on a Mac, `deterministic`
    decides between the processor and Metal. Settling twice changes nothing.
    """
    kind = device["kind"]
    if kind == "auto":
        kind = next((each for each in BEST_FIRST if refusal(dict(device) | {"kind": each}, precision) is None), "cpu")
    settled = dict(device) | {"kind": kind}
    why_not = refusal(settled, precision)
    if why_not is not None:
        raise ConfigError(why_not)
    if settled["attention"] == "auto":
        settled["attention"] = "written" if (kind, precision) in WRITTEN_IS_FASTER else "fused"
    return settled


def refusal(device: Mapping[str, Any], precision: str) -> str | None:
    """Why this machine can't do what a device node asks, with the way out; None where it can."""
    kind = device["kind"]
    why_not = ABSENCES[kind]()
    if why_not is not None:
        return f"device.kind={kind}: {why_not}"
    asked = {f"device.{key}": value for key, value in device.items()} | {"trainer.precision": precision}
    for limit in LIMITS:
        if limit.kind == kind and all(asked[key] == value for key, value in limit.asks.items()) and not limit.lifted():
            words = " with ".join(f"{key}={str(value).lower()}" for key, value in limit.asks.items())
            return f"{words} can't be had with device.kind={kind}: {limit.reason}\n{limit.way_out}"
    return unsteady(device)


def unsteady(device: Mapping[str, Any]) -> str | None:
    """Why the variables that are set forbid what a repeatable device needs; None where they don't."""
    for name, needed in variables_for(device).items():
        found = os.environ.get(name, needed)
        if found not in REPEATABLE[name]:
            return f"{name}={found} is set, and device.deterministic=true needs {needed}\nunset {name}, or device.deterministic=false"
    return None


# -- what is here


def without_cuda() -> str | None:
    """Why there's no CUDA here, with the way out; None where there is."""
    other = f"take device=cpu, or the {'Metal of device=mps' if platform.system() == 'Darwin' else 'best that is there: device=auto'}"
    if torch_build()["cuda"] is None:
        return f"this torch ({torch_build()['version']}) is built without CUDA\ninstall a CUDA build (pytorch.org, get started), or {other}"
    driver = gpu.driver()
    if driver is None:
        return f"no NVIDIA driver answers ({gpu.LIBRARY})\ninstall the driver, or {other}"
    if not driver.devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = "" if visible is None else f", and CUDA_VISIBLE_DEVICES={visible!r} leaves only what it names"
        return f"the NVIDIA driver shows no GPU{seen}\n`nvidia-smi -L` lists what is there; {other}"
    return None


def without_metal() -> str | None:
    """Why there's no Metal for torch here, with the way out; None where there is."""
    if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return (
            f"Metal is on Macs with Apple's own chips, this is {platform.system()} on {platform.machine()}\ntake device=auto or device=cpu"
        )
    if macos() < (13, 0):
        return f"torch needs macOS 13 for Metal, this is {platform.mac_ver()[0]}\nupdate macOS, or take device=cpu"
    return None


def always_here() -> None:
    """There's always a processor."""


ABSENCES: Mapping[str, Callable[[], str | None]] = {"cpu": always_here, "cuda": without_cuda, "mps": without_metal}


def macos() -> tuple[int, int]:
    """The version of macOS; (0, 0) elsewhere."""
    return numbers(platform.mac_ver()[0])


def numbers(version: str | None) -> tuple[int, int]:
    """The first two numbers of a version."""
    major, minor = [*(version or "").split("."), "0", "0"][:2]
    return int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0


# -- what it can do


def never() -> bool:
    return False


def metal_has_bf16() -> bool:
    """Metal computes in bf16 from macOS 14 on, and torch's autocast asks it to from 2.6 on."""
    return macos() >= (14, 0) and numbers(torch_build()["version"]) >= (2, 6)


def has_cxx() -> bool:
    """Whether inductor finds its compiler. It takes CXX for one program's name, and so not `ccache g++` (torch, cpp_compiler_search)."""
    return shutil.which(cxx()) is not None


def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def has_cc() -> bool:
    """Triton builds a launcher for each kernel with a C compiler (triton/runtime/build.py)."""
    return any(shutil.which(each) is not None for each in (os.environ.get("CC"), "gcc", "clang") if each)


def inductor_can_be_repeatable() -> bool:
    return "TORCHINDUCTOR_DETERMINISTIC" in (torch_folder() / "_inductor" / "config.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Limit:
    """What a kind of device can't do: the values that ask for it together, why not, the way out, and what lifts the limit here."""

    kind: str
    asks: Mapping[str, Any]
    reason: str
    way_out: str
    lifted: Callable[[], bool] = never


COMPILE, DETERMINISTIC, BF16 = {"device.compile": True}, {"device.deterministic": True}, {"trainer.precision": "bf16"}
LIMITS = (
    Limit(
        "cpu",
        COMPILE,
        "it needs a C++ compiler (CXX, g++ or clang++)",
        "install one (torch takes CXX for a single program, without words after it), or device.compile=false",
        has_cxx,
    ),
    Limit("cuda", COMPILE, "it needs Triton, which torch's CUDA builds for Linux bring", "device.compile=false", has_triton),
    Limit("cuda", COMPILE, "it needs a C compiler (CC, gcc or clang)", "install one, or device.compile=false", has_cc),
    Limit(
        "cuda",
        COMPILE | DETERMINISTIC,
        "this torch chooses kernels by timing them, so two runs may differ",
        "update torch, or device.compile=false, or device.deterministic=false",
        inductor_can_be_repeatable,
    ),
    Limit(
        "mps",
        DETERMINISTIC,
        "its gradient of an embedding varies between runs (github.com/pytorch/pytorch/issues/195404)",
        "device=cpu, or device.deterministic=false: then the same run twice has other bits, and it can't be replayed",
    ),
    Limit("mps", COMPILE, "torch compiles for Metal only as an experiment", "device.compile=false"),
    Limit("mps", BF16, "bf16 on Metal needs macOS 14 and torch 2.6", "trainer.precision=fp32, or device=cpu", metal_has_bf16),
)


# -- what is worth a word


def cores() -> int:
    """The cores that this process may use; all of the machine's where the system doesn't say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def told_of_device(device: Mapping[str, Any]) -> list[str]:
    """A word on more threads than cores. It's slow and no mistake: a run that was begun elsewhere keeps its bits that way."""
    if device["threads"] <= cores():
        return []
    return [f"device.threads={device['threads']}, and {cores()} cores are here: slower, the same bits as on a machine that has them"]
