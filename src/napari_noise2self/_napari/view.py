"""What the viewer shows of a layer, as a window of its array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .layers import array_of
from .preview import Window, within

LEAST_EDGE = 64
"""Pixels along Y and X that a network is given at least, even if fewer are shown."""


def window_shown(layer: Any, dims: Any, axes: str, limit: int) -> Window | None:
    """Return the part of a layer that is on the screen, around its centre.

    Parameters
    ----------
    layer
        A napari image layer.
    dims
        The viewer's ``dims``.
    axes
        Axes of the layer's array.
    limit
        Most pixels to read, all dimensions but the channels together.

    Returns
    -------
    Window or None
        None where the layer is not on the screen.
    """
    shape = tuple(int(n) for n in array_of(layer).shape)
    visible = _visible(layer, dims, axes, shape)
    if any(start >= stop for start, stop in visible):
        return None
    spread = [d for d, a in enumerate(axes) if a in "YX" and _extent(visible[d]) > 1]
    while (pixels := _pixels(_grown(visible, axes, shape), axes)) > limit:
        before = list(visible)
        for d in spread:
            edge = max(LEAST_EDGE // 2, int(_extent(visible[d]) * math.sqrt(limit / pixels)))
            visible[d] = _centred(visible[d], edge)
        if visible == before:
            break
    read = _grown(visible, axes, shape)
    return Window(
        read=tuple(slice(*part) for part in read), show=tuple(slice(*part) for part in visible)
    )


def moved_translate(layer: Any, window: Window) -> Any:
    """Return the translate of a layer that shows only `window`, in its place."""
    corner = np.array([part.start for part in window.show[: layer.ndim]], float)
    transform = np.asarray(layer.affine.affine_matrix)[:-1, :-1]
    world = np.asarray(layer.data_to_world(corner)) - np.asarray(
        layer.data_to_world(np.zeros(layer.ndim))
    )
    return np.asarray(layer.translate) + np.linalg.solve(transform, world)


def _visible(layer: Any, dims: Any, axes: str, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Start and stop along each dimension of the array."""
    missing = dims.ndim - layer.ndim
    displayed = {d - missing for d in dims.displayed}
    place = np.asarray(layer.world_to_data(dims.point))
    corners = np.asarray(layer.corner_pixels, float)
    if layer.multiscale:
        factors = np.asarray(layer.downsample_factors[layer.data_level])
        corners = np.array([corners[0] * factors, (corners[1] + 1) * factors - 1])
    parts = []
    for d, (letter, size) in enumerate(zip(axes, shape, strict=True)):
        if letter == "C":
            parts.append((0, size))
        elif d in displayed and letter in "YX" and corners[1, d] > corners[0, d]:
            start, last = (int(c) for c in corners[:, d])
            parts.append((max(0, start), min(size, last + 1)))
        elif d in displayed and letter in "YX":  # nothing drawn yet
            parts.append((0, size))
        else:
            # in 3-D display nothing selects a plane: the middle one
            at = size // 2 if d in displayed else int(np.floor(place[d] + 0.5))
            parts.append((at, at + 1) if 0 <= at < size else (0, 0))
    return parts


def _grown(
    visible: list[tuple[int, int]], axes: str, shape: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Return the parts with what a network wants to see around them."""
    grown = []
    for (start, stop), letter, size in zip(visible, axes, shape, strict=True):
        more = max(0, LEAST_EDGE - (stop - start) + 1) // 2 if letter in "YX" else 0
        grown.append(within(start - more, stop + more, size))
    return grown


def _centred(part: tuple[int, int], edge: int) -> tuple[int, int]:
    if _extent(part) <= edge:
        return part
    start = (part[0] + part[1] - edge) // 2
    return start, start + edge


def _extent(part: tuple[int, int]) -> int:
    return part[1] - part[0]


def _pixels(parts: list[tuple[int, int]], axes: str) -> int:
    return math.prod(_extent(p) for p, a in zip(parts, axes, strict=True) if a != "C")
