"""A machine with an NVIDIA GPU, as far as it can be told without torch: a driver library and a torch build, both real files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DRIVER = """
#include <stdlib.h>
#include <string.h>
static const char *names(void) { const char *all = getenv("FAKE_GPUS"); return all ? all : "NVIDIA H100 80GB HBM3"; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuInit(unsigned flags) { const char *status = getenv("FAKE_INIT"); return status ? atoi(status) : 0; }
int cuDeviceGetCount(int *count) {
    const char *at = names();
    *count = *at ? 1 : 0;
    for (; *at; at++) if (*at == ',') ++*count;
    return 0;
}
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    const char *at = names();
    while (device--) at = strchr(at, ',') + 1;
    size_t length = strcspn(at, ",");
    memcpy(name, at, length);
    name[length] = 0;
    return 0;
}
"""
VERSION = "__version__ = '{version}'\ncuda: str | None = {cuda!r}\ngit_version = 'abc'\n"


def fake_driver(folder: Path, source: str = DRIVER) -> None:
    """A libcuda in a folder; its devices are named by FAKE_GPUS, and FAKE_INIT is what cuInit answers."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("not run: needs a C compiler to build a driver library")
    (folder / "driver.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", folder / "driver.c"], check=True)


def fake_torch(folder: Path, cuda: str | None = "12.4", version: str = "2.13.0", inductor: str = "TORCHINDUCTOR_DETERMINISTIC") -> None:
    """An installed torch, as far as the lab reads it before loading it."""
    (folder / "torch" / "_inductor").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text("raise ImportError('nobody may load it here')\n")
    (folder / "torch" / "version.py").write_text(VERSION.format(version=version, cuda=cuda))
    (folder / "torch" / "_inductor" / "config.py").write_text(f"deterministic = {inductor!r}\n")
