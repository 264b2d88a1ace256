"""Two images out of one: each noisier than the image, and their noise uncorrelated.

Hiding a pixel keeps a network from copying its noise, and throws the pixel's own
measurement away. Where the noise is known there is another way: to add noise to
the image, and to take the same noise off it again. What is added, `e`, has the
variance of the noise that is there, so that in

    first = x + e,    second = x - e

the two noises do not correlate: cov(first, second) = var(x) - var(e) = 0. A
network that predicts the second from the first cannot do better than to predict
the clean image, as in Noise2Noise, and it sees every pixel.

Correlation is not all there is to dependence. The noise of photons is skewed, and
`e` has to be larger where there happen to be more of them: it is drawn by the
variance at the pixel, as far as that comes from photons, and by the variance in
the neighbourhood, as far as it is read noise. Where photons are few and read
noise is weak, `e` deals each photon to one of the two images by the toss of a coin,
which makes two independent Poisson images of one.

References
----------
Pang, Zheng, Quan, Ji, "Recorrupted-to-Recorrupted", CVPR 2021.
Monroy, Bacca, Tachella, "Generalized Recorrupted-to-Recorrupted", CVPR 2025.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from .devices import autocast, laid_on
from .filters import local_mean
from .noise_level import NoiseLevel
from .normalization import Normalization

FEW = 6.0
"""Photons in the neighbourhood below which they are dealt one by one."""
COUNTED = 16
"""Most that are dealt to one pixel; the sum of more coin tosses is Gaussian."""
TELLING = 0.5
"""Read noise, in grey levels of a photon, above which single photons cannot be told."""
REACH = 5
"""Edge of the neighbourhood whose mean stands for the signal, in pixels."""


class Draws(NamedTuple):
    """The random numbers of one split, one of each for every value.

    Attributes
    ----------
    uniform
        Float32, from 0 to 1.
    normal
        Float32, of mean 0 and variance 1.
    tosses
        Integers of `COUNTED` random bits, the tosses of a coin.
    """

    uniform: Tensor
    normal: Tensor
    tosses: Tensor

    @classmethod
    def drawn(cls, shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Self:
        """Draw them on the host, so that every device splits alike, and lay them on `device`."""
        return cls(
            laid_on(device, torch.rand(shape, generator=generator, dtype=torch.float32)),
            laid_on(device, torch.randn(shape, generator=generator, dtype=torch.float32)),
            laid_on(device, torch.randint(2**COUNTED, shape, generator=generator)),
        )


@dataclass(frozen=True)
class Recorruption:
    """Makes two images with uncorrelated noise out of one, by the variance of its noise.

    Attributes
    ----------
    gain, intercept
        For each channel, in normalized units: the variance of the noise of a
        pixel is ``gain * signal + intercept``.
    read
        The part of it that is read noise; the rest is photons'.
    """

    gain: tuple[float, ...]
    intercept: tuple[float, ...]
    read: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.gain, *self.intercept, *self.read)
        if not len(self.gain) == len(self.intercept) == len(self.read):
            raise ValueError(f"noise {numbers}: not as many of each kind")
        if not all(map(math.isfinite, numbers)) or min(*self.gain, *self.read) < 0:
            raise ValueError(f"noise {numbers}: infinite or negative")

    @classmethod
    def from_noise(cls, noise: NoiseLevel, normalization: Normalization) -> Self:
        """Bring a noise level from the units of the image to normalized ones.

        Parameters
        ----------
        noise
            What ``estimate_noise`` found.
        normalization
            Statistics of the same image.
        """
        channels = noise.normalized(normalization).channels
        return cls(
            tuple(c.gain for c in channels),
            tuple(c.intercept for c in channels),
            tuple(c.read for c in channels),
        )

    def variance(self, x: Tensor) -> Tensor:
        """Return the noise's variance where the signal is `x`, (N, C, *spatial); at least 0."""
        return (_column(self.gain, x) * x + _column(self.intercept, x)).clamp_min(0.0)

    def split(self, x: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return two images with the clean image in common, each of twice the noise's variance.

        Parameters
        ----------
        x
            Normalized noisy pixels, float32 of shape (N, C, *spatial).
        draws
            Random numbers of the shape of `x`.

        Examples
        --------
        >>> rng = torch.Generator().manual_seed(0)
        >>> x = torch.poisson(torch.full((1, 1, 400, 400), 3.0), rng)
        >>> draws = Draws.drawn(x.shape, rng, x.device)
        >>> a, b = Recorruption((1.0,), (0.0,), (0.0,)).split(x, draws)
        >>> bool((a + b == 2 * x).all()), bool(abs(((a - 3) * (b - 3)).mean()) < 0.1)
        (True, True)
        """
        with autocast(x.device, torch.float32):  # it stands in for pixels
            e = self._added(x, draws)
        return x + e, x - e

    def _added(self, x: Tensor, draws: Draws) -> Tensor:
        """Return what is added to one image and taken off the other."""
        gain, read = _column(self.gain, x), _column(self.read, x)

        around = local_mean(x, REACH)
        there = self.variance(around).clamp_min(1e-12)
        shot = (1 - read / there).clamp(0.0, 1.0)  # share of the photons in the variance
        gaussian = self.variance(around + shot * (x - around)).sqrt() * draws.normal

        light = gain * x + _column(self.intercept, x) - read  # gain times what is above black
        photons = light / gain.clamp_min(1e-6) ** 2
        whole = torch.floor(photons + draws.uniform).clamp_min(1.0)  # an integer of the right mean
        none = light <= 2 * gain * read.sqrt()  # no pulse stands out from the read noise
        whole = torch.where(none, 0.0, whole)
        few = (there - read < FEW * gain**2) & (read < (TELLING * gain) ** 2)
        dealt = few & (whole <= COUNTED)
        count = torch.where(dealt, whole, 0.0)
        heads = _ones(draws.tosses & ((1 << count.long()) - 1))
        tossed = gain * photons * (2 * heads / count.clamp_min(1.0) - 1)
        tossed = torch.where(count > 0, tossed, 0.0) + read.sqrt() * draws.normal
        return torch.where(dealt, tossed, gaussian)

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` needs, in JSON's types."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild it from a model file's header."""
        return cls(*(tuple(map(float, values[f.name])) for f in fields(cls)))


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return _laid(values, like.device).view(-1, *(1,) * (like.ndim - 2))


@cache  # a few numbers for each model, never dropped: a recorded step reads them where they lie
def _laid(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def _ones(bits: Tensor) -> Tensor:
    """Count the ones of 16-bit integers, by pairs, then fours, then bytes."""
    bits = bits - ((bits >> 1) & 0x5555)
    bits = (bits & 0x3333) + ((bits >> 2) & 0x3333)
    bits = (bits + (bits >> 4)) & 0x0F0F
    return ((bits + (bits >> 8)) & 0x1F).float()
