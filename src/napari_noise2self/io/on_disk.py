"""Results that memory does not hold: how large they are, made on disk, read back from there.

zarr is imported where it is needed: a dock asks how large a result is long before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike

from ..core.axes import Image
from .gathered import gathered

SHARE_OF_MEMORY = 0.5
"""A result that takes more of the free memory than this goes to disk."""

RESULT_BYTES = 4
"""Bytes for each pixel of a result."""


def bytes_of_result(image: Image) -> int:
    """Return how much memory a result of the image's shape takes."""
    return RESULT_BYTES * math.prod(int(n) for n in image.data.shape)


def fits_in_memory(image: Image, *, beside: int = 0) -> bool:
    """Whether a result of the image's shape leaves enough memory for everything else.

    Parameters
    ----------
    image
        What is to be denoised.
    beside
        Bytes that are promised to other results.
    """
    allowed = int(SHARE_OF_MEMORY * psutil.virtual_memory().available)
    return bytes_of_result(image) + beside <= allowed


@contextmanager
def made_on_disk(
    path: Path, image: Image, axes: str, dtype: DTypeLike = np.float32
) -> Iterator[Any]:
    """Make an OME-Zarr like an image and have it filled, window by window; see `create_zarr`.

    Parameters
    ----------
    path
        Folder to make.
    image
        Whose shape, pixel size, units and names of channels it has.
    axes
        Those of the image.
    dtype
        Of the result.

    Yields
    ------
    array-like
        Takes assignment to one integer or slice for each axis.
    """
    from .ome_zarr import create_zarr

    about = axes, image.scale, image.units, image.channels
    with create_zarr(path, image.data.shape, dtype, *about) as stored, gathered(stored) as pieces:
        yield pieces


def read_back(path: Path, axes: str) -> Any:
    """Open a result on disk lazily, its axes in the order of `axes`, those of extent 1 too."""
    from .ome_zarr import read_zarr

    found = read_zarr(path)
    assert found.axes is not None
    return found.data.transpose([found.axes.index(a) for a in axes])
