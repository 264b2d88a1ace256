"""The dock Inspect on a headless viewer, with the real diagnostics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QProgressBar,
    QWidget,
)
from scipy import ndimage

from napari_noise2self._napari.inspect import InspectWidget
from napari_noise2self._napari.layers import METADATA_KEY
from napari_noise2self.core.diagnostics import diagnose
from napari_noise2self.core.inspection import inspect_result

LONG = 60_000


@pytest.fixture
def dock(qtbot: Any, viewer: ViewerModel) -> InspectWidget:
    widget = InspectWidget(viewer)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def image() -> np.ndarray:
    y, x = np.mgrid[:128, :128]
    clean = 100 + 40 * np.sin(y / 17) * np.cos(x / 19)
    return np.random.default_rng(0).normal(clean, 10).astype(np.float32)


def inspect(qtbot: Any, dock: InspectWidget) -> None:
    assert dock.inspect_button.isEnabled()
    with qtbot.waitSignal(dock.inspection_finished, timeout=LONG):
        qtbot.mouseClick(dock.inspect_button, Qt.MouseButton.LeftButton)


def test_the_scripted_names_and_tooltips_are_there(dock: InspectWidget) -> None:
    for name in ("layer_combo", "inspect_button", "save_button", "progress_bar", "state_label"):
        assert dock.findChild(QWidget, name) is not None, name
    for kind in (QAbstractButton, QComboBox, QLineEdit, QProgressBar):
        for control in dock.findChildren(kind):
            if control.objectName() and not control.objectName().startswith("qt_"):
                assert control.toolTip(), control.objectName()
    assert not dock.inspect_button.isEnabled()
    assert "Open an image" in dock.state_label.text()


def test_the_verdict_the_details_and_the_figure(
    qtbot: Any, viewer: ViewerModel, dock: InspectWidget, image: np.ndarray
) -> None:
    viewer.add_image(image, name="cells")
    inspect(qtbot, dock)
    direct = diagnose(image)
    assert dock.found is not None
    assert dock.found.diagnosis.correlation == direct.correlation
    assert dock.found.diagnosis.noise == direct.noise
    assert dock.found.inspection is None
    verdict = dock.verdict_label.text()
    assert direct.assumption_sentence[1:] in verdict
    assert direct.advice_sentence[1:] in verdict
    assert direct.correlation.sentence[1:] in dock.details_label.text()
    assert direct.noise is not None
    assert direct.noise.sentence[1:] in dock.details_label.text()
    assert not dock.figure_view.isHidden()
    assert dock.figure_view.picture.width() > 800
    assert "cells" in dock.state_label.text()
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_correlated_noise_is_told(qtbot: Any, viewer: ViewerModel, dock: InspectWidget) -> None:
    noise = np.random.default_rng(0).normal(size=(160, 160))
    viewer.add_image(100 + 10 * ndimage.gaussian_filter(noise, (0, 1)), name="streaks")
    inspect(qtbot, dock)
    assert dock.found is not None
    assert dock.found.diagnosis.footprint[1] > 1
    assert "correlated" in dock.details_label.text()


def test_a_result_is_compared_with_its_source(
    qtbot: Any, viewer: ViewerModel, dock: InspectWidget, image: np.ndarray
) -> None:
    viewer.add_image(image, name="cells")
    blurred = ndimage.gaussian_filter(image, 8)
    made = {METADATA_KEY: {"source": "cells", "output": "j-invariant"}}
    result = viewer.add_image(blurred, name="cells denoised", metadata=made)
    dock.layer_box.layer_combo.setValue(result)
    assert dock.noisy_combo.value() is viewer.layers["cells"]
    inspect(qtbot, dock)
    direct = inspect_result(image, blurred, strict=blurred)
    assert dock.found is not None
    assert dock.found.inspection == direct
    noise = dock.found.diagnosis.noise
    assert noise == diagnose(image).noise, "it is the noisy image that is diagnosed"
    assert direct.remarks(), "a blur of 8 pixels takes structure along"
    assert direct.remarks()[0][1:] in dock.verdict_label.text()
    assert dock.verdict_label.text().startswith('"cells denoised", compared with "cells":')
    assert direct.psnr_sentence[1:] in dock.details_label.text()

    assert "choose Strict" not in dock.details_label.text()
    result.metadata[METADATA_KEY]["output"] = "best"
    inspect(qtbot, dock)
    assert "choose Strict there" in dock.details_label.text(), "where an estimate comes from"

    dock.layer_box.layer_combo.setValue(viewer.layers["cells"])
    assert dock.noisy_combo.value() is None
    viewer.layers.remove("cells")
    assert dock.noisy_combo.value() is None, "the source is gone"


def test_the_figure_is_saved(
    qtbot: Any,
    viewer: ViewerModel,
    dock: InspectWidget,
    image: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert dock.save_button.isHidden()
    viewer.add_image(image, name="cells")
    inspect(qtbot, dock)
    path, proposed = tmp_path / "noise.pdf", []

    def answer(_: Any, __: str, start: str, *___: str) -> tuple[str, str]:
        proposed.append(start)
        return str(path), "PDF (*.pdf)"

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    viewer.add_image(image, name="other")
    assert dock.layer_box.layer().name == "other"
    viewer.layers.clear()
    qtbot.mouseClick(dock.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.busy, timeout=LONG)
    assert path.read_bytes().startswith(b"%PDF")
    assert str(path) in dock.state_label.text()
    assert proposed == ["cells noise.pdf"], "the figure's own image"
    with qtbot.waitSignal(dock.failed, timeout=LONG):
        dock.save_figure(tmp_path / "no folder" / "noise.png")


def test_the_figure_opens_in_full(
    qtbot: Any, viewer: ViewerModel, dock: InspectWidget, image: np.ndarray
) -> None:
    viewer.add_image(image)
    inspect(qtbot, dock)
    view = dock.figure_view
    view.resize(300, view.heightForWidth(300))
    assert view.heightForWidth(300) > 150
    assert not view.grab().isNull()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton)
    dialog = view.findChild(QDialog)
    assert dialog.isVisible()
    dialog.close()


def test_a_failure_is_told_and_the_dock_goes_on(
    qtbot: Any,
    viewer: ViewerModel,
    dock: InspectWidget,
    image: np.ndarray,
    messages: list[str],
) -> None:
    viewer.add_image(image, name="cells")
    viewer.add_image(image[:100], name="other")
    dock.noisy_combo.setValue(viewer.layers["cells"])
    with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
        dock.inspect()
    assert "another image's result" in failed.args[0]
    assert any("another image's result" in message for message in messages)
    assert "color" in dock.state_label.styleSheet()
    assert dock.verdict_label.isHidden()
    dock.noisy_combo.setCurrentIndex(0)
    assert "color" not in dock.state_label.styleSheet()
    inspect(qtbot, dock)


def test_a_problem_that_is_mended_is_no_longer_shown(
    viewer: ViewerModel, dock: InspectWidget, image: np.ndarray
) -> None:
    viewer.add_image(image, name="cells")
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


def test_stop_and_close(qtbot: Any, viewer: ViewerModel, dock: InspectWidget) -> None:
    viewer.add_image(np.random.default_rng(0).normal(size=(200, 256, 256)), name="movie")
    dock.inspect()
    assert dock.inspect_button.text() == "Stop"
    dock.stop()
    qtbot.waitUntil(lambda: not dock.busy, timeout=LONG)
    assert dock.found is None
    assert dock.state_label.text() == "Stopped."
    assert dock.inspect_button.text() == "Inspect"

    holder = QWidget()
    qtbot.addWidget(holder)
    dock.setParent(holder)
    dock.inspect()
    job = dock._ties.job
    assert job is not None
    dock.setParent(None)
    assert job.wait(20)


def test_the_noisy_image_that_was_chosen_stays_when_axes_are_corrected(
    viewer: ViewerModel, dock: InspectWidget, image: np.ndarray
) -> None:
    noisy = viewer.add_image(image, name="cells")
    other = viewer.add_image(image + 1, name="by another program")
    dock.layer_box.layer_combo.setValue(other)
    dock.noisy_combo.setValue(noisy)
    for text in ("Y", "YX"):
        dock.layer_box.axes_edit.setText(text)
        dock.layer_box.axes_edit.textEdited.emit(text)
    assert dock.noisy_combo.value() is noisy
    dock.layer_box.layer_combo.setValue(noisy)
    assert dock.noisy_combo.value() is None, "another layer has another source"


def test_only_a_click_within_the_figure_opens_it(
    qtbot: Any, viewer: ViewerModel, dock: InspectWidget, image: np.ndarray
) -> None:
    viewer.add_image(image)
    inspect(qtbot, dock)
    view = dock.figure_view
    qtbot.mouseClick(view, Qt.MouseButton.RightButton)
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(-5, -5))
    assert view.findChild(QDialog) is None
