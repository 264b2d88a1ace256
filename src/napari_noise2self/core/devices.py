"""Which device computes, in which precision and mode, and how much memory it has left."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from traceback import clear_frames
from typing import TypeVar

import psutil
import torch
from torch import Tensor

from .config import Precision
from .errors import DeviceError, DeviceMemoryError

T = TypeVar("T")


def resolve_device(name: str | None = None) -> torch.device:
    """Return the device called `name`, or the fastest that is there.

    Parameters
    ----------
    name
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; None for the fastest.

    Raises
    ------
    DeviceError
        If the device is unknown or not there; the message lists those that are.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    there = available_devices()
    if name is None:
        return torch.device(there[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f'device "{name}" is unknown; here are: {", ".join(there)}') from error
    wanted = f"{device.type}:{device.index or 0}" if device.type == "cuda" else device.type
    if wanted not in there:
        raise DeviceError(f'device "{name}" is not there; here are: {", ".join(there)}')
    return device


def available_devices() -> list[str]:
    """Name the devices of this machine, the fastest first; ``"cpu"`` is always the last."""
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def same_device(one: torch.device, other: torch.device) -> bool:
    """Whether two names mean one device: tensors on "cuda" say "cuda:0", on "mps" "mps:0"."""
    return one.type == other.type and (one.index or 0) == (other.index or 0)


def describe_device(device: torch.device) -> str:
    """Say what `device` is and, for the CPU, why it is not a GPU."""
    if device.type == "cuda":
        return f"GPU: {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "GPU: Apple (Metal)"
    if available_devices()[0] == "cpu":
        return "CPU: no GPU found"
    return "CPU: chosen, although a GPU is there"


def compute_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the dtype of the convolutions.

    ``"auto"`` is bfloat16 where the hardware multiplies it faster than float32:
    CUDA from compute capability 8.0, CPUs with AMX (a 96 x 96 convolution of 32
    channels trains 7 times faster there) or AVX-512 BF16 (a training is twice
    as fast).
    """
    if precision == "float32":
        return torch.float32
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return torch.bfloat16
    known = hasattr(torch.cpu, "get_capabilities")  # torch >= 2.11
    if device.type == "cpu" and known:
        there = torch.cpu.get_capabilities()
        if any(there.get(name, False) for name in ("amx_bf16", "avx512_bf16")):
            return torch.bfloat16
    return torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Compute in `dtype` inside the block; never yield from within it.

    torch refuses to switch off what a device does not have.
    """
    if dtype != torch.float32:
        return torch.autocast(device.type, dtype=dtype)
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def with_gradients(events: Generator[T, None, None]) -> Iterator[T]:
    """Advance a generator with gradients, in whatever mode of torch's its caller is."""
    try:
        while True:
            with torch.inference_mode(False), torch.enable_grad():
                event = next(events, None)
            if event is None:
                return
            yield event
    finally:
        with torch.inference_mode(False), torch.enable_grad():
            events.close()


def laid_on(device: torch.device, values: Tensor) -> Tensor:
    """Copy a tensor of the host to `device`.

    A copy to a GPU waits until all work given to it before is done, unless the host's
    memory is pinned: then the host runs ahead.
    """
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def free_memory(device: torch.device) -> int:
    """Bytes that a new allocation on `device` could take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    return int(psutil.virtual_memory().available)


RECORDING = Lock()
"""Held while work of a GPU is recorded (`core.graphs`), when torch can give no memory back."""


def give_memory_back(device: torch.device) -> None:
    """Give back what torch keeps of a GPU's memory and does not use."""
    if device.type == "cuda":
        with RECORDING:
            torch.cuda.empty_cache()


def keep_freed_memory(device: torch.device) -> None:
    """Have a CPU's freed blocks used again instead of given back to the system.

    glibc returns a freed block to the kernel if it is large, and the next tensor is
    then paged in anew, zeros and all: a tenth of the time of a training step. Large
    is what exceeds the largest block freed so far, up to 32 MiB. So one of nearly
    that size is freed, untouched; at most 64 MiB are then kept. Other allocators
    (musl, macOS, Windows) do not mind.
    """
    if device.type == "cpu":
        torch.empty(2**25 - 2**14, dtype=torch.uint8)


_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",  # Linux and macOS
    "not enough memory",  # Windows
    "INT_MAX elements",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a device's "out of memory", in any of the guises torch gives it.

    A tensor that has more elements than a kernel counts is one of them.
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(guise in str(error) for guise in _OUT_OF_MEMORY)
    )


@contextmanager
def explained(device: torch.device, mend: str) -> Iterator[None]:
    """Turn a device's out-of-memory into a `DeviceMemoryError` that names the `mend`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        clear_frames(error.__traceback__)  # whoever keeps the error keeps no tensor
        raise DeviceMemoryError(f"{device} ran out of memory; {mend}") from None
