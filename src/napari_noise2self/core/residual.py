"""Measures of a residual, noisy minus denoised, on planes in memory.

Pixels are sorted by the brightness of their surroundings, never by their own:
a result that keeps some of a pixel's noise would sort that noise along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .clipping import clipped_levels
from .errors import ImageError
from .flatness import EDGE, HALF, OVERLAP, Blocks, coefficients, low_energy
from .noise_level import NoiseLevel

BINS = 8
"""Bins of brightness, of equal numbers of pixels."""

BIASED = 0.02
"""Bias at one brightness, as a share of the range of the signal, that is worth a word."""

CERTAIN = 4.0
"""Standard errors by which a bias or a leak must differ from zero."""

UNSURE = 0.1
"""Relative error that the noise level may have, however large the image."""

NOTHING_LOST = (1.0, 0.0)
"""Of structure, where there is too little to tell."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ChannelInspection:
    """What `inspect_result` found in one channel, in the units of the image.

    Attributes
    ----------
    removed
        Variance of the residual over that of the noise; about 1 for a strict
        output, less where the output keeps part of the pixel itself; None where
        the noise level is not known.
    removed_error
        Its standard error, by that of the noise level; infinite where that is not known.
    structure_lost
        Energy of the residual's low frequencies over that of its high ones, in
        the roughest fifth of the image, over the same in the flattest fifth; 1
        if the residual is noise, more if structure went with it.
    structure_lost_error
        Its standard error, from the scatter of the blocks.
    signal, bias, bias_error
        For `BINS` bins of the brightness of the surroundings, of equal size: the
        mean of the noisy image, of denoised minus noisy, and its standard error,
        from the scatter of tiles of 8 x 8 pixels: pixels of one bin are each
        other's surroundings, and may share their noise.
    total
        Sum of the denoised image over that of the noisy one.
    objects, background
        The same where the surroundings exceed Otsu's threshold, and elsewhere.
    worst_tile
        The same in that tile of a 4 x 4 grid where it is farthest from 1.
    """

    removed: float | None
    removed_error: float
    structure_lost: float
    structure_lost_error: float
    signal: tuple[float, ...]
    bias: tuple[float, ...]
    bias_error: tuple[float, ...]
    total: float
    objects: float
    background: float
    worst_tile: float

    @property
    def worst_bias(self) -> int | None:
        """Index of the bin whose bias is largest among those worth a word; None if none is."""
        size = max(self.signal) - min(self.signal)
        worth = [
            (abs(bias), k)
            for k, (bias, error) in enumerate(zip(self.bias, self.bias_error, strict=True))
            if abs(bias) > CERTAIN * error and abs(bias) > BIASED * size
        ]
        return max(worth)[1] if worth else None


def nearness(ratio: float) -> float:
    """Return a key by which the ratio farthest from 1 is the smallest."""
    return -abs(ratio - 1)


def inspect_channel(
    noisy: list[Array], denoised: list[Array], noise: NoiseLevel | None, channel: int, width: int
) -> ChannelInspection:
    """Inspect the planes of one channel; `width` is that of the hole which the noise asks for."""
    around = [_surroundings(p, width) for p in noisy]
    parts = (noisy, denoised, around, _numbered_tiles(noisy))
    x, f, level, tile = (np.concatenate([p.ravel() for p in part]) for part in parts)
    ok = np.isfinite(x) & np.isfinite(f) & np.isfinite(level)
    x, f, level, tile = x[ok], f[ok], level[ok], tile[ok]
    if len(x) < BINS:
        raise ImageError(
            f"channel {channel} has {len(x)} pixels that are finite in the noisy image and in "
            f"the result; expected {BINS} or more"
        )
    removed, removed_error = None, math.inf
    if noise is not None:
        variance = noise.variance(level, channel).mean(dtype=np.float64)
        removed = float(np.mean((x - f) ** 2) / variance)
        removed_error = removed * noise.channels[channel].uncertainty
    bins = np.array_split(np.argsort(level, kind="stable"), BINS)
    bright = level > _otsu(level)
    tiles = [
        _ratio(b, a)
        for p, q in zip(noisy, denoised, strict=True)
        for a, b in zip(_tiles(p), _tiles(q), strict=True)
    ]
    lost, lost_error = _structure_lost(noisy, denoised)
    return ChannelInspection(
        removed=removed,
        removed_error=removed_error,
        structure_lost=lost,
        structure_lost_error=lost_error,
        signal=tuple(float(x[i].mean()) for i in bins),
        bias=tuple(float((f[i] - x[i]).mean()) for i in bins),
        bias_error=tuple(_error_of_mean(f[i] - x[i], tile[i]) for i in bins),
        total=_ratio(f, x),
        objects=_ratio(f[bright], x[bright]),
        background=_ratio(f[~bright], x[~bright]),
        worst_tile=min(tiles, key=nearness),
    )


def _numbered_tiles(planes: list[Array]) -> list[NDArray[np.intp]]:
    """Return the number of each pixel's tile of 8 x 8 pixels, of all planes."""
    numbered, count = [], 0
    for plane in planes:
        rows, columns = (-(-extent // EDGE) for extent in plane.shape)
        y, x = (np.arange(extent) // EDGE for extent in plane.shape)
        numbered.append(count + y[:, None] * columns + x)
        count += rows * columns
    return numbered


def _error_of_mean(values: Array, tile: NDArray[np.intp]) -> float:
    """Return the standard error of the mean of values that only tiles have to themselves."""
    sums = np.bincount(tile, values - values.mean())
    return float(np.sqrt(np.square(sums).sum()) / len(values))


def _surroundings(plane: Array, width: int) -> Array:
    """Return the mean of a frame two pixels wide around a hole of the given width.

    Of its finite pixels in the plane: one that is continued at the border would lie in its own
    surroundings. NaN where there is none.
    """
    finite = np.isfinite(plane)

    def total(values: Array) -> Array:
        outer, inner = (
            ndimage.uniform_filter(values, wide, mode="constant") * wide**2
            for wide in (width + 4, width)
        )
        return np.asarray(outer - inner)

    count = np.rint(total(finite.astype(np.float64)))
    with np.errstate(invalid="ignore"):
        return total(np.where(finite, plane, 0.0)) / np.where(count > 0, count, np.nan)


def _ratio(denoised: Array, noisy: Array) -> float:
    ok = np.isfinite(denoised) & np.isfinite(noisy)
    below = float(noisy[ok].sum())
    return float(denoised[ok].sum()) / below if below else 1.0


def _tiles(plane: Array) -> list[Array]:
    return [t for band in np.array_split(plane, 4) for t in np.array_split(band, 4, axis=1)]


def _otsu(values: Array) -> float:
    """Return the threshold that parts the values into two classes of least variance."""
    if np.ptp(values) == 0:
        return float(values[0])
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between[:-1]))])


def _structure_lost(noisy: list[Array], denoised: list[Array]) -> tuple[float, float]:
    """Compare the residual's low frequencies at structures with those in flat places.

    Returns the ratio and its standard error.
    """
    rough, low, high = [], [], []
    for x, f in zip(noisy, denoised, strict=True):
        if min(x.shape) < EDGE:
            return NOTHING_LOST
        residual = coefficients((x - f).astype(np.float32))
        low.append(low_energy(residual).ravel())
        high.append(np.square(residual[..., HALF:, HALF:]).mean((-2, -1)).ravel())
        # Ranked by blocks that share no pixel with this one.
        around = Blocks.of(coefficients(x.astype(np.float32))[np.newaxis]).around
        rough.append(around.ravel())
    ranked = np.concatenate(rough)
    energy = np.stack([np.concatenate(low), np.concatenate(high)]).astype(np.float64)
    ok = np.isfinite(ranked) & np.isfinite(energy).all(0)
    order = np.flatnonzero(ok)[np.argsort(ranked[ok], kind="stable")]
    fifth = len(order) // 5
    if not fifth:
        return NOTHING_LOST
    # Over the high frequencies of the same blocks, which hold the noise alone.
    parts = energy[:, order[:fifth]], energy[:, order[-fifth:]]
    flat, structured = (part.mean(1) for part in parts)
    if not (flat.all() and structured.all()):
        return NOTHING_LOST
    ratio = float(structured[0] / structured[1] / (flat[0] / flat[1]))
    scatter = sum(float(np.square(part.std(1) / part.mean(1)).sum()) for part in parts)
    return ratio, ratio * math.sqrt(scatter * OVERLAP / fifth)


def leakage(
    noisy: list[Array], denoised: list[Array]
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Regress what the result adds to its channel on the fine structure of all channels.

    Denoised minus noisy is minus the noise, plus whatever was added. Where that
    runs along with another channel's structure, given its own, it came from there.
    """
    count = noisy[0].shape[0]
    zero = tuple((0.0,) * count for _ in range(count))
    if count == 1:
        return zero, zero
    fine = [_fine(p) for p in denoised]
    added = [_fine(f - x) for f, x in zip(denoised, noisy, strict=True)]
    design = np.concatenate([p.reshape(count, -1) for p in fine], axis=1).T  # (pixels, C)
    target = np.concatenate([p.reshape(count, -1) for p in added], axis=1).T
    ok = np.isfinite(design).all(1) & np.isfinite(target).all(1)
    design, target = design[ok], target[ok]
    scale = np.maximum(design.std(0), 1e-12)
    design = design / scale
    normal = np.linalg.pinv(design.T @ design)
    slope = normal @ (design.T @ target)  # [j, i]: of channel j's structure in channel i
    spread = (target - design @ slope).std(0)
    error = np.sqrt(np.diag(normal))[:, None] * spread
    relative, relative_error = slope / scale[:, None], error / scale[:, None]
    np.fill_diagonal(relative, 0.0)
    np.fill_diagonal(relative_error, 0.0)
    return _nested(relative.T), _nested(relative_error.T)


def _fine(plane: Array) -> Array:
    """Return what a Gaussian of 2 pixels takes away, along Y and X."""
    return np.asarray(plane - ndimage.gaussian_filter(plane, (0, 2, 2)))


def _nested(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def psnr_range(
    noisy: Sequence[Array], strict: Sequence[Array], noise: NoiseLevel | None, widest: int
) -> tuple[tuple[float, float] | None, str]:
    """Range of the strict output's PSNR, from its loss less the noise's variance."""
    if noise is None or not noise.trusted:
        return None, "no estimate: the noise level is not known well enough"
    if widest > 1:
        return None, "no estimate: the noise is correlated"
    loss = variance = 0.0
    ends: list[float] = []
    for c in range(noisy[0].shape[0]):
        x = np.concatenate([p[c].ravel() for p in noisy])
        f = np.concatenate([p[c].ravel() for p in strict])
        ok = np.isfinite(x) & np.isfinite(f)
        if not ok.any():
            return None, f"no estimate: the strict output of channel {c} holds no finite pixel"
        x, f = x[ok], f[ok]
        ends += [float(f.min()), float(f.max())]
        low, high = clipped_levels(x)
        cut = (0.0 if low is None else (x <= low).mean()) + (
            0.0 if high is None else (x >= high).mean()
        )
        if cut > 1e-3:
            return None, f"no estimate: {cut:.1%} of the pixels are cut off"
        loss += float(np.mean((x - f) ** 2)) / noisy[0].shape[0]
        variance += float(noise.variance(f, c).mean()) / noisy[0].shape[0]
    peak = max(ends) - min(ends)
    if peak == 0:
        return None, "no estimate: the strict output is constant"
    unsure = max(UNSURE, *(2 * c.uncertainty for c in noise.channels))
    worst, best = loss - (1 - unsure) * variance, loss - (1 + unsure) * variance
    if worst <= 0:
        return None, "no estimate: the residual holds less variance than the noise"
    lowest = 10 * math.log10(peak**2 / worst)
    if best <= 0:
        return (lowest, math.inf), f"the strict output has at least {lowest:.1f} dB"
    highest = 10 * math.log10(peak**2 / best)
    return (lowest, highest), f"the strict output has {lowest:.1f} to {highest:.1f} dB"
