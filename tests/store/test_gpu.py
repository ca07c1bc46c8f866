"""The driver is asked, and every way in which it can be missing is just "no device"."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.store.fake_gpu import fake_driver

PROGRAM = """
import json
from dataclasses import asdict
from lab.store.gpu import driver
found = driver()
print(json.dumps(None if found is None else asdict(found)))
"""


def asked(folder: Path, **environment: str) -> Any:
    """What the lab hears from the libcuda in a folder."""
    where = {"LD_LIBRARY_PATH": str(folder), "DYLD_LIBRARY_PATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | where | environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_devices_come_with_their_names_in_the_driver_s_order(tmp_path: Path) -> None:
    fake_driver(tmp_path)
    found = asked(tmp_path, FAKE_GPUS="NVIDIA H100 80GB HBM3,NVIDIA A100-SXM4-40GB")
    assert found == {"cuda": "12.4", "devices": ["NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"]}


@pytest.mark.parametrize("trouble", [{"FAKE_INIT": "100"}, {"FAKE_GPUS": ""}], ids=["no device", "none visible"])
def test_a_driver_without_a_card_has_no_devices(tmp_path: Path, trouble: dict[str, str]) -> None:
    fake_driver(tmp_path)
    assert asked(tmp_path, **trouble) == {"cuda": "12.4", "devices": []}


def test_a_library_that_is_no_driver_is_no_driver(tmp_path: Path) -> None:
    fake_driver(tmp_path, "int something_else(void) { return 0; }")
    assert asked(tmp_path) is None


def test_a_file_that_is_no_library_is_no_driver(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("not a library")
    assert asked(tmp_path) is None


def test_the_driver_s_first_device_is_torch_s() -> None:
    import torch

    from lab.store.gpu import driver

    if not torch.cuda.is_available():
        pytest.skip("not run: needs a CUDA device")
    found = driver()
    assert found is not None
    assert found.devices[0] == torch.cuda.get_device_name(0)
    assert len(found.devices) == torch.cuda.device_count()
