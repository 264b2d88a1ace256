"""What is left in memory of a training in napari once its dock is closed.

    python benchmarks/gui_memory.py [--cycles 20] [--layers-only | --headless]

Each cycle opens the dock in the same window, trains with live preview, denoises,
closes the dock and clears the layers. Growth is counted from the fourth cycle
on, when every library has been warmed up.

A window of napari 0.9.2 keeps some megabytes of every layer that it has shown,
and under PySide6 the layer itself. Two controls tell whose the growth is:
``--layers-only`` adds and clears the same layers without this plugin, and
``--headless`` runs the plugin on a viewer model without a window.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import weakref
from collections import defaultdict
from dataclasses import replace
from typing import Any

import napari
import psutil
from _window import own_settings, settle
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

from napari_noise2self import samples
from napari_noise2self._napari.widget import DenoiseWidget

FIRST_COUNTED = 4


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--size", type=int, default=512, help="edge of the image in pixels")
    control = parser.add_mutually_exclusive_group()
    control.add_argument("--layers-only", action="store_true", help="neither dock nor training")
    control.add_argument("--headless", action="store_true", help="no window")
    options = parser.parse_args()
    with own_settings():
        print(json.dumps(measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the cycles and return the memory after each."""
    app = QApplication.instance() or QApplication([])
    viewer = ViewerModel() if options.headless else napari.Viewer()
    process = psutil.Process()
    megabytes: list[float] = []
    references: dict[str, list[weakref.ref[Any]]] = defaultdict(list)
    for _ in range(options.cycles):
        for name, made in (layers_only if options.layers_only else cycle)(viewer, app, options):
            references[name].append(made)
        settle(app, 0.3)
        gc.collect()
        megabytes.append(round(process.memory_info().rss / 2**20, 1))
    if not options.headless:
        viewer.close()
    return {
        "megabytes": megabytes,
        "growth_from_the_fourth_on": round(megabytes[-1] - megabytes[FIRST_COUNTED - 1], 1),
        "alive": {
            name: f"{sum(made() is not None for made in all_made)} of {len(all_made)}"
            for name, all_made in references.items()
        },
    }


Made = list[tuple[str, weakref.ref[Any]]]


def cycle(viewer: Any, app: Any, options: argparse.Namespace) -> Made:
    """Train, denoise and close; return weak references to what must not stay."""
    data = samples.cells(size=options.size).noisy.data
    viewer.add_image(data, name="cells")
    dock, widget = None, DenoiseWidget(viewer)
    if not options.headless:
        dock = viewer.window.add_dock_widget(widget, name="Denoise")
    widget.panel.form.setValue(replace(widget.panel.form.value(), steps=options.steps, width=16))
    widget.panel.denoise_after_check.setChecked(True)
    failures: list[str] = []
    widget.failed.connect(failures.append)
    widget.train()
    while "cells denoised" not in viewer.layers or widget.busy:
        if failures:
            raise SystemExit(failures[0])
        app.processEvents()
        time.sleep(0.001)
    made = {
        "noisy pixels": data,
        "denoised pixels": viewer.layers["cells denoised"].data,
        "network": widget.denoiser.network,
        "denoiser": widget.denoiser,
        "dock": widget,
    }
    if dock is not None:
        viewer.window.remove_dock_widget(dock)
    viewer.layers.clear()
    return [(name, weakref.ref(thing)) for name, thing in made.items()]


def layers_only(viewer: Any, app: Any, options: argparse.Namespace) -> Made:
    """Show and clear layers as a training would."""
    data = samples.cells(size=options.size).noisy.data
    viewer.add_image(data, name="cells")
    viewer.add_image(data[:256, :256].astype("float32"), name="cells preview")
    settle(app, 0.5)
    viewer.layers.remove("cells preview")
    viewer.add_image(data.astype("float32"), name="cells denoised")
    settle(app, 0.5)
    viewer.layers.clear()
    return [("noisy pixels", weakref.ref(data))]


if __name__ == "__main__":
    main()
