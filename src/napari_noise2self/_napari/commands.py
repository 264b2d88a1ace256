"""What the layer menu does with one click: denoise a layer, or fill its gaps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import napari

from ..core.config import TrainingConfig
from ..core.repair import fill_nan
from .layers import result_name, source_of

PLUGIN, DOCK = "napari-noise2self", "Denoise"


def dock_of(viewer: Any) -> Any:
    """Return the viewer's Denoise widget; opens the dock if it is not there.

    Parameters
    ----------
    viewer
        A napari viewer with a window.
    """
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    dock.show()
    return widget


def denoise_selected_layer(viewer: napari.viewer.Viewer) -> None:
    """Train on the active image layer with the defaults and denoise it.

    Parameters
    ----------
    viewer
        The viewer, which napari hands in.
    """
    widget = dock_of(viewer)
    panel = widget.panel
    panel.layer_box.layer_combo.setValue(viewer.layers.selection.active)
    panel.form.setValue(TrainingConfig())
    panel.denoise_after_check.setChecked(True)
    widget.train(start_over=True)


def fill_selected_layer(viewer: napari.viewer.Viewer) -> None:
    """Add a copy of the active image layer without NaN and infinite values.

    It is filled plane by plane as it is looked at or trained on, so that a long
    stack makes nobody wait.

    Parameters
    ----------
    viewer
        The viewer, which napari hands in.
    """
    source = source_of(viewer.layers.selection.active)
    image = source.image
    assert image.axes is not None
    if not isinstance(image.data, da.Array):
        chunks = [-1 if letter in "YX" else 1 for letter in image.axes]
        image = replace(image, data=da.from_array(image.data, chunks=chunks))
    taken = {layer.name for layer in viewer.layers}
    viewer.add_image(
        fill_nan(image).data,
        name=result_name(image.name, taken, suffix="filled"),
        rgb=source.rgb,
        **source.appearance,
    )
