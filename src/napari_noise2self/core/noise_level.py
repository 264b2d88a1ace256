"""What is known of an image's noise: its variance as a line over the signal, channel by channel.

    variance(signal) = gain * signal + intercept,

with the gain in grey levels per photon and the intercept the read noise's variance less gain
times the black level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .normalization import Normalization

FITS = 0.5
"""Share of the levels that must lie on the line for it to be trusted."""

BOUNDED = 0.9
"""Share of the levels that a line from above leaves below itself."""

DARK = 1.25
"""Variance over the line's from which on dark levels are not believed to lie on it."""

ROUGH = 1.0
"""Relative error of a variance that is not to be trusted: of noise that neighbours share, half of
it has been missed."""

LEAST = 1e-12
"""Variance of a channel that holds one value throughout: above zero, since it is divided by."""


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

    @classmethod
    def none(cls) -> ChannelNoise:
        """Return the noise of a channel that holds one value throughout."""
        return cls(
            gain=0.0,
            intercept=LEAST,
            signal=(0.0,),
            variance=(LEAST,),
            error=(0.0,),
            fits=1.0,
            caution=None,
        )

    @property
    def least(self) -> float:
        """The least variance that is believed: a tenth of what it is at the darkest level."""
        return 0.1 * (self.gain * min(self.signal) + self.intercept)

    @property
    def uncertainty(self) -> float:
        """Relative standard error of the variance, by its levels'; `ROUGH` if not trusted."""
        if self.caution is not None:
            return ROUGH
        error = np.array(self.error)
        if not error.all():
            return 0.0
        return float(np.square(np.array(self.variance) / error).sum() ** -0.5)

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
