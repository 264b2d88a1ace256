"""A stack in bounded pieces: windows to look at, and blocks with a halo to work through."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .axes import Stack
from .errors import ImageError

_WINDOW = {2: (128, 128), 3: (16, 64, 64)}
"""Edge of the windows to look at, in pixels, by dimension."""

_BLOCK = {2: (1024, 1024), 3: (32, 256, 256)}
"""Edge of the blocks to work through, in pixels without halo, by dimension."""


@dataclass(frozen=True)
class Block:
    """A part of a sample to compute, and the larger part to compute it from.

    Attributes
    ----------
    core
        One slice for each spatial axis, in the sample.
    grown
        The same with its halo, as far as the sample reaches.
    inner
        `core` as slices of `grown`.
    """

    core: tuple[slice, ...]
    grown: tuple[slice, ...]
    inner: tuple[slice, ...]


def blocks(
    spatial: tuple[int, ...], halo: tuple[int, ...], stride: tuple[int, ...]
) -> Iterator[Block]:
    """Cover `spatial` with blocks, without overlap of their cores.

    Parameters
    ----------
    spatial
        Extent of a sample, in pixels.
    halo
        Pixels to add on both sides along each axis.
    stride
        Each grown block starts on a multiple of it, so that a grid of this
        stride falls on the same pixels in a block as in the whole.
    """
    edges = _BLOCK[len(spatial)]
    starts = [range(0, size, edge) for size, edge in zip(spatial, edges, strict=True)]
    for start in itertools.product(*starts):
        core = tuple(
            slice(s, min(s + edge, size))
            for s, edge, size in zip(start, edges, spatial, strict=True)
        )
        grown = tuple(
            slice(max(0, c.start - h) // step * step, min(size, c.stop + h))
            for c, h, step, size in zip(core, halo, stride, spatial, strict=True)
        )
        inner = tuple(
            slice(c.start - g.start, c.stop - g.start) for c, g in zip(core, grown, strict=True)
        )
        yield Block(core, grown, inner)


def spread(extent: int, edge: int) -> list[int]:
    """Return where windows begin that cover `extent`, flush with both borders.

    They are spread evenly, at the price of a little overlap.

    Examples
    --------
    >>> spread(200, 96)
    [0, 52, 104]
    """
    return [round(start) for start in np.linspace(0, extent - edge, math.ceil(extent / edge))]


def sample_windows(
    stack: Stack, pixels: int, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Read windows of about `pixels` pixels in all: the whole stack, or a random choice.

    Returns
    -------
    list of numpy.ndarray
        float32, each of shape (C, *window).

    Raises
    ------
    ImageError
        If there are NaN or infinite values.
    """
    edges = [min(n, e) for n, e in zip(stack.spatial, _WINDOW[len(stack.spatial)], strict=True)]
    starts = [spread(n, edge) for n, edge in zip(stack.spatial, edges, strict=True)]
    per_sample = math.prod(map(len, starts))
    total = stack.samples * per_sample
    count = max(1, pixels // (math.prod(edges) * stack.channels))
    chosen = rng.choice(total, count, replace=False) if count < total else np.arange(total)
    windows = []
    for index in np.sort(chosen):
        sample, place = divmod(int(index), per_sample)
        corner = np.unravel_index(place, [len(s) for s in starts])
        window = tuple(
            slice(along[int(i)], along[int(i)] + edge)
            for along, i, edge in zip(starts, corner, edges, strict=True)
        )
        windows.append(finite(stack.read(sample, window)))
    return windows


def finite(x: NDArray[np.float32], name: str = "image") -> NDArray[np.float32]:
    """Return `x`, or raise ImageError if it, the `name`, holds NaN or infinite values."""
    bad = x.size - int(np.isfinite(x).sum())
    if bad:
        raise ImageError(
            f"the {name} has {bad} NaN or infinite values among the {x.size} looked at; "
            f"replace them, for example with api.fill_nan({name})"
        )
    return x


def finite_window(
    stack: Stack, sample: int, window: tuple[slice, ...], *, context: int = 0, name: str = "image"
) -> NDArray[np.float32]:
    """Read a window, or raise ImageError; NaN are the neighbours beyond the ends alone."""
    values = stack.read(sample, window, context=context)
    seen = np.split(values, 1 + 2 * context)  # each of (C, *window)
    for part, place in zip(seen, [sample, *stack.neighbours(sample, context)], strict=True):
        if place is not None:
            finite(part, name)
    return values
