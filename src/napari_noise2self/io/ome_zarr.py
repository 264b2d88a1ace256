"""OME-Zarr and plain zarr arrays: read lazily, written piece by piece."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray

from ..core.axes import CHANNEL, Stack, check_axes, check_channels
from ..core.errors import ImageFileError
from .files import check_folder, check_name, replacing_folder
from .lazy import as_dask, fill
from .letters import OTHER, Found
from .omero import labels, omero
from .units import PIXEL, canonical, pixel_sizes

ORDER = "TSCZYX"
"""Order of the axes in OME-Zarr: time, other, channel, space."""

EDGE = 1024
"""Largest edge of a chunk along Y and X."""

CHUNK_PIXELS = 2**20
"""Small planes are gathered into chunks of up to this many pixels."""

_MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}

_log = logging.getLogger(__name__)


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a folder that zarr wrote."""
    return any((path / marker).is_file() for marker in _MARKERS)


def read_zarr(path: Path) -> Found:
    """Read full resolution of an OME-Zarr image, or a plain zarr array, as dask.

    Raises
    ------
    ImageFileError
        If the folder holds no image, or several of which one must be chosen.
    """
    with warnings.catch_warnings():  # bioformats2raw writes it so
        warnings.filterwarnings("ignore", "Found an empty list of filters")
        return _read_node(path, zarr.open(path, mode="r"))


def _read_node(path: Path, node: zarr.Array[Any] | zarr.Group) -> Found:
    if isinstance(node, zarr.Array):
        return Found(as_dask(node, path), _plain_axes(node))
    ome = _ome(node)
    if "plate" in ome or "well" in ome:
        raise ImageFileError(
            f"{path} is a plate or a well; open one field of it, for example {path / _field(ome)}"
        )
    if "multiscales" in ome:
        return _multiscale(path, node, ome)
    members = sorted(name for name, _ in node.members())
    if "bioformats2raw.layout" in ome and "0" in members:
        series = [name for name in members if name.isdigit()]
        if len(series) > 1:
            _log.warning("%s holds %d images; the first is read", path, len(series))
        return read_zarr(path / "0")
    arrays = [name for name in members if isinstance(node[name], zarr.Array)]
    if len(arrays) == 1:
        return read_zarr(path / arrays[0])
    choice = f"one of {', '.join(members[:5])}" if members else "another; it is empty"
    raise ImageFileError(f"{path} is a zarr group without an image of its own; open {choice}")


def _field(ome: Mapping[str, Any]) -> str:
    """Return where the first field of a plate, or of a well, is."""
    if "well" in ome:
        images = ome["well"].get("images") or [{"path": "0"}]
        return str(images[0]["path"])
    wells = ome["plate"].get("wells") or [{"path": "A/1"}]
    return f"{wells[0]['path']}/0"


def _ome(group: zarr.Group) -> Mapping[str, Any]:
    attributes: dict[str, Any] = dict(group.attrs)
    ome: Mapping[str, Any] = attributes.get("ome", attributes)  # a key of its own from 0.5 on
    return ome


def _plain_axes(array: zarr.Array[Any]) -> str | None:
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(str(name).upper() for name in names)
    known = len(letters) == array.ndim and set(letters) <= set(ORDER)
    return letters if known and len(set(letters)) == len(letters) else None


def _multiscale(path: Path, group: zarr.Group, ome: Mapping[str, Any]) -> Found:
    image = ome["multiscales"][0]
    dataset = image["datasets"][0]
    array = group[dataset["path"]]
    if not isinstance(array, zarr.Array):
        raise ImageFileError(f"{path / dataset['path']} is no array; export the image again")
    version = str(ome.get("version", image.get("version", "0.1")))
    if "axes" not in image and version not in ("0.1", "0.2"):
        raise ImageFileError(
            f"{path} is OME-Zarr of version {version}; this version reads up to 0.5: "
            f"open the array {path / dataset['path']} and state its axes"
        )
    named = image.get("axes", list("tczyx"))
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in named]
    letters = [_letter(axis) for axis in axes]
    scale = np.ones(array.ndim)
    for holder in (dataset, image):
        for transform in holder.get("coordinateTransformations", ()):
            if transform.get("type") == "scale" and len(transform["scale"]) == array.ndim:
                scale *= np.asarray(transform["scale"], dtype=float)
    sizes = {}
    for letter, size, axis in zip(letters, scale.tolist(), axes, strict=True):
        if size > 0 and math.isfinite(size):
            sizes[letter] = (size, canonical(axis.get("unit")))
        else:
            _log.warning("%s: the pixel size of %s is %g, taken as unknown", path, letter, size)
    return Found(as_dask(array, path), "".join(letters), sizes, labels(ome))


def _letter(axis: Mapping[str, Any]) -> str:
    name = str(axis["name"]).upper()
    if name in ORDER:
        return name
    return {"time": "T", "channel": "C"}.get(str(axis.get("type")), OTHER)


def check_zarr_target(path: Path) -> None:
    """Raise ImageFileError unless an OME-Zarr may be put at `path`."""
    check_name(path, ImageFileError)
    if path.is_file():
        raise ImageFileError(f"{path} is a file, and zarr writes a folder; choose another name")
    if path.is_dir() and _holds_anything(path):
        if not is_zarr(path):
            raise ImageFileError(
                f"{path} is a folder with other things in it, which would be lost; "
                "choose another name"
            )
        if not _is_one_image(path):
            raise ImageFileError(
                f"{path} is a zarr with more in it than one image, or one that cannot be read; "
                "all of it would be lost: choose another name"
            )
    check_folder(path.parent, ImageFileError)


def _holds_anything(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError as reason:
        raise ImageFileError(
            f"the folder {folder} cannot be looked into ({reason.strerror}); choose another name, "
            "or change its permissions"
        ) from reason


def _is_one_image(path: Path) -> bool:
    """Return whether a zarr is an array, or an image in its resolutions and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what zarr does not know in the folder
        try:
            node = zarr.open(path, mode="r")
            if isinstance(node, zarr.Array):
                return True
            ome = _ome(node)
            levels = {
                str(dataset["path"])
                for image in ome.get("multiscales", ())
                for dataset in image["datasets"]
            }
            # what a list of all members in the metadata says may be out of date
            group = zarr.open_group(path, mode="r", use_consolidated=False)
            members = {name for name, _ in group.members(max_depth=None)}
        except Exception:  # of what cannot be read nobody knows what it is
            return False
    if {"plate", "well", "bioformats2raw.layout"} & ome.keys():
        return False
    folders = {str(parent) for level in levels for parent in PurePosixPath(level).parents} - {"."}
    known = {level.split("/")[0] for level in levels} | set(_MARKERS)
    foreign = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")} - known
    return members == levels | folders and not foreign


@contextmanager
def create_zarr(
    path: str | Path,
    shape: Sequence[int],
    dtype: DTypeLike,
    axes: str,
    scale: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
) -> Iterator[Any]:
    """Make an OME-Zarr image (version 0.4, one resolution level) and have it filled.

    It is made beside `path` and put there when the block ends well; an
    OME-Zarr of that name stays in place, and readable, until then.

    Parameters
    ----------
    path
        Folder to make, usually named ``*.zarr``.
    shape, dtype, axes
        Those of the array to fill.
    scale
        Pixel size along each axis; None for unknown.
    units
        Unit of each axis, ``"pixel"`` for unknown; None for all unknown.
    channels
        Name of each channel; None for no names.

    Yields
    ------
    array-like
        Takes assignment to integers and slices, in the order of `axes`: the
        zarr array itself if that is OME's order (time, channel, space), else a
        view of it.

    Raises
    ------
    ImageFileError
        If the folder cannot be made, or holds something else.
    AxesError
        If `axes` do not fit `shape`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "o.zarr"
    >>> with create_zarr(path, (2, 64, 64), "float32", "TYX") as out:
    ...     out[0, :32, :32] = 1.0
    >>> read_zarr(path).data.shape
    (2, 64, 64)
    >>> folder.cleanup()
    """
    path = Path(path)
    check_zarr_target(path)
    shape = tuple(int(n) for n in shape)
    axes = check_axes(shape, axes)
    if channels is not None:
        check_channels(shape, axes, channels)
    sizes = pixel_sizes(axes, scale, units)
    order = [axes.index(a) for a in ORDER if a in axes]
    stored = "".join(axes[i] for i in order)
    metadata = {
        "version": "0.4",
        "name": path.stem,
        "axes": [_axis(a, sizes) for a in stored],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [sizes.get(a, (1.0, PIXEL))[0] for a in stored]}
                ],
            }
        ],
    }
    with replacing_folder(path, ImageFileError) as part:
        group = zarr.create_group(part, zarr_format=2, attributes={"multiscales": [metadata]})
        array = group.create_array(
            "0",
            shape=tuple(shape[i] for i in order),
            chunks=_chunks(tuple(shape[i] for i in order), stored),
            dtype=np.dtype(dtype).newbyteorder("="),
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        yield array if stored == axes else Reordered(array, order)
        if channels is not None:
            group.attrs["omero"] = omero(as_dask(array, path), stored.index(CHANNEL), channels)


def _axis(letter: str, sizes: Mapping[str, tuple[float, str]]) -> dict[str, str]:
    axis = {"name": letter.lower()}
    if letter in _TYPES:
        axis["type"] = _TYPES[letter]
    unit = sizes.get(letter, (1.0, PIXEL))[1]
    if unit != PIXEL:
        axis["unit"] = unit
    return axis


def _chunks(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """Plane by plane, in squares; small planes are gathered into one chunk."""
    chunks = []
    room = CHUNK_PIXELS
    for n, letter in zip(reversed(shape), reversed(axes), strict=True):
        chunk = max(1, min(n, EDGE if letter in "YX" else n, room))
        room //= chunk
        chunks.append(chunk)
    return tuple(reversed(chunks))


class Reordered:
    """A view of `array` with its axes in another order, for reading and assignment.

    Parameters
    ----------
    array
        The array behind the view.
    order
        For each axis of `array`, which axis of the view it is.
    """

    def __init__(self, array: zarr.Array[Any], order: Sequence[int]) -> None:
        self._array = array
        self._order = list(order)
        back = [self._order.index(i) for i in range(array.ndim)]
        self.shape = tuple(array.shape[i] for i in back)
        self.chunks = tuple(array.chunks[i] for i in back)
        self.dtype = array.dtype
        self.ndim = array.ndim

    def _full(self, index: Any) -> list[int | slice]:
        parts = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        return parts + [slice(None)] * (self.ndim - len(parts))

    def __getitem__(self, index: Any) -> NDArray[Any]:
        full = self._full(index)
        values = np.asarray(self._array[tuple(full[i] for i in self._order)])
        kept = [i for i in self._order if isinstance(full[i], slice)]
        return values.transpose(np.argsort(kept))

    def __setitem__(self, index: Any, values: Any) -> None:
        full = self._full(index)
        window = [
            len(range(*part.indices(n)))
            for part, n in zip(full, self.shape, strict=True)
            if isinstance(part, slice)
        ]
        kept = [i for i in self._order if isinstance(full[i], slice)]
        # positions of the kept axes, in the array's order, among those of the values
        turn = np.argsort(np.argsort(kept))
        self._array[tuple(full[i] for i in self._order)] = np.broadcast_to(
            values, window
        ).transpose(turn)


def write_zarr(
    path: Path,
    stack: Stack,
    sizes: Mapping[str, tuple[float, str]],
    dtype: np.dtype[Any],
    convert: Callable[[NDArray[Any]], NDArray[Any]],
    channels: Sequence[str] | None = None,
) -> None:
    """Write `stack` chunk by chunk."""
    data, shape = stack.data, tuple(int(n) for n in stack.data.shape)
    scale, units = zip(*(sizes.get(a, (1.0, PIXEL)) for a in stack.axes), strict=True)
    with create_zarr(path, shape, dtype, stack.axes, scale, units, channels) as out:
        fill(out, data, convert, out.chunks)
