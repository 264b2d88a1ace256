"""Between napari's layers and arrays with axes: what goes in, what comes back, under which name.

Everything here runs in the GUI thread; what it returns keeps no layer alive, and
an `Image` of it may cross threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from ..core.axes import Image, Stack, check_axes, describe, guess_axes
from ..core.errors import AxesError, ImageError

METADATA_KEY = "napari-noise2self"
"""Where a result layer keeps the record of the model that made it."""

APPEARANCE = (
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
    "colormap",
    "contrast_limits",
    "gamma",
    "blending",
)
"""What a result takes over from its source."""

_LETTERS = {
    "T": ("t", "time", "frame", "frames"),
    "S": ("s", "sample", "samples", "p", "position", "scene", "series"),
    "C": ("c", "channel", "channels", "ch"),
    "Z": ("z", "plane", "slice", "depth"),
    "Y": ("y", "row", "height"),
    "X": ("x", "column", "width"),
}
_WORDS = {word: letter for letter, words in _LETTERS.items() for word in words}


@dataclass(frozen=True)
class Source:
    """What is known about a layer at the moment of a click.

    Attributes
    ----------
    layer
        The layer itself.
    image
        Its pixels as they are (numpy, dask or zarr; level 0 of a pyramid), with axes.
    appearance
        Keyword arguments that make a result layer look and lie like it.
    rgb
        Whether the last dimension is colour.
    alpha
        The fourth channel of an RGBA layer, which is passed on as it is.
    """

    layer: ReferenceType[Any]
    image: Image
    appearance: Mapping[str, Any]
    rgb: bool
    alpha: Any = None


def array_of(layer: Any) -> Any:
    """Return the pixels of an image layer: the full-resolution level, never copied."""
    return layer.data[0] if layer.multiscale else layer.data


def labelled_axes(layer: Any) -> str | None:
    """Return the axes that the layer's labels name; None where they are no axes of the image."""
    letters = "".join(_WORDS.get(str(label).lower(), "?") for label in layer.axis_labels)
    if layer.rgb:
        letters += "C"
    try:
        return check_axes(tuple(array_of(layer).shape), letters)
    except AxesError:
        return None


def detected_axes(layer: Any) -> str:
    """Return the axes that the layer's labels name, else those that its shape suggests.

    Raises
    ------
    AxesError
        If it has more than 5 dimensions.
    """
    return labelled_axes(layer) or guess_axes(tuple(array_of(layer).shape), rgb=layer.rgb)


def source_of(layer: Any, axes: str | None = None) -> Source:
    """Take what a job needs from a layer.

    Parameters
    ----------
    layer
        A napari image layer.
    axes
        Axes string; None for the detected one.

    Raises
    ------
    AxesError
        If the axes do not fit.
    ImageError
        If the pixels are of a kind that cannot be denoised.
    """
    data = array_of(layer)
    axes = check_axes(tuple(data.shape), axes) if axes else detected_axes(layer)
    alpha = None
    if layer.rgb and data.shape[-1] == 4:
        data, alpha = data[..., :3], data[..., 3:]
    tail = (1.0,) if layer.rgb else ()
    names = ("pixel",) if layer.rgb else ()
    image = Image(
        data,
        axes=axes,
        scale=(*(float(s) for s in layer.scale), *tail),
        units=(*(str(unit) for unit in layer.units), *names),
        name=layer.name,
    )
    Stack.of(image)
    appearance = {name: getattr(layer, name) for name in APPEARANCE}
    if layer.rgb:
        del appearance["colormap"], appearance["contrast_limits"], appearance["gamma"]
    return Source(ref(layer), image, appearance, layer.rgb, alpha)


def unscaled(source: Source) -> Source:
    """Return the source of a result whose values are no intensities: same place, own contrast."""
    kept = set(source.appearance) - {"contrast_limits", "gamma", "blending"}
    return replace(source, appearance={name: source.appearance[name] for name in sorted(kept)})


def understood(layer: Any, axes: str) -> str:
    """Say in one sentence what a layer is taken for."""
    data = array_of(layer)
    words = describe(tuple(data.shape), axes, np.dtype(data.dtype))
    if layer.rgb:
        words = words.replace(f"{data.shape[-1]} channels", "colour")
    elif layer.multiscale:
        words += ", full resolution of the pyramid"
    if str(layer.units[-1]) != "pixel":
        words += f"; {_pixel_size(layer)} pixels"
    return words


def _pixel_size(layer: Any) -> str:
    """Return the extent of a pixel along Y and X, once where both are the same."""
    sizes = [f"{float(s):.3g} {u:~P}" for s, u in zip(layer.scale, layer.units, strict=True)][-2:]
    return sizes[-1] if sizes[0] == sizes[-1] else " x ".join(sizes)


def region_of(shapes: Any, layer: Any, axes: str) -> tuple[slice, ...]:
    """Return the part of an image that the shapes bound, along Y and X.

    Parameters
    ----------
    shapes
        A napari shapes layer; its selected shapes count, or all if none is.
    layer
        The image layer.
    axes
        The image's axes.

    Returns
    -------
    tuple of slice
        One for each dimension of the image's array.

    Raises
    ------
    ImageError
        If there is no shape, or it lies beside the image.
    """
    chosen = shapes.selected_data or range(len(shapes.data))
    if not chosen:
        raise ImageError(
            f'the layer "{shapes.name}" has no shape yet; draw a rectangle on it, or choose '
            "the whole image as region"
        )
    shape = array_of(layer).shape
    corners = np.array(
        [_between(shapes, layer, vertex) for n in sorted(chosen) for vertex in shapes.data[n]]
    )
    slices = []
    for dimension, (letter, size) in enumerate(zip(axes, shape, strict=True)):
        if letter not in "YX":
            slices.append(slice(0, size))
            continue
        start = int(np.clip(np.floor(corners[:, dimension].min() + 0.5), 0, size))
        stop = int(np.clip(np.ceil(corners[:, dimension].max() + 0.5), 0, size))
        if start >= stop:
            raise ImageError(
                f'the shapes of "{shapes.name}" lie beside the image "{layer.name}"; move them '
                "onto it, or choose the whole image as region"
            )
        slices.append(slice(start, stop))
    return tuple(slices)


def _between(shapes: Any, layer: Any, vertex: Any) -> Any:
    """Return a vertex of a shapes layer in the data coordinates of an image layer."""
    world = np.atleast_1d(shapes.data_to_world(vertex))
    padded = np.concatenate([np.zeros(max(0, layer.ndim - len(world))), world])
    return np.asarray(layer.world_to_data(padded[-layer.ndim :]))


def result_name(name: str, taken: Collection[str], *, suffix: str = "denoised") -> str:
    """Return a name for a result that no other layer has.

    Examples
    --------
    >>> result_name("cells", {"cells", "cells denoised"})
    'cells denoised 2'
    """
    plain = f"{name} {suffix}"
    numbered = (f"{plain} {n}" for n in itertools.count(2))
    return next(n for n in itertools.chain([plain], numbered) if n not in taken)


def pixels_for_display(data: Any, source: Source) -> Any:
    """Return a result as napari can show it.

    A colour image must be of its own integer type or within 0 and 1; every
    other result stays float32, in the input's units.
    """
    if not source.rgb:
        return data
    kind = np.dtype(source.image.data.dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        data = np.clip(np.rint(np.nan_to_num(data)), limits.min, limits.max).astype(kind)
    else:
        data = np.clip(data, 0, 1)
    return data if source.alpha is None else np.concatenate([data, source.alpha], axis=-1)
