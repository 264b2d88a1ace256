"""The dock on a headless viewer, with the real engine."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_noise2self import api
from napari_noise2self._napari import dialogs
from napari_noise2self._napari.controls import State
from napari_noise2self._napari.layers import METADATA_KEY
from napari_noise2self._napari.model_files import write_model
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.config import Progress, TrainingConfig
from napari_noise2self.core.errors import ModelFileError

Dock = Callable[..., DenoiseWidget]
LONG = 60_000


def press(qtbot: Any, button: Any) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def train(qtbot: Any, dock: DenoiseWidget) -> None:
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        press(qtbot, dock.panel.train_button)


def denoise(qtbot: Any, dock: DenoiseWidget) -> None:
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        press(qtbot, dock.panel.denoise_button)


def some_steps(qtbot: Any, dock: DenoiseWidget, steps: int = 5) -> None:
    qtbot.waitUntil(lambda: dock.panel.progress_bar.value() >= steps, timeout=LONG)


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_an_empty_viewer_asks_for_an_image(make_dock: Dock) -> None:
    dock = make_dock()
    panel = dock.panel
    assert not panel.train_button.isEnabled()
    assert not panel.denoise_button.isEnabled()
    assert not panel.save_button.isEnabled()
    assert panel.load_button.isEnabled()
    assert "Open an image" in panel.state_label.text()


def test_the_scripted_names_are_there(make_dock: Dock) -> None:
    dock = make_dock()
    for name in (
        "layer_combo",
        "preset_combo",
        "train_button",
        "denoise_button",
        "save_button",
        "load_button",
        "progress_bar",
        "state_label",
        "axes_edit",
    ):
        control = dock.findChild(QWidget, name)
        assert control is not None, name
        assert control.toolTip() or name == "state_label", name


def test_every_control_has_a_tooltip(make_dock: Dock) -> None:
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QProgressBar

    dock = make_dock()
    for kind in (QAbstractButton, QComboBox, QLineEdit, QProgressBar):
        for control in dock.findChildren(kind):
            if control.objectName() and not control.objectName().startswith("qt_"):
                assert control.toolTip(), control.objectName()


def test_train_then_denoise(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, stack: np.ndarray
) -> None:
    layer = viewer.add_image(
        stack,
        name="cells",
        scale=(2, 0.5, 0.5),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
        colormap="green",
        contrast_limits=(60, 140),
        gamma=0.9,
    )
    before = layer.data.copy()
    dock = make_dock()
    assert dock.panel.train_button.text() == "Train"
    train(qtbot, dock)
    assert dock.state is State.READY
    assert dock.panel.train_button.text() == "Train"
    assert "6 steps" in dock.panel.state_label.text()
    assert "cells" in dock.panel.model_label.text()
    denoise(qtbot, dock)
    assert names(viewer) == ["cells", "cells denoised"], "and the preview is gone"
    result = viewer.layers["cells denoised"]
    np.testing.assert_array_equal(result.data, dock.denoiser.predict(stack, axes="TYX"))
    assert result.data.dtype == np.float32
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels
    assert result.colormap == layer.colormap
    np.testing.assert_array_equal(result.scale, layer.scale)
    assert result.contrast_limits == layer.contrast_limits
    assert result.gamma == layer.gamma
    assert result.metadata[METADATA_KEY]["model"]["steps"] == 6
    np.testing.assert_array_equal(layer.data, before)
    assert viewer.layers.selection.active == layer, "the next click means the same image"
    denoise(qtbot, dock)
    assert names(viewer)[-1] == "cells denoised 2"


def test_a_training_that_comes_to_its_end_is_followed_by_denoise(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells")
    dock = make_dock(denoise_after=True)
    with qtbot.waitSignals([dock.training_finished, dock.denoising_finished], timeout=LONG):
        press(qtbot, dock.panel.train_button)
    assert names(viewer) == ["cells", "cells denoised"]
    words = dock.panel.state_label.text()
    assert "6 steps" in words
    assert '"cells denoised" is ready' in words


def test_a_training_stopped_before_its_first_step_leaves_the_model_of_before(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_step_yet(*_: Any, **__: Any) -> Iterator[Progress]:
        while True:
            time.sleep(0.01)
            yield Progress(stage="train", step=0, steps=10, seconds=0.0)

    viewer.add_image(noisy, name="cells")
    dock = make_dock()
    train(qtbot, dock)
    before = dock.denoiser
    viewer.add_image(noisy, name="other")
    monkeypatch.setattr(api, "train", no_step_yet)
    dock.train()
    qtbot.waitUntil(lambda: dock.denoiser is not before, timeout=LONG)
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.stop()
    assert dock.denoiser is before
    assert dock.state is State.READY
    assert "before the first step" in dock.panel.state_label.text()


def test_stop_keeps_the_best_and_continue_goes_on(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: Callable[[DenoiseWidget], None],
    noisy: np.ndarray,
    endless: TrainingConfig,
) -> None:
    viewer.add_image(noisy)
    dock = make_dock(endless, denoise_after=True)
    press(qtbot, dock.panel.train_button)
    assert dock.panel.train_button.text() == "Stop"
    assert "is being trained" in dock.panel.model_label.text(), "not: no model yet"
    assert not dock.panel.load_button.isEnabled()
    some_steps(qtbot, dock)
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        press(qtbot, dock.panel.train_button)
    assert dock.state is State.STOPPED
    assert dock.panel.train_button.text() == "Continue"
    assert "Model for planes" in dock.panel.model_label.text()
    assert dock.panel.progress_bar.value() == 0
    assert "Stopped" in dock.panel.state_label.text()
    assert not any("denoised" in name for name in names(viewer)), "Stop means stop"
    first, steps = dock.denoiser, dock.denoiser.record.steps
    assert steps >= 5

    press(qtbot, dock.panel.train_button)
    some_steps(qtbot, dock, steps + 2)
    dock.stop()
    at_rest(dock)
    assert dock.denoiser is first
    assert dock.denoiser.record.steps > steps

    assert not dock.panel.restart_button.isHidden()
    dock.panel.restart_button.click()
    some_steps(qtbot, dock, 2)
    dock.stop()
    at_rest(dock)
    assert dock.denoiser is not first


def test_another_layer_axes_or_configuration_is_another_training(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    tiny: TrainingConfig,
) -> None:
    viewer.add_image(noisy)
    other = viewer.add_image(noisy, name="other")
    dock = make_dock(tiny)
    button = dock.panel.train_button
    train(qtbot, dock)
    assert button.text() == "Train"
    dock.panel.form.setValue(replace(tiny, steps=20))
    assert button.text() == "Continue", "more steps than it had"
    dock.panel.form.setValue(replace(tiny, steps=20, width=8))
    assert button.text() == "Train"
    dock.panel.form.setValue(replace(tiny, steps=20))
    dock.panel.layer_box.layer_combo.setValue(viewer.layers[0])
    assert button.text() == "Train"
    dock.panel.layer_box.layer_combo.setValue(other)
    assert button.text() == "Continue"


def test_the_preview_shows_the_view_improves_and_follows(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: Callable[[DenoiseWidget], None],
    stack: np.ndarray,
    endless: TrainingConfig,
) -> None:
    viewer.add_image(stack, name="cells", scale=(1, 0.5, 0.5), contrast_limits=(50, 150))
    viewer.dims.set_current_step(0, 2)
    dock = make_dock(endless)
    dock.train()
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=LONG)
    layer = viewer.layers["cells preview"]
    assert layer.data.shape == (1, 64, 64)
    np.testing.assert_allclose(layer.translate, (2, 0, 0))
    assert layer.contrast_limits == [50, 150]
    viewer.layers["cells"].contrast_limits = (60, 140)
    assert layer.contrast_limits == [60, 140], "the preview is compared with its source"
    first = layer.data.copy()
    qtbot.waitUntil(lambda: not np.array_equal(layer.data, first), timeout=LONG)
    viewer.dims.set_current_step(0, 5)
    qtbot.waitUntil(lambda: layer.translate[0] == 5, timeout=LONG)
    dock.panel.preview_check.setChecked(False)
    qtbot.wait(300)
    seen = layer.data
    some_steps(qtbot, dock, dock.panel.progress_bar.value() + 20)
    assert layer.data is seen, "no preview is made when none is wanted"
    dock.stop()
    at_rest(dock)


def test_deleting_the_preview_turns_it_off(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: Callable[[DenoiseWidget], None],
    noisy: np.ndarray,
    endless: TrainingConfig,
) -> None:
    viewer.add_image(noisy, name="cells")
    dock = make_dock(endless)
    dock.train()
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=LONG)
    viewer.layers.remove("cells preview")
    qtbot.waitUntil(lambda: not dock.panel.preview_check.isChecked(), timeout=LONG)
    dock.panel.advanced_button.setChecked(True)
    assert make_dock().panel.preview_check.isChecked(), "it is off for this training alone"
    dock.panel.preview_check.setChecked(True)
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=LONG)
    dock.stop()
    at_rest(dock)


def test_a_preview_that_was_left_over_and_deleted_comes_back_with_the_next_training(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: Callable[[DenoiseWidget], None],
    noisy: np.ndarray,
    endless: TrainingConfig,
) -> None:
    viewer.add_image(noisy, name="cells")
    dock = make_dock(endless)
    dock.train()
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=LONG)
    dock.stop()
    at_rest(dock)
    viewer.layers.remove("cells preview")
    dock.train()
    qtbot.waitUntil(lambda: "cells preview" in names(viewer), timeout=LONG)
    assert dock.panel.preview_check.isChecked()
    dock.stop()
    at_rest(dock)


def test_all_open_layers_are_denoised(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    messages: list[str],
) -> None:
    viewer.add_image(noisy[:48], name="small")
    viewer.add_image(np.stack([noisy, noisy]), name="two channels", axis_labels=("c", "y", "x"))
    viewer.add_image(noisy > 100, name="mask")
    viewer.add_image(noisy, name="cells")
    dock = make_dock()
    train(qtbot, dock)
    combo = dock.panel.target_combo
    combo.setCurrentIndex(combo.findData("all"))
    denoise(qtbot, dock)
    assert {"small denoised", "cells denoised"} <= set(names(viewer))
    assert "two channels denoised" not in names(viewer)
    assert any("two channels was left out" in message for message in messages)
    state = dock.panel.state_label.text()
    assert '"two channels" was left out: ' in state
    assert '"mask" was left out: dtype bool' in state
    viewer.layers.selection = {viewer.layers["small"]}
    assert dock.panel.state_label.text().startswith("Ready"), "that was said of another layer"


def test_selected_layers_stay_selected_through_training_and_denoising(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: Callable[[DenoiseWidget], None],
    noisy: np.ndarray,
    endless: TrainingConfig,
) -> None:
    chosen = [viewer.add_image(noisy, name=name) for name in ("one", "two", "three")]
    dock = make_dock(endless)
    combo = dock.panel.target_combo
    combo.setCurrentIndex(combo.findData("selected"))
    viewer.layers.selection = chosen
    dock.train()
    qtbot.waitUntil(lambda: "three preview" in names(viewer), timeout=LONG)
    dock.stop()
    at_rest(dock)
    denoise(qtbot, dock)
    assert set(viewer.layers.selection) == set(chosen)
    assert {"one denoised", "two denoised", "three denoised"} <= set(names(viewer))
    denoise(qtbot, dock)
    assert len(viewer.layers) == 9, "the next click means the same three again"


def test_colour_multiscale_and_lazy_layers(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, tiny: TrainingConfig
) -> None:
    import dask.array as da

    colour = np.clip(np.stack([noisy, noisy * 0.7, noisy * 0.5], axis=-1), 0, 255).astype(np.uint8)
    viewer.add_image(colour, name="colour")
    dock = make_dock()
    train(qtbot, dock)
    denoise(qtbot, dock)
    result = viewer.layers["colour denoised"]
    assert result.rgb
    assert result.data.dtype == np.uint8

    for name, data in (
        ("pyramid", [noisy, noisy[::2, ::2]]),
        ("lazy", da.from_array(np.stack([noisy] * 3), chunks=(1, 64, 64))),
    ):
        viewer.add_image(data, name=name, contrast_limits=(50, 150))
        train(qtbot, dock)
        denoise(qtbot, dock)
        assert viewer.layers[f"{name} denoised"].data.shape[-2:] == (64, 64)


def test_strict_output(qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray) -> None:
    viewer.add_image(noisy, name="cells")
    dock = make_dock()
    train(qtbot, dock)
    dock.panel.output_combo.setCurrentIndex(dock.panel.output_combo.findData("j-invariant"))
    denoise(qtbot, dock)
    result = viewer.layers["cells denoised"]
    assert result.metadata[METADATA_KEY]["output"] == "j-invariant"
    strict = dock.denoiser.predict(noisy, output="j-invariant")
    np.testing.assert_array_equal(result.data, strict)


def test_a_model_is_saved_for_other_programs(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: Any) -> tuple[str, str]:
        return str(tmp_path / "cells"), dialogs.PACKAGES

    monkeypatch.setattr(dialogs.QFileDialog, "getSaveFileName", asked)
    viewer.add_image(noisy, name="cells")
    dock = make_dock()
    train(qtbot, dock)
    press(qtbot, dock.panel.save_button)
    path = tmp_path / "cells.zip"
    qtbot.waitUntil(lambda: dock.state.at_rest and path.exists(), timeout=LONG)
    qtbot.waitUntil(lambda: dock.panel.state_label.text() == f"The model is saved in {path}.")


def test_disagreement_is_a_map_of_its_own_and_no_habit(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy, name="cells", scale=(0.5, 0.5), contrast_limits=(50, 150))
    dock = make_dock()
    choices = dock.panel.output_combo
    choices.setCurrentIndex(choices.findData("disagreement"))
    dock.panel.denoise_after_check.setChecked(True)
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.train()
    assert "cells denoised" in viewer.layers, "what follows a training is an image"
    denoise(qtbot, dock)
    result = viewer.layers["cells disagreement"]
    np.testing.assert_array_equal(result.data, api.disagreement(dock.denoiser, noisy))
    assert tuple(result.scale) == (0.5, 0.5)
    assert result.contrast_limits != [50, 150], "a difference of estimates is no intensity"
    assert make_dock().panel.output_combo.currentData() == "best"


def test_save_load_and_the_same_result(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: Callable[[DenoiseWidget], None],
    noisy: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qtpy.QtWidgets import QFileDialog

    path = tmp_path / "cells.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    viewer.add_image(noisy, name="cells")
    dock = make_dock()
    train(qtbot, dock)
    denoise(qtbot, dock)
    press(qtbot, dock.panel.save_button)
    at_rest(dock)
    assert path.is_file()
    assert str(path) in dock.panel.state_label.text()

    other = make_dock()
    press(qtbot, other.panel.load_button)
    at_rest(other)
    assert other.state is State.READY
    assert "6 steps" in other.panel.model_label.text()
    denoise(qtbot, other)
    first, second = viewer.layers["cells denoised"], viewer.layers["cells denoised 2"]
    np.testing.assert_array_equal(first.data, second.data)


def test_a_model_that_does_not_fit_is_announced(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, stack: np.ndarray
) -> None:
    viewer.add_image(stack[0], name="plane")
    dock = make_dock()
    train(qtbot, dock)
    assert "does not fit" not in dock.panel.model_label.text()
    viewer.add_image(stack, name="volume", axis_labels=("z", "y", "x"))
    assert "does not fit" not in dock.panel.model_label.text(), "a z-stack is a row of planes"
    viewer.add_image(stack[:2], name="channels", axis_labels=("c", "y", "x"))
    assert "this one has 2 channels" in dock.panel.model_label.text()
    assert not dock.panel.denoise_button.isEnabled(), "it could but fail"
    dock.panel.target_combo.setCurrentIndex(dock.panel.target_combo.findData("all"))
    assert dock.panel.denoise_button.isEnabled(), "two of the three can be denoised"


def test_a_model_of_a_movie_does_single_images_too(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, stack: np.ndarray, tiny: TrainingConfig
) -> None:
    viewer.add_image(stack, name="movie", axis_labels=("t", "y", "x"))
    dock = make_dock(replace(tiny, context=1))
    train(qtbot, dock)
    assert "Model for frames with their neighbours" in dock.panel.model_label.text()
    assert "does not fit" not in dock.panel.model_label.text()
    viewer.add_image(stack[0], name="plane")
    assert "does not fit" not in dock.panel.model_label.text()
    denoise(qtbot, dock)
    assert np.isfinite(viewer.layers["plane denoised"].data).all()


def test_a_network_of_volumes_wants_a_z(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, stack: np.ndarray, tiny: TrainingConfig
) -> None:
    viewer.add_image(stack, name="movie", axis_labels=("t", "y", "x"))
    dock = make_dock(replace(tiny, dimensions=3, footprint=None))
    assert not dock.panel.train_button.isEnabled()
    assert "no Z; choose automatic as Network in" in dock.panel.state_label.text()
    dock.panel.layer_box.axes_edit.setText("ZYX")
    dock.panel.layer_box.axes_edit.textEdited.emit("ZYX")
    train(qtbot, dock)
    assert "Model for volumes" in dock.panel.model_label.text()


def test_choices_are_remembered(make_dock: Dock, qtbot: Any, viewer: ViewerModel) -> None:
    dock = DenoiseWidget(viewer)
    qtbot.addWidget(dock)
    panel = dock.panel
    panel.preset_combo.setCurrentIndex(panel.preset_combo.findData("best"))
    panel.form.setValue(replace(panel.form.value(), width=8))
    panel.output_combo.setCurrentIndex(1)
    panel.denoise_after_check.setChecked(False)
    panel.preview_check.click()
    panel.advanced_button.setChecked(True)
    again = DenoiseWidget(viewer)
    qtbot.addWidget(again)
    assert again.panel.preset_combo.currentData() == "best"
    assert again.panel.form.value() == replace(TrainingConfig.preset("best"), width=8)
    assert again.panel.output_combo.currentData() == "j-invariant"
    assert not again.panel.denoise_after_check.isChecked()
    assert not again.panel.preview_check.isChecked()
    assert not again.panel.form.isHidden()
    again.panel.form.reset_button.click()
    assert again.panel.form.value() == TrainingConfig.preset("best")


def test_the_expected_time_is_learnt(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, tiny: TrainingConfig
) -> None:
    viewer.add_image(noisy)
    dock = make_dock(replace(tiny, steps=12))
    assert "office computer" in dock.panel.expected_label.text()
    train(qtbot, dock)
    assert "on this computer" in dock.panel.expected_label.text()
    assert "CPU" in dock.panel.expected_label.text()


def test_the_device_line_is_of_the_setting_as_it_is(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, tiny: TrainingConfig
) -> None:
    viewer.add_image(noisy)
    dock = make_dock(tiny)
    label = dock.panel.expected_label
    assert "The CPU is used, as chosen." in label.text()
    train(qtbot, dock)
    (found,) = dock.memory.remembered.devices.values()
    assert found in label.text()
    dock.panel.form.setValue(replace(tiny, device=None))
    assert found not in label.text(), "that was another setting"
    assert "A GPU is used if there is one." in label.text()


def test_the_theme_colours_the_plot(viewer: ViewerModel, make_dock: Dock) -> None:
    dock = make_dock()
    dark = dock.panel.loss_plot.canvas.backgroundBrush().color().lightness()
    viewer.theme = "light"
    assert dock.panel.loss_plot.canvas.backgroundBrush().color().lightness() > dark + 100


def test_neither_old_models_nor_removed_images_are_kept(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, at_rest: Callable[[DenoiseWidget], None]
) -> None:
    """They are gigabytes."""

    class Pixels(np.ndarray):
        """Can be referred to weakly."""

    rng = np.random.default_rng(0)
    dock = make_dock()
    kept: list[weakref.ref[Any]] = []
    for name in ("first", "second"):
        pixels = rng.normal(100, 10, (64, 64)).astype(np.float32).view(Pixels)
        layer = viewer.add_image(pixels, name=name)
        dock.train(start_over=True)
        at_rest(dock)
        kept += [weakref.ref(dock.denoiser), weakref.ref(pixels)]
        viewer.layers.remove(layer)
        del pixels, layer
    viewer.add_image(np.zeros((64, 64)))  # napari keeps the layer that was selected last
    gc.collect()
    first_model, first_pixels, second_model, second_pixels = (x() for x in kept)
    assert second_model is dock.denoiser
    assert first_model is None
    assert first_pixels is None
    assert second_pixels is None


def test_a_model_is_not_saved_from_a_layer_while_it_trains(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, endless: TrainingConfig,
    tmp_path: Path,
) -> None:  # fmt: skip
    viewer.add_image(noisy, name="cells")
    dock = make_dock()
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.train()
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.denoise()
    result = viewer.layers["cells denoised"]
    attributes = {"name": result.name, "metadata": result.metadata}
    path = str(tmp_path / "model.safetensors")
    assert write_model(path, result.data, attributes) == [path]
    dock.panel.form.setValue(endless)
    dock.train()
    qtbot.waitUntil(lambda: dock.denoiser.in_training, timeout=LONG)
    with pytest.raises(ModelFileError, match="being trained"):
        write_model(path, result.data, attributes)
    dock.stop()
    qtbot.waitUntil(lambda: dock.state.at_rest, timeout=LONG)
    with pytest.raises(ModelFileError, match="trained further"):
        write_model(path, result.data, attributes)
