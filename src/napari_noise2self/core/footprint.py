"""The hole that hides a pixel: how much of its noise the pixels around the hole give away.

If the autocovariance of the noise is known, so is the best linear prediction of
a pixel's noise from the pixels that stay visible. The share of the variance
that it explains, the leak, is what a network can copy at best; the hole is made
just wide enough for the leak to be small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .spectrum import CERTAIN, PATCHY, AxisCorrelation

DETECTED = 0.28
"""Leak of a hole of one pixel above which a wider one is proposed.

Neighbours that are correlated by 0.35 along one axis, or by 0.27 along two,
leak as much. White noise stays below 0.02, and below 0.1 where fine texture of
the size of the noise fills the image; camera frames that were interpolated leak
0.5 to 0.9. A hole costs 1 to 4 dB where noise is white, so that a weak leak is
better left alone.
"""

DROWNED = 0.03
"""The same for the leak times the noise's variance over the structure's.

Of noise that drowns the structure a network learns a weak leak as well: it is most
of what there is to be learnt, and lies over the result as a fine pattern. A hole
gains 0.7 dB where there is 3 times as much noise and a correlation of 0.15 along x;
with a fifth as much noise as structure it costs 0.3 dB.
"""

LOUDEST = 10.0
"""Noise over structure beyond which more counts no further: some leak is found by chance."""

REMAINS = 0.02
"""Leak that the proposed hole may leave; a good denoiser leaves a tenth of the variance."""

JOINS = 0.2
"""Correlation from which on an axis takes part in the hole, once there is one."""

JOINS_DROWNED = 0.1
"""The same where the noise drowns the structure; it leaks `REMAINS`."""

SURE = 1.5
"""Standard errors that are taken off a correlation before it counts for detection."""

WIDEST = 9
"""Widest hole that is proposed, in pixels; also the width along lines."""

_FLOOR = 0.02  # of a spectrum, so that errors of the estimate predict nothing perfectly
_PERIOD = 64  # pixels


def _autocorrelation(found: AxisCorrelation) -> NDArray[np.float64]:
    """Return it at lags 0, 1, ... of the nearest process that can exist."""
    lags = np.zeros(_PERIOD)
    lags[0] = 1
    for k, rho in enumerate(found.rho, start=1):
        lags[k] = lags[-k] = rho
    spectrum = np.maximum(np.fft.fft(lags).real, _FLOOR)
    clipped = np.fft.ifft(spectrum).real
    return np.asarray(clipped / clipped[0])


def leak(axes: Sequence[AxisCorrelation], hole: Sequence[int]) -> float:
    """Return the share of a pixel's noise variance that its visible surroundings give away.

    The correlation is taken as separable; offsets of whole lines are not part
    of it.

    Parameters
    ----------
    axes
        Correlation along each axis.
    hole
        Width of the hole along each of them, in pixels, odd.

    Returns
    -------
    float
        0.0 for white noise or a hole that hides all that is correlated, up to
        1.0 for noise that its surroundings determine.

    Examples
    --------
    >>> found = AxisCorrelation("X", (0.4, 0.0), (0.01, 0.01))
    >>> round(leak([found], [1]), 2), round(leak([found], [3]), 2)
    (0.4, 0.0)
    """
    lags = [_autocorrelation(a) for a in axes]
    radii = [max(width // 2 + 2, 4) for width in hole]
    places = np.array(list(itertools.product(*(range(-r, r + 1) for r in radii))))
    hidden = (np.abs(places) <= np.array(hole) // 2).all(1)
    places = places[~hidden]
    between = np.ones((len(places), len(places)))
    target = np.ones(len(places))
    for k, correlation in enumerate(lags):
        between *= correlation[np.abs(places[:, None, k] - places[None, :, k])]
        target *= correlation[np.abs(places[:, k])]
    return float(np.clip(target @ np.linalg.solve(between, target), 0, 1))


def _believed(axes: Sequence[AxisCorrelation], *, noise_only: bool) -> list[AxisCorrelation]:
    return [a for a in axes if a.certain and not (noise_only and a.patchiness > PATCHY)]


def _less(found: AxisCorrelation, *, errors: float, beyond: int = 0) -> AxisCorrelation:
    """Move the correlation beyond a lag towards zero by its error, so that chance adds no leak."""
    rho, error = np.array(found.rho), np.array(found.error)
    error[:beyond] = 0
    rho = np.sign(rho) * np.maximum(np.abs(rho) - errors * error, 0)
    return replace(found, rho=tuple(rho.tolist()))


def alike(axes: Sequence[AxisCorrelation], *, noise_only: bool = False) -> bool:
    """Whether neighbours are too much alike for white noise, be it noise or structure.

    With `noise_only` axes along which structure shows are left out.
    """
    if any(a.lines for a in axes):
        return True
    return _leaks(axes, SURE, noise_only=noise_only) > DETECTED


def _leaks(axes: Sequence[AxisCorrelation], errors: float, *, noise_only: bool) -> float:
    """Return the leak of a single pixel as far as the measurement can be believed."""
    believed = [_less(a, errors=errors) for a in _believed(axes, noise_only=noise_only)]
    return leak(believed, [1] * len(believed)) if believed else 0.0


def hole(axes: Sequence[AxisCorrelation], loudness: float = 0.0) -> tuple[int, ...]:
    """Return the width of the hole along each axis: the smallest that leaks little enough.

    Y and X get the same width where both are correlated: a camera has no
    preferred direction, and the error of the estimate shall not make one.

    Parameters
    ----------
    axes
        Correlation along each axis.
    loudness
        Variance of the noise over that of the structure; 0.0 for unknown.

    Examples
    --------
    >>> found = AxisCorrelation("X", (0.15, 0.0), (0.01, 0.01))
    >>> hole([found]), hole([found], loudness=8.0)
    ((1,), (3,))
    """
    widths = {a.axis: 1 for a in axes}
    drowned = _leaks(axes, CERTAIN, noise_only=True) * min(loudness, LOUDEST) > DROWNED
    if not (drowned or alike(axes, noise_only=True)):
        return tuple(widths.values())
    joins = JOINS_DROWNED if drowned else JOINS
    joining = [
        _less(a, errors=1, beyond=1)
        for a in _believed(axes, noise_only=True)
        if abs(a.rho[0]) > joins
    ]
    groups = [[a.axis for a in joining if a.axis in letters] for letters in ("Z", "YX")]
    groups = [group for group in groups if group]
    for choice in sorted(
        itertools.product(range(1, WIDEST + 1, 2), repeat=len(groups)),
        key=lambda choice: math.prod(w ** len(g) for w, g in zip(choice, groups, strict=True)),
    ):
        widths.update({a: w for w, group in zip(choice, groups, strict=True) for a in group})
        if not joining or leak(joining, [widths[a.axis] for a in joining]) <= REMAINS:
            break
    widths.update({a.axis: WIDEST for a in axes if a.lines})
    return tuple(widths.values())
