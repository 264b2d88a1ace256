"""A lazy array read in whole chunks, the last of which are kept.

A chunk of a dask array is computed anew for each part of it that is read, and
one of a compressed file is unpacked anew. Whoever reads frame by frame, or a
frame with its neighbours, would do that many times over.
"""

from __future__ import annotations

import itertools
import math
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 2**28
"""What is kept of a lazy array at the most."""

Box = tuple[tuple[int, int], ...]
"""First position and the one after the last, along each dimension."""


class Chunks:
    """Reads parts of an array that has chunks, and keeps those it read last.

    Parameters
    ----------
    array
        With ``shape``, ``dtype`` and ``chunks``, as dask, zarr and h5py have them.
    limit
        Bytes to keep at the most. Where the chunks of one part are larger together, the
        part is read as it is, and nothing is kept.

    Examples
    --------
    >>> import dask.array as da
    >>> movie = da.from_array(np.arange(24).reshape(6, 2, 2), chunks=(3, 2, 2))
    >>> kept = Chunks(movie)
    >>> kept[4, 0:1, 0:2]
    array([[16, 17]])
    """

    def __init__(self, array: Any, limit: int = KEPT_BYTES) -> None:
        self.array, self.limit = array, limit
        self._itemsize = np.dtype(array.dtype).itemsize
        self._kept: OrderedDict[Box, NDArray[Any]] = OrderedDict()
        self._bytes = 0  # of what is kept
        self._lock = threading.Lock()

    @cached_property  # a long movie has many, and not every one who sees it reads it
    def _edges(self) -> list[list[int]]:
        along = zip(self.array.shape, self.array.chunks, strict=True)
        return [_edges(int(n), sizes) for n, sizes in along]

    @classmethod
    def of(cls, array: Any) -> Chunks | None:
        """Return a reader for `array`; None where it has no chunks."""
        chunks = getattr(array, "chunks", None)
        return cls(array) if isinstance(chunks, tuple) and chunks else None

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part: one number, or one slice without a step, for each dimension."""
        wanted = [
            i.indices(n)[:2] if isinstance(i, slice) else (int(i), int(i) + 1)
            for i, n in zip(index, self.array.shape, strict=True)
        ]
        box = tuple(
            (edges[bisect_right(edges, start) - 1], edges[bisect_left(edges, stop)])
            for (start, stop), edges in zip(wanted, self._edges, strict=True)
        )
        if self._itemsize * math.prod(stop - start for start, stop in box) > self.limit:
            return np.asarray(self.array[index])
        inner = tuple(
            slice(start - first, stop - first) if isinstance(i, slice) else start - first
            for i, (start, stop), (first, _) in zip(index, wanted, box, strict=True)
        )
        part: NDArray[Any] = self._read(box)[inner]
        return part

    def _read(self, box: Box) -> NDArray[Any]:
        with self._lock:
            if box in self._kept:
                self._kept.move_to_end(box)
                return self._kept[box]
        values = np.asarray(self.array[tuple(slice(*along) for along in box)]).view()
        values.flags.writeable = False  # whoever changes what was read changes a copy
        with self._lock:
            if box not in self._kept:  # another thread may have been faster
                self._kept[box] = values
                self._bytes += values.nbytes
            while self._bytes > self.limit:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return values

    def forget(self) -> None:
        """Keep nothing of what was read so far."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


def _edges(size: int, along: int | Sequence[int]) -> list[int]:
    """Return where chunks begin and end: of dask's list of sizes, or a file's one size."""
    if isinstance(along, Sequence):
        return [0, *itertools.accumulate(int(n) for n in along)]
    return [*range(0, size, max(1, int(along))), size]
