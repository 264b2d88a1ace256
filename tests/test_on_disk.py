"""Results that memory does not hold."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_noise2self.core.axes import Image
from napari_noise2self.io import on_disk
from napari_noise2self.io.images import read_image, write_image
from napari_noise2self.io.ome_zarr import create_zarr
from napari_noise2self.io.on_disk import bytes_of_result, fits_in_memory, made_on_disk, read_back


def test_a_large_result_does_not_go_to_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(np.zeros((10, 100, 100), np.uint8), "TYX")
    assert fits_in_memory(image)
    small = SimpleNamespace(available=500_000)
    monkeypatch.setattr(on_disk.psutil, "virtual_memory", lambda: small)
    assert not fits_in_memory(image)


def test_what_is_promised_to_others_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(np.zeros((10, 100, 100), np.uint8), "TYX")  # a result of 400 000 bytes
    free = SimpleNamespace(available=1_000_000)
    monkeypatch.setattr(on_disk.psutil, "virtual_memory", lambda: free)
    assert fits_in_memory(image)
    assert not fits_in_memory(image, beside=bytes_of_result(image))


def test_a_result_on_disk_is_read_back_in_its_own_order(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((4, 40, 50, 3)).astype(np.float32)  # TYXC
    write_image(tmp_path / "a.zarr", data, axes="TYXC")
    np.testing.assert_array_equal(read_back(tmp_path / "a.zarr", "TYXC"), data)


def test_axes_of_extent_one_are_read_back_too(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((5, 1, 40, 50)).astype(np.float32)
    with create_zarr(tmp_path / "a.zarr", data.shape, "float32", "TCYX") as out:
        out[:] = data
    np.testing.assert_array_equal(read_back(tmp_path / "a.zarr", "TCYX"), data)


def test_a_result_is_made_like_its_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((40, 50, 2)).astype(np.float32)
    image = Image(
        pixels,
        "YXC",
        scale=(0.1, 0.2, 1),
        units=("micrometer", "micrometer", "pixel"),
        channels=("DAPI", "GFP"),
    )
    with made_on_disk(tmp_path / "a.zarr", image, "YXC") as out:
        for row in range(0, 40, 8):
            out[row : row + 8, :, :] = pixels[row : row + 8]
    np.testing.assert_array_equal(read_back(tmp_path / "a.zarr", "YXC"), pixels)
    found = read_image(tmp_path / "a.zarr")
    assert (found.axes, found.units, found.channels) == (
        "CYX",
        ("pixel", "micrometer", "micrometer"),
        ("DAPI", "GFP"),
    )
