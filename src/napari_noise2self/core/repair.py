"""Mend pixels that no statistics can take: NaN and infinite values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from .axes import Image


@overload
def fill_nan(image: Image) -> Image: ...


@overload
def fill_nan(image: Any) -> NDArray[Any]: ...


def fill_nan(image: Any) -> Any:
    """Return a copy of `image` in which each NaN or infinite value is its nearest finite pixel.

    Parameters
    ----------
    image
        `Image` or array-like of 2 dimensions or more; the nearest pixel is
        looked for along the last two axes, and where a whole plane has no finite
        pixel it becomes zero.

    Returns
    -------
    numpy.ndarray or Image
        What was given, with its dtype; an `Image` keeps its axes and scale.

    Examples
    --------
    >>> fill_nan(np.array([[1.0, np.nan], [3.0, 4.0]]))
    array([[1., 1.],
           [3., 4.]])
    """
    if isinstance(image, Image):
        return replace(image, data=fill_nan(image.data))
    result = np.array(image, order="C")  # so that the planes below are views
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
