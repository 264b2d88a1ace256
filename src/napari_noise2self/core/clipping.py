"""Pixels that were cut off at the ends of the range: saturated, or clipped to the black.

Clipping shows as a spike at the very end of the histogram. Dark photon counts
have a spike at zero as well; they go on falling from there, while what was
clipped stands alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST = 20
"""Pixels at an end of the range that make a spike, at least."""

STANDS_OUT = 2.0
"""A spike holds this many times the pixels of the value next to it."""

ALIKE = 1.5
"""Values next to the spike fall by less than this; counts of photons fall faster."""


def clipped_levels(values: NDArray[np.floating]) -> tuple[float | None, float | None]:
    """Return the values at which the dark and the bright end are cut off, None if not.

    Parameters
    ----------
    values
        Pixels of one channel, any shape; what is not finite is left out.

    Returns
    -------
    tuple
        The lowest value if pixels were clipped to it; the highest if pixels
        are saturated at it.

    Examples
    --------
    >>> import numpy as np
    >>> clipped_levels(np.random.default_rng(0).normal(2, 1, 10000).clip(0, 255))
    (0.0, None)
    """
    found, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    low = float(found[0]) if _stands_alone(counts) else None
    high = float(found[-1]) if _stands_alone(counts[::-1]) else None
    return low, high


def _stands_alone(counts: NDArray[np.intp]) -> bool:
    if len(counts) < 4 or counts[0] < FEWEST:
        return False
    second, third = np.maximum(counts[1:3], 1)
    return bool(counts[0] > STANDS_OUT * second and second < ALIKE * third)


def without_clipped(runs: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the runs with saturated pixels made NaN, so that their blocks are left out."""
    if not runs:
        return runs
    high = clipped_levels(np.concatenate([run.ravel() for run in runs]))[1]
    if high is None:
        return runs
    return [np.where(run >= high, np.float32(np.nan), run) for run in runs]
