"""Training against a second layer: Noise2Noise and Noise2Clean in the dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_noise2self._napari.controls import State
from napari_noise2self._napari.widget import DenoiseWidget

Dock = Callable[..., DenoiseWidget]
LONG = 60_000


@pytest.fixture
def pair(viewer: ViewerModel) -> tuple[Any, Any]:
    """Two recordings of one scene, as layers."""
    y, x = np.mgrid[:64, :64]
    clean = 100 + 40 * np.sin(y / 7) * np.cos(x / 9)
    rng = np.random.default_rng(0)
    first, second = (rng.normal(clean, 10).astype(np.float32) for _ in range(2))
    layers = viewer.add_image(first, name="first"), viewer.add_image(second, name="second")
    viewer.layers.selection.active = layers[0]
    return layers


def train(qtbot: Any, dock: DenoiseWidget) -> None:
    assert dock.panel.train_button.isEnabled()
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        qtbot.mouseClick(dock.panel.train_button, Qt.MouseButton.LeftButton)


def test_no_target_is_the_default(make_dock: Dock, pair: tuple[Any, Any]) -> None:
    panel = make_dock().panel
    assert panel.layer_box.layer() is pair[0]
    assert panel.pair_combo.value() is None
    assert panel.pair_kind_combo.isHidden()
    panel.pair_combo.setValue(pair[1])
    assert not panel.pair_kind_combo.isHidden()


@pytest.mark.parametrize("kind", ["noise2noise", "noise2clean"])
def test_train_against_a_target_and_denoise(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, pair: tuple[Any, Any], kind: str
) -> None:
    dock = make_dock()
    panel = dock.panel
    panel.output_combo.setCurrentIndex(panel.output_combo.findData("j-invariant"))
    panel.pair_combo.setValue(pair[1])
    panel.pair_kind_combo.setCurrentIndex(panel.pair_kind_combo.findData(kind))
    train(qtbot, dock)
    assert dock.state is State.READY
    assert dock.denoiser.config.method == kind
    assert not panel.output_combo.isEnabled(), "there is no strict output of it"
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        qtbot.mouseClick(panel.denoise_button, Qt.MouseButton.LeftButton)
    result = viewer.layers["first denoised"]
    predicted = dock.denoiser.predict(pair[0].data)
    np.testing.assert_allclose(result.data, predicted, rtol=1e-6)
    panel.pair_combo.setCurrentIndex(0)
    train(qtbot, dock)
    assert dock.denoiser.config.method == "noise2self"
    assert panel.output_combo.isEnabled()


def test_a_stopped_training_goes_on_with_the_same_target_only(
    qtbot: Any, make_dock: Dock, pair: tuple[Any, Any], endless: Any
) -> None:
    dock = make_dock(endless)
    dock.panel.pair_combo.setValue(pair[1])
    dock.train()
    qtbot.waitUntil(lambda: dock.panel.progress_bar.value() >= 3, timeout=LONG)
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.stop()
    assert dock.panel.train_button.text() == "Continue"
    dock.panel.pair_combo.setCurrentIndex(0)
    assert dock.panel.train_button.text() == "Train"
    dock.panel.pair_combo.setValue(pair[1])
    assert dock.panel.train_button.text() == "Continue"


def test_a_target_of_another_shape_is_named(
    viewer: ViewerModel, make_dock: Dock, pair: tuple[Any, Any]
) -> None:
    other = viewer.add_image(pair[0].data[:48], name="smaller")
    dock = make_dock()
    dock.panel.layer_box.layer_combo.setValue(pair[0])
    dock.panel.pair_combo.setValue(other)
    assert "(48, 64)" in dock.panel.state_label.text()
    assert not dock.panel.train_button.isEnabled()
    dock.panel.pair_combo.setCurrentIndex(0)
    assert dock.panel.train_button.isEnabled()


def test_a_target_that_is_not_finite_is_refused_with_the_menu_that_mends_it(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, pair: tuple[Any, Any]
) -> None:
    data = pair[1].data.copy()
    data[3, 3] = np.nan
    broken = viewer.add_image(data, name="broken")
    dock = make_dock()
    dock.panel.layer_box.layer_combo.setValue(pair[0])
    dock.panel.pair_combo.setValue(broken)
    with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
        dock.train()
    assert "target has 1 NaN" in failed.args[0]
    assert "Layers > Filter > Replace NaN" in failed.args[0]


def test_a_shifted_target_and_the_image_itself_are_refused(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, pair: tuple[Any, Any]
) -> None:
    first, second = pair
    shifted = viewer.add_image(np.roll(second.data, 12, axis=1), name="shifted")
    dock = make_dock()
    dock.panel.layer_box.layer_combo.setValue(first)
    for target, reason in ((shifted, "shifted by"), (first, "the noisy image itself")):
        dock.panel.pair_combo.setValue(target)
        with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
            dock.train()
        assert reason in failed.args[0]
        assert dock.state.at_rest


def test_only_the_region_of_both_is_used(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, pair: tuple[Any, Any]
) -> None:
    square = np.array([[0, 0], [0, 47], [47, 47], [47, 0]])
    shapes = viewer.add_shapes([square], name="part")
    viewer.layers.selection.active = pair[0]
    pair[1].data[50:] = 1e6  # would ruin a training that saw it
    dock = make_dock()
    dock.panel.layer_box.region_combo.setValue(shapes)
    dock.panel.pair_combo.setValue(pair[1])
    train(qtbot, dock)
    assert dock.denoiser.record.validation_loss < 100


def test_deleting_the_target_goes_back_to_none(
    viewer: ViewerModel, make_dock: Dock, pair: tuple[Any, Any]
) -> None:
    dock = make_dock()
    dock.panel.pair_combo.setValue(pair[1])
    viewer.layers.remove("second")
    assert dock.panel.pair_combo.value() is None
    assert dock.panel.train_button.isEnabled()
    assert dock.panel.pair_kind_combo.isHidden()
