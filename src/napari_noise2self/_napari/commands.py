"""What the layer menu does with one click: train on a layer and denoise it."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image
from napari.utils.notifications import show_error

from ..core.config import TrainingConfig
from .layer_box import is_preview

PLUGIN = "napari-noise2self"


def dock_of(viewer: Any, name: str = "Denoise") -> Any:
    """Return a widget of the viewer's; opens its dock if it is not there.

    Parameters
    ----------
    viewer
        A napari viewer with a window.
    name
        The widget's name in the manifest.
    """
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    dock.show()
    return widget


def selected_image(viewer: Any) -> Any:
    """Return the one image layer that is selected; None where the user was asked to select one."""
    layer = viewer.layers.selection.active
    if isinstance(layer, Image) and not is_preview(layer):
        return layer
    show_error("Select exactly one image layer in the layer list; a live preview is none.")
    return None


def denoise_selected_layer(viewer: napari.viewer.Viewer) -> None:
    """Train on the selected image layer with the defaults and denoise it.

    Parameters
    ----------
    viewer
        The viewer, which napari hands in.
    """
    layer = selected_image(viewer)
    if layer is None:
        return
    widget = dock_of(viewer)
    if widget.busy:
        show_error("The dock Denoise is at work. Wait for it, or click Stop there.")
        return
    widget.panel.layer_box.layer_combo.setValue(layer)
    widget.train(start_over=True, config=TrainingConfig())
