"""NumPy's own files, which know nothing of axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.errors import ImageFileError
from .lazy import LAZY_BYTES
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
