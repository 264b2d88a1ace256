"""What is written into while a result is made, and which frames or planes of it are complete."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.axes import Image, Stack


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
