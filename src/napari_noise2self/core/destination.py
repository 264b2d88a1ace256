"""Where a result goes: into a new array, or into one that the user gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .axes import Stack
from .errors import ImageError


def destination(stack: Stack, out: Any, *, blank: bool = False) -> Stack:
    """Return where the result of `stack` is to be written, seen as it is.

    Parameters
    ----------
    stack
        The image.
    out
        Array that accepts assignment, for example numpy's or zarr's; None for a
        new float32 array.
    blank
        Whether a new array begins as NaN.

    Raises
    ------
    ImageError
        If `out` is of another shape, holds integers, or is the image itself.
    """
    shape = tuple(stack.data.shape)
    if out is None:
        out = np.full(shape, np.nan, np.float32) if blank else np.empty(shape, np.float32)
        return replace(stack, data=out)
    if tuple(out.shape) != shape:
        raise ImageError(f"out has shape {tuple(out.shape)}; expected the image's, {shape}")
    dtype = getattr(out, "dtype", None)  # what merely takes values may have none
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise ImageError(
            f"out has dtype {dtype}, in which the result would be cut to integers, or wrap; give "
            'an array of dtype "float32", and round and clip it afterwards where integers are '
            "needed"
        )
    if _shared(stack.data, out):
        raise ImageError(
            "out shares its memory with the image, which is read further while it is written; "
            "give another array, or None for a new one"
        )
    return replace(stack, data=out)


def _shared(image: Any, out: Any) -> bool:
    if isinstance(image, np.ndarray) and isinstance(out, np.ndarray):
        return bool(np.shares_memory(image, out))
    return image is out
