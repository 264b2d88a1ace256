from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_noise2self._napari.outputs import Tally, in_memory, in_words
from napari_noise2self.core.axes import Image, Stack


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


def test_what_is_not_written_yet_is_nan() -> None:
    result = in_memory(Image(np.zeros((10, 100, 100), np.uint8), "TYX"))
    assert (result.shape, result.dtype) == ((10, 100, 100), np.float32)
    assert np.isnan(result).all()
