"""Mend pixels that no statistics can take: NaN and infinite values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, overload

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from .axes import Image
from .errors import ImageError


@overload
def fill_nan(image: Image) -> Image: ...


@overload
def fill_nan(image: Any) -> NDArray[Any]: ...


def fill_nan(image: Any) -> Any:
    """Return `image` with each NaN, infinite or masked value replaced by its nearest pixel.

    Parameters
    ----------
    image
        `Image` or array-like of 2 dimensions or more. The nearest pixel is looked
        for within its plane: along Y and X if the image says which axes these
        are, else along the last two. A plane without a finite pixel becomes zero.
        What a `numpy.ma.MaskedArray` masks counts as missing.

    Returns
    -------
    numpy.ndarray, dask.array.Array or Image
        What was given, with its dtype: a dask array is filled plane by plane
        when it is read, anything else is a copy. An `Image` keeps its axes and
        scale.

    Examples
    --------
    >>> fill_nan(np.array([[1.0, np.nan], [3.0, 4.0]]))
    array([[1., 1.],
           [3., 4.]])
    """
    if not isinstance(image, Image):
        return _filled(image, (-2, -1))
    axes = (image.axes or "YX").upper()
    plane = (axes.index("Y") - len(axes), axes.index("X") - len(axes))
    return replace(image, data=_filled(image.data, plane))


def _filled(data: Any, plane: tuple[int, int]) -> Any:
    if isinstance(data, da.Array):
        whole = data.rechunk({axis % data.ndim: -1 for axis in plane})
        return whole.map_blocks(_filled, plane, dtype=data.dtype, meta=whole._meta)
    result = np.array(data, order="C")
    if result.ndim < 2:
        raise ImageError(f"an image of shape {result.shape} has no plane; arrange it in Y and X")
    missing = np.ma.getmaskarray(data) if np.ma.isMaskedArray(data) else None
    if result.dtype.kind != "f" and missing is None:
        return result
    planes = np.moveaxis(result, plane, (-2, -1))
    for index in np.ndindex(planes.shape[:-2]):
        pixels = planes[index]  # a view
        bad = ~np.isfinite(pixels)
        if missing is not None:
            bad |= np.moveaxis(missing, plane, (-2, -1))[index]
        if bad.all():
            pixels[...] = 0
        elif bad.any():
            nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
            pixels[...] = pixels[tuple(nearest)]
    return result
