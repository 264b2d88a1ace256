"""NumPy's own files, which know nothing of axes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ImageFileError
from .lazy import LAZY_BYTES, fill
from .letters import Found


def read_npy(path: Path) -> Found:
    """Read an array; a large one becomes a memory map. Pickled objects are refused."""
    large = path.stat().st_size >= LAZY_BYTES
    return Found(np.load(path, mmap_mode="r" if large else None, allow_pickle=False))


def read_npz(path: Path) -> Found:
    """Read the one image of an archive."""
    with np.load(path, allow_pickle=False) as archive:
        images = {name: archive[name] for name in archive.files if archive[name].ndim >= 2}
    if len(images) != 1:
        raise ImageFileError(
            f"{path} holds {len(images)} arrays of 2 or more dimensions "
            f"({', '.join(images) or 'none'}); save the image alone as .npy"
        )
    return Found(*images.values())


def write_npy(
    path: Path, data: Any, dtype: np.dtype[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    """Write an array; one that is not in memory is written piece by piece."""
    if type(data) is np.ndarray:
        with path.open("wb") as file:
            np.save(file, convert(data), allow_pickle=False)
        return
    shape = tuple(int(n) for n in data.shape)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if sys.platform == "linux":  # a memory map of a disk that is full ends the program
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    fill(out, data, convert)
    out.flush()
