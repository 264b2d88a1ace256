"""Whether two images are a pair to train on: the same scene, in the same place, twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.registration import phase_cross_correlation

from .axes import Stack
from .blocks import finite_window
from .errors import ConfigError, ImageError
from .methods import METHODS

LARGEST_SHIFT = 0.75
"""Pixels by which the two may be shifted before training on them blurs the result."""
CONVINCING = 8.0
"""Standard errors by which the correlation must rise for a shift to be believed: the best of
all shifts of pure noise reaches some five."""
LOOKED_AT = 512
"""Pixels along Y and X of the central region that is compared."""


def check_target(method: str, target: Any) -> None:
    """Refuse a target that the method does not take, or the lack of one that it does.

    Raises
    ------
    ConfigError
        With what to change.
    """
    takes = METHODS[method].takes_target
    if takes and target is None:
        raise ConfigError(
            f'method="{method}" needs a target: give a second image of the scene as '
            'target=, or use method="noise2self"'
        )
    if target is not None and not takes:
        raise ConfigError(
            f'method="{method}" takes no target: leave it out, or use method="noise2noise" '
            '(a second noisy image) or "noise2clean"'
        )


def check_pair(noisy: Stack, target: Stack) -> None:
    """Refuse a target that is of another shape, not finite, shifted, or the noisy image itself.

    Parameters
    ----------
    noisy, target
        The two acquisitions; their central planes are compared.

    Raises
    ------
    ImageError
        With the shift, if there is one, and what to do about it.
    """
    if noisy.shape != target.shape:
        raise ImageError(
            f"the noisy image is {noisy.shape} (samples, channels, space) and the target "
            f"{target.shape}; give two images of one scene with the same shape and axes"
        )
    first, second = _central(noisy, "image"), _central(target, "target")
    if np.array_equal(first, second):
        raise ImageError(
            "the target is the noisy image itself: a network would learn to copy it; give a second "
            'acquisition, or train without a target (method="noise2self")'
        )
    if first.std() > 0 and not second.std() > 0:
        raise ImageError(
            "the target is constant where the image is not: nothing can be learnt from it; is it "
            "the right layer or file?"
        )
    if not first.std() > 0:
        return  # an empty plane tells nothing about a shift
    shift, _, _ = phase_cross_correlation(first, second, upsample_factor=4, normalization=None)
    rounded = tuple(round(float(s)) for s in shift)
    if np.abs(shift).max() <= LARGEST_SHIFT:
        return
    moved = np.roll(second, rounded, axis=(0, 1))
    gain = _correlation(first, moved) - _correlation(first, second)
    if gain > CONVINCING / np.sqrt(first.size):
        raise ImageError(
            f"the target is shifted by {-shift[0]:.1f} pixels in y and {-shift[1]:.1f} in x; "
            "register the two images first, for example with "
            "skimage.registration.phase_cross_correlation and scipy.ndimage.shift"
        )


def _central(stack: Stack, name: str) -> NDArray[np.float32]:
    """Return the central plane of the middle sample, channels averaged, at most 512 x 512."""
    window = [slice(n // 2, n // 2 + 1) for n in stack.spatial[:-2]]
    for n in stack.spatial[-2:]:
        start = max(0, (n - LOOKED_AT) // 2)
        window.append(slice(start, min(n, start + LOOKED_AT)))
    values = finite_window(stack, stack.samples // 2, tuple(window), name=name)
    plane: NDArray[np.float32] = values.mean(axis=0).reshape(values.shape[-2:])
    return plane


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
