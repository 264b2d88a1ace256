"""Where a result is written: in memory, or beyond a certain size into an OME-Zarr on disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ..core.axes import Image, Stack
from ..core.errors import ImageError

SHARE_OF_MEMORY = 0.5
"""A result that takes more of the free memory than this goes to disk."""

RESULT_BYTES = 4
"""Bytes for each pixel of a result."""

DISAGREEMENT_BYTES = 52
"""Bytes for each pixel at the peak of a disagreement, measured: several float64 images at once."""


class Tally:
    """An array that is written window by window and knows which samples are complete.

    Parameters
    ----------
    data
        What is written into.
    stack
        The image as whoever writes sees it: what a sample is depends on that.

    Attributes
    ----------
    kept
        Whether the work has ended and what is finished is there to be shown: on
        disk, that it stands under its name.
    """

    def __init__(self, data: Any, stack: Stack) -> None:
        self.data = data
        self.shape = tuple(int(n) for n in data.shape)
        self.dtype = np.dtype(data.dtype)
        self._stack = stack
        self._written: Counter[int] = Counter()
        self.kept = False

    def __setitem__(self, index: tuple[int | slice, ...], values: Any) -> None:
        self.data[index] = values
        along = zip(index, self._is_sample, strict=True)
        place = [int(i) for i, is_sample in along if is_sample]  # type: ignore[arg-type]
        sample = int(np.ravel_multi_index(place, self._sample_shape)) if place else 0
        self._written[sample] += np.size(values)

    @property
    def _is_sample(self) -> list[bool]:
        return [a in self._stack.sample_axes for a in self._stack.axes]

    @property
    def _sample_shape(self) -> list[int]:
        return [n for n, is_sample in zip(self.shape, self._is_sample, strict=True) if is_sample]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return math.prod(self._sample_shape)

    @property
    def sample_name(self) -> str:
        """What one of the samples is called."""
        return {"Z": "plane", "T": "frame", "": "sample"}[self._stack.context_axis]

    def finished(self) -> list[int]:
        """Return the samples that are complete."""
        whole = math.prod(self.shape) // self.samples
        return sorted(n for n, pixels in self._written.items() if pixels >= whole)


def in_memory(image: Image) -> Any:
    """Return a float32 array of the image's shape, NaN until it is written."""
    return np.full(image.data.shape, np.nan, np.float32)


def bytes_of_result(image: Image) -> int:
    """Return how much memory a result of the image's shape takes."""
    return RESULT_BYTES * _pixels(image)


def fits_in_memory(image: Image, *, beside: int = 0) -> bool:
    """Whether a result of the image's shape leaves enough memory for everything else.

    Parameters
    ----------
    image
        What is to be denoised.
    beside
        Bytes that are promised to other results.
    """
    return bytes_of_result(image) + beside <= _allowed()


def check_disagreement(image: Image, *, beside: int = 0) -> None:
    """Refuse a disagreement that would take too much memory: it cannot be put on disk.

    Raises
    ------
    ImageError
        If it would.
    """
    needed = DISAGREEMENT_BYTES * _pixels(image) + beside
    if needed > _allowed():
        raise ImageError(
            f'the disagreement of "{image.name}" would take {needed / 1e9:.1f} GB of memory, and '
            f"{_allowed() / 1e9:.1f} GB can be had; close other programs, or take a layer that is "
            "a part of the image: fewer frames or planes, or a smaller field"
        )


def _pixels(image: Image) -> int:
    return math.prod(int(n) for n in image.data.shape)


def _allowed() -> int:
    return int(SHARE_OF_MEMORY * psutil.virtual_memory().available)


def read_back(path: Path, axes: str) -> Any:
    """Open a result on disk lazily, its axes in the order of `axes`, those of extent 1 too."""
    from ..io.ome_zarr import read_zarr

    found = read_zarr(path)
    assert found.axes is not None
    return found.data.transpose([found.axes.index(a) for a in axes])


def in_words(samples: Sequence[int], many: int) -> str:
    """Name samples by ranges, counted from 1.

    Examples
    --------
    >>> in_words([0, 1, 2, 5], 30)
    '1 to 3, 6 of 30'
    """
    ranges: list[list[int]] = []
    for n in samples:
        if ranges and n == ranges[-1][1] + 1:
            ranges[-1][1] = n
        else:
            ranges.append([n, n])
    parts = [f"{a + 1}" if a == b else f"{a + 1} to {b + 1}" for a, b in ranges]
    return f"{', '.join(parts)} of {many}"
