"""J-partitions of the pixel grid, the holes that hide them, and what fills the holes.

Two sets, never confused: J holds the target pixels of a pass, H the hidden
ones. H is J grown by the footprint, so that noise which is correlated over a
few pixels cannot tell the network what it should have predicted. The loss is
taken on J alone, and nothing of x on H reaches the output on J.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .axes import SPATIAL
from .errors import ConfigError
from .filters import gaussian_weights, weighted_sum_zeros


@dataclass(frozen=True)
class Grid:
    """The partition of space into J-sets: every `stride`-th pixel, at every offset.

    Attributes
    ----------
    stride
        Spacing of the target pixels along each spatial axis, in pixels.
    footprint
        Width of the hole around a target along each axis, odd, below the stride.
    """

    stride: tuple[int, ...]
    footprint: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.stride) != len(self.footprint):
            raise ConfigError(
                f"stride {self.stride} and footprint {self.footprint} differ in length; "
                "give one number for each spatial axis"
            )
        for stride, width in zip(self.stride, self.footprint, strict=True):
            if width < 1 or width % 2 == 0:
                raise ConfigError(f"footprint {self.footprint}: each width must be odd")
            if stride <= width:
                raise ConfigError(
                    f"stride {stride} does not exceed the hole's width {width}: the holes would "
                    f"touch and leave nothing to predict from; use a stride of {width + 1} or more"
                )

    @classmethod
    def for_footprint(cls, footprint: Sequence[int], stride: int) -> Grid:
        """Return the grid of this `stride`, raised along the axes where the hole asks for more."""
        return cls(tuple(max(stride, width + 1) for width in footprint), tuple(footprint))

    def __len__(self) -> int:
        """Return the number of J-sets: the masked passes that together cover every pixel."""
        return math.prod(self.stride)

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """Yield the offset of each J-set once."""
        return itertools.product(*(range(s) for s in self.stride))

    def masks(self, shape: Sequence[int], offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return J and H for one offset a sample.

        Parameters
        ----------
        shape
            Spatial extent, in pixels.
        offsets
            Integers of shape (N, ndim): a pixel at coordinate c is in J of
            sample n where ``(c - offsets[n]) % stride == 0`` along every axis.

        Returns
        -------
        tuple of Tensor
            J and H, boolean, each of shape (N, 1, *shape).
        """
        ndim = len(shape)
        targets = hidden = torch.ones((), dtype=torch.bool, device=offsets.device)
        for axis, (size, stride, width) in enumerate(
            zip(shape, self.stride, self.footprint, strict=True)
        ):
            c = torch.arange(size, device=offsets.device)
            phase = c[None] - offsets[:, axis, None]  # (N, size)
            view = [len(offsets), 1] + [1] * ndim
            view[2 + axis] = size
            targets = targets & (phase % stride == 0).view(view)
            hidden = hidden & ((phase + width // 2) % stride < width).view(view)
        return targets, hidden


def check_footprint(footprint: tuple[int, ...], axes: str) -> None:
    """Refuse a hole that has neither a width for Y and X nor one for each spatial axis."""
    spatial = "".join(a for a in SPATIAL if a in axes)
    if len(footprint) not in (2, len(spatial)):
        raise ConfigError(
            f"footprint={footprint} has {len(footprint)} widths and the image {len(spatial)} "
            f'spatial axes ("{spatial}"); give one odd width for each, or None to measure them'
        )


def donut_weights(width: int) -> tuple[float, ...]:
    """Return the Gaussian weights that reach past the rim of a hole of this width, along one axis.

    They reach as far as the hole is wide, with a standard deviation of a third
    of that. Less would not do: in a corner of the image, where the holes are cut
    off, the nearest visible pixel can lie on the far side of the hole.
    """
    return gaussian_weights(max(1.0, width / 3), width)


def donut_fill(x: Tensor, hidden: Tensor, footprint: tuple[int, ...]) -> Tensor:
    """Replace hidden pixels by a weighted mean of the visible ones around them.

    A normalized average: weight zero on every hidden pixel and outside the
    image, so that nothing leaks at the border either. (Padding would leak:
    `replicate` at once, `reflect` from a radius of 2 on, where a row meets
    itself in the mirror; zeros would darken the border.)

    Parameters
    ----------
    x
        Float32 of shape (N, C, *spatial).
    hidden
        Boolean of shape (N, 1, *spatial).
    footprint
        Width of the hole along each spatial axis, odd.
    """
    total = _blur(x.masked_fill(hidden, 0.0), footprint)
    weight = _blur((~hidden).to(x.dtype), footprint)
    # Where no visible pixel is in reach (a hole as wide as the image) the mean is zero.
    return torch.where(hidden, total / weight.clamp_min(1e-6), x)


def _blur(x: Tensor, footprint: tuple[int, ...]) -> Tensor:
    """Convolve (N, C, *spatial) with the weights of each axis in turn, zero outside."""
    for axis, width in enumerate(footprint):
        x = weighted_sum_zeros(x, donut_weights(width), axis - len(footprint))
    return x
