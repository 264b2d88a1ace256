"""Hide a grid of pixels, so that any filter becomes J-invariant at them.

    f(x)_J = g(1_H s(x) + (1 - 1_H) x)_J

J is every stride-th pixel, H the pixels hidden with it: J grown by the
footprint. This is numpy's side of what `masks` does for networks; scikit-image's
`denoise_invariant` hides single pixels only, which correlated noise sees through.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[Any]


def strides(footprint: tuple[int, ...]) -> tuple[int, ...]:
    """Return the spacing of the target pixels: three visible ones between two holes."""
    return tuple(width + 3 for width in footprint)


def offsets(footprint: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the offset of each J-set once; together they cover every pixel."""
    return itertools.product(*(range(stride) for stride in strides(footprint)))


def targets(footprint: tuple[int, ...], offset: tuple[int, ...]) -> tuple[slice, ...]:
    """Return J of one pass, as slices."""
    return tuple(slice(o, None, s) for o, s in zip(offset, strides(footprint), strict=True))


def hide(
    x: Array,
    footprint: tuple[int, ...],
    offset: tuple[int, ...],
    rng: np.random.Generator | None = None,
) -> Array:
    """Return a copy of `x` in which H is filled from the visible pixels around it.

    Parameters
    ----------
    x
        Image, shape (*spatial).
    footprint
        Width of the hole around a target along each axis, odd.
    offset
        Which J-set.
    rng
        None fills with the average of the neighbours, the better prediction.
        A generator draws one neighbour for each hidden pixel instead, so that
        the image stays as noisy as it was.
    """
    hidden = np.ones((), dtype=bool)
    for size, stride, width, start in zip(
        x.shape, strides(footprint), footprint, offset, strict=True
    ):
        line = (np.arange(size) - start + width // 2) % stride < width
        hidden = hidden[..., np.newaxis] & line
    return _average(x, hidden, footprint) if rng is None else _draw(x, hidden, footprint, rng)


def _average(x: Array, hidden: Array, footprint: tuple[int, ...]) -> Array:
    """Fill by a Gaussian average with weight zero on H and outside the image.

    Padding would leak a border pixel into its own estimate (`replicate` at
    once, `reflect` from a radius of 2 on), and zeros would darken the border.
    """
    sigma = [max(0.7, width / 3) for width in footprint]
    visible = (~hidden).astype(np.float64)
    total = ndimage.gaussian_filter(np.where(hidden, 0.0, x), sigma, mode="constant")
    weight = ndimage.gaussian_filter(visible, sigma, mode="constant")
    return np.where(hidden, total / weight, x).astype(x.dtype)


def _draw(x: Array, hidden: Array, footprint: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Fill each hidden pixel with a visible one at most a hole's width away."""
    output = x.copy()
    missing = np.argwhere(hidden)
    while len(missing):
        near = missing + rng.integers(
            np.negative(footprint), footprint, missing.shape, endpoint=True
        )
        near = np.clip(near, 0, np.array(x.shape) - 1)
        seen = ~hidden[tuple(near.T)]
        output[tuple(missing[seen].T)] = x[tuple(near[seen].T)]
        missing = missing[~seen]
    return output
