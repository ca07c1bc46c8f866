"""What of a machine enters a run's identity: found without torch, and equal to what torch says."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from lab.errors import MachineError
from lab.store.machine import VARIABLES, bits_of_machine, check_torch, cohort_parts, cpu, steers, torch_build

PROGRAM = """
import json, sys
from lab.store.machine import bits_of_machine, cohort_parts
print(json.dumps({"bits": bits_of_machine(), "cohort": cohort_parts("cpu", "text", {}), "torch": "torch" in sys.modules}))
"""


def in_a_fresh_process(**environment: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=kept | environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def values(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [each for value in tree.values() for each in values(value)]
    return [each for value in tree for each in values(value)] if isinstance(tree, list) else [tree]


def test_bits_are_found_without_torch_and_are_the_same_in_every_process() -> None:
    found = in_a_fresh_process()
    assert found["torch"] is False
    assert found["bits"] == in_a_fresh_process()["bits"]
    assert set(found["bits"]) == {"torch", "cpu", "isa", "variables"}
    assert found["bits"]["variables"] == {}


def test_the_build_read_from_torch_s_files_is_what_torch_says() -> None:
    import torch

    assert torch_build() == {"version": str(torch.__version__), "commit": torch.version.git_version, "cuda": torch.version.cuda}


def test_what_lab_device_says_of_torch_is_what_was_promised_without_it() -> None:
    from lab.device import bits_of_torch

    found = bits_of_torch()
    assert set(torch_build()) <= set(found), "a part of the promise is never checked"
    check_torch(found)


@pytest.mark.parametrize("part", ["version", "commit", "cuda"])
def test_another_torch_than_promised_is_refused(part: str) -> None:
    with pytest.raises(MachineError, match=rf"torch's {part} is 'something else'.*promised[\s\S]*reinstall") as refused:
        check_torch(torch_build() | {part: "something else"})
    assert refused.value.exit_status == 1


@pytest.mark.parametrize("name", ["MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_DEFAULT_FPMATH_MODE", "CUBLAS_WORKSPACE_CONFIG"])
def test_a_variable_that_steers_the_arithmetic_is_part_of_the_bits(name: str) -> None:
    assert in_a_fresh_process(**{name: "a value"})["bits"]["variables"] == {name: "a value"}


def test_other_variables_are_nobody_s_business(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bits_of_machine()
    monkeypatch.setenv("HOSTNAME", "my-laptop")
    monkeypatch.setenv("API_TOKEN", "secret")
    assert bits_of_machine() == before


def test_neither_the_host_s_name_nor_the_user_s_is_in_bits_or_cohort() -> None:
    found = in_a_fresh_process(HOSTNAME="my-laptop", USER="me")
    assert platform.node() not in values(found)
    assert not {"my-laptop", "me"} & set(values(found))


def test_a_processor_s_bits_have_the_parts_that_identities_were_made_of() -> None:
    node = {"kind": "cpu", "threads": 2, "attention": "fused", "compile": False, "deterministic": True}
    assert bits_of_machine(node) == bits_of_machine()
    assert set(bits_of_machine(node)) == {"torch", "cpu", "isa", "variables"}, "every stored identity becomes another one"


def test_a_compiled_run_s_bits_name_the_compiler_and_what_steers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("g++") is None:
        pytest.skip("not run: needs g++")
    monkeypatch.setenv("CXX", "g++")
    monkeypatch.setenv("TORCHINDUCTOR_MAX_AUTOTUNE", "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "somewhere")
    compiled = bits_of_machine({"kind": "cpu", "compile": True, "deterministic": True})
    assert re.search(r"\d+\.\d+", compiled["compiler"])
    assert compiled["variables"]["TORCHINDUCTOR_MAX_AUTOTUNE"] == "1"
    assert "TORCHINDUCTOR_CACHE_DIR" not in compiled["variables"], "where compiled code is kept moves no bit"
    assert "TORCHINDUCTOR_MAX_AUTOTUNE" not in bits_of_machine()["variables"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("TORCHDYNAMO_VERBOSE", False),
        ("TORCHINDUCTOR_COMPILE_THREADS", False),
        ("TORCH_COMPILE_DEBUG", False),
        ("TORCHINDUCTOR_WORKER_LOGPATH", False),
        ("TORCHINDUCTOR_DEBUG_COMPILE", True),  # compiles without optimisation
        ("TORCHDYNAMO_SUPPRESS_ERRORS", True),  # falls back to what isn't compiled
        ("TORCHINDUCTOR_NEVER_HEARD_OF", True),
    ],
)
def test_what_only_says_or_schedules_leaves_a_compiled_run_its_identity(name: str, counts: bool) -> None:
    assert steers(name, {"kind": "cpu", "compile": True}) is counts


def test_the_machine_is_read_under_a_locale_without_utf8() -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    program = PROGRAM + "from lab.store.abilities import inductor_can_be_repeatable\ninductor_can_be_repeatable()\n"
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | plain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_processor_has_a_name_and_instruction_sets_in_a_fixed_order() -> None:
    name, instructions = cpu()
    assert name
    assert platform.machine() in instructions
    assert instructions == sorted(set(instructions))


def test_a_cohort_takes_torch_s_minor_version_and_the_architecture() -> None:
    parts = cohort_parts("cpu", "fingerprint", {"trainer.tokens": 1})
    assert re.fullmatch(r"\d+\.\d+", parts["torch"])
    assert (torch_build()["version"] or "").startswith(parts["torch"] + ".")
    assert parts | {"torch": ""} == {
        "device": "cpu",
        "device_class": platform.machine(),
        "torch": "",
        "text": "fingerprint",
        "protocol": {"trainer.tokens": 1},
    }
