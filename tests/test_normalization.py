"""Statistics: those of numpy in float64, in one pass, and frozen."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noise2self.core.axes import Stack
from napari_noise2self.core.errors import ImageError
from napari_noise2self.core.normalization import Normalization


def fit(array: NDArray[Any], axes: str) -> Normalization:
    result: Normalization = deque(Normalization.fit_iter(Stack.of(array, axes)), 1)[0].result
    return result


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.floats(-1e6, 1e6),
    st.floats(1e-2, 1e3),
)
def test_statistics_are_numpys_in_float64(
    frames: int, channels: int, level: float, spread: float
) -> None:
    """One pass over several windows, and no digits lost where the level dwarfs the spread."""
    rng = np.random.default_rng(0)
    array = rng.normal(level, spread, (frames, channels, 9, 7)).astype(np.float32)
    array[0] += 3 * np.float32(spread)  # frames differ
    exact = array.astype(np.float64)
    mean, std = exact.mean(axis=(0, 2, 3)), exact.std(axis=(0, 2, 3))
    assume((std > 1e-5 * np.abs(mean)).all())  # else it is constant as far as float32 can tell
    found = fit(array, "TCYX")
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.std, std, rtol=1e-9)
    assert all(type(v) is float for v in (*found.mean, *found.std))  # JSON keeps every bit


def test_large_integers_lose_nothing() -> None:
    array = np.random.default_rng(0).integers(0, 2**16, (3, 40, 50), dtype=np.uint16)
    found = fit(array, "TYX")
    np.testing.assert_allclose(found.mean, [array.mean(dtype=np.float64)], rtol=1e-13)
    np.testing.assert_allclose(found.std, [array.std(dtype=np.float64)], rtol=1e-13)


@pytest.mark.parametrize("channels", [1, 3])
def test_apply_and_invert_are_inverse(channels: int) -> None:
    stats = Normalization((5.0, -3.0, 1e4)[:channels], (2.0, 1e-3, 30.0)[:channels])
    for shape in [(2, channels, 5, 6), (2, channels, 3, 5, 6)]:
        x = torch.randn(shape)
        torch.testing.assert_close(stats.apply(stats.invert(x)), x, rtol=1e-3, atol=1e-3)
    first = stats.invert(torch.ones(1, channels, 1, 1))[0, 0]
    assert float(first) == 7.0


def test_nan_and_infinity_are_counted_over_all_windows() -> None:
    array = np.zeros((3, 8, 8))
    array[0, 1, 1] = np.nan
    array[2, 4, 4:6] = np.inf
    with pytest.raises(ImageError, match=r"3 NaN or infinite values among 192; .*fill_nan"):
        fit(array, "TYX")


@pytest.mark.parametrize("value", [0, 1, 1e6, -3.5])
def test_a_constant_image_is_refused_with_its_value(value: float) -> None:
    with pytest.raises(ImageError, match=re.escape(f"constant, every value about {value:.6g}:")):
        fit(np.full((8, 8), value, np.float32), "YX")


def test_a_constant_channel_comes_out_as_it_went_in() -> None:
    array = np.full((2, 8, 8), 255, np.float32)
    array[0] = np.random.default_rng(0).random((8, 8))
    stats = fit(array, "CYX")
    assert stats.std[1] == 0
    normalized = stats.apply(torch.from_numpy(array)[None])
    assert (normalized[0, 1] == 0).all()
    assert (stats.invert(torch.randn(1, 2, 8, 8))[0, 1] == 255).all()


def test_progress_counts_the_windows() -> None:
    stack = Stack.of(np.random.default_rng(0).random((5, 8, 8)), "TYX")
    *steps, last = Normalization.fit_iter(stack)
    assert [(e.step, e.steps, e.result) for e in steps] == [(n, 5, None) for n in range(1, 6)]
    assert last.step == last.steps
    assert last.seconds_left == 0


def test_an_image_unlike_the_trained_one_is_named() -> None:
    stats = Normalization((100.0, 10.0), (10.0, 0.0))
    rng = np.random.default_rng(0)
    alike = np.stack([rng.normal(100, 10, (32, 32)), np.full((32, 32), 10.0)])
    assert stats.differs_from(Stack.of(alike, "CYX")) is None
    for scale, shift in [(1, 40), (6, 0), (0.1, 0)]:
        other = alike.copy()
        other[0] = (other[0] - 100) * scale + 100 + shift
        notice = stats.differs_from(Stack.of(other, "CYX"))
        assert notice is not None
        assert "channel 0" in notice
        assert "100 and 10" in notice
    alike[1, 0] = 200
    assert "channel 1" in str(stats.differs_from(Stack.of(alike, "CYX")))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_comparison_leaves_out_what_is_not_finite(bad: float) -> None:
    """The error that says so comes from the tile; no warning comes first."""
    stats = Normalization((100.0,), (10.0,))
    image = np.random.default_rng(0).normal(100, 10, (32, 32))
    image[3] = bad
    assert stats.differs_from(Stack.of(image)) is None
    assert stats.differs_from(Stack.of(np.full((32, 32), bad))) is None


def test_a_mean_without_its_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="2 means and 1 standard deviations"):
        Normalization((1.0, 2.0), (1.0,))
