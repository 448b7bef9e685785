"""Where a model runs and how exactly it counts: decided once, by what the machine has.

bf16 without the processor's instructions is 10-20 times slower than fp32 (measured on an AVX2 machine), so it is used
on a CPU only where oneDNN says that they are there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Literal

from geomtrs.errors import MissingExtra, QueryError

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
Engine = Literal["torch", "openvino"]
ENGINES: tuple[Engine, ...] = ("torch", "openvino")


@dataclass(frozen=True, slots=True)
class Device:
    """Name as torch spells it, precision of the forward pass, intra-op threads, one line for people, and the engine
    that computes what the images give (nano; OpenVINO is the faster one on processors).
    """

    name: str
    precision: Precision
    threads: int
    description: str
    engine: Engine = "torch"

    def to_dict(self) -> dict[str, str | int]:
        """As run.json keeps it."""
        return asdict(self)


def cores() -> int:
    """Cores this process may use, not those the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def plain(threads: int | None = None) -> Device:
    """The device of models without torch."""
    return Device("cpu", "fp32", threads or cores(), f"CPU, {threads or cores()} cores, numpy")


def choose(device: str = "auto", precision: str = "auto", threads: int | None = None) -> Device:
    """The device that was asked for, or the best there is.

    device auto, cpu, cuda or cuda:N; precision auto, fp32, bf16 or fp16. Raises QueryError for others and for a GPU
    that is not there, MissingExtra without torch.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise QueryError(
            "--device", found=repr(device), wanted="auto, cpu, cuda or cuda:N", remedy="choose one of them"
        )
    if precision not in ("auto", *PRECISIONS):
        wanted = ", ".join(("auto", *PRECISIONS))
        raise QueryError("--precision", found=repr(precision), wanted=wanted, remedy="choose one of them")
    torch = _torch()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = ("cuda:0" if count else "cpu") if device == "auto" else device
    name = "cuda:0" if name == "cuda" else name
    if name.startswith("cuda") and int(name.split(":")[1]) >= count:
        raise QueryError(
            "--device",
            found=f"{device} asked for, {count} GPUs here",
            wanted="one that is here",
            remedy="use --device cpu",
        )
    chosen = next((known for known in PRECISIONS if known == precision), None) or best_precision(name)
    if name == "cpu" and chosen == "fp16":
        raise QueryError("--precision", found="fp16 on a CPU", wanted="fp32 or bf16", remedy="use --precision auto")
    count_threads = threads or cores()
    if name == "cpu":
        return Device(name, chosen, count_threads, f"CPU, {count_threads} threads, {chosen}")
    return Device(name, chosen, count_threads, f"{torch.cuda.get_device_name(name)} ({name}), {chosen}")


def several_gpus(told: str, chosen: Device) -> tuple[str, ...]:
    """What CUDA calls the GPUs of this machine where there are several and the user named none; else nothing."""
    if told not in {"auto", "cuda"} or not chosen.name.startswith("cuda"):
        return ()
    count = _torch().cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = tuple(map(str, range(count))) if visible is None else tuple(visible.split(",")[:count])
    return names if len(names) > 1 else ()


def best_precision(name: str) -> Precision:
    """The fastest that the device has instructions for."""
    torch = _torch()
    if name.startswith("cuda"):
        return "bf16" if torch.cuda.get_device_capability(name)[0] >= 8 else "fp16"
    return "bf16" if cpu_has_bf16() else "fp32"


def with_engine(device: Device, engine: str = "auto") -> Device:
    """The device with the engine that was asked for: auto takes OpenVINO on a CPU where it is installed.

    Raises QueryError for an unknown engine or OpenVINO on a GPU, MissingExtra where it is asked for and not installed.
    """
    if engine not in ("auto", *ENGINES):
        raise QueryError(
            "--engine", found=repr(engine), wanted=", ".join(("auto", *ENGINES)), remedy="choose one of them"
        )
    installed = importlib.util.find_spec("openvino") is not None
    if engine == "torch" or (engine == "auto" and not (installed and device.name == "cpu")):
        return device
    if device.name != "cpu":
        raise QueryError(
            "--engine", found=f"openvino on {device.name}", wanted="torch on a GPU", remedy="use --engine auto"
        )
    if not installed:
        raise MissingExtra(
            "openvino",
            found="not installed",
            wanted="openvino >= 2025.0",
            remedy="pip install 'geomtrs[openvino]', or use --engine torch",
        )
    return replace(device, description=f"{device.description}, OpenVINO", engine="openvino")


def cpu_has_bf16() -> bool:
    """True where oneDNN computes bf16 natively; the question is a private one of torch's, so no answer means no."""
    ask = getattr(getattr(_torch().ops, "mkldnn", None), "_is_mkldnn_bf16_supported", None)
    try:
        return bool(ask()) if ask is not None else False
    except RuntimeError:
        return False


def autocast(device: Device) -> contextlib.AbstractContextManager[object]:
    """The autocast of the device's precision; nothing for fp32."""
    if device.precision == "fp32":
        return contextlib.nullcontext()
    torch = _torch()
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float16
    context: contextlib.AbstractContextManager[object] = torch.autocast(device.name.split(":")[0], dtype=dtype)
    return context


def _torch() -> ModuleType:
    # Read once, when torch loads OpenMP. Its threads spin 300,000 times for each other, which on a busy machine costs
    # far more than it saves: with another process on one of two cores a tile took 0.6 s, 0.24 s with this, 0.09 s idle
    # with either.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(
            "torch",
            found="not installed",
            wanted="torch >= 2.4",
            remedy="pip install torch, or ask --model differencing",
        ) from error
    return torch
