"""What is too large for memory is read piece by piece, when it is used."""

from __future__ import annotations

from typing import Any

import dask.array as da
import zarr
from dask.array.core import normalize_chunks

LAZY_BYTES = 2**29
"""Images of at least this many bytes are not loaded."""

CHUNK_BYTES = 2**25
"""Size that pieces of a lazy image are gathered to."""


def as_dask(array: zarr.Array[Any]) -> da.Array:
    """Return `array` in pieces of whole chunks, of about `CHUNK_BYTES`."""
    chunks = normalize_chunks(
        "auto", array.shape, CHUNK_BYTES, array.dtype, previous_chunks=array.chunks
    )
    lazy: da.Array = da.from_array(array, chunks=chunks, name=False)
    return lazy
