"""What the layer menu does with a layer that has NaN in it: fill the gaps.

Apart from the other commands, since it takes dask, which the dock can open without.
"""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import napari

from ..core.repair import fill_nan
from .commands import selected_image
from .layers import result_name, source_of
from .placing import stand_in


def fill_selected_layer(viewer: napari.viewer.Viewer) -> None:
    """Add a copy of the selected image layer without NaN and infinite values.

    It is filled plane by plane as it is looked at or trained on, so that a long
    stack makes nobody wait.

    Parameters
    ----------
    viewer
        The viewer, which napari hands in.
    """
    layer = selected_image(viewer)
    if layer is None:
        return
    source = source_of(layer)
    image = source.image
    assert image.axes is not None
    if not isinstance(image.data, da.Array):
        chunks = [-1 if letter in "YX" else 1 for letter in image.axes]
        image = replace(image, data=da.from_array(image.data, chunks=chunks))
    taken = {layer.name for layer in viewer.layers}
    pixels = fill_nan(image).data
    if source.alpha is not None:
        pixels = da.concatenate([pixels, source.alpha], axis=-1)
    filled = viewer.add_image(
        pixels,
        name=result_name(image.name, taken, suffix="filled"),
        rgb=source.rgb,
        **source.appearance,
    )
    stand_in(viewer.layers, filled, source.layer())
