"""Devices: the one that was asked for, or a clear no; memory that runs out, explained."""

from __future__ import annotations

import weakref

import pytest
import torch

from napari_noise2self.core import devices
from napari_noise2self.core.devices import (
    autocast,
    available_devices,
    compute_dtype,
    describe_device,
    explained,
    free_memory,
    is_out_of_memory,
    resolve_device,
    same_device,
)
from napari_noise2self.core.errors import DeviceError, DeviceMemoryError

CPU = torch.device("cpu")


def test_without_a_name_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_devices()[-1] == "cpu"
    assert str(resolve_device(None)) == available_devices()[0]
    monkeypatch.setattr(devices, "available_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    assert resolve_device(None) == torch.device("cuda:0")
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:2", 'device "cuda:2" is not there; here are: cuda:0, cpu'),
        ("mps", 'device "mps" is not there; here are: cuda:0, cpu'),
        ("meta", 'device "meta" is not there; here are: cuda:0, cpu'),
        ("gpu", 'device "gpu" is unknown; here are: cuda:0, cpu'),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ["cuda:0", "cpu"])
    with pytest.raises(DeviceError, match=message):
        resolve_device(name)


def test_devices_are_counted_and_the_cpu_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert available_devices() == ["cuda:0", "cuda:1", "mps", "cpu"]


def test_a_device_is_described_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu"])
    assert describe_device(CPU) == "CPU: no GPU found"
    monkeypatch.setattr(devices, "available_devices", lambda: ["cuda:0", "cpu"])
    assert describe_device(CPU) == "CPU: chosen, although a GPU is there"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert describe_device(torch.device("cuda:0")) == "GPU: NVIDIA H100"
    assert describe_device(torch.device("mps")) == "GPU: Apple (Metal)"


def test_precision_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compute_dtype(CPU, "float32") is torch.float32
    assert compute_dtype(CPU, "bfloat16") is torch.bfloat16
    for there, dtype in [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda t=there: t, raising=False)
        assert compute_dtype(CPU, "auto") is dtype
    for capability, dtype in [((9, 0), torch.bfloat16), ((7, 5), torch.float32)]:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d, c=capability: c)
        assert compute_dtype(torch.device("cuda:0"), "auto") is dtype
    assert compute_dtype(torch.device("mps"), "auto") is torch.float32


def test_autocast_is_off_in_float32() -> None:
    with autocast(CPU, torch.float32):
        assert not torch.is_autocast_enabled("cpu")
    with autocast(CPU, torch.bfloat16):
        assert torch.get_autocast_dtype("cpu") is torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_is_off_where_a_device_has_none() -> None:
    with autocast(torch.device("meta"), torch.float32):
        assert torch.empty((), device="meta").dtype is torch.float32


def test_free_memory_counts_what_torch_holds_in_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory(CPU) > 2**20
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert free_memory(torch.device("cuda:0")) == 1200


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("upsample only supports tensors with less than INT_MAX elements"), True),
        (
            RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried"),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_known_in_all_its_guises(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_out_of_memory_becomes_an_error_with_a_mend() -> None:
    """One that is no RuntimeError, and whose traceback keeps no tensor alive."""
    kept: list[weakref.ref[torch.Tensor]] = []

    def fail() -> None:
        tensor = torch.zeros(3)
        kept.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("out of memory")

    with (
        pytest.raises(DeviceMemoryError, match="cpu ran out of memory; use less") as raised,
        explained(CPU, "use less"),
    ):
        fail()
    assert not isinstance(raised.value, RuntimeError)
    assert kept[0]() is None


def test_a_device_without_a_number_is_the_first_of_its_kind() -> None:
    device = torch.device
    assert same_device(device("cuda"), device("cuda:0"))
    assert same_device(device("mps:0"), device("mps"))
    assert not same_device(device("cuda:1"), device("cuda"))
    assert not same_device(device("cpu"), device("cuda"))


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explained(CPU, "use less"):
        raise RuntimeError("shapes do not match")
    with explained(CPU, "use less"):
        pass


def test_a_real_allocation_that_fails_is_out_of_memory() -> None:
    with pytest.raises(DeviceMemoryError), explained(CPU, "use less"):
        torch.empty(2**60, dtype=torch.uint8)
