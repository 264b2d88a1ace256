"""Where an image is flat: small blocks, their cosine coefficients, their strata of brightness.

A block of 8 x 8 pixels is turned into its orthonormal cosine (DCT-II)
coefficients. White noise has the same variance in all of them; structure lives
in the low ones. So the low coefficients tell which blocks are flat, and the
high ones, for white noise independent of the low ones, tell what the noise is
like there. Every estimate of the noise in this package starts here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .axes import Stack

EDGE = 8
"""Edge of a block, in pixels: small enough to fit between structures."""

HALF = EDGE // 2
"""Coefficients from this one on are high."""

STEP = 4
"""Distance of neighbouring blocks, in pixels: they overlap by half."""

WINDOW = 256
"""Edge of a sampled window, in pixels."""

BUDGET = 2**21
"""Pixels read in all, per channel, however large the image is."""

RUN = 4
"""Neighbouring frames or planes read together."""

FLAT = 0.2
"""Share of the blocks of a stratum that is taken as flat."""

STRATA = tuple(np.linspace(0, 1, 9).tolist())
"""Strata of brightness, as quantiles: noise depends on the signal, so flatness is ranked within."""

FEWEST = 24
"""A stratum holds at least this many flat blocks, unless the image is too small for it."""

OVERLAP = 3.0
"""Blocks that overlap count for one in so many, where a standard error is taken."""


def _cosines() -> NDArray[np.float64]:
    position = np.arange(EDGE)
    basis = np.cos(np.pi * (2 * position + 1) * position[:, None] / (2 * EDGE))
    basis *= np.sqrt(2 / EDGE)
    basis[0] = np.sqrt(1 / EDGE)
    return np.asarray(basis)


COSINES = _cosines()
"""Row v holds the v-th cosine, of unit length."""


def neighbour_axes(stack: Stack) -> str:
    """Return the axes, apart from Y and X, along which a plane has neighbours."""
    sizes = dict(zip(stack.axes, stack.data.shape, strict=True))
    across = dict.fromkeys((*stack.sample_axes, "Z"))
    return "".join(a for a in across if sizes.get(a, 1) > 1)


def sample_runs(
    stack: Stack, axis: str, *, seed: int, budget: int = BUDGET
) -> list[NDArray[np.float32]]:
    """Read windows of neighbouring frames or planes, drawn without replacement.

    Parameters
    ----------
    stack
        The image.
    axis
        Letter of the axis along which neighbours are read, a sample axis or
        ``"Z"``; ``""`` reads single planes.
    seed
        Seed of the draw.
    budget
        Pixels read in all, for each channel; a smaller image is read whole.

    Returns
    -------
    list of numpy.ndarray
        Each of shape (run, C, y, x) with a run of 1 to `RUN` planes.
    """
    volume = len(stack.spatial) == 3
    depth = stack.spatial[0] if volume else 1
    sizes = dict(zip(stack.axes, (int(n) for n in stack.data.shape), strict=True))
    length = min(RUN, sizes[axis]) if axis else 1

    # Every place that a run may start at, as one index space.
    samples = np.arange(stack.samples)
    across = 1  # distance, in samples, of neighbours along a sample axis
    if axis in stack.sample_axes and axis:
        for letter in stack.sample_axes.partition(axis)[2]:
            across *= sizes[letter]
        position = samples // across % sizes[axis]
        samples = samples[(position % length == 0) & (position + length <= sizes[axis])]
    inside = axis == "Z" and volume  # neighbours within one sample
    planes = np.arange(0, depth - length + 1, length) if inside else np.arange(depth)
    rows, columns = (_tiles(n) for n in stack.spatial[-2:])
    extent = (len(samples), len(planes), len(rows), len(columns))
    total = int(np.prod(extent))
    cost = length * (rows[0].stop - rows[0].start) * (columns[0].stop - columns[0].start)
    count = min(total, max(1, budget // cost))
    drawn = np.arange(total)
    if count < total:
        drawn = np.sort(np.random.default_rng(seed).choice(total, count, replace=False))

    runs = []
    for i, j, k, m in zip(*np.unravel_index(drawn, extent), strict=True):
        sample, plane, window = int(samples[i]), int(planes[j]), (rows[k], columns[m])
        if inside:
            run = stack.read(sample, (slice(plane, plane + length), *window)).swapaxes(0, 1)
        elif volume:
            place = (slice(plane, plane + 1), *window)
            run = np.stack([stack.read(sample + across * n, place)[:, 0] for n in range(length)])
        else:
            run = np.stack([stack.read(sample + across * n, window) for n in range(length)])
        runs.append(run)
    return runs


def _tiles(extent: int) -> list[slice]:
    """Cut an extent into slices of about `WINDOW`, equal to one pixel."""
    count = max(1, round(extent / WINDOW))
    edges = np.linspace(0, extent, count + 1).astype(int).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def coefficients(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine coefficients of all blocks of one plane.

    Returns
    -------
    numpy.ndarray
        Shape (rows, columns, `EDGE`, `EDGE`): vertical frequency, then
        horizontal; the first one holds the mean times `EDGE`. A block with a
        NaN or an infinity is NaN throughout.
    """
    finite = np.isfinite(plane)
    # The offset is taken off first, for the sake of float32, and put back.
    offset = float(plane.mean(where=finite, dtype=np.float64)) if finite.any() else 0.0
    centred = np.where(finite, plane.astype(np.float64) - offset, np.nan)
    blocks = sliding_window_view(centred, (EDGE, EDGE))[::STEP, ::STEP]
    found = COSINES @ blocks @ COSINES.T
    found[..., 0, 0] += offset * EDGE
    return np.asarray(found, np.float32)


def windows_of_blocks(runs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the coefficients of all runs, each (run, y, x), on one common grid.

    Returns
    -------
    numpy.ndarray
        Shape (windows, run, rows, columns, `EDGE`, `EDGE`).
    """
    # Windows differ in extent by one pixel at most: the smallest decides.
    height, width = (min(run.shape[i] for run in runs) for i in (1, 2))
    return np.stack([np.stack([coefficients(p[:height, :width]) for p in run]) for run in runs])


@dataclass(frozen=True)
class Blocks:
    """Blocks of one channel, on a grid, with what ranks them.

    Attributes
    ----------
    values
        Cosine coefficients, shape (planes, rows, columns, `EDGE`, `EDGE`).
    brightness
        Mean of each block, shape (planes, rows, columns).
    low
        Mean energy of the low coefficients of each block.
    around
        The same, over the four neighbours that share no pixel with the block.
    usable
        Blocks that are finite and not constant.
    """

    values: NDArray[np.float32]
    brightness: NDArray[np.floating]
    low: NDArray[np.float32]
    around: NDArray[np.floating]
    usable: NDArray[np.bool_]

    @classmethod
    def of(
        cls, values: NDArray[np.float32], brightness: NDArray[np.floating] | None = None
    ) -> Blocks:
        """Rank blocks given as coefficients, shape (planes, rows, columns, EDGE, EDGE).

        The brightness is the blocks' own mean unless it is given.
        """
        if brightness is None:
            brightness = values[..., 0, 0] / np.float32(EDGE)
        low = low_energy(values)
        apart = EDGE // STEP
        padded = np.pad(low, ((0, 0), (apart, apart), (apart, apart)), mode="edge")
        around = (
            padded[:, : -2 * apart, apart:-apart]
            + padded[:, 2 * apart :, apart:-apart]
            + padded[:, apart:-apart, : -2 * apart]
            + padded[:, apart:-apart, 2 * apart :]
        ) / 4
        high = np.square(values[..., HALF:, HALF:]).sum((-2, -1))
        rounding = np.square(brightness) * 1e-10  # what float32 makes of a constant block
        usable = np.isfinite(low) & np.isfinite(brightness) & (high > rounding)
        return cls(values, brightness, low, around, usable)

    @classmethod
    def of_differences(cls, values: NDArray[np.float32]) -> Blocks | None:
        """Rank the differences of neighbouring planes, scaled to the noise of one plane.

        Structure that stays in its place drops out. `values` has the shape
        (windows, run, rows, columns, EDGE, EDGE); None if a run is one plane.
        """
        pairs = values.shape[1] // 2
        if not pairs:
            return None
        first, second = values[:, : 2 * pairs : 2], values[:, 1 : 2 * pairs : 2]
        difference = ((first - second) * np.float32(np.sqrt(0.5))).reshape(-1, *values.shape[2:])
        brightness = (first + second)[..., 0, 0].reshape(difference.shape[:3]) / (2 * EDGE)
        return cls.of(difference, brightness)

    def flat(
        self, strata: Sequence[float] = STRATA, *, unbiased: bool = False
    ) -> list[NDArray[np.intp]]:
        """Return, for each stratum of brightness, the flat indices of its flattest blocks.

        Parameters
        ----------
        strata
            Quantiles of the brightness that bound the strata.
        unbiased
            Rank a block by its neighbours alone, so that what its own pixels
            hold has no say; ranking by both finds edges better.
        """
        places = np.flatnonzero(self.usable)
        if not len(places):
            return []
        level = self.brightness.ravel()[places]
        rough = (self.around if unbiased else self.low + 2 * self.around).ravel()[places]
        # A block beside a NaN has no roughness: it comes last.
        rough = np.where(np.isfinite(rough), rough, np.inf)
        fewest = max(1, min(FEWEST, len(places) // 2))
        if len(places) * FLAT < fewest * (len(strata) - 1):  # a small image: fewer strata
            strata = np.linspace(0, 1, max(1, int(len(places) * FLAT // fewest)) + 1).tolist()
        stratum = np.searchsorted(np.quantile(level, strata[1:-1]), level, side="right")
        flat = []
        for k in range(len(strata) - 1):
            here = np.flatnonzero(stratum == k)
            if len(here) >= fewest:
                take = max(fewest, int(FLAT * len(here)))
                chosen = here[np.argsort(rough[here], kind="stable")[:take]]
                flat.append(np.sort(places[chosen]))
        return flat


def low_energy(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean energy of the low coefficients of each block, its mean left out."""
    square = np.square(values[..., :HALF, :HALF])
    square[..., 0, 0] = 0
    return np.asarray(square.sum((-2, -1)) / (HALF * HALF - 1), np.float32)
