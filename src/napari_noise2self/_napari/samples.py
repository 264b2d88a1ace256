"""Sample images for File > Open Sample."""

from __future__ import annotations

from typing import Any

from .. import samples
from ..core.axes import Image

LayerData = tuple[Any, dict[str, Any], str]


def cells() -> list[LayerData]:
    """Cells, few photons."""
    return [_layer(samples.cells().noisy)]


def zstack() -> list[LayerData]:
    """Nuclei in a volume."""
    return [_layer(samples.zstack().noisy)]


def timelapse() -> list[LayerData]:
    """Vesicles in a movie."""
    return [_layer(samples.timelapse().noisy)]


def correlated() -> list[LayerData]:
    """Cells whose noise is shared between neighbouring pixels."""
    return [_layer(samples.correlated().noisy)]


def _layer(image: Image) -> LayerData:
    assert image.axes is not None
    options = {
        "name": image.name,
        "scale": image.scale,
        "units": image.units,
        "axis_labels": tuple(image.axes.lower()),
    }
    return image.data, {name: value for name, value in options.items() if value}, "image"
