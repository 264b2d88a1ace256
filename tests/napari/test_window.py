"""The plugin in a real napari window, on a real or a virtual screen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton, QScrollArea

from napari_noise2self._napari.controls import State
from napari_noise2self._napari.layers import METADATA_KEY
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.calibration import calibrate
from napari_noise2self.core.config import TrainingConfig
from napari_noise2self.io.calibrations import read_calibration, write_calibration

PLUGIN = "napari-noise2self"
LONG = 60_000


@pytest.fixture(autouse=True)
def _a_screen(qapp: QApplication) -> None:
    if qapp.platformName() == "offscreen":
        hint = "these tests need a screen; on Linux install xvfb and pytest-xvfb"
        if os.environ.get("CI"):
            pytest.fail(hint)
        pytest.skip(hint)


@pytest.fixture
def open_window(make_napari_viewer: Callable[..., Any]) -> Callable[[], Any]:
    """Return a function that opens a window of 1280 x 720."""

    def make() -> Any:
        viewer = make_napari_viewer(show=True)
        viewer.window._qt_window.resize(1280, 720)
        return viewer

    return make


@pytest.fixture
def window(open_window: Callable[[], Any]) -> Any:
    return open_window()


def dock(viewer: Any) -> DenoiseWidget:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Denoise")
    return widget


def click(qtbot: Any, button: Any) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def quick(endless: TrainingConfig) -> Iterator[TrainingConfig]:
    return endless


def test_from_a_sample_to_a_model_and_back(
    qtbot: Any,
    open_window: Callable[[], Any],
    endless: TrainingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "cells.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    viewer = open_window()
    viewer.open_sample(PLUGIN, "cells")
    (source,) = viewer.layers
    widget = dock(viewer)
    panel = widget.panel
    panel.form.setValue(endless)
    assert "512 x 512" in panel.layer_box.understood_label.text()

    click(qtbot, panel.train_button)
    preview_name = f"{source.name} preview"
    qtbot.waitUntil(lambda: preview_name in viewer.layers, timeout=LONG)
    first = viewer.layers[preview_name].data.copy()
    qtbot.waitUntil(
        lambda: not np.array_equal(viewer.layers[preview_name].data, first), timeout=LONG
    )
    assert panel.loss_plot.curves.held_out
    with qtbot.waitSignal(widget.training_finished, timeout=LONG):
        click(qtbot, panel.train_button)
    assert panel.train_button.text() == "Continue"

    with qtbot.waitSignal(widget.denoising_finished, timeout=LONG):
        click(qtbot, panel.denoise_button)
    result = viewer.layers[f"{source.name} denoised"]
    np.testing.assert_array_equal(result.scale, source.scale)
    assert result.units == source.units
    assert result.axis_labels == source.axis_labels
    assert result.contrast_limits == source.contrast_limits
    steps = result.metadata[METADATA_KEY]["model"]["steps"]

    click(qtbot, panel.save_button)
    qtbot.waitUntil(lambda: widget.state.at_rest and path.is_file(), timeout=LONG)
    image = np.asarray(result.data).copy()
    viewer.close()

    viewer = open_window()
    viewer.open_sample(PLUGIN, "cells")
    widget = dock(viewer)
    click(qtbot, widget.panel.load_button)
    qtbot.waitUntil(lambda: widget.state is State.READY, timeout=LONG)
    assert f"{steps} steps" in widget.panel.model_label.text()
    with qtbot.waitSignal(widget.denoising_finished, timeout=LONG):
        click(qtbot, widget.panel.denoise_button)
    np.testing.assert_array_equal(viewer.layers[-1].data, image)


def test_the_dock_opens_at_once_and_leaves_the_canvas_its_place(window: Any, qtbot: Any) -> None:
    window.open_sample(PLUGIN, "cells")
    begin = time.perf_counter()
    widget = dock(window)
    seconds = time.perf_counter() - begin
    qtbot.wait(200)
    assert seconds < 2, "0.5 on an idle computer"
    assert window.window._qt_viewer.canvas.native.width() >= 500
    area = widget.findChild(QScrollArea)
    assert area.verticalScrollBar().maximum() == 0, "all is in view"
    assert area.widget().width() <= area.viewport().width(), "nothing is cut off at the right"
    main = window.window._qt_window
    assert (main.width(), main.height()) == (1280, 720)


@pytest.mark.parametrize("close", ["dock", "viewer"])
@pytest.mark.parametrize("busy", ["training", "denoising"])
def test_closing_stops_the_work(
    qtbot: Any,
    window: Any,
    tiny: TrainingConfig,
    endless: TrainingConfig,
    noisy: np.ndarray,
    close: str,
    busy: str,
) -> None:
    window.add_image(np.stack([noisy] * 400), name="cells")
    widget = dock(window)
    widget.panel.denoise_after_check.setChecked(False)
    widget.panel.form.setValue(endless if busy == "training" else tiny)
    widget.train()
    if busy == "training":
        qtbot.waitUntil(lambda: "cells preview" in window.layers, timeout=LONG)
    else:
        qtbot.waitUntil(lambda: widget.state is State.READY, timeout=LONG)
        widget.denoise()
        qtbot.waitUntil(lambda: widget.panel.progress_bar.value() > 40, timeout=LONG)
    job = widget._ties.job
    if close == "dock":
        title = widget.parent().titleBarWidget()
        title.findChild(QPushButton, "QTitleBarCloseButton").click()
        qtbot.waitUntil(lambda: job.wait(0), timeout=LONG)
        qtbot.wait(50)
        again = dock(window)
        assert again is not widget
        again.panel.form.setValue(tiny)
        with qtbot.waitSignal(again.training_finished, timeout=LONG):
            again.train()
    else:
        window.close()
        qtbot.waitUntil(lambda: job.wait(0), timeout=LONG)
        qtbot.wait(50)


def test_the_preview_follows_the_camera(
    qtbot: Any, window: Any, endless: TrainingConfig, noisy: np.ndarray
) -> None:
    window.add_image(np.tile(noisy, (16, 16)), name="large")
    widget = dock(window)
    widget.panel.form.setValue(endless)
    widget.train()
    qtbot.waitUntil(lambda: "large preview" in window.layers, timeout=LONG)
    camera = getattr(window, "scene", window).camera
    camera.zoom = 8
    camera.center = (0, 900, 200)
    preview = window.layers["large preview"]

    def there() -> bool:
        y, x = preview.translate
        height, width = preview.data.shape
        return bool(y < 900 < y + height and x < 200 < x + width and width < 300)

    qtbot.waitUntil(there, timeout=LONG)
    widget.stop()
    qtbot.waitUntil(lambda: widget.state.at_rest, timeout=LONG)


def test_a_model_file_dropped_on_the_viewer_goes_into_the_dock(
    qtbot: Any, window: Any, tiny: TrainingConfig, noisy: np.ndarray, tmp_path: Path
) -> None:
    window.add_image(noisy, name="cells")
    widget = dock(window)
    widget.panel.form.setValue(tiny)
    with qtbot.waitSignal(widget.denoising_finished, timeout=LONG):
        widget.train()
    path = str(tmp_path / "model.safetensors")
    assert window.layers["cells denoised"].save(path, plugin=PLUGIN) == [path]
    window.window.remove_dock_widget(widget.parent())

    window.window._qt_viewer._qt_open([path], stack=False)
    widget = dock(window)
    qtbot.waitUntil(lambda: widget.state is State.READY, timeout=LONG)
    assert "6 steps" in widget.panel.model_label.text()
    assert len(window.layers) == 2, "a model is no layer"


def test_a_filter_dropped_on_the_viewer_goes_into_the_other_dock(
    qtbot: Any, window: Any, noisy: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "filter.safetensors"
    write_calibration(path, calibrate(noisy, "median"))
    window.add_image(noisy, name="cells")
    window.window._qt_viewer._qt_open([str(path)], stack=False)
    _, widget = window.window.add_plugin_dock_widget(PLUGIN, "Calibrate")
    qtbot.waitUntil(lambda: widget.calibration is not None and not widget.busy, timeout=LONG)
    with qtbot.waitSignal(widget.accepted, timeout=LONG):
        widget.accept()
    expected = read_calibration(path).predict(noisy)
    np.testing.assert_array_equal(window.layers["cells calibrated median"].data, expected)


def test_one_click_in_the_layer_menu(
    qtbot: Any,
    window: Any,
    noisy: np.ndarray,
    tiny: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_noise2self._napari import commands

    monkeypatch.setattr(commands, "TrainingConfig", lambda: tiny)
    window.add_image(noisy, name="cells")
    window.window._qt_window  # noqa: B018 - the application's commands are there with it
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-noise2self.denoise_layer")
    qtbot.waitUntil(lambda: "cells denoised" in window.layers, timeout=LONG)


@pytest.mark.parametrize(
    ("sample", "axes"),
    [("cells", "yx"), ("zstack", "zyx"), ("timelapse", "tyx"), ("correlated", "yx")],
)
def test_samples_open_with_scale_units_and_labels(window: Any, sample: str, axes: str) -> None:
    window.open_sample(PLUGIN, sample)
    (layer,) = window.layers
    assert "".join(layer.axis_labels) == axes
    assert str(layer.units[-1]) == "micrometer"
    assert layer.data.dtype == np.uint16
    assert dock(window).panel.layer_box.axes() == axes.upper()


def test_both_themes_are_readable(window: Any) -> None:
    widget = dock(window)
    for theme in ("light", "dark"):
        window.theme = theme
        canvas = widget.panel.loss_plot.canvas
        background = canvas.backgroundBrush().color().lightness()
        text = canvas.getPlotItem().getAxis("left").textPen().color().lightness()
        assert abs(background - text) > 100
