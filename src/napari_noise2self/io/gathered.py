"""Small pieces are put together before they are written: a chunk is packed once, not for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def gathered(out: Any) -> Iterator[Any]:
    """Yield a view of a chunked array for assignment, which keeps one chunk in memory.

    Parameters
    ----------
    out
        Array with `chunks`, for example zarr's. The last chunk is written to it
        when the block ends well.

    Yields
    ------
    array-like
        Takes assignment to one integer or slice for each axis.
    """
    gathering = _Gathering(out)
    yield gathering
    gathering.flush()


class _Gathering:
    def __init__(self, out: Any) -> None:
        self._out = out
        self.shape, self.dtype, self.ndim = tuple(out.shape), out.dtype, out.ndim
        self._chunks: tuple[int, ...] = tuple(out.chunks)
        self._place: tuple[slice, ...] = ()
        self._chunk: NDArray[Any] | None = None

    def __setitem__(self, index: tuple[int | slice, ...], values: Any) -> None:
        ends = [
            part.indices(n)[:2] if isinstance(part, slice) else (part, part + 1)
            for part, n in zip(index, self.shape, strict=True)
        ]
        place = tuple(
            slice(start - start % step, min(start - start % step + step, n))
            for (start, _), step, n in zip(ends, self._chunks, self.shape, strict=True)
        )
        if any(stop > there.stop for (_, stop), there in zip(ends, place, strict=True)):
            self.flush()
            self._out[index] = values  # of several chunks
            return
        if self._chunk is None or place != self._place:
            self.flush()
            self._place, self._chunk = place, np.array(self._out[place])
        inner = tuple(
            slice(start - there.start, stop - there.start)
            if isinstance(part, slice)
            else start - there.start
            for part, (start, stop), there in zip(index, ends, place, strict=True)
        )
        self._chunk[inner] = values

    def flush(self) -> None:
        """Write the chunk in memory."""
        if self._chunk is not None:
            self._out[self._place] = self._chunk
            self._chunk = None
