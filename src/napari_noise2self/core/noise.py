"""The noise level of an image and how it grows with the signal, from the image alone.

The high cosine coefficients of flat blocks give the variance at each
brightness. Structure can only add to it, so that the line of shot noise and
read noise (see `noise_level`) is laid along the lower edge of the points.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .axes import Stack
from .clipping import without_clipped
from .correlation import NoiseCorrelation, noise_correlation
from .errors import ImageError
from .flatness import (
    COSINES,
    EDGE,
    HALF,
    OVERLAP,
    Blocks,
    neighbour_axes,
    sample_runs,
    windows_of_blocks,
)
from .footprint import alike
from .noise_level import FITS, ChannelNoise, NoiseLevel
from .spectrum import AxisCorrelation, high_share

STRATA = (*np.linspace(0, 0.9, 19).tolist(), 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1)
"""Quantiles of the brightness at which the variance is taken: bright pixels are rare."""

TOLERANCE = 0.03
"""Relative deviation from the line that is taken for granted."""

WEAK = 0.15
"""Correlation of neighbours above which fine structure may have a share in the variance."""

ROUNDED = 0.25
"""Variance of the noise, in squared steps between grey levels, below which rounding rules it: a
signal half-way between two levels is noisiest, one on a level has no noise. With a gain below half
a step: photons that are counted one by one are not rounded."""

_ABOVE = 9.0  # loss at which a level above the line is structure: beyond, it counts no more
_BELOW = 100.0  # a level below the line has no excuse, save saturation
_FOR_STEP = 2**17  # pixels in which the grey levels are sought


def estimate_noise(
    stack: Stack,
    *,
    correlation: NoiseCorrelation | None = None,
    seed: int = 0,
    constant: Collection[int] | None = None,
) -> NoiseLevel:
    """Estimate the variance of the noise as a function of the signal.

    At most some two million pixels per channel are read. Where neighbouring
    frames or planes are there, their differences are used if they vary less.
    Saturated pixels are left out.

    Parameters
    ----------
    stack
        The image.
    correlation
        What `noise_correlation` found, if that has been measured already.
    seed
        Seed of the draw of windows.
    constant
        Channels (alpha, an empty one) that hold one value throughout, and so no noise. None
        where that is not known: then those are taken for such that do so wherever they are
        looked at.

    Returns
    -------
    NoiseLevel
        For each channel. Where the noise is correlated its variance is scaled
        up by what the high frequencies lack, and said not to be trusted; nor is
        noise that is weaker than the steps between grey levels.

    Raises
    ------
    ImageError
        If another channel has no place where noise can be measured: constant wherever it is
        looked at, all NaN, or smaller than 8 x 8.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_noise2self.core.axes import Stack
    >>> clean = np.linspace(10, 200, 256) * np.ones((256, 1))
    >>> noisy = np.random.default_rng(0).poisson(clean) + 5.0
    >>> noise = estimate_noise(Stack.of(noisy))
    >>> bool(abs(noise.variance(105) / 100 - 1) < 0.1)
    True

    References
    ----------
    Foi, Trimeche, Katkovnik, Egiazarian: Practical Poissonian-Gaussian noise
    modeling and fitting for single-image raw-data. IEEE Transactions on Image
    Processing 17 (2008).
    """
    correlation = correlation or noise_correlation(stack, seed=seed)
    axis = neighbour_axes(stack)[:1]
    runs = sample_runs(stack, axis, seed=seed) if min(stack.spatial[-2:]) >= EDGE else []
    still = {c for c in range(stack.channels) if all(np.ptp(run[:, c]) == 0 for run in runs)}
    if constant is None:
        constant = still if len(still) < stack.channels else ()
    found = []
    for channel in range(stack.channels):
        if channel in constant:
            found.append(ChannelNoise.none())
            continue
        planes = [] if channel in still else without_clipped([run[:, channel] for run in runs])
        if planes:
            values = windows_of_blocks(planes)
            frames = Blocks.of(values.reshape(-1, *values.shape[2:]))
            levels = _levels(frames, values)
        if not planes or not len(levels):
            raise ImageError(
                f"channel {channel} has no place where noise can be measured (constant, "
                "saturated, not finite, or smaller than 8 x 8); take it out of the image"
            )
        line = _line(levels, correlation.channels[channel])
        step = _step(planes)
        if line.caution is None and line.gain < step / 2 and min(line.variance) < ROUNDED * step**2:
            line = replace(line, caution="it is weaker than the steps between grey levels")
        found.append(replace(line, read=_read_variance(frames, line)))
    return NoiseLevel(tuple(found))


def measured_noise(
    stack: Stack,
    correlation: NoiseCorrelation,
    *,
    seed: int = 0,
    constant: Collection[int] | None = None,
) -> NoiseLevel | None:
    """Return the noise level, trusted or not; None where no place shows the noise.

    Parameters
    ----------
    stack
        The image.
    correlation
        What `noise_correlation` found in it.
    seed
        Seed of the draw of windows.
    constant
        Channels that hold one value throughout; None where that is not known.
    """
    try:
        return estimate_noise(stack, correlation=correlation, seed=seed, constant=constant)
    except ImageError:
        return None


def _step(planes: Sequence[NDArray[np.float32]]) -> float:
    """Return the least difference between two grey levels, 0.0 if there is but one."""
    seen = np.concatenate([plane.ravel() for plane in planes])
    levels = np.unique(seen[:: -(-seen.size // _FOR_STEP)])
    levels = levels[np.isfinite(levels)]
    return float(np.diff(levels).min()) if len(levels) > 1 else 0.0


def _levels(blocks: Blocks, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Signal, variance and error of each stratum, from the planes or their differences."""
    frames = _levels_of(blocks)
    differences = Blocks.of_differences(values)
    if differences is None or not len(frames):
        return frames
    # Structure adds variance, moving structure does so to the differences.
    still = _levels_of(differences)
    return still if len(still) and np.median(still[:, 1]) < np.median(frames[:, 1]) else frames


def _levels_of(blocks: Blocks) -> NDArray[np.float64]:
    energy = np.square(blocks.values[..., HALF:, HALF:], dtype=np.float64).mean((-2, -1)).ravel()
    brightness = blocks.brightness.ravel().astype(np.float64)
    levels = []
    for places in blocks.flat(STRATA, unbiased=True):
        here = energy[places]
        error = here.std() / np.sqrt(len(places) / OVERLAP)
        levels.append((brightness[places].mean(), here.mean(), error))
    return np.array(levels).reshape(-1, 3)


def _read_variance(blocks: Blocks, noise: ChannelNoise) -> float:
    """Tell read noise from that of photons by the third moment, to which it adds nothing.

    Photons of `gain` grey levels have ``third moment = gain * variance``, so that
    ``variance - third moment / gain`` is left for the read noise, at every level.
    """
    darkest = max(0.0, noise.gain * min(noise.signal) + noise.intercept)
    if noise.gain == 0:
        return darkest
    slow = np.einsum("vy,wx->vwyx", COSINES, COSINES)[:HALF, :HALF].reshape(-1, EDGE**2)
    fine = np.eye(EDGE**2) - slow.T @ slow  # takes the slow cosines out of a block's pixels
    kept = {power: float((fine**power).sum(1).mean()) for power in (2, 3)}
    planes = blocks.values.reshape(-1, EDGE, EDGE)
    found, weights = [], []
    for places in blocks.flat(unbiased=True):
        here = planes[places].astype(np.float64)
        here[:, :HALF, :HALF] = 0
        pixels = COSINES.T @ here @ COSINES
        variance = float(np.mean(pixels**2)) / kept[2]
        third = float(np.mean(pixels**3)) / kept[3]
        found.append(variance - third / noise.gain)
        weights.append(pixels.size / variance**3)  # by the chance of a third moment
    return float(np.clip(np.average(found, weights=weights), 0.0, darkest))


def _line(levels: NDArray[np.float64], correlation: tuple[AxisCorrelation, ...]) -> ChannelNoise:
    """Lay the line along the lower edge of the levels."""
    caution = None
    in_plane = [c for c in correlation if c.axis != "Z"]
    surplus = math.prod(1 / high_share(c) for c in in_plane)
    if alike(in_plane, noise_only=True):
        caution = "the noise is correlated from pixel to pixel"
        for c in in_plane:
            share = c.line if c.lines else 0.0
            levels = levels * (1, *2 * [1 / (high_share(c) * (1 - share))])
        surplus = 1.0
    elif any(abs(c.rho[0]) > WEAK for c in in_plane):
        caution = "even in the flattest places there is structure as fine as the noise"
    signal, variance, error = levels.T
    relative = np.sqrt((error / variance) ** 2 + TOLERANCE**2)

    # Every line through two levels, through one with gain 0, through one and the origin.
    first, second = np.nonzero(signal[:, None] < signal - 1e-6 * np.ptp(signal))
    slope = (variance[second] - variance[first]) / (signal[second] - signal[first])
    positive = signal > 0
    gains = np.concatenate([slope, np.zeros_like(signal), variance[positive] / signal[positive]])
    intercepts = np.concatenate(
        [variance[first] - slope * signal[first], variance, np.zeros(positive.sum())]
    )
    lines = gains[:, None] * signal + intercepts[:, None]  # (lines, levels)
    possible = (gains >= 0) & (lines > 0).all(1)
    gains, intercepts, lines = gains[possible], intercepts[possible], lines[possible]
    off = (variance - lines) / (lines * relative)
    loss = np.minimum(off**2, np.where(off > 0, _ABOVE, _BELOW)).sum(1)
    best = int(np.argmin(loss))
    gain, intercept = float(gains[best]), float(intercepts[best])

    # Refined by least squares, levels above the line counting less and less.
    design = np.stack([signal, np.ones_like(signal)], axis=1)
    for _ in range(20):
        line = gain * signal + intercept
        off = (variance - line) / (line * relative)
        weight = np.where(off > 0, 1 / (1 + off**2 / _ABOVE), 1.0) / (line * relative)
        fitted = np.linalg.lstsq(design * weight[:, None], variance * weight, rcond=None)[0]
        if fitted[0] < 0 or (design @ fitted <= 0).any():
            break
        gain, intercept = (float(f) for f in fitted)
    line = gain * signal + intercept
    fits = float((np.abs(variance - line) < 3 * line * relative).mean())
    if caution is None and fits < FITS:
        caution = "the variance does not grow with the signal along a line"
    return ChannelNoise(
        gain,
        intercept,
        tuple(signal.tolist()),
        tuple(variance.tolist()),
        tuple(error.tolist()),
        fits,
        caution,
        surplus=max(1.0, surplus),
    )
