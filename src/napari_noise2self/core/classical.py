"""Classical denoisers with one parameter each, and their J-invariant versions.

Each family filters one channel, shape (*spatial) of 2 or 3 dimensions, divided
by its noise scale beforehand, so that a strength of 1 suits any image roughly.
Median and Gaussian get a hole in their middle (the donut) and are J-invariant
as they are; the others are made so by hiding a grid of pixels (`invariance`).
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

from .errors import ConfigError
from .invariance import Array, hide, offsets, targets

_SORTED_AT_ONCE = 2**22
"""Values that the median sorts in one go: bounds its memory to some 16 MB."""


def _beyond(width: int, reach: int) -> Array:
    """Distance of each offset along one axis from a hole of this width, 0 inside."""
    half = width // 2
    return np.asarray(np.maximum(np.abs(np.arange(-reach - half, reach + half + 1)) - half, 0))


def neighbourhood(radius: int, hole: tuple[int, ...]) -> Array:
    """Return the pixels that a donut median takes: close to its hole, but not in it.

    Parameters
    ----------
    radius
        Largest distance from the hole, in pixels; with a hole of one pixel this
        is the disk (or ball) of that radius without its centre.
    hole
        Width of the hole along each axis, odd.

    Returns
    -------
    numpy.ndarray
        Boolean, odd along each axis, centred.

    Examples
    --------
    >>> neighbourhood(1, (1, 1)).astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    square = np.zeros(())
    for width in hole:
        square = square[..., np.newaxis] + _beyond(width, radius) ** 2
    return np.asarray((square > 0) & (square <= radius**2))


def _median(x: Array, taken: Array) -> Array:
    """Median over the `taken` neighbours that lie inside the image.

    Outside pixels sort to the end as infinity and are not counted: any padding
    by mirrored pixels would show a border pixel to itself.
    """
    reach = [n // 2 for n in taken.shape]
    padded = np.pad(x, [(r, r) for r in reach], constant_values=np.inf)
    views = sliding_window_view(padded, taken.shape)  # (*spatial, *taken.shape)
    inside = ndimage.correlate(
        np.ones(x.shape, dtype=np.int32), taken.astype(np.int32), mode="constant"
    )
    output = np.empty_like(x)
    row = int(taken.sum()) * math.prod(x.shape[1:])
    step = max(1, _SORTED_AT_ONCE // row)
    for start in range(0, x.shape[0], step):
        part = slice(start, start + step)
        values = views[part][..., taken]  # (*part, K)
        values.sort(axis=-1)
        count = inside[part][..., np.newaxis]
        low = np.take_along_axis(values, (count - 1) // 2, axis=-1)
        high = np.take_along_axis(values, count // 2, axis=-1)
        output[part] = (0.5 * (low + high))[..., 0]
    return output


def donut_median(x: Array, radius: float, footprint: tuple[int, ...]) -> Array:
    """Median over the pixels up to `radius` from the hole."""
    return _median(x, neighbourhood(int(radius), footprint))


def _weighted(x: Array, kernels: list[Array]) -> tuple[Array, Array]:
    """Separable sums of values and of weights, with weight zero outside the image."""
    total, weight = x.astype(np.float64), np.ones(x.shape)
    for axis, kernel in enumerate(kernels):
        total = ndimage.correlate1d(total, kernel, axis=axis, mode="constant")
        weight = ndimage.correlate1d(weight, kernel, axis=axis, mode="constant")
    return total, weight


def _gaussian_reach(sigma: float) -> int:
    return max(1, math.ceil(4 * sigma))


def _gaussian_kernels(sigma: float, footprint: tuple[int, ...]) -> list[Array]:
    """One kernel an axis: Gaussian in the distance from the hole, 1 inside it."""
    reach = _gaussian_reach(sigma)
    return [np.exp(-0.5 * (_beyond(width, reach) / sigma) ** 2) for width in footprint]


def donut_gaussian(x: Array, sigma: float, footprint: tuple[int, ...]) -> Array:
    """Gaussian average with weight zero in the hole.

    Summed in slabs (outside the hole along the first axis; inside along the
    first and outside along the second; ...), each separable: no hidden value is
    added and subtracted again, which would leave its rounding error behind.
    """
    kernels = _gaussian_kernels(sigma, footprint)
    holes = [_beyond(width, _gaussian_reach(sigma)) == 0 for width in footprint]
    total, weight = np.zeros(x.shape), np.zeros(x.shape)
    for slab in range(x.ndim):
        inside = [k * h for k, h in zip(kernels[:slab], holes[:slab], strict=True)]
        outside = kernels[slab] * ~holes[slab]
        part, part_weight = _weighted(x, [*inside, outside, *kernels[slab + 1 :]])
        total += part
        weight += part_weight
    return (total / weight).astype(x.dtype)


_NLM_PATCH = {2: (5, 6), 3: (3, 3)}
"""Patch size and search distance of non-local means, in pixels, by dimension."""


def nlm(x: Array, strength: float, footprint: tuple[int, ...]) -> Array:
    """Non-local means for noise of this level."""
    patch, distance = _NLM_PATCH[x.ndim]
    result: Array = denoise_nl_means(
        x, patch_size=patch, patch_distance=distance, h=0.8 * strength, sigma=strength
    )
    return result.reshape(x.shape)  # it drops an axis of a single plane


_WAVELET_DEPTH = 8
"""Fewest planes for a wavelet along z."""


def wavelet(x: Array, strength: float, footprint: tuple[int, ...]) -> Array:
    """Soft wavelet thresholding for noise of this level, averaged over shifts by one pixel.

    A decimated wavelet transform is not shift-invariant; the average over
    shifts (cycle spinning) takes the blocks out and gains about 1 dB. A volume
    too thin for one level along z is filtered plane by plane.
    """
    if x.ndim == 3 and x.shape[0] < _WAVELET_DEPTH:
        return np.stack([wavelet(plane, strength, footprint) for plane in x])
    axes = tuple(range(x.ndim))
    total = np.zeros_like(x)
    for shift in itertools.product((0, 1), repeat=x.ndim):
        part = denoise_wavelet(
            np.roll(x, shift, axes), sigma=strength, wavelet="db2", rescale_sigma=True
        )
        total += np.roll(part, [-s for s in shift], axes) / np.float32(2**x.ndim)
    return total


def tv(x: Array, strength: float, footprint: tuple[int, ...]) -> Array:
    """Total variation (Chambolle) of this weight."""
    # At the default tolerance it stops in its first iterations now and then.
    result: Array = denoise_tv_chambolle(x, weight=strength, eps=1e-6)
    return result


def bm3d(x: Array, strength: float, footprint: tuple[int, ...]) -> Array:
    """Block matching and 3-D filtering for noise of this level; a volume plane by plane."""
    from bm3d import bm3d as block_matching

    planes = x if x.ndim == 3 else [x]
    clean = np.stack([block_matching(plane, strength) for plane in planes])
    return clean.reshape(x.shape).astype(x.dtype)


@dataclass(frozen=True)
class Family:
    """A classical denoiser with one parameter.

    Attributes
    ----------
    parameter
        Name of the parameter that is calibrated.
    label
        The parameter in words, with its unit, for the axis of a plot.
    values
        The values to try first in 2-D and in 3-D, ascending.
    filter
        ``filter(x, value, footprint)``.
    donut
        Whether the filter has the footprint as a hole in its middle, and so is
        J-invariant as it is; the others ignore the footprint.
    reach
        ``reach(value)``: how far the filter looks, in pixels.
    pixels
        How many pixels to calibrate on at most; fewer for a slow filter.
    whole
        Whether only whole numbers are allowed; other parameters are refined
        around the best of the first values.
    single_pass
        Whether it is applied as it is once calibrated, since a pass for every
        J-set would take too long. Hidden pixels are then filled with noisy
        neighbours: in a smooth fill a weak filter is enough, too weak for the
        noise that is there in the application.
    package
        Package that must be installed for it, beyond this one's dependencies.
    smallest
        Least extent along Y and X that it can filter, in pixels.
    """

    parameter: str
    label: str
    values: Mapping[int, tuple[float, ...]]
    filter: Callable[[Array, float, tuple[int, ...]], Array]
    reach: Callable[[float], int]
    donut: bool = False
    pixels: int = 2**18
    whole: bool = False
    single_pass: bool = False
    package: str | None = None
    smallest: int = 1

    def masked(
        self, x: Array, footprint: tuple[int, ...], offset: tuple[int, ...]
    ) -> tuple[Array, tuple[slice, ...]]:
        """Return what the filter sees in one pass, and the targets J of that pass."""
        if self.donut:
            return x, tuple(slice(None) for _ in footprint)
        rng = np.random.default_rng(offset) if self.single_pass else None
        return hide(x, footprint, offset, rng), targets(footprint, offset)

    def passes(self, footprint: tuple[int, ...], *, strict: bool) -> int:
        """Return how many passes of the filter `run` makes."""
        if self.donut or (self.single_pass and not strict):
            return 1
        return len(list(offsets(footprint)))

    def run(
        self, x: Array, value: float, footprint: tuple[int, ...], *, strict: bool
    ) -> Iterator[Array]:
        """Filter one channel `x` (*spatial), strictly J-invariant or as it is to be used.

        Yields the same array once for each pass; the last one completes it.
        """
        if self.passes(footprint, strict=strict) == 1:
            yield self.filter(x, value, footprint)
            return
        output = np.empty_like(x)
        for offset in offsets(footprint):
            seen, j = self.masked(x, footprint, offset)
            output[j] = self.filter(seen, value, footprint)[j]
            yield output

    def strict(self, x: Array, value: float, footprint: tuple[int, ...]) -> Array:
        """Return the strictly J-invariant output for one channel `x` (*spatial)."""
        *_, output = self.run(x, value, footprint, strict=True)
        return output


def _geometric(low: float, high: float, count: int) -> dict[int, tuple[float, ...]]:
    values = tuple(float(f"{v:.3g}") for v in np.geomspace(low, high, count))
    return {2: values, 3: values}


_STRENGTH = "strength (in noise levels)"

FAMILIES: Mapping[str, Family] = {
    "median": Family(
        parameter="radius",
        label="radius (pixels)",
        values={2: (1, 2, 3, 4, 5, 6, 7), 3: (1, 2, 3, 4)},
        filter=donut_median,
        reach=math.ceil,
        donut=True,
        whole=True,
    ),
    "gaussian": Family(
        parameter="sigma",
        label="sigma (pixels)",
        values=_geometric(0.4, 6.4, 7),
        filter=donut_gaussian,
        reach=_gaussian_reach,
        donut=True,
    ),
    "nlm": Family(
        parameter="strength",
        label=_STRENGTH,
        values=_geometric(0.05, 1.6, 8),
        filter=nlm,
        reach=lambda _: 9,
    ),
    "wavelet": Family(
        parameter="strength",
        label=_STRENGTH,
        values=_geometric(0.05, 1.6, 8),
        filter=wavelet,
        reach=lambda _: 32,
    ),
    "tv": Family(
        parameter="strength",
        label=_STRENGTH,
        values=_geometric(0.05, 6.4, 10),
        filter=tv,
        reach=lambda _: 32,
    ),
    "bm3d": Family(
        parameter="strength",
        label=_STRENGTH,
        values=_geometric(0.1, 1.6, 6),
        filter=bm3d,
        reach=lambda _: 32,
        pixels=2**16,
        single_pass=True,
        package="bm3d",
        smallest=8,
    ),
}
"""Every family by its name; a new one needs its filter above and an entry here."""


def family_of(name: str) -> Family:
    """Return the family of a name.

    Raises
    ------
    ConfigError
        If there is none of that name, or the package that it needs is missing.
    """
    if name not in FAMILIES:
        raise ConfigError(f"family={name!r}: expected one of {', '.join(FAMILIES)}")
    found = FAMILIES[name]
    if found.package is not None and importlib.util.find_spec(found.package) is None:
        others = ", ".join(n for n, f in FAMILIES.items() if f.package is None)
        raise ConfigError(
            f"family={name!r} needs the package {found.package}, which is not installed; "
            f"run: pip install {found.package} (its licence allows non-commercial use only), "
            f"or take one of {others}"
        )
    return found
