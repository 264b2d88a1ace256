from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_noise2self._napari import outputs
from napari_noise2self._napari.outputs import (
    Tally,
    bytes_of_result,
    check_disagreement,
    fits_in_memory,
    in_memory,
    in_words,
)
from napari_noise2self.core.axes import Image, Stack
from napari_noise2self.core.errors import ImageError


@pytest.mark.parametrize("axes", ["TSYX", "SYXT", "TCSYX", "ZTYX", "TZCYX"])
def test_a_tally_knows_the_samples_that_are_complete(axes: str) -> None:
    sizes = {"T": 3, "S": 2, "Z": 2, "C": 2, "Y": 8, "X": 6}
    data = np.full([sizes[a] for a in axes], np.nan, np.float32)
    seen = Stack(data, axes, "", planes=True)
    tally = Tally(data, seen)
    stack = replace(seen, data=tally)
    assert tally.samples == stack.samples == 6
    assert tally.finished() == []
    whole = (slice(0, 8), slice(0, 6))
    stack.write(4, whole, np.zeros((stack.channels, 8, 6), np.float32))
    stack.write(1, (slice(0, 4), slice(0, 6)), np.zeros((stack.channels, 4, 6), np.float32))
    assert tally.finished() == [4]
    stack.write(1, (slice(4, 8), slice(0, 6)), np.zeros((stack.channels, 4, 6), np.float32))
    assert tally.finished() == [1, 4]
    assert not np.isnan(seen.read(4)).any()
    assert np.isnan(seen.read(0)).all()


def test_a_single_image_is_one_sample() -> None:
    data = np.zeros((8, 6), np.float32)
    tally = Tally(data, Stack.of(data))
    tally[0:8, 0:6] = np.ones((8, 6))
    assert tally.finished() == [0]
    assert (tally.data == 1).all()


@pytest.mark.parametrize(
    ("axes", "planes", "samples", "name"),
    [
        ("ZYX", True, 3, "plane"),
        ("TZYX", True, 6, "plane"),
        ("ZYX", False, 1, "sample"),
        ("TZYX", False, 2, "frame"),
        ("TCYX", True, 2, "frame"),
        ("SYX", True, 2, "sample"),
    ],
)
def test_what_is_counted_is_called_by_its_name(
    axes: str, planes: bool, samples: int, name: str
) -> None:
    sizes = {"T": 2, "S": 2, "C": 2, "Z": 3, "Y": 8, "X": 6}
    data = np.zeros([sizes[a] for a in axes], np.float32)
    tally = Tally(data, Stack.of(data, axes, planes=planes))
    assert (tally.samples, tally.sample_name) == (samples, name)


def test_ranges_in_words() -> None:
    assert in_words([3], 8) == "4 of 8"
    assert in_words([0, 1, 2, 4, 6, 7], 8) == "1 to 3, 5, 7 to 8 of 8"


def test_a_large_result_does_not_go_to_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(np.zeros((10, 100, 100), np.uint8), "TYX")
    assert fits_in_memory(image)
    assert np.isnan(in_memory(image)).all()
    small = SimpleNamespace(available=500_000)
    monkeypatch.setattr(outputs.psutil, "virtual_memory", lambda: small)
    assert not fits_in_memory(image)


def test_what_is_promised_to_others_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(np.zeros((10, 100, 100), np.uint8), "TYX")  # a result of 400 000 bytes
    free = SimpleNamespace(available=1_000_000)
    monkeypatch.setattr(outputs.psutil, "virtual_memory", lambda: free)
    assert fits_in_memory(image)
    assert not fits_in_memory(image, beside=bytes_of_result(image))


def test_a_disagreement_that_would_take_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = Image(np.zeros((10, 1000, 1000), np.uint8), "TYX", name="movie")
    check_disagreement(image)
    free = SimpleNamespace(available=1_000_000_000)
    monkeypatch.setattr(outputs.psutil, "virtual_memory", lambda: free)
    assert fits_in_memory(image)
    with pytest.raises(ImageError, match=r'"movie" would take 0\.5 GB .*fewer frames or planes'):
        check_disagreement(image)


def test_a_result_on_disk_is_read_back_in_its_own_order(tmp_path: Path) -> None:
    from napari_noise2self.api import write_image

    data = np.random.default_rng(0).random((4, 40, 50, 3)).astype(np.float32)  # TYXC
    write_image(tmp_path / "a.zarr", data, axes="TYXC")
    np.testing.assert_array_equal(outputs.read_back(tmp_path / "a.zarr", "TYXC"), data)


def test_axes_of_extent_one_are_read_back_too(tmp_path: Path) -> None:
    from napari_noise2self.io.ome_zarr import create_zarr

    data = np.random.default_rng(0).random((5, 1, 40, 50)).astype(np.float32)
    with create_zarr(tmp_path / "a.zarr", data.shape, "float32", "TCYX") as out:
        out[:] = data
    np.testing.assert_array_equal(outputs.read_back(tmp_path / "a.zarr", "TCYX"), data)
