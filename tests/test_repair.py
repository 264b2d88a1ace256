"""NaN and infinite pixels take the value of the nearest finite one."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_noise2self import api


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(6, 7), (2, 6, 7), (2, 3, 6, 7)])
def test_only_what_is_not_finite_changes(dtype: str, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape).astype(dtype)
    broken = image.copy()
    broken[..., 2, 3] = np.nan
    broken[..., 5, 0] = -np.inf
    filled = api.fill_nan(broken)
    assert filled.dtype == image.dtype
    kept = np.isfinite(broken)
    assert np.array_equal(filled[kept], image[kept])
    assert (np.abs(filled[..., 2, 3, None] - image[..., [1, 2, 2, 3], [3, 2, 4, 3]]) == 0).any()
    assert np.isin(filled[..., 5, 0], [image[..., 4, 0], image[..., 5, 1]]).all()
    assert np.isnan(broken[..., 2, 3]).all()  # what was given stays as it is


def test_any_order_in_memory_is_filled() -> None:
    image = np.random.default_rng(0).random((5, 6, 3, 2)).transpose()
    image[0, 0, 2, 2] = np.nan
    assert np.isfinite(api.fill_nan(image)).all()


def test_a_plane_without_a_finite_pixel_becomes_zero() -> None:
    image = np.ones((2, 4, 4))
    image[0] = np.nan
    filled = api.fill_nan(image)
    assert (filled[0] == 0).all()
    assert (filled[1] == 1).all()


def test_what_is_masked_is_missing() -> None:
    counts = np.arange(16).reshape(4, 4)
    masked = np.ma.masked_equal(counts, 5)
    filled = api.fill_nan(masked)
    assert not np.ma.isMaskedArray(filled)
    assert filled[1, 1] in (1, 4, 6, 9), "a neighbour's value"
    assert (filled == counts).sum() == 15


def test_integers_come_back_as_they_are() -> None:
    image = np.arange(16, dtype=np.uint16).reshape(4, 4)
    assert np.array_equal(api.fill_nan(image), image)


def test_an_image_keeps_what_is_known_about_it() -> None:
    image = api.Image(np.array([[1.0, np.nan], [3.0, 4.0]]), "YX", (0.1, 0.2), name="cells")
    filled = api.fill_nan(image)
    assert filled.data.tolist() == [[1, 1], [3, 4]]
    assert (filled.axes, filled.scale, filled.name) == ("YX", (0.1, 0.2), "cells")


def test_colours_are_not_mixed_up() -> None:
    image = np.zeros((6, 5, 3))
    image[:] = 1, 2, 3
    image[2, 2, 1] = np.nan
    filled = api.fill_nan(api.Image(image, "YXC")).data
    assert (filled == [1, 2, 3]).all()


@pytest.mark.parametrize("axes", ["TYX", "YXC"])
def test_a_lazy_image_stays_lazy_and_comes_to_the_same(axes: str) -> None:
    image = np.random.default_rng(0).random((6, 5, 4))
    image[1, 1, 1] = image[5, 4, 3] = np.nan
    lazy = da.from_array(image, chunks=2)
    filled = api.fill_nan(api.Image(lazy, axes)).data
    assert isinstance(filled, da.Array)
    assert np.array_equal(filled.compute(), api.fill_nan(api.Image(image, axes)).data)
    assert filled[0].dtype == image.dtype
