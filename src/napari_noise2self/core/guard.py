"""The guard: what the noise cannot explain of a residual is given back to the result.

If a residual, noisy minus denoised, is noise and nothing else, its mean square is the noise's
variance. Where it is larger, structure went with the noise, by so much that the pixels
themselves may be the better estimate: behind wide holes, in fine texture, and where there is
little noise at all. There a part of the residual is added again,

    result + weight * residual,    weight = 1 - (EXCESS * variance / mean square)^2,

and none where the mean square, taken over the neighbourhood, stays below EXCESS times the
variance. Where photons are few, squares scatter more (the variance of the square of a count's
deviation is 2 + 1 / count, in squares of the count), and the threshold is higher by as much.

A result that errs over a neighbourhood by more than the noise does, which makes a mean square of
twice the variance, so comes no farther from the truth than the image was. A single pixel that was
lost does not: it is one among the eighty of its window. Nor is there help against structure that
was itself taken for noise. It is a Wiener filter of the residual, with local statistics; the power
is sharper than Wiener's, since most places need none.

References
----------
Lee, "Digital image enhancement and noise filtering by use of local statistics", IEEE
Transactions on Pattern Analysis and Machine Intelligence 2 (1980).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from torch import Tensor

from .filters import local_mean
from .noise_level import NoiseLevel
from .normalization import Normalization

EXCESS = 1.25
"""Mean square of the residual over the variance of Gaussian noise from which on some is given back:
the estimate of the variance can be 8% too low, and a local mean fluctuates."""

WINDOW = 9
"""Edge, in pixels, of the window over which squares are averaged, twice in turn."""

SHARED_WINDOW = 15
"""The same where neighbours share noise: about one such pixel in three is independent, so that a
window must be wider by the root of three for a mean as sure."""

WIDEST = 99
"""Widest window that a file may ask for: a tile reaches as far."""


@dataclass(frozen=True)
class Guard:
    """Gives back what the noise of an image cannot explain.

    Attributes
    ----------
    gain, intercept
        For each channel, in normalized units: the variance of the noise of a
        pixel is ``gain * signal + intercept``.
    least
        And not less than this, which is above zero.
    window
        Edge of the window over which squares are averaged, in pixels, odd.
    """

    gain: tuple[float, ...]
    intercept: tuple[float, ...]
    least: tuple[float, ...]
    window: int = WINDOW

    def __post_init__(self) -> None:
        numbers = (*self.gain, *self.intercept, *self.least)
        if not len(self.gain) == len(self.intercept) == len(self.least):
            raise ValueError(f"noise {numbers}: not as many of each kind")
        if not all(map(math.isfinite, numbers)) or min(self.gain) < 0 or min(self.least) <= 0:
            raise ValueError(f"noise {numbers}: infinite, negative, or none at all")
        if self.window % 2 == 0 or not 1 <= self.window <= WIDEST:
            raise ValueError(f"window {self.window}: expected an odd number up to {WIDEST}")

    @property
    def reach(self) -> int:
        """How far it looks, in pixels along Y and X."""
        return 2 * (self.window // 2)

    @classmethod
    def from_noise(
        cls, noise: NoiseLevel | None, normalization: Normalization, *, shared: bool = False
    ) -> Self | None:
        """Make the guard of an image; None where its noise level is not known.

        The level need not be one to rely on: one that is too high, for fine structure, makes
        the guard hold back, and where it may be too low it is taken from above.

        Parameters
        ----------
        noise
            What ``estimate_noise`` found, in the units of the image; None where
            it found nothing.
        normalization
            Statistics of the same image.
        shared
            Whether neighbouring pixels share so much noise that a wide hole is
            hidden.
        """
        if noise is None:
            return None
        bounds = [c.bounded() for c in noise.normalized(normalization).channels]
        gain, intercept, least = zip(*bounds, strict=True)
        return cls(gain, intercept, least).behind(shared=shared)

    def behind(self, *, shared: bool) -> Self:
        """Return the guard for a hole that is wide since noise is `shared`, or for a pixel."""
        return replace(self, window=SHARED_WINDOW if shared else WINDOW)

    def give_back(self, noisy: Tensor, result: Tensor) -> Tensor:
        """Return `result` with the part of its residual that noise cannot explain.

        Parameters
        ----------
        noisy, result
            Normalized pixels, float32 of shape (N, C, *spatial). Each channel and plane
            by itself; at the border of the image the window ends there.

        Examples
        --------
        >>> import torch
        >>> noisy = torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
        >>> guard = Guard((0.0,), (1.0,), (0.1,))
        >>> bool((guard.give_back(noisy, 0 * noisy) == 0).float().mean() > 0.9)
        True
        >>> bool((guard.give_back(10 * noisy, 0 * noisy) / noisy).mean() > 9.9)
        True
        """
        residual = noisy - result
        gain, variance = self._column(self.gain, result), self._variance(result)
        excess = residual**2 / variance
        for _ in range(2):  # so that nearer pixels count more
            excess = local_mean(excess, self.window)
        # By what factor squares of counted photons scatter more than those of Gaussian noise.
        scatter = (1 + gain**2 / (2 * variance)).sqrt()
        excess = excess / (1 + (EXCESS - 1) * scatter)
        weight = 1 - excess.clamp_min(1.0) ** -2
        return result + weight * residual

    def _variance(self, signal: Tensor) -> Tensor:
        gain, intercept, least = (
            self._column(values, signal) for values in (self.gain, self.intercept, self.least)
        )
        return (gain * signal + intercept).maximum(least)

    @staticmethod
    def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return like.new_tensor(values).view(-1, *(1,) * (like.ndim - 2))

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` needs, in JSON's types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild it from a model file's header."""
        gain, intercept, least = (
            tuple(map(float, values[name])) for name in ("gain", "intercept", "least")
        )
        return cls(gain, intercept, least, int(values["window"]))
