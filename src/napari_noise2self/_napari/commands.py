"""What the layer menu does with one click: train on a layer and denoise it."""

from __future__ import annotations

from typing import Any

import napari

from ..core.config import TrainingConfig

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
