"""How responsive napari stays while it trains: the gaps between the ticks of a 10 ms timer.

    python benchmarks/gui_responsiveness.py [--seconds 40] [--no-preview]

A real window (run it under ``xvfb-run`` where there is no screen), the sample
of cells, the default configuration. The import of torch happens in the worker
after the click; its gaps are stated apart, and so are those of the second in
which the first preview becomes a layer: beside them is what napari takes to add
a layer of the same size while nothing trains. With ``--no-preview`` and without
it, the two step rates tell what the preview costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from typing import Any

import napari
import numpy as np
from _window import own_settings, settle
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

TICK = 0.010


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="of training, torch imported")
    parser.add_argument("--size", type=int, default=512, help="edge of the image in pixels")
    parser.add_argument("--no-preview", action="store_true")
    options = parser.parse_args()
    with own_settings():
        print(json.dumps(measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train for a while and return what was seen."""
    from napari_noise2self import samples

    viewer = napari.Viewer()
    app = QApplication.instance()
    assert app is not None
    image = samples.cells(size=options.size).noisy
    viewer.add_image(image.data, name="cells", scale=image.scale, units=image.units)
    settle(app, 1.0)

    begin = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget("napari-noise2self", "Denoise")
    opened = time.perf_counter() - begin
    assert "torch" not in sys.modules
    dock.panel.preview_check.setChecked(not options.no_preview)
    dock.panel.form.setValue(replace(dock.panel.form.value(), steps=1_000_000, patience=0))
    settle(app, 1.0)

    ticks: list[float] = []
    previews: list[float] = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    show = dock.live.show

    def counted(preview: Any) -> bool:
        previews.append(time.perf_counter())
        return bool(show(preview))

    dock.live.show = counted
    timer.start(round(TICK * 1000))
    settle(app, 1.0)
    adding = time.perf_counter()
    added = viewer.add_image(image.data, name="another", scale=image.scale, units=image.units)
    settle(app, 1.0)
    viewer.layers.remove(added)
    viewer.layers.selection.active = viewer.layers["cells"]
    settle(app, 1.0)
    clicked = time.perf_counter()
    failures: list[str] = []
    dock.failed.connect(failures.append)
    dock.train()
    while dock.denoiser is None or not dock.denoiser.record.steps:
        if failures:
            raise SystemExit(failures[0])
        app.processEvents()
        time.sleep(0.0005)
    begun, first_step = time.perf_counter(), dock.denoiser.record.steps
    settle(app, options.seconds)
    ended, last_step = time.perf_counter(), dock.denoiser.record.steps
    dock.stop()
    while dock.busy:
        app.processEvents()
    stopped = time.perf_counter()
    timer.stop()
    viewer.close()

    at = np.array(ticks)
    shown = np.array(previews)
    settled = min(shown[0] + 1.0, ended) if len(shown) else begun
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "qt": os.environ.get("QT_API", "default"),
        "dock_opened_s": round(opened, 3),
        "gaps_ms": {
            "before the click": gaps(at, 0, adding),
            "a layer is added, nothing trains": gaps(at, adding - 2 * TICK, adding + 1.0),
            "importing torch, analysing": gaps(at, clicked, begun),
            "training, the preview becomes a layer": gaps(at, begun, settled),
            "training, from then on": gaps(at, settled, ended),
        },
        "first_preview_s": round(float(shown[0] - clicked), 2) if len(shown) else None,
        "previews_every_s": round(float(np.diff(shown).mean()), 2) if len(shown) > 1 else None,
        "steps_per_second": round((last_step - first_step) / (ended - begun), 3),
        "stopped_after_s": round(stopped - ended, 2),
    }


def gaps(at: np.ndarray, begin: float, end: float) -> dict[str, float]:
    """Median, 99th percentile and worst time between two ticks, in milliseconds."""
    between = np.diff(at[(at >= begin) & (at <= end)]) * 1000
    if not len(between):
        return {"ticks": 0}
    return {
        "median": round(float(np.median(between)), 1),
        "p99": round(float(np.percentile(between, 99)), 1),
        "worst": round(float(between.max()), 1),
        "ticks": len(between),
    }


if __name__ == "__main__":
    main()
