"""The noise level of an image and how it grows with the signal, from the image alone.

Shot noise and read noise together have the variance

    variance(signal) = gain * signal + intercept,

with the gain in grey levels per photon and the intercept the read noise's
variance less gain times the black level. The high cosine coefficients of flat
blocks give the variance at each brightness. Structure can only add to it, so
that the line is laid along the lower edge of the points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .axes import Stack
from .clipping import without_clipped
from .correlation import SHARED, NoiseCorrelation, noise_correlation
from .errors import ImageError
from .flatness import (
    COSINES,
    EDGE,
    FEWEST,
    HALF,
    Blocks,
    neighbour_axes,
    sample_runs,
    windows_of_blocks,
)
from .footprint import SURE, alike
from .spectrum import AxisCorrelation, high_share

if TYPE_CHECKING:
    from .normalization import Normalization

STRATA = (*np.linspace(0, 0.9, 19).tolist(), 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1)
"""Quantiles of the brightness at which the variance is taken: bright pixels are rare."""

TOLERANCE = 0.03
"""Relative deviation from the line that is taken for granted."""

FITS = 0.5
"""Share of the levels that must lie on the line for it to be trusted."""

BOUNDED = 0.9
"""Share of the levels that a line from above leaves below itself."""

DARK = 1.25
"""Variance over the line's from which on dark levels are not believed to lie on it."""

WEAK = 0.15
"""Correlation of neighbours above which fine structure may have a share in the variance."""

ROUNDED = 0.25
"""Variance of the noise, in squared steps between grey levels, below which rounding rules it: a
signal half-way between two levels is noisiest, one on a level has no noise. With a gain below half
a step: photons that are counted one by one are not rounded."""

LEAST = 1e-12
"""Variance of a channel that holds one value throughout: above zero, since it is divided by."""

_ABOVE = 9.0  # loss at which a level above the line is structure: beyond, it counts no more
_BELOW = 100.0  # a level below the line has no excuse, save saturation
_FOR_STEP = 2**17  # pixels in which the grey levels are sought
_OVERLAP = 3.0  # overlapping blocks count for one in three


@dataclass(frozen=True)
class ChannelNoise:
    """Noise of one channel; all in the units of the image.

    Attributes
    ----------
    gain
        Growth of the variance with the signal; 0.0 for noise that does not
        depend on the signal.
    intercept
        Variance where the signal is zero, as the line has it; negative where
        the image has a black level above zero.
    signal, variance, error
        The levels measured: mean of the flat blocks, variance of the noise and
        its standard error.
    fits
        Share of these levels that lie on the line.
    caution
        Why the estimate cannot be trusted; None if it can.
    read
        The part of the variance that is not photons' and does not grow with the
        signal. The noise of few photons is skewed, that of electronics is not.
    surplus
        The variance over that of the line if it is the noise that makes
        neighbours alike, which cannot be told; 1.0 where that is in the line already.
    """

    gain: float
    intercept: float
    signal: tuple[float, ...]
    variance: tuple[float, ...]
    error: tuple[float, ...]
    fits: float
    caution: str | None
    read: float = 0.0
    surplus: float = 1.0

    @property
    def least(self) -> float:
        """The least variance that is believed: a tenth of what it is at the darkest level."""
        return 0.1 * (self.gain * min(self.signal) + self.intercept)

    def bounded(self) -> tuple[float, float, float]:
        """Return gain and intercept of a line that bounds the noise from above, and a floor.

        That is the line itself if most levels lie on it; else raised until `BOUNDED` of them
        lie below. The floor is the darkest level: a line through levels that are close together,
        as a texture all over the image shows them, may be too steep to go on. Where the darkest
        lie above the line, it is they: structure adds to bright levels, so that what
        is too much in the dark is noise, of rounding or of a margin.
        """
        variance = np.array(self.variance)
        line = self.gain * np.array(self.signal) + self.intercept
        ratio = variance / line
        factor = 1.0 if self.fits >= FITS else max(1.0, float(np.quantile(ratio, BOUNDED)))
        dark = variance[np.cumprod(ratio > DARK).astype(bool)]  # levels come darkest first
        floor = max([factor * float(line.min()), *dark.tolist()]) * self.surplus
        factor *= self.surplus
        return factor * self.gain, factor * self.intercept, floor

    def normalized(self, mean: float, std: float) -> ChannelNoise:
        """Return the noise of the channel less its mean and over its standard deviation."""
        scale = std or 1.0
        return replace(
            self,
            gain=self.gain / scale,
            intercept=(self.gain * mean + self.intercept) / scale**2,
            signal=tuple((s - mean) / scale for s in self.signal),
            variance=tuple(v / scale**2 for v in self.variance),
            error=tuple(e / scale**2 for e in self.error),
            read=self.read / scale**2,
        )


@dataclass(frozen=True)
class NoiseLevel:
    """Noise of every channel, as `estimate_noise` found it.

    Attributes
    ----------
    channels
        One `ChannelNoise` for each channel.
    """

    channels: tuple[ChannelNoise, ...]

    @property
    def trusted(self) -> bool:
        """Whether the estimate can be relied on in every channel."""
        return all(c.caution is None for c in self.channels)

    def normalized(self, normalization: Normalization) -> NoiseLevel:
        """Return the noise of the normalized image.

        Parameters
        ----------
        normalization
            Statistics of the image that the noise was estimated from.
        """
        means, stds = normalization.mean, normalization.std
        channels = zip(self.channels, means, stds, strict=True)
        return NoiseLevel(tuple(c.normalized(mean, std) for c, mean, std in channels))

    def variance(self, signal: ArrayLike, channel: int = 0) -> NDArray[np.float32]:
        """Return the variance of the noise where the noise-free image is `signal`.

        Parameters
        ----------
        signal
            Noise-free values in the units of the image, any shape.
        channel
            Index of the channel.

        Returns
        -------
        numpy.ndarray
            float32, of the shape of `signal`, above zero: at least a tenth of
            what it is at the darkest level that was measured.
        """
        c = self.channels[channel]
        line = np.float32(c.gain) * np.asarray(signal, np.float32) + np.float32(c.intercept)
        return np.asarray(np.maximum(line, np.float32(c.least)), np.float32)

    @property
    def sentence(self) -> str:
        """The noise in words, for the user."""
        parts = []
        for k, c in enumerate(self.channels):
            name = f"channel {k}: " if len(self.channels) > 1 else ""
            dark, bright = (float(np.sqrt(self.variance(edge(c.signal), k))) for edge in (min, max))
            text = f"{name}the noise has a standard deviation of {dark:.3g}"
            if bright > 1.1 * dark:
                text += (
                    f" at a signal of {min(c.signal):.3g}, growing to {bright:.3g} at "
                    f"{max(c.signal):.3g} (gain {c.gain:.3g})"
                )
            parts.append(text + (f"; not to be trusted: {c.caution}" if c.caution else ""))
        return "; ".join(parts)


def estimate_noise(
    stack: Stack,
    *,
    correlation: NoiseCorrelation | None = None,
    seed: int = 0,
    constant: Collection[int] = (),
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
        Channels (alpha, an empty one) known to hold one value throughout, and so no noise.
        Those that do so wherever the image is looked at are taken for such as well.

    Returns
    -------
    NoiseLevel
        For each channel. Where the noise is correlated its variance is scaled
        up by what the high frequencies lack, and said not to be trusted; nor is
        noise that is weaker than the steps between grey levels.

    Raises
    ------
    ImageError
        If another channel has no place where noise can be measured: constant, all
        NaN, or smaller than 8 x 8.

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
    if len(still) < stack.channels:
        constant = still.union(constant)
    found = []
    for channel in range(stack.channels):
        if channel in constant:
            found.append(
                ChannelNoise(
                    gain=0.0,
                    intercept=LEAST,
                    signal=(0.0,),
                    variance=(LEAST,),
                    error=(0.0,),
                    fits=1.0,
                    caution=None,
                )
            )
            continue
        planes = without_clipped([run[:, channel] for run in runs])
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
    constant: Collection[int] = (),
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
        Channels that hold one value throughout.
    """
    try:
        return estimate_noise(stack, correlation=correlation, seed=seed, constant=constant)
    except ImageError:
        return None


def reliance(
    stack: Stack, level: NoiseLevel | None, *, seed: int = 0, constant: Collection[int] = ()
) -> tuple[bool, str]:
    """Tell whether a training may rely on the noise level, and say it in words.

    Relying on it takes a variance that lies on a line, noise that neither
    neighbouring pixels nor channels have in common, and that rounding did not
    shape.

    Parameters
    ----------
    stack
        The image.
    level
        What `measured_noise` found in it.
    seed
        Seed of the draw of windows.
    constant
        Channels that hold one value throughout.
    """
    if level is None:
        return False, "its level could not be measured"
    if not level.trusted:
        caution = next(c.caution for c in level.channels if c.caution)
        return False, f"its level is not relied on: {caution}"
    shared = shared_by_channels(stack, seed=seed, constant=constant)
    if shared is None:
        return False, "whether its channels have noise in common could not be measured"
    if shared > SHARED:
        said = f"the channels have noise in common ({shared:.2f} of it at least)"
        return False, f"its level is not relied on: {said}"
    if stack.channels > 1:
        return True, f"the noise level of each of the {stack.channels} channels is known"
    return True, level.sentence


def shared_by_channels(
    stack: Stack, *, seed: int = 0, constant: Collection[int] = ()
) -> float | None:
    """Return what the noise of two channels has in common at least, as a correlation.

    The largest of all pairs, less the chance of the sample. Fine structure that channels have
    in common counts as well. None if a channel shows no noise in the planes that are looked at.

    Parameters
    ----------
    stack
        The image.
    seed
        Seed of the draw of windows.
    constant
        Channels that hold one value throughout.
    """
    noisy = [c for c in range(stack.channels) if c not in constant]
    if len(noisy) < 2:
        return 0.0
    runs = sample_runs(stack, "", seed=seed)
    channels = [Blocks.of(windows_of_blocks([run[:, c] for run in runs])[:, 0]) for c in noisy]
    strata = [blocks.flat(unbiased=True) for blocks in channels]
    if not all(strata):
        return None
    flat = [np.concatenate(places) for places in strata]
    fine = [
        blocks.values[..., HALF:, HALF:].reshape(-1, HALF * HALF).astype(np.float64)
        for blocks in channels
    ]
    found = [0.0]
    for i, j in itertools.combinations(range(len(noisy)), 2):
        both = np.intersect1d(flat[i], flat[j])
        places = both if len(both) >= FEWEST else np.union1d(flat[i], flat[j])
        a, b = fine[i][places], fine[j][places]
        usable = np.isfinite(a).all(1) & np.isfinite(b).all(1)
        a, b = a[usable], b[usable]
        correlation = abs((a * b).sum()) / np.sqrt((a * a).sum() * (b * b).sum())
        found.append(correlation - SURE / np.sqrt(a.size / _OVERLAP))
    return float(max(found))


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
        error = here.std() / np.sqrt(len(places) / _OVERLAP)
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
