"""Mend pixels that no statistics can take: NaN and infinite values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def fill_nan(image: Any) -> NDArray[Any]:
    """Return a copy of `image` in which each NaN or infinite value is its nearest finite pixel.

    Parameters
    ----------
    image
        Array-like of any shape; the nearest pixel is looked for along the last
        two axes, and where a whole plane has no finite pixel it becomes zero.

    Examples
    --------
    >>> fill_nan(np.array([[1.0, np.nan], [3.0, 4.0]]))
    array([[1., 1.],
           [3., 4.]])
    """
    result = np.array(image)
    if result.dtype.kind != "f":
        return result
    for plane in result.reshape(-1, *result.shape[-2:]):
        bad = ~np.isfinite(plane)
        if bad.all():
            plane[...] = 0
        elif bad.any():
            nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
            plane[...] = plane[tuple(nearest)]
    return result
