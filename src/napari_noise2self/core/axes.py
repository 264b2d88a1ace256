"""Images seen as samples x channels x space, whatever the order of their axes.

"TCZYX" <-> (N, C, *spatial), by views: an array in memory, a dask array or a
zarr array is indexed, never copied whole.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chunks import Chunks
from .config import MINIMUM_SIZE
from .errors import AxesError, ImageError

SAMPLES = "TS"
CHANNEL = "C"
SPATIAL = "ZYX"
LETTERS = SAMPLES + CHANNEL + SPATIAL

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Image:
    """Pixels with what is known about them.

    Attributes
    ----------
    data
        Array-like of any dimensionality: numpy, dask or zarr.
    axes
        One letter for each dimension, from T, S (samples), C, Z, Y, X; None if
        nothing is known.
    scale
        Pixel size along each axis of `axes`, in `units`; 1.0 where unknown.
    units
        Unit of each axis, for example ``"micrometer"`` or ``"second"``;
        ``"pixel"`` where unknown.
    name
        A short name, usually the file's.
    channels
        Name of each channel along C, ``""`` for one without; None if none is
        known.

    Raises
    ------
    ImageError
        If `channels` are not as many as the image has along C, or no plain text.

    Examples
    --------
    >>> movie = Image(np.zeros((10, 64, 64)), axes="TYX", scale=(0.5, 0.1, 0.1), name="movie")
    >>> dict(zip(movie.axes, movie.scale, strict=True))
    {'T': 0.5, 'Y': 0.1, 'X': 0.1}
    """

    data: Any
    axes: str | None = None
    scale: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    name: str = "image"
    channels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.channels is not None:
            check_channels(np.shape(self.data), self.axes, self.channels)


def neighbour_steps(context: int) -> list[int]:
    """Return how far off the neighbours of a sample are, in the order of their channels.

    Examples
    --------
    >>> neighbour_steps(2)
    [-2, -1, 1, 2]
    """
    return [*range(-context, 0), *range(1, context + 1)]


def guess_axes(shape: tuple[int, ...], *, rgb: bool = False) -> str:
    """Return the axes that a bare shape is taken for.

    The last two dimensions are Y and X; with `rgb`, or where the last dimension
    has 3 or 4 entries behind two larger ones, the last is C. A leading
    dimension is taken as samples (T), never as Z: a stack of planes is then
    denoised plane by plane, which is right for any stack, while a time series
    taken for a volume is not.

    Parameters
    ----------
    shape
        Shape of the image.
    rgb
        Whether the last dimension is known to hold colour.

    Returns
    -------
    str
        For example ``"YX"``, ``"YXC"``, ``"TYX"``, ``"TCYX"``.

    Raises
    ------
    AxesError
        If the shape has fewer than 2 or more than 5 dimensions.

    Examples
    --------
    >>> guess_axes((10, 64, 64)), guess_axes((64, 64, 3))
    ('TYX', 'YXC')
    """
    colour = rgb or (len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4)
    tail = "YXC" if colour else "YX"
    lead = len(shape) - len(tail)
    if not 0 <= lead <= 5 - len(tail):
        mend = "arrange it in rows and columns" if lead < 0 else "take a part of it, as image[0]"
        raise AxesError(
            f"an image of shape {shape} has {len(shape)} dimensions; "
            f"expected {len(tail)} to 5; {mend}"
        )
    if colour:
        return ("", "T", "TZ")[lead] + tail
    return ("", "T", "TC", "TCZ")[lead] + tail


def check_axes(shape: tuple[int, ...], axes: str) -> str:
    """Return `axes` in capitals, checked against `shape`.

    Raises
    ------
    AxesError
        With a suggestion, if a letter is unknown or repeated, Y or X is
        missing, or the number of letters is not that of the dimensions.
    """
    if not isinstance(axes, str):
        raise AxesError(f'axes={axes!r}: expected one text, for example "{guess_axes(shape)}"')
    text = axes.upper()
    suggestion = _suggestion(shape)
    for letter in text:
        if letter not in LETTERS:
            raise AxesError(
                f'axes "{axes}" has the letter "{letter}"; expected letters from '
                f"T (time), S (samples), C (channels), Z, Y, X{suggestion}"
            )
        if text.count(letter) > 1:
            raise AxesError(
                f'axes "{axes}" names {letter} more than once; each letter may stand once'
                f"{suggestion}"
            )
    if len(text) != len(shape):
        change = "add a letter" if len(text) < len(shape) else "drop a letter"
        raise AxesError(
            f'axes "{axes}" names {len(text)} dimensions but the image has {len(shape)}, '
            f"of shape {shape}; {change}{suggestion}"
        )
    if "Y" not in text or "X" not in text:
        raise AxesError(f'axes "{axes}" lacks Y or X; every image needs both{suggestion}')
    return text


def check_size(spatial: Sequence[int], what: str = "image") -> None:
    """Refuse what is too small to learn from, or to calibrate on.

    Parameters
    ----------
    spatial
        Extent along the spatial axes, in pixels; the last two are Y and X.
    what
        What it is the extent of.

    Raises
    ------
    ImageError
        If it is below `MINIMUM_SIZE` along Y or X.
    """
    if min(spatial[-2:]) < MINIMUM_SIZE:
        raise ImageError(
            f"the {what} is {spatial[-2]} x {spatial[-1]} pixels; at least {MINIMUM_SIZE} x "
            f"{MINIMUM_SIZE} are needed; take a larger region, or, if these are not Y and X, "
            "correct the axes"
        )


def check_channels(shape: tuple[int, ...], axes: str | None, channels: Sequence[str]) -> None:
    """Raise ImageError unless there is a name, in one printable line, for each position along C."""
    for name in channels:
        if not isinstance(name, str) or not name.isprintable():
            raise ImageError(f"channels has the name {name!r}; expected one line of printable text")
    if axes is None or CHANNEL not in axes.upper():
        raise ImageError(
            f'channels names {len(channels)} and axes "{axes or ""}" have no C; '
            "say which axis they are along, or leave the names out"
        )
    count = shape[check_axes(shape, axes).index(CHANNEL)]
    if len(channels) != count:
        raise ImageError(
            f"channels names {len(channels)} and the image has {count} along C; "
            "name each of them, or leave the names out"
        )


def _suggestion(shape: tuple[int, ...]) -> str:
    try:
        return f', for example "{guess_axes(shape)}"'
    except AxesError:
        return ""


@dataclass(frozen=True)
class Stack:
    """An image seen as (N, C, *spatial), without a copy.

    Attributes
    ----------
    data
        The array, in its own order of axes.
    axes
        Its axes, checked.
    understood
        One sentence that says how the shape was read.
    planes
        Whether Z counts as a sample axis: a z-stack is then a row of planes.
    chunks
        What reads `data` where it is lazy, and keeps what it read last.
    """

    data: Any
    axes: str
    understood: str = field(compare=False)
    planes: bool = False
    chunks: Chunks | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        image: Any,
        axes: str | None = None,
        *,
        like: str = "",
        rgb: bool = False,
        planes: bool = False,
    ) -> Stack:
        """See `image` as a stack with these `axes`, else with the image's own, else with a guess.

        Parameters
        ----------
        image
            `Image` or array-like (numpy, dask, zarr) of 2 to 5 dimensions.
        axes
            Axes string such as ``"TZCYX"``; None for the image's own, else a
            guess from the shape.
        like
            Axes to take instead of a guess, if there are as many dimensions.
        rgb
            Whether the last dimension is known to hold colour.
        planes
            Whether Z is to count as a sample axis.

        Raises
        ------
        AxesError
            If the axes do not fit the shape.
        ImageError
            If the dtype is complex, boolean or not numeric.
        """
        chunks = None
        if isinstance(image, Image):
            axes = axes if axes is not None else image.axes
            image = image.data
        if isinstance(image, Stack):
            axes = axes if axes is not None else image.axes
            image, chunks = image.data, image.chunks
        image, dtype = _arrayed(image)
        if dtype.kind not in "iuf":
            mend = {
                "c": "take its magnitude or its real part, for example abs(image)",
                "b": "a mask cannot be denoised; convert it, for example image.astype('uint8')",
            }.get(dtype.kind, "convert it to a numeric dtype, for example image.astype('float32')")
            raise ImageError(f"dtype {dtype}: expected integers or real floating point; {mend}")
        if any(math.isnan(n) for n in image.shape):
            raise ImageError(
                f"the shape {tuple(image.shape)} is not known; call compute_chunk_sizes() of the "
                "dask array first"
            )
        shape = tuple(int(n) for n in image.shape)
        if axes is None and len(like) == len(shape):
            axes = like
        guessed = axes is None
        axes = guess_axes(shape, rgb=rgb) if axes is None else check_axes(shape, axes)
        if 0 in shape:
            raise ImageError(f"the image is empty: its shape is {shape}")
        sentence = describe(shape, axes, dtype)
        if guessed:
            sentence += f' (axes "{axes}" taken from the shape)'
            _log.info("image understood as %s", sentence)
        return cls(image, axes, sentence, planes, chunks or Chunks.of(image))

    def forget(self) -> None:
        """Give up what is kept of the chunks that were read last."""
        if self.chunks is not None:
            self.chunks.forget()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The image's dtype."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    def _sizes(self) -> dict[str, int]:
        return dict(zip(self.axes, (int(n) for n in self.data.shape), strict=True))

    @property
    def sample_axes(self) -> str:
        """The letters whose positions are samples, in the image's order."""
        return "".join(a for a in self.axes if a in SAMPLES or (self.planes and a == "Z"))

    @property
    def spatial_axes(self) -> str:
        """``"YX"`` or ``"ZYX"``, in this order whatever the image's."""
        return "".join(a for a in SPATIAL if a in self.axes and a not in self.sample_axes)

    @property
    def context_axis(self) -> str:
        """The letter along which samples are neighbours: Z of planes, else T; "" if neither."""
        return next((a for a in "ZT" if a in self.sample_axes), "")

    @property
    def spatial(self) -> tuple[int, ...]:
        """Extent along the spatial axes, in pixels."""
        sizes = self._sizes()
        return tuple(sizes[a] for a in self.spatial_axes)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._sizes().get(CHANNEL, 1)

    @property
    def samples(self) -> int:
        """Number of samples: time points times positions, and planes where they are samples."""
        sizes = self._sizes()
        return math.prod(sizes[a] for a in self.sample_axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, *spatial)."""
        return (self.samples, self.channels, *self.spatial)

    def _index(self, sample: int, window: tuple[slice, ...]) -> tuple[int | slice, ...]:
        sizes = self._sizes()
        place = np.unravel_index(sample, [sizes[a] for a in self.sample_axes] or [1])
        index: dict[str, int | slice] = {CHANNEL: slice(None)}
        index.update({a: int(i) for a, i in zip(self.sample_axes, place, strict=False)})
        index.update(dict(zip(self.spatial_axes, window, strict=True)))
        return tuple(index[a] for a in self.axes)

    def _order(self) -> list[int]:
        """Positions of (C, *spatial) among the axes that remain once a sample is picked."""
        kept = [a for a in self.axes if a not in self.sample_axes]
        return [kept.index(a) for a in (CHANNEL + self.spatial_axes) if a in kept]

    def neighbours(self, sample: int, context: int) -> list[int | None]:
        """Return the samples around `sample` along `context_axis`, `context` on each side.

        Beyond an end of the stack there is none: None. So it is everywhere without that axis:
        separate samples (S) are no neighbours.

        Examples
        --------
        >>> stack = Stack.of(np.zeros((5, 32, 32)), "TYX")
        >>> stack.neighbours(2, 2), stack.neighbours(0, 1)
        ([0, 1, 3, 4], [None, 1])
        """
        steps = neighbour_steps(context)
        if not self.context_axis:
            return [None] * len(steps)
        letters = self.sample_axes
        sizes = [self._sizes()[a] for a in letters]
        axis = letters.index(self.context_axis)
        here = int(np.unravel_index(sample, sizes)[axis])
        across = math.prod(sizes[axis + 1 :])  # samples from one position to the next
        return [sample + s * across if 0 <= here + s < sizes[axis] else None for s in steps]

    def read(
        self, sample: int, window: tuple[slice, ...] | None = None, *, context: int = 0
    ) -> NDArray[np.float32]:
        """Read one window of one sample.

        Parameters
        ----------
        sample
            Index of the sample, 0 to `samples` - 1.
        window
            One slice for each spatial axis; None for the whole sample.
        context
            How many neighbours on each side to read as well.

        Returns
        -------
        numpy.ndarray
            float32, shape (C, *window); with context (C * (1 + 2 * context),
            *window), the channels of the sample first, then those of each
            neighbour, NaN where there is none. A view where the image is float32 and may be
            written to, else a copy.
        """
        if context:
            own = self.read(sample, window)
            nothing = np.full_like(own, np.nan)
            row = self.neighbours(sample, context)
            return np.concatenate(
                [own, *(nothing if n is None else self.read(n, window) for n in row)]
            )
        window = window or tuple(slice(0, n) for n in self.spatial)
        source = self.data
        if self.chunks is not None and self.chunks.array is source:
            source = self.chunks
        part = np.asarray(source[self._index(sample, window)])
        part = part.transpose(self._order())
        if CHANNEL not in self.axes:
            part = part[np.newaxis]
        # A copy of what may not be written to, such as a memory map: torch warns of such memory.
        return np.require(part, np.float32, ["C", "W"])

    def write(self, sample: int, window: tuple[slice, ...], values: NDArray[Any]) -> None:
        """Write (C, *window) `values` into `data`, which must accept assignment."""
        if CHANNEL not in self.axes:
            values = values[0]
        self.data[self._index(sample, window)] = values.transpose(np.argsort(self._order()))

    def windows(self, limit: int = 2**24) -> Iterator[tuple[int, tuple[slice, ...]]]:
        """Cover the stack with windows of at most about `limit` pixels, sample by sample."""
        rest = self.channels * math.prod(self.spatial[1:])
        rows = max(1, min(self.spatial[0], limit // max(1, rest)))
        for sample in range(self.samples):
            for start in range(0, self.spatial[0], rows):
                stop = min(start + rows, self.spatial[0])
                yield sample, (slice(start, stop), *(slice(0, n) for n in self.spatial[1:]))


def _arrayed(image: Any) -> tuple[Any, np.dtype[Any]]:
    """Return `image` as something with a shape and NumPy's dtype, lazy where it is."""
    if isinstance(image, str | PathLike):
        raise ImageError(f"{image!r} is no image but a name; give api.read_image({image!r})")
    if np.ma.is_masked(image):
        raise ImageError(
            "the image is a masked array, and what is masked would be taken for pixels; give "
            "api.fill_nan(image), which replaces it by what lies beside it"
        )
    try:
        if hasattr(image, "shape") and hasattr(image, "dtype"):
            return image, np.dtype(image.dtype)
    except TypeError:
        pass  # a torch tensor has a dtype of its own kind
    try:
        image = np.asarray(image)
    except (TypeError, ValueError) as error:
        raise ImageError(
            f"a {type(image).__name__} that is no array ({error}); give an array of numbers, "
            "with rows of one length"
        ) from error
    return image, image.dtype


def describe(shape: tuple[int, ...], axes: str, dtype: np.dtype[Any]) -> str:
    """Say in words what an image of this shape, axes and dtype is.

    Examples
    --------
    >>> describe((30, 2, 512, 512), "TCYX", np.dtype("uint16"))
    '512 x 512, 30 time points, 2 channels, 16-bit'
    """
    sizes = dict(zip(axes, shape, strict=True))
    words = [f"{sizes['Y']} x {sizes['X']}"]
    for letter, one, many in (
        ("Z", "plane in z", "planes in z"),
        ("T", "time point", "time points"),
        ("S", "sample", "samples"),
        ("C", "channel", "channels"),
    ):
        if letter in sizes:
            words.append(f"{sizes[letter]} {one if sizes[letter] == 1 else many}")
    kind = "-bit float" if dtype.kind == "f" else "-bit signed" if dtype.kind == "i" else "-bit"
    words.append(f"{dtype.itemsize * 8}{kind}")
    return ", ".join(words)
