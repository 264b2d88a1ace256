"""Take the screenshots of the documentation: a real training in a real window.

    xvfb-run -s "-screen 0 1280x720x24 +extension GLX" python docs/scripts/screenshots.py

Writes ``docs/images/napari-<state>-<theme>.png`` at 1280 x 720 for the states
idle, training, finished and error of the dock Denoise, and for the docks
Calibrate and Inspect.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication

IMAGES = Path(__file__).parents[1] / "images"
COLOURS = 256
"""A palette keeps the files small and the noise as it is."""


def main() -> None:
    """Go from state to state and take a picture of each in both themes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="balanced", help="how long to train")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scope = QSettings.Scope.UserScope
        QSettings.setPath(QSettings.Format.IniFormat, scope, folder)
        take_all(options.preset, options.out)


def take_all(preset: str, out: Path) -> None:
    """Train on the sample of cells and photograph the window on the way."""
    viewer = napari.Viewer(show=False)
    window = viewer.window._qt_window
    window.resize(1280, 720)
    window.show()
    viewer.open_sample("napari-noise2self", "cells")
    _, dock = viewer.window.add_plugin_dock_widget("napari-noise2self", "Denoise")
    combo = dock.panel.preset_combo
    combo.setCurrentIndex(combo.findData(preset))
    run_until(lambda: False, 1.0)
    photograph(viewer, "idle", out)

    dock.train()
    steps = dock.panel.form.value().steps
    run_until(lambda: dock.denoiser is not None and dock.denoiser.record.steps > steps // 2)
    photograph(viewer, "training", out)
    run_until(lambda: any("denoised" in layer.name for layer in viewer.layers) and not dock.busy)
    run_until(lambda: False, 1.0)
    photograph(viewer, "finished", out)
    viewer.window.remove_dock_widget(dock)
    take_calibrate(viewer, out)
    take_inspect(viewer, out)

    _, dock = viewer.window.add_plugin_dock_widget("napari-noise2self", "Denoise")
    bad = np.array(viewer.layers[0].data, np.float32)
    bad[200:210, 300:310] = np.nan
    viewer.layers.clear()
    viewer.add_image(bad, name="ratio image", contrast_limits=(90, 200))
    dock.train()
    run_until(lambda: not dock.busy)
    photograph(viewer, "error", out)
    viewer.close()


def take_calibrate(viewer: Any, out: Path) -> None:
    """Calibrate a filter on the noisy layer, and photograph the curve and the preview."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-noise2self", "Calibrate")
    viewer.layers[-1].visible = False
    dock.layer_box.layer_combo.setValue(viewer.layers["cells"])
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("tv"))
    dock.start()
    run_until(lambda: not dock.busy)
    run_until(lambda: any("preview" in layer.name for layer in viewer.layers))
    run_until(lambda: False, 2.0)
    photograph(viewer, "calibrate", out)
    viewer.window.remove_dock_widget(dock)


def take_inspect(viewer: Any, out: Path) -> None:
    """Compare the denoised layer with its source, and photograph what is found."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-noise2self", "Inspect")
    viewer.layers["cells denoised"].visible = True
    dock.layer_box.layer_combo.setValue(viewer.layers["cells denoised"])
    dock.inspect()
    run_until(lambda: not dock.busy)
    run_until(lambda: False, 1.0)
    photograph(viewer, "inspect", out)
    viewer.window.remove_dock_widget(dock)


def photograph(viewer: Any, state: str, out: Path) -> None:
    """Save the window as it is, in the dark and in the light theme."""
    for theme in ("light", "dark"):
        viewer.theme = theme
        run_until(lambda: False, 0.7)
        picture = viewer.screenshot(canvas_only=False, flash=False)
        image = (
            Image.fromarray(picture)
            .convert("RGB")
            .quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=0)
        )
        image.save(out / f"napari-{state}-{theme}.png", optimize=True)


def run_until(condition: Callable[[], bool], seconds: float = 3600.0) -> None:
    """Run the event loop until something is the case, or for some seconds."""
    app = QApplication.instance()
    assert app is not None
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        app.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main()
