"""The device is chosen by what the machine has, and fixed for the run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from geomtrs.device import Device, autocast, best_precision, choose, cores, cpu_has_bf16, plain, several_gpus
from geomtrs.errors import GeomtrsError, QueryError


def test_a_cpu_uses_bf16_only_where_it_has_the_instructions() -> None:
    assert best_precision("cpu") == ("bf16" if cpu_has_bf16() else "fp32")


def test_a_torch_that_cannot_tell_counts_as_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert cpu_has_bf16() is False


def test_an_explicit_precision_is_taken_as_said() -> None:
    assert choose("cpu", "bf16").precision == "bf16"


@pytest.mark.parametrize(
    ("device", "precision"), [("gpu", "auto"), ("cpu", "int8"), ("cpu", "fp16"), ("cuda:99", "auto")]
)
def test_a_device_that_is_not_there_is_refused_with_a_remedy(device: str, precision: str) -> None:
    with pytest.raises(QueryError, match="remedy: "):
        choose(device, precision)


def test_threads_are_the_cores_of_this_process_unless_said() -> None:
    assert choose("cpu").threads == cores()
    assert choose("cpu", threads=1).threads == 1


def test_the_description_names_the_device_and_the_precision() -> None:
    assert choose("cpu", "fp32", 2).description == "CPU, 2 threads, fp32"


def test_bf16_holds_inside_autocast_only() -> None:
    ones = torch.ones(2, 2)
    with autocast(Device("cpu", "bf16", 1, "")):
        assert (ones @ ones).dtype == torch.bfloat16
    assert (ones @ ones).dtype == torch.float32


def test_fp32_is_left_alone() -> None:
    with autocast(Device("cpu", "fp32", 1, "")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_plain_device_needs_no_torch() -> None:
    code = "import sys; from geomtrs.device import plain; plain(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert plain(3).threads == 3


def test_errors_of_the_device_print_like_all_others() -> None:
    with pytest.raises(GeomtrsError):
        choose("tpu")


def test_threads_do_not_spin_long_for_each_other() -> None:
    forget = "import os; os.environ.pop('GOMP_SPINCOUNT', None)"
    code = f"{forget}; from geomtrs.device import choose; choose(); print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "10000"


@pytest.mark.parametrize(
    ("told", "count", "visible", "names"),
    [
        ("auto", 2, None, ("0", "1")),
        ("cuda", 2, "4,7", ("4", "7")),
        ("cuda:1", 2, None, ()),  # the user chose
        ("auto", 1, None, ()),
    ],
)
def test_several_gpus_are_used_unless_one_was_named_g6(
    monkeypatch: pytest.MonkeyPatch, told: str, count: int, visible: str | None, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert several_gpus(told, Device("cuda:0", "bf16", 1, "")) == names


def test_without_cuda_no_gpu_is_looked_for_g6() -> None:
    assert several_gpus("auto", Device("cpu", "fp32", 1, "")) == ()
