"""Image files with their axes, pixel size, units and names of channels.

`read_image` and `write_image` choose the format by the extension. Arrays that
are too large for memory stay lazy both ways.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.axes import Image, Stack, check_channels
from ..core.errors import ImageError, ImageFileError, Noise2SelfError
from .arrays import read_npy, read_npz, write_npy
from .files import check_name, check_target, replacing
from .letters import Found, settle
from .ome_zarr import check_zarr_target, is_zarr, read_zarr, write_zarr
from .pictures import read_jpeg, read_png
from .tiff import check_tiff_dtype, read_tiff, write_tiff
from .units import pixel_sizes

_READERS: dict[str, Callable[[Path], Found]] = {
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".btf": read_tiff,
    ".tf8": read_tiff,
    ".companion.ome": read_tiff,
    ".npy": read_npy,
    ".npz": read_npz,
    ".png": read_png,
    ".jpg": read_jpeg,
    ".jpeg": read_jpeg,
    ".zarr": read_zarr,
}

READABLE = tuple(_READERS)
"""Extensions that `read_image` knows."""

WRITABLE = (".tif", ".tiff", ".npy", ".zarr")
"""Extensions that `write_image` knows."""

_MICROSCOPES = {".czi", ".lif", ".nd2", ".oib", ".oif", ".lsm", ".ims", ".h5", ".mrc", ".vsi"}


def read_image(path: str | os.PathLike[str], *, axes: str | None = None) -> Image:
    """Read an image with its axes, pixel size, units and names of channels.

    TIFF (ImageJ, OME also over several files, plain; any compression), OME-Zarr
    and plain zarr, NumPy's ``.npy`` and ``.npz``, PNG and JPEG are read. Zarr,
    and TIFF and ``.npy`` from 512 MiB on, are not loaded: their data are a dask
    array or a memory map. Of the images of a set of TIFF files the one is read
    that has pixels in the file named; of several in one file, the first.

    Axes of length 1 other than Y and X are dropped. Colour becomes the axis C;
    a constant alpha channel is left out. A resolution that speaks of a printer
    (up to 1200 dots per inch, with no unit of ImageJ's) is taken as unknown.

    Parameters
    ----------
    path
        File, or folder of a zarr.
    axes
        Axes such as ``"TZCYX"`` to overrule the file's; the pixel size of an
        axis that the file does not have is then 1 pixel.

    Returns
    -------
    Image
        `axes` is None for a bare array (``.npy``, plain zarr), for which
        `Stack.of` makes a guess.

    Raises
    ------
    ImageFileError
        If the file is missing, truncated, no image, or of another format.
    AxesError
        If `axes` do not fit the image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "cells.tif"
    >>> pixels = np.zeros((5, 64, 64), "uint16")
    >>> write_image(path, pixels, axes="ZYX", scale=(0.5, 0.1, 0.1), units=("um",) * 3)
    >>> image = read_image(path)
    >>> image.axes, image.scale, image.units[0], image.name
    ('ZYX', (0.5, 0.1, 0.1), 'micrometer', 'cells')
    >>> folder.cleanup()
    """
    path = Path(path)
    try:
        reader = _reader(path)
        found = reader(path)
    except (Noise2SelfError, MemoryError):
        raise
    except PermissionError as reason:
        raise ImageFileError(f"{path} may not be read; change its permissions") from reason
    except Exception as reason:  # decoders raise anything on damaged data
        raise ImageFileError(
            f"{path} cannot be read as {path.suffix or 'zarr'} ({reason}); it is damaged, "
            "truncated or of another format: open it in Fiji and save it as TIFF"
        ) from reason
    return settle(found, _name(path), axes)


def _reader(path: Path) -> Callable[[Path], Found]:
    check_name(path, ImageFileError)
    if not path.exists():
        if path.is_symlink():
            raise ImageFileError(
                f"{path} is a link to {os.readlink(path)}, which does not exist; name the image "
                "itself"
            )
        raise ImageFileError(f"{path} does not exist; check the folder and the spelling")
    if path.is_dir():
        if is_zarr(path):
            return read_zarr
        raise ImageFileError(f"{path} is a folder, not an image; name one file in it")
    suffix = _suffix(path)
    if suffix not in _READERS:
        mend = (
            "open it in Fiji (Bio-Formats) and save it as OME-TIFF"
            if suffix in _MICROSCOPES
            else "save it as TIFF"
        )
        raise ImageFileError(
            f"{path} has the extension {suffix or '(none)'}; expected one of "
            f"{', '.join(READABLE)}; {mend}"
        )
    if path.stat().st_size == 0:
        raise ImageFileError(f"{path} is empty (0 bytes); copy or export it again")
    return _READERS[suffix]


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((known for known in _READERS if name.endswith(known)), path.suffix.lower())


def _name(path: Path) -> str:
    return path.name[: len(path.name) - len(_suffix(path))].removesuffix(".ome") or "image"


def write_image(
    path: str | os.PathLike[str],
    array: Any,
    *,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    dtype: DTypeLike | None = None,
) -> None:
    """Write an image with its axes, pixel size, units and names of channels.

    The extension chooses the format: ``.tif`` and ``.tiff`` an ImageJ
    hyperstack where that can hold the image (8- or 16-bit unsigned or 32-bit
    float, below 4 GB), else OME-TIFF, as ``.ome.tif`` always does; ``.zarr``
    OME-Zarr 0.4; ``.npy`` the bare array. The file appears whole or not at all.

    TIFF and OME-Zarr have an order of axes of their own, and the array is
    transposed into it: TZCYX (S, which TIFF lacks, counts as T; 8-bit colour
    stays YXC). Lazy arrays are read plane by plane or chunk by chunk.

    Parameters
    ----------
    path
        File to write; an older one is replaced, and so is a zarr that holds one
        image and nothing else.
    array
        `Image`, or array-like (numpy, dask, zarr) of 2 to 5 dimensions.
    axes
        Axes such as ``"TZCYX"``; None for the image's own, else a guess from
        the shape.
    scale
        Pixel size along each axis; None for the image's own.
    units
        Unit of each axis; None for the image's own.
    channels
        Name of each channel; None for the image's own.
    dtype
        Dtype to write; None for the array's. For an integer dtype the values
        are rounded, and clipped to its range.

    Raises
    ------
    ImageFileError
        If the file cannot be written, or its extension is unknown.
    AxesError
        If `axes` do not fit the array.
    ImageError
        If the format cannot hold the dtype, or `scale`, `units` or `channels` do
        not fit the axes, or NaN is to become an integer.

    Warns
    -----
    UserWarning
        If values were clipped, with the share of them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "clean.tif"
    >>> write_image(path, np.full((32, 32), 199.7), axes="YX", dtype="uint8")
    >>> int(read_image(path).data[0, 0])
    200
    >>> folder.cleanup()
    """
    path = Path(path)
    if isinstance(array, Image):
        axes = axes if axes is not None else array.axes
        scale = scale if scale is not None else array.scale
        units = units if units is not None else array.units
        channels = channels if channels is not None else array.channels
        array = array.data
    stack = Stack.of(array, axes)
    if channels is not None:
        check_channels(stack.data.shape, stack.axes, channels)
    sizes = pixel_sizes(stack.axes, scale, units)
    target = np.dtype(stack.dtype if dtype is None else dtype).newbyteorder("=")
    check_writable(path, dtype=target)

    clipped: list[int] = []  # a piece each; pieces may come from several threads

    def convert(values: NDArray[Any]) -> NDArray[Any]:
        clipped.append(_outside(values, target))
        return _converted(values, target)

    suffix = path.suffix.lower()
    if suffix == ".zarr":
        write_zarr(path, stack, sizes, target, convert, channels)
    else:
        with replacing(path, ImageFileError) as part:
            if suffix == ".npy":
                write_npy(part, stack.data, target, convert)
            else:
                ome = path.stem.lower().endswith(".ome")
                write_tiff(part, stack, sizes, target, convert, ome=ome, channels=channels)
    if any(clipped):
        share = 100 * sum(clipped) / math.prod(stack.data.shape)
        limits = np.iinfo(target)
        warnings.warn(
            f"{path}: {share:.2g} % of the values were beyond {target} and were clipped to "
            f'{limits.min} to {limits.max}; write dtype="float32" to keep them as they are',
            stacklevel=2,
        )


def check_writable(path: str | os.PathLike[str], *, dtype: DTypeLike | None = None) -> None:
    """Raise now what `write_image` would raise after long work; leave nothing behind.

    Parameters
    ----------
    path
        File that is going to be written.
    dtype
        Dtype that is going to be written; None to leave it unchecked.

    Raises
    ------
    ImageFileError
        If the extension is unknown, the folder missing or closed to writing, or
        something of that name in the way.
    ImageError
        If the format cannot hold the dtype.

    Examples
    --------
    >>> check_writable("no/such/folder/clean.tif")
    Traceback (most recent call last):
    napari_noise2self.core.errors.ImageFileError: the folder no/such/folder does not exist; ...
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise ImageFileError(
            f"{path} has the extension {suffix or '(none)'}; expected one of "
            f"{', '.join(WRITABLE)}; rename it, for example {path.stem or 'denoised'}.tif"
        )
    if suffix == ".zarr":
        check_zarr_target(path)
    else:
        check_target(path, ImageFileError)
    if dtype is not None and suffix.startswith(".tif"):
        check_tiff_dtype(np.dtype(dtype))


def _outside(values: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """Return how many values are to be clipped to an integer `dtype`."""
    if dtype.kind not in "iu" or values.dtype == dtype or values.dtype.kind not in "iuf":
        return 0
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if values.dtype.kind == "f":
        below, above = np.float64(low - 0.5), np.float64(high + 0.5)  # before rounding
        return int(np.count_nonzero((values < below) | (values > above)))
    given = np.iinfo(values.dtype)
    count = np.count_nonzero(values < low) if low > given.min else 0
    return int(count + (np.count_nonzero(values > high) if high < given.max else 0))


def _converted(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast `values`; to integers by rounding and clipping."""
    if dtype.kind not in "iu" or values.dtype == dtype:
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    if values.dtype.kind in "iu":
        given = np.iinfo(values.dtype)
        low, high = max(given.min, limits.min), min(given.max, limits.max)
        clipped: NDArray[Any] = np.clip(values, low, high)
        return clipped.astype(dtype)
    if np.isnan(values).any():
        raise ImageError(
            f"the image has NaN, which dtype {dtype} cannot hold; "
            'write dtype="float32", or fill it with numpy.nan_to_num'
        )
    top = float(limits.max)
    if top > limits.max:  # float64 cannot hold the largest 64-bit integers
        top = float(np.nextafter(top, 0))
    rounded: NDArray[np.float64] = np.rint(values, dtype=np.float64)
    return rounded.clip(float(limits.min), top).astype(dtype)
