"""What is too large for memory is read piece by piece, when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr
from dask.array.core import normalize_chunks, slices_from_chunks
from numpy.typing import NDArray

from ..core.errors import ImageFileError, Noise2SelfError

LAZY_BYTES = 2**29
"""Images of at least this many bytes are not loaded."""

CHUNK_BYTES = 2**25
"""Size that pieces of a lazy image are gathered to."""


class _Decoded:
    """An array in a file, whose parts are decoded when they are asked for.

    By then nobody who could explain a failure is there to do it, so it is done here.
    """

    def __init__(self, array: zarr.Array[Any], path: Path) -> None:
        self._array, self._path = array, path
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._array[index])
        except (Noise2SelfError, MemoryError):
            raise
        except Exception as reason:  # decoders raise anything on damaged data
            raise ImageFileError(
                f"a part of {self._path} cannot be read ({reason}); it is damaged or was moved: "
                "copy or export it again"
            ) from reason


def as_dask(array: zarr.Array[Any], path: Path) -> da.Array:
    """Return `array`, of the file `path`, in pieces of whole chunks, of about `CHUNK_BYTES`."""
    chunks = normalize_chunks(
        "auto", array.shape, CHUNK_BYTES, array.dtype, previous_chunks=array.chunks
    )
    empty = np.empty((0,) * array.ndim, array.dtype)
    lazy: da.Array = da.from_array(_Decoded(array, path), chunks=chunks, name=False, meta=empty)
    return lazy


def fill(
    out: Any, data: Any, convert: Callable[[NDArray[Any]], NDArray[Any]], chunks: Any = "auto"
) -> None:
    """Assign `data` to `out` in pieces of `chunks`; those of a dask array are its own.

    Parameters
    ----------
    out
        What takes the pieces, of the shape of `data`.
    data
        Array-like.
    convert
        Makes of a piece what is assigned.
    chunks
        Extent of a piece along each axis; ``"auto"`` for some `CHUNK_BYTES`.
    """
    if isinstance(data, da.Array):  # each piece is computed once
        empty = np.empty((0,) * data.ndim, out.dtype)
        da.store(da.map_blocks(convert, data, dtype=out.dtype, meta=empty), out, lock=True)
        return
    shape = tuple(int(n) for n in data.shape)
    for window in slices_from_chunks(normalize_chunks(chunks, shape, CHUNK_BYTES, out.dtype)):
        out[window] = convert(np.asarray(data[window]))
