"""Every mode that can move a bit is set, whatever was set before, and what differs between devices stays in one room."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
import torch

from lab.device import ANSWERS, autocast, bits_of_torch, keep_freed_memory, peak_memory_bytes, prepare_device, require_answer, synchronize
from lab.errors import MachineError

CPU = torch.device("cpu")
GPUS = ("cuda", "mps")


@pytest.fixture(autouse=True)
def modes() -> Iterator[None]:
    """torch's modes are the process's: leave them as the other tests expect them."""
    threads = torch.get_num_threads()
    yield
    prepare_device("cpu", threads, True)


def there(kind: str) -> torch.device:
    if not ANSWERS[kind]():
        pytest.skip(f"not run: needs a {kind} device")
    return prepare_device(kind, 1, kind == "cuda")


def test_modes_that_somebody_left_behind_are_set_back() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.enable_cudnn_sdp(True)
    torch.backends.cuda.enable_math_sdp(False)
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(2)
    assert prepare_device("cpu", 1, True) == CPU
    assert torch.get_num_threads() == 1
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    assert not torch.backends.cudnn.benchmark and torch.backends.cudnn.deterministic
    assert torch.backends.cuda.math_sdp_enabled() and not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


def test_without_determinism_the_faster_kernels_may_be_taken() -> None:
    prepare_device("cpu", 1, False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled() and not torch.backends.cudnn.deterministic


@pytest.mark.parametrize("kind", GPUS)
def test_a_device_that_was_promised_and_does_not_answer_stops_the_run(kind: str) -> None:
    if ANSWERS[kind]():
        pytest.skip(f"not run: {kind} answers here")
    with pytest.raises(MachineError, match=rf"can't use device\.kind={kind}[\s\S]*device=cpu") as refused:
        prepare_device(kind, 1, False)
    assert refused.value.exit_status == 1


def test_the_processor_always_answers() -> None:
    require_answer("cpu")
    synchronize(CPU)


def test_bf16_takes_products_in_bf16_and_leaves_weights_alone_and_fp32_does_nothing() -> None:
    matrix = torch.nn.Linear(4, 4)
    with autocast(CPU, "bf16"):
        assert matrix(torch.ones(2, 4)).dtype == torch.bfloat16
    with autocast(CPU, "fp32"):
        assert matrix(torch.ones(2, 4)).dtype == torch.float32
    assert matrix.weight.dtype == torch.float32


def test_peak_memory_is_in_bytes_and_counts_what_was_let_go() -> None:
    before = peak_memory_bytes()
    assert before is not None and 10 << 20 < before < 1 << 40, "torch alone takes tens of megabytes"
    more = before + (64 << 20)
    held = b"x" * more
    del held
    assert (peak_memory_bytes(CPU) or 0) >= more


# -- with a GPU


@pytest.mark.parametrize("kind", GPUS)
def test_a_gpu_counts_its_own_memory_and_can_be_waited_for(kind: str) -> None:
    device = there(kind)
    held_F = torch.zeros(16 << 20, device=device)
    synchronize(device)
    assert (peak_memory_bytes(device) or 0) >= held_F.nbytes


def test_torch_s_name_of_the_gpu_is_the_promised_one() -> None:
    there("cuda")
    from lab.store.machine import check_torch

    check_torch(bits_of_torch("cuda"))


def test_the_same_step_on_a_gpu_has_the_same_bits() -> None:
    device = there("cuda")
    stream = torch.Generator().manual_seed(0)
    table_VD, tokens_T = torch.randn(50, 64, generator=stream), torch.randint(50, (4096,), generator=stream)

    def gradient_VD() -> torch.Tensor:
        weight_VD = table_VD.to(device).requires_grad_()
        x_1THD = torch.nn.functional.embedding(tokens_T.to(device), weight_VD).view(1, 1, -1, 64)
        torch.nn.functional.scaled_dot_product_attention(x_1THD, x_1THD, x_1THD, is_causal=True).square().sum().backward()
        assert weight_VD.grad is not None
        return weight_VD.grad

    first_VD = gradient_VD()
    assert all(torch.equal(first_VD, gradient_VD()) for _ in range(5))


def test_memory_that_is_freed_is_kept_where_the_c_library_can_and_elsewhere_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_freed_memory() is hasattr(ctypes.CDLL(None), "mallopt")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # as on macOS: a C library without mallopt
    assert keep_freed_memory() is False
