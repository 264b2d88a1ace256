"""What the layer menu does with one click: train on a layer and denoise it."""

from __future__ import annotations

from typing import Any

import napari

from ..core.config import TrainingConfig

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
