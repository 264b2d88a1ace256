"""Sums of shifted images are the convolutions and means that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_noise2self.core.filters import local_mean, weighted_sum, weighted_sum_zeros


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_a_weighted_sum_correlates_along_one_axis(axis: int) -> None:
    x = torch.rand(7, 8, 9, generator=torch.Generator().manual_seed(0))
    weights = (0.5, 0.25, -1.0, 2.0, 0.125)
    expected = ndimage.correlate1d(x.numpy(), weights, axis, mode="constant")
    found = weighted_sum_zeros(x, weights, axis)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    inner = found.narrow(axis, 2, x.shape[axis] - 4)
    assert torch.equal(weighted_sum(x, weights, axis), inner)


@pytest.mark.parametrize("window", [1, 3, 5, 31])
def test_a_local_mean_ends_at_the_border(window: int) -> None:
    """A window may be wider than the image."""
    x = torch.rand(2, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    reach = window // 2
    found = local_mean(x, window)
    assert found.shape == x.shape
    for y, column in ((0, 0), (0, 9), (5, 16), (11, 3), (6, 8)):
        here = x[
            ..., max(0, y - reach) : y + reach + 1, max(0, column - reach) : column + reach + 1
        ]
        torch.testing.assert_close(found[..., y, column], here.mean((-2, -1)))
