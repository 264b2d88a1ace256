"""Places without any signal or noise: the margins of stitched, turned and deskewed images."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

RADIUS = 15
"""A pixel is empty if all pixels up to so far from it, along Y and X, are the same: nearly a
thousand, so that even one photon in a hundred pixels leaves hardly a place that looks empty."""

_BLOCK = 8
"""Every such window holds a whole block of an aligned grid of this size, which is found faster."""


def empty_places(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where an image is constant as far as `RADIUS` pixels around.

    Parameters
    ----------
    values
        float32 of shape (C, *spatial); each channel and plane by itself. At the
        border of the image the window ends there.

    Returns
    -------
    numpy.ndarray
        bool, the shape of `values`.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((1, 40, 40), np.float32)
    >>> image[0, 0, 39] = 1
    >>> empty = empty_places(image)[0]
    >>> bool(empty[20, 20]), bool(empty[15, 24]), bool(empty[16, 24]), bool(empty[0, 39])
    (True, False, True, False)
    """
    if not _may_be(values):
        return np.zeros(values.shape, bool)
    return constant_around(torch.from_numpy(values)).numpy()


def constant_around(values: Tensor) -> Tensor:
    """Do what `empty_places` does, wherever the tensor of shape (..., Y, X) lies."""
    planes = values.reshape(-1, 1, *values.shape[-2:])
    return (_largest(planes) == -_largest(-planes)).reshape(values.shape)


def _may_be(values: NDArray[np.float32]) -> bool:
    height, width = (n // _BLOCK * _BLOCK for n in values.shape[-2:])
    blocks = values[..., :height, :width].reshape(
        -1, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
    )
    return bool((np.ptp(blocks, axis=(2, 4)) == 0).any())


def _largest(planes: Tensor) -> Tensor:
    """Return the largest value around each pixel of (N, 1, Y, X)."""
    size = 2 * RADIUS + 1
    along_y = F.max_pool2d(planes, (size, 1), stride=1, padding=(RADIUS, 0))
    return F.max_pool2d(along_y, (1, size), stride=1, padding=(0, RADIUS))
