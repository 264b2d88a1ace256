"""The dock Calibrate on a headless viewer, with the real filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QProgressBar, QWidget

from napari_noise2self._napari import calibration_jobs
from napari_noise2self._napari.calibrate import FAMILY_LABELS, CalibrateWidget, State
from napari_noise2self._napari.calibration_jobs import looking
from napari_noise2self._napari.calibration_plot import CalibrationPlot
from napari_noise2self._napari.layers import METADATA_KEY
from napari_noise2self._napari.preview import Window
from napari_noise2self._napari.theme import colours
from napari_noise2self.api import write_image
from napari_noise2self.core.axes import Image
from napari_noise2self.core.calibration import calibrate
from napari_noise2self.core.classical import FAMILIES
from napari_noise2self.core.config import FAMILY, Progress
from napari_noise2self.io.calibrations import read_calibration, write_calibration

LONG = 60_000


@pytest.fixture
def dock(qtbot: Any, viewer: ViewerModel) -> CalibrateWidget:
    widget = CalibrateWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.family_combo.currentData() == FAMILY
    widget.family_combo.setCurrentIndex(widget.family_combo.findData("median"))
    return widget


def press(qtbot: Any, button: Any) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def calibrated(qtbot: Any, dock: CalibrateWidget) -> None:
    with qtbot.waitSignal(dock.calibration_finished, timeout=LONG):
        press(qtbot, dock.start_button)


def looked(qtbot: Any, dock: CalibrateWidget) -> None:
    qtbot.waitUntil(lambda: dock.preview._ties.job is None, timeout=LONG)


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_every_family_has_a_name() -> None:
    assert FAMILY_LABELS.keys() == FAMILIES.keys()


def test_the_scripted_names_and_tooltips_are_there(dock: CalibrateWidget) -> None:
    for name in (
        "layer_combo",
        "family_combo",
        "start_button",
        "accept_button",
        "progress_bar",
        "state_label",
    ):
        assert dock.findChild(QWidget, name) is not None, name
    for kind in (QAbstractButton, QComboBox, QLineEdit, QProgressBar):
        for control in dock.findChildren(kind):
            if control.objectName() and not control.objectName().startswith("qt_"):
                assert control.toolTip(), control.objectName()


def test_without_an_image_nothing_can_be_started(dock: CalibrateWidget) -> None:
    assert not dock.start_button.isEnabled()
    assert not dock.accept_button.isEnabled()
    assert dock.plot.isHidden()
    assert "Open an image" in dock.state_label.text()


def test_start_look_choose_accept(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray
) -> None:
    source = viewer.add_image(
        noisy,
        name="cells",
        scale=(0.5, 0.5),
        units=("um", "um"),
        colormap="green",
        contrast_limits=(60, 140),
        gamma=0.9,
    )
    calibrated(qtbot, dock)
    direct = calibrate(noisy, "median")
    assert dock.plot.points == [(trial.parameters["radius"], trial.loss) for trial in direct.trials]
    assert dock.plot.best == (direct.parameters["radius"], direct.loss)
    assert dock.plot.shown == direct.parameters["radius"], "the ring is on the lowest"
    assert f"radius {direct.parameters['radius']}" in dock.state_label.text()
    assert f"{1 - direct.loss:.1%} below" in dock.chosen_label.text()
    assert "a small difference may be a visible gain" in dock.chosen_label.text()
    looked(qtbot, dock)
    preview = viewer.layers["cells preview"]
    np.testing.assert_array_equal(preview.data, direct.predict(noisy))
    assert viewer.layers.selection.active == source

    dock.plot.chosen.emit(5.0)
    looked(qtbot, dock)
    other = next(trial for trial in direct.trials if trial.parameters["radius"] == 5)
    np.testing.assert_array_equal(preview.data, direct.at(other).predict(noisy))
    assert "radius 5" in dock.chosen_label.text()

    with qtbot.waitSignal(dock.accepted, timeout=LONG):
        press(qtbot, dock.accept_button)
    assert names(viewer) == ["cells", "cells calibrated median"], "and the preview is gone"
    result = viewer.layers[-1]
    np.testing.assert_array_equal(result.data, direct.at(other).predict(noisy))
    np.testing.assert_array_equal(result.scale, source.scale)
    assert result.units == source.units
    assert result.colormap == source.colormap
    assert result.contrast_limits == source.contrast_limits
    assert result.gamma == source.gamma
    made = result.metadata[METADATA_KEY]
    assert made["parameters"] == {"radius": 5}
    assert made["source"] == "cells"
    with qtbot.waitSignal(dock.accepted, timeout=LONG):
        press(qtbot, dock.accept_button)
    assert names(viewer)[-1] == "cells calibrated median 2"


def test_save_load_in_another_viewer_accept(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray, tmp_path: Path
) -> None:
    assert not dock.save_button.isEnabled()
    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    dock.plot.chosen.emit(5.0)
    path = tmp_path / "filter.safetensors"
    dock.save(path)
    assert "filter.safetensors" in dock.state_label.text()

    other = ViewerModel()
    second = CalibrateWidget(other)
    qtbot.addWidget(second)
    with qtbot.waitSignal(second.loaded, timeout=LONG):
        second.load(path)
    assert second.calibration == dock.calibration
    assert second.plot.points == dock.plot.points
    assert second.plot.shown == 5
    assert "filter.safetensors: radius 5" in second.chosen_label.text()
    assert not second.accept_button.isEnabled(), "there is no image yet"
    other.add_image(noisy + 1, name="next day")
    with qtbot.waitSignal(second.accepted, timeout=LONG):
        press(qtbot, second.accept_button)
    result = other.layers["next day calibrated median"]
    np.testing.assert_array_equal(result.data, dock.calibration.predict(noisy + 1))
    other.layers.clear()


def test_a_loaded_filter_previews_the_layer_and_may_be_chosen_from(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "filter.safetensors"
    write_calibration(path, calibrate(noisy, "median"))
    viewer.add_image(noisy, name="cells")
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("tv"))
    with qtbot.waitSignal(dock.loaded, timeout=LONG):
        dock.load(path)
    assert dock.family_combo.currentData() == "median"
    looked(qtbot, dock)
    expected = read_calibration(path).predict(noisy)
    np.testing.assert_array_equal(viewer.layers["cells preview"].data, expected)
    dock.plot.chosen.emit(2.0)
    looked(qtbot, dock)
    assert np.any(viewer.layers["cells preview"].data != expected)
    assert "radius 2" in dock.chosen_label.text()


def test_the_preview_goes_along_to_another_layer(
    qtbot: Any,
    viewer: ViewerModel,
    dock: CalibrateWidget,
    noisy: np.ndarray,
    messages: list[str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "filter.safetensors"
    write_calibration(path, calibrate(noisy, "median"))
    with qtbot.waitSignal(dock.loaded, timeout=LONG):
        dock.load(path)
    filtered = read_calibration(path).predict
    viewer.add_image(noisy, name="cells")
    qtbot.waitUntil(lambda: "cells preview" in viewer.layers, timeout=LONG)
    second = viewer.add_image(np.stack([noisy + 1] * 2), name="next")
    qtbot.waitUntil(lambda: "next preview" in viewer.layers, timeout=LONG)
    assert "cells preview" not in viewer.layers
    np.testing.assert_array_equal(viewer.layers["next preview"].data[0], filtered(noisy + 1))

    label = dock.state_label
    for axes in ("no", "CYX", "TYX"):
        dock.layer_box.axes_edit.setText(axes)
        dock.layer_box.axes_edit.textEdited.emit(axes)
        if axes == "CYX":
            qtbot.waitUntil(lambda: "on 1 channel(s)" in label.text(), timeout=LONG)
    assert "color" not in label.styleSheet()
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: viewer.layers["next preview"].translate[0] == 1, timeout=LONG)
    assert messages == [], "looking around is no failure"
    viewer.layers.remove(second)
    qtbot.waitUntil(lambda: "cells preview" in viewer.layers, timeout=LONG)


def test_a_result_is_not_covered_by_a_preview_again(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    with qtbot.waitSignal(dock.accepted, timeout=LONG):
        press(qtbot, dock.accept_button)
    shapes = viewer.add_shapes([[[0, 0], [0, 39], [39, 39], [39, 0]]], name="region")
    dock.layer_box.region_combo.setValue(shapes)
    looked(qtbot, dock)
    qtbot.wait(50)
    assert names(viewer) == ["cells", "cells calibrated median", "region"]


def test_a_file_that_is_no_filter_leaves_the_present_one(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray, tmp_path: Path
) -> None:
    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    before = dock.calibration
    with qtbot.waitSignal(dock.failed, timeout=LONG) as signal:
        dock.load(tmp_path / "missing.safetensors")
    assert "missing.safetensors does not exist" in signal.args[0]
    assert dock.calibration == before
    with qtbot.waitSignal(dock.failed, timeout=LONG) as signal:
        dock.save(tmp_path / "no such folder" / "filter.safetensors")
    assert "no such folder" in signal.args[0]
    assert dock.accept_button.isEnabled()


def test_accept_takes_the_layer_above(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    viewer.add_image(noisy + 1, name="next")
    dock.layer_box.layer_combo.setValue(viewer.layers["next"])
    with qtbot.waitSignal(dock.accepted, timeout=LONG):
        press(qtbot, dock.accept_button)
    result = viewer.layers["next calibrated median"]
    np.testing.assert_array_equal(result.data, dock.calibration.predict(noisy + 1))


def test_an_accept_that_fails_shows_no_older_result(
    qtbot: Any,
    viewer: ViewerModel,
    dock: CalibrateWidget,
    noisy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    viewer.add_image(np.where(np.eye(64) > 0, np.nan, noisy), name="bad")
    folder = tmp_path / "bad.zarr"
    write_image(folder, noisy, axes="YX")
    monkeypatch.setattr("napari_noise2self._napari.calibrate.fits_in_memory", lambda _: False)
    monkeypatch.setattr("napari_noise2self._napari.dialogs.folder_for_result", lambda *_: folder)
    with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
        press(qtbot, dock.accept_button)
    assert "NaN" in failed.args[0]
    assert "NaN" in dock.state_label.text()
    assert "bad calibrated median" not in names(viewer)
    assert dock.start_button.isEnabled()


def test_the_preview_follows_the_slider(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, stack: np.ndarray
) -> None:
    viewer.add_image(stack, name="movie")
    calibrated(qtbot, dock)
    looked(qtbot, dock)
    layer = viewer.layers["movie preview"]
    viewer.dims.set_current_step(0, 5)
    qtbot.waitUntil(lambda: layer.translate[0] == 5, timeout=LONG)
    looked(qtbot, dock)
    np.testing.assert_allclose(layer.data[0], dock.calibration.predict(stack[5], "YX"))


def test_a_preview_that_was_deleted_comes_back_with_the_next_click_on_the_curve(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    looked(qtbot, dock)
    viewer.layers.remove("cells preview")
    dock.plot.chosen.emit(5.0)
    looked(qtbot, dock)
    assert names(viewer) == ["cells", "cells preview"]


def test_a_plane_of_a_volume_is_previewed_with_the_planes_around() -> None:
    """As in the result: a filter works in three dimensions."""
    volume = np.random.default_rng(0).normal(100, 10, (12, 64, 64)).astype(np.float32)
    found = calibrate(Image(volume, axes="ZYX"), "gaussian", values=(1.0,))
    window = (slice(5, 6), slice(0, 64), slice(0, 64))
    *_, looked = looking(found, volume, "ZYX", Window(window, window))
    whole = found.predict(volume, "ZYX")
    np.testing.assert_allclose(looked.preview.data, whole[window], rtol=1e-3)
    alone = found.predict(volume[window], "ZYX")
    assert np.abs(looked.preview.data - alone).max() > 1, "another result than by itself"


def test_stop_keeps_the_best_so_far(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, messages: list[str]
) -> None:
    image = np.random.default_rng(0).normal(100, 10, (512, 512)).astype(np.float32)
    viewer.add_image(image, name="cells")
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("nlm"))
    press(qtbot, dock.start_button)
    assert dock.state is State.CALIBRATING
    assert not dock.family_combo.isEnabled()
    dock.load("filter.safetensors")
    assert dock.state is State.CALIBRATING
    assert "filter.safetensors was not loaded" in messages[0]
    qtbot.waitUntil(lambda: len(dock.plot.points) > 0, timeout=LONG)
    with qtbot.waitSignal(dock.calibration_finished, timeout=LONG):
        press(qtbot, dock.start_button)
        assert dock.start_button.text() == "Stopping"
    assert dock.start_button.text() == "Start"
    assert dock.progress_bar.value() == 0
    assert "Stopped" in dock.state_label.text()
    assert len(dock.plot.points) < len(FAMILIES["nlm"].values[2])
    assert dock.accept_button.isEnabled()
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("gaussian"))
    viewer.layers["cells"].data = image[:64, :64]
    calibrated(qtbot, dock)
    assert dock.calibration.family == "gaussian", "and the user can go on"


def test_a_value_chosen_while_the_curve_is_drawn_stays(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells")
    trials: list[float] = []

    def first_of(event: Any) -> None:
        take(event)
        if len(dock.plot.points) == 1 and not trials:
            trials.append(dock.plot.points[0][0])
            dock.choose(trials[0])

    take, dock.take = dock.take, first_of  # type: ignore[method-assign]
    calibrated(qtbot, dock)
    assert dock.plot.best is not None
    assert dock.plot.best[0] != trials[0]
    assert dock.calibration.parameters == {"radius": trials[0]}
    assert len(dock.calibration.trials) == len(dock.plot.points)


@pytest.mark.parametrize(
    ("image", "mend"),
    [
        (np.full((64, 64), 7.0), "constant"),
        (np.where(np.eye(64) > 0, np.nan, 1.0), "NaN"),
    ],
    ids=["constant", "NaN"],
)
def test_a_failure_is_told_and_the_dock_goes_on(
    qtbot: Any,
    viewer: ViewerModel,
    dock: CalibrateWidget,
    noisy: np.ndarray,
    messages: list[str],
    image: np.ndarray,
    mend: str,
) -> None:
    viewer.add_image(image, name="bad", contrast_limits=(0, 1))
    with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
        press(qtbot, dock.start_button)
    assert mend in failed.args[0]
    assert any(mend in message for message in messages)
    assert mend in dock.state_label.text()
    assert "color" in dock.state_label.styleSheet()
    viewer.add_image(noisy, name="good")
    assert "color" not in dock.state_label.styleSheet(), "the error was about another layer"
    calibrated(qtbot, dock)


def test_what_cannot_be_calibrated_is_said_before_a_click(
    viewer: ViewerModel, dock: CalibrateWidget
) -> None:
    viewer.add_image(np.eye(20), name="tiny")
    assert "at least 32 x 32 are needed" in dock.state_label.text()
    assert not dock.start_button.isEnabled()


def test_a_problem_that_is_mended_is_no_longer_shown(
    viewer: ViewerModel, dock: CalibrateWidget, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells")
    edit = dock.layer_box.axes_edit
    before = dock.state_label.text()
    for said in ("", "Said before."):
        dock.say(said)
        edit.setText("TYX")
        edit.textEdited.emit("TYX")
        assert "drop a letter" in dock.state_label.text()
        assert "color" in dock.state_label.styleSheet()
        edit.setText("YX")
        edit.textEdited.emit("YX")
        assert dock.state_label.text() == (said or before)
        assert "color" not in dock.state_label.styleSheet()


def test_a_missing_package_names_what_to_install(
    qtbot: Any,
    viewer: ViewerModel,
    dock: CalibrateWidget,
    noisy: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    viewer.add_image(noisy)
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("bm3d"))
    with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
        press(qtbot, dock.start_button)
    assert "pip install bm3d" in failed.args[0]


def test_closing_the_dock_stops_the_job(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget
) -> None:
    viewer.add_image(np.random.default_rng(0).normal(size=(512, 512)), name="cells")
    holder = QWidget()
    qtbot.addWidget(holder)
    dock.setParent(holder)
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("nlm"))
    dock.start()
    qtbot.waitUntil(lambda: len(dock.plot.points) > 0, timeout=LONG)
    job = dock._ties.job
    assert job is not None
    dock.setParent(None)  # what napari's dock does
    assert job.wait(20)
    qtbot.wait(50)
    assert names(viewer) == ["cells"], "the preview is taken along"
    viewer.layers.clear()


def test_deleting_the_layer_stops_the_calibration(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget
) -> None:
    viewer.add_image(np.random.default_rng(0).normal(size=(512, 512)), name="cells")
    dock.family_combo.setCurrentIndex(dock.family_combo.findData("nlm"))
    dock.start()
    qtbot.waitUntil(lambda: len(dock.plot.points) > 0, timeout=LONG)
    with qtbot.waitSignal(dock.calibration_finished, timeout=LONG):
        viewer.layers.remove("cells")
    qtbot.wait(50)
    assert names(viewer) == []
    assert not dock.start_button.isEnabled()


def test_the_theme_colours_the_plot(viewer: ViewerModel, dock: CalibrateWidget) -> None:
    dark = dock.plot.canvas.backgroundBrush().color().lightness()
    viewer.theme = "light"
    assert dock.plot.canvas.backgroundBrush().color().lightness() > dark + 100


def test_a_click_chooses_the_nearest_point(qtbot: Any) -> None:
    plot = CalibrationPlot()
    qtbot.addWidget(plot)
    plot.set_colours(colours(ViewerModel()))
    plot.resize(300, 200)
    plot.start_again("strength (in noise levels)")
    assert plot.isHidden()
    for value, loss in ((0.1, 1.2), (0.4, 0.7), (1.6, 0.9)):
        plot.add(value, loss)
    plot.show()
    assert plot.best == (0.4, 0.7)
    assert plot._best.getData()[0].tolist() == [np.log10(0.4)]
    qtbot.wait(50)
    view = plot.item.getViewBox()
    scene = view.mapViewToScene(view.viewRect().center())
    point = plot.canvas.mapFromScene(scene)
    with qtbot.waitSignal(plot.chosen, timeout=5000) as chosen:
        qtbot.mouseClick(plot.canvas.viewport(), Qt.MouseButton.LeftButton, pos=point)
    assert chosen.args == [0.4]
    plot.start_again("radius (pixels)", whole=True)
    plot.add(2, 1.0)
    assert plot.nearest(7) == 2


def test_a_value_that_is_worse_than_the_average_is_called_so(
    qtbot: Any, viewer: ViewerModel, dock: CalibrateWidget
) -> None:
    y, x = np.mgrid[:64, :64]
    waves = 100 + 40 * np.sin(y / 2) * np.cos(x / 2)
    viewer.add_image(np.random.default_rng(0).normal(waves, 2).astype(np.float32))
    calibrated(qtbot, dock)
    value, loss = dock.plot.points[-1]
    assert loss > 1
    dock.choose(value)
    assert f"{loss - 1:.1%} above" in dock.chosen_label.text()
    assert "gain" not in dock.chosen_label.text()


def test_the_label_of_the_parameter_is_whole(qtbot: Any) -> None:
    plot = CalibrationPlot()
    qtbot.addWidget(plot)
    plot.start_again("strength (in noise levels)")
    plot.add(0.4, 0.7)
    plot.show()
    qtbot.waitExposed(plot)
    axis = plot.item.getAxis("bottom")
    letters = axis.label.mapRectToScene(axis.label.boundingRect())
    assert letters.bottom() <= plot.canvas.viewport().height()
    assert axis.label.isVisible()


def test_a_load_that_is_stopped_changes_nothing(
    qtbot: Any,
    viewer: ViewerModel,
    dock: CalibrateWidget,
    noisy: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def endless(_: Path) -> Iterator[Progress]:
        while True:
            yield Progress(stage="load", step=0, steps=1, seconds=0.0)

    viewer.add_image(noisy, name="cells")
    calibrated(qtbot, dock)
    before, curve = dock.calibration, dock.plot.best
    loaded: list[None] = []
    dock.loaded.connect(lambda: loaded.append(None))
    monkeypatch.setattr(calibration_jobs, "loading", endless)
    dock.load("filter.safetensors")
    assert not dock.start_button.isEnabled(), "a file is read in a moment"
    dock.stop()
    qtbot.waitUntil(lambda: not dock.busy, timeout=LONG)
    assert not loaded
    assert (dock.calibration, dock.plot.best) == (before, curve)
    assert "oad" not in dock.state_label.text()
