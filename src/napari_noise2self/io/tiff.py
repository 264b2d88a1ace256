"""TIFF in and out, through tifffile: ImageJ, OME and plain, lazily where large."""

from __future__ import annotations

import logging
import math
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from ..core.axes import CHANNEL, SAMPLES, Stack
from ..core.errors import ImageError, ImageFileError
from .lazy import LAZY_BYTES, as_dask
from .letters import OTHER, UNNAMED, Found
from .pictures import without_constant_alpha
from .tiff_channels import imagej_labels, ome_channels, read_channels
from .tiff_scale import Sizes, imagej_metadata, ome_metadata, read_sizes
from .tiff_sets import images_in, open_set

CLASSIC_BYTES = 2**32 - 2**25
"""From this size on a file is written as BigTIFF: classic offsets have 32 bits."""

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""What OME-TIFF can hold, and so what is written."""

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
_LOSSY = {6, 7, 33003, 33005, 33007, 34712, 34892, 34927, 50001}  # JPEG and its kin, WebP

_ALPHA = {1, 2}  # extra samples that are opacity
_DAMAGE = re.compile(  # what tifffile logs when it reads on without the missing part
    "invalid page offset|invalid offset to page|corrupted tag list of page|corrupted file"
    "|TiffTag 270 .*invalid value offset"  # the description, which holds the axes
)

_log = logging.getLogger(__name__)


def read_tiff(path: Path) -> Found:
    """Read the first image that has pixels in a TIFF file, all of it if other files hold the rest.

    From `LAZY_BYTES` on, an uncompressed image becomes a memory map and any
    other a dask array: both read what is asked of them, when it is asked.

    Raises
    ------
    ImageFileError
        If data are missing from the file, or files from the set.
    """
    with _complaints() as complaints, ExitStack() as opened:
        tiff = opened.enter_context(open_set(path))
        images = images_in(tiff, path)
        if not images:
            raise ImageFileError(f"{path} is a TIFF file without an image; export it again")
        series = images[0]
        _check_whole(path, series)
        if len(images) > 1:
            _log.warning("%s holds %d images; the first is read", path, len(images))
        if int(series.keyframe.compression) in _LOSSY:
            _log.warning(
                "%s is compressed with loss, which changes the noise; denoise the original", path
            )
        data = _pixels(path, tiff, series)
        names = read_channels(tiff, series)
        found = _lettered(data, series, read_sizes(tiff, series), names)
        if isinstance(data, da.Array):
            opened.pop_all()  # the file is closed once nothing reads from it any more
    for complaint in complaints:
        if _DAMAGE.search(complaint):
            raise _truncated(path, complaint)
        _log.warning("%s: %s", path, complaint)
    return found


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread: it skips over damage with a log line."""
    said: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                said.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logger = logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)


def _truncated(path: Path, detail: str) -> ImageFileError:
    return ImageFileError(f"{path} is truncated or damaged ({detail}); copy or export it again")


def _check_whole(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Compare where the pixels should lie with how long the files are."""
    size = series.keyframe.parent.filehandle.size
    if series.dataoffset is not None:
        if series.dataoffset + series.nbytes > size:
            raise _truncated(path, f"{series.dataoffset + series.nbytes - size} bytes are missing")
        return
    planes = [page for page in series.pages if page is not None]
    missing = len(series.pages) - len(planes)
    if missing:
        raise ImageFileError(
            f"{path} lacks {missing} of its {len(series.pages)} planes: it is truncated, or other "
            "files of its set are not beside it; copy it again, or put the set into one folder"
        )
    for number, page in enumerate(planes):
        ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > page.parent.filehandle.size:
            raise _truncated(path, f"plane {number + 1} ends beyond the file")


def _pixels(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Any:
    """Return the pixels with every dimension, lazily where there are many."""
    shape = series.get_shape(squeeze=False)
    page = series.keyframe
    owner = page.parent  # of a set, perhaps another file than the one that describes it
    if series.nbytes < LAZY_BYTES:
        if owner is tiff:
            return series.asarray().reshape(shape)
        with owner.filehandle as file:
            file.open()
            return owner.asarray(series=series).reshape(shape)
    if series.dataoffset is not None and series.dtype is not None:
        dtype = series.dtype.newbyteorder(owner.byteorder)
        return np.memmap(
            owner.filehandle.path, dtype=dtype, mode="r", offset=series.dataoffset, shape=shape
        )
    # many small strips make a slow graph, a huge page a slow read
    mode = "strile" if page.is_tiled or page.nbytes > 2**27 else "page"
    array = zarr.open_array(series.aszarr(level=0, chunkmode=mode), mode="r")
    weakref.finalize(array, tiff.close)
    return as_dask(array, path).reshape(shape)


def _lettered(
    data: Any,
    series: tifffile.TiffPageSeries,
    sizes: Sizes,
    channels: Sequence[str | None] | None,
) -> Found:
    """Turn tifffile's letters into ours; its S is the colour of a pixel."""
    letters = series.get_axes(squeeze=False)
    if "S" in letters:
        colour = letters.index("S")
        if any(int(extra) in _ALPHA for extra in series.keyframe.extrasamples[-1:]):
            data = without_constant_alpha(data, colour)
        drop = "S" if data.shape[colour] == 1 else "C"
        if drop in letters and data.shape[letters.index(drop)] == 1:
            data = data[(slice(None),) * letters.index(drop) + (0,)]
            letters = letters.replace(drop, "")
        if "S" in letters:  # beside colours, channels are samples of their own
            letters, channels = letters.replace("C", OTHER).replace("S", CHANNEL), None
    ours = {"I": UNNAMED, "Q": UNNAMED, **{a: a for a in "TCZYX"}}
    return Found(data, "".join(ours.get(a, OTHER) for a in letters), sizes, channels)


def check_tiff_dtype(dtype: np.dtype[Any]) -> None:
    """Raise ImageError unless TIFF can hold `dtype`."""
    if dtype.name not in DTYPES:
        raise ImageError(
            f"TIFF cannot hold dtype {dtype}; expected one of {', '.join(DTYPES)}; "
            'pass dtype="float32", or write .npy or .zarr'
        )


def write_tiff(
    path: Path,
    stack: Stack,
    sizes: Sizes,
    dtype: np.dtype[Any],
    convert: Callable[[NDArray[Any]], NDArray[Any]],
    *,
    ome: bool,
    channels: Sequence[str] | None = None,
) -> None:
    """Write `stack` plane by plane, as an ImageJ hyperstack if that can hold it.

    Raises
    ------
    ImageError
        If TIFF cannot hold the dtype.
    """
    check_tiff_dtype(dtype)
    extent = dict(zip(stack.axes, stack.data.shape, strict=True))
    rgb = stack.axes.endswith("YXC") and extent[CHANNEL] == 3 and dtype == np.uint8
    colour = rgb and channels is None  # colours of a pixel have no names
    page = "YXC" if colour else "YX"
    lead = [a for a in SAMPLES + "ZC" if a in extent and a not in page]
    axes = "".join(a for a in "TZC" if a in lead or (a == "T" and "S" in lead)) + page
    # TIFF has no axis for samples: they are time points
    extent["T"] = stack.samples
    if "S" in stack.axes:
        sizes = {letter: size for letter, size in sizes.items() if letter != "T"}
    imagej = imagej_metadata(sizes)
    large = math.prod(stack.shape) * dtype.itemsize >= CLASSIC_BYTES
    as_imagej = not (ome or large or imagej is None) and dtype.name in _IMAGEJ_DTYPES
    metadata = imagej if as_imagej and imagej is not None else ome_metadata(sizes)
    if as_imagej and CHANNEL in lead:
        metadata["mode"] = "composite"
    if channels is not None:
        planes = math.prod(extent[a] for a in axes if a not in page)
        metadata |= imagej_labels(channels, planes) if as_imagej else ome_channels(channels)
    tifffile.imwrite(
        path,
        (convert(plane) for plane in _planes(stack, lead, page)),
        shape=tuple(extent[a] for a in axes),
        dtype=dtype,
        imagej=as_imagej,
        ome=not as_imagej,
        bigtiff=large,
        photometric="rgb" if colour else "minisblack",
        resolution=metadata.pop("resolution", None),
        metadata={"axes": axes.replace("YXC", "YXS"), **metadata},
    )


def _planes(stack: Stack, lead: list[str], page: str) -> Iterator[NDArray[Any]]:
    """Yield the planes in TIFF's order: samples slowest, then Z, then C."""
    extent = dict(zip(stack.axes, stack.data.shape, strict=True))
    order = [[a for a in stack.axes if a in page].index(a) for a in page]
    for place in np.ndindex(*(extent[a] for a in lead)):
        index = tuple(place[lead.index(a)] if a in lead else slice(None) for a in stack.axes)
        yield np.asarray(stack.data[index]).transpose(order)
