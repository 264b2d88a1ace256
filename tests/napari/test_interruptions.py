"""Whatever happens while it trains or denoises, the user can go on afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_noise2self._napari import worker
from napari_noise2self._napari.controls import State
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.config import TrainingConfig

Dock = Callable[..., DenoiseWidget]
AtRest = Callable[[DenoiseWidget], None]
LONG = 60_000


@pytest.fixture
def movie(noisy: np.ndarray) -> np.ndarray:
    """Long enough to be interrupted while it is denoised."""
    return np.stack([noisy] * 400)


@pytest.fixture(params=["training", "denoising"])
def busy(
    request: pytest.FixtureRequest,
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: AtRest,
    movie: np.ndarray,
    tiny: TrainingConfig,
    endless: TrainingConfig,
) -> DenoiseWidget:
    """A dock in the middle of its work."""
    viewer.add_image(movie, name="cells")
    dock = make_dock(tiny)
    if request.param == "denoising":
        dock.train()
        at_rest(dock)
        dock.denoise()
        qtbot.waitUntil(lambda: dock.panel.progress_bar.value() > 40, timeout=LONG)
        assert dock.state is State.PREDICTING
    else:
        dock.panel.form.setValue(endless)
        dock.train()
        qtbot.waitUntil(
            lambda: dock.denoiser is not None and dock.denoiser.record.steps > 4, timeout=LONG
        )
        assert dock.state is State.TRAINING
    return dock


def job_of(dock: DenoiseWidget) -> worker.Job:
    job = dock._ties.job
    assert job is not None
    return job


def goes_on(qtbot: Any, dock: DenoiseWidget, tiny: TrainingConfig) -> None:
    """The user can train again, and nothing is left of what was interrupted."""
    assert dock.state.at_rest
    assert dock.panel.progress_bar.value() == 0
    assert dock.panel.progress_bar.format() == ""
    assert not [job for job in worker._running if not job.wait(0)]
    dock.panel.form.setValue(tiny)
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.train(start_over=True)
    assert dock.state is State.READY


def test_stop(
    qtbot: Any, busy: DenoiseWidget, viewer: ViewerModel, at_rest: AtRest, tiny: TrainingConfig
) -> None:
    job, was, panel = job_of(busy), busy.state, busy.panel
    finished, button = busy.training_finished, panel.train_button
    if was is State.PREDICTING:
        assert button.text() == "Stop", "it may have been Train that led here"
        finished, button = busy.denoising_finished, panel.denoise_button
    with qtbot.waitSignal(finished, timeout=LONG):
        assert button.text() == "Stop"
        button.click()
        assert button.text() == "Stopping"
        assert not button.isEnabled()
    assert job.wait(5)
    if was is State.PREDICTING:
        result = viewer.layers["cells denoised"]
        done = ~np.isnan(result.data).any(axis=(1, 2))
        assert 0 < done.sum() < len(done)
        assert f"frames 1 to {done.sum()} of 400" in busy.panel.state_label.text()
        whole = busy.denoiser.predict(viewer.layers["cells"].data[:2], axes="TYX")
        np.testing.assert_array_equal(result.data[:2], whole)
    goes_on(qtbot, busy, tiny)


def test_the_dock_is_closed(
    qtbot: Any, busy: DenoiseWidget, viewer: ViewerModel, make_dock: Dock, tiny: TrainingConfig
) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    busy.setParent(holder)
    job = job_of(busy)
    busy.setParent(None)  # what napari's dock does
    assert job.wait(10), "closing the dock stops the job"
    qtbot.wait(50)
    assert not [layer for layer in viewer.layers if layer.name.endswith("preview")]
    viewer.layers.clear()
    viewer.add_image(np.zeros((64, 64)) + np.eye(64), name="later")
    again = make_dock(tiny)
    goes_on(qtbot, again, tiny)


def test_the_dock_is_closed_just_after_the_training_has_ended(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: AtRest,
    noisy: np.ndarray,
    tiny: TrainingConfig,
) -> None:
    viewer.add_image(noisy, name="cells")
    dock = make_dock(tiny, denoise_after=True)
    holder = QWidget()
    qtbot.addWidget(holder)
    dock.setParent(holder)
    dock.train()
    assert job_of(dock).wait(LONG / 1000), "the dock has not heard of it yet"
    dock.setParent(None)
    at_rest(dock)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert not dock.busy, "nothing is started for a dock that is gone"


def test_the_dock_is_put_back(
    qtbot: Any, busy: DenoiseWidget, viewer: ViewerModel, at_rest: AtRest, tiny: TrainingConfig
) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    busy.setParent(holder)
    busy.setParent(None)
    at_rest(busy)
    viewer.layers.clear()
    busy.setParent(holder)
    viewer.add_image(np.random.default_rng(0).random((64, 64)), name="new")
    assert busy.panel.layer_box.layer() == viewer.layers["new"], "it follows the viewer again"
    goes_on(qtbot, busy, tiny)
    busy.setParent(None)


def test_the_dock_is_destroyed(qtbot: Any, busy: DenoiseWidget, viewer: ViewerModel) -> None:
    job = job_of(busy)
    busy.deleteLater()
    QApplication.sendPostedEvents(busy, QEvent.Type.DeferredDelete)
    assert job.wait(10), "no job without a dock"
    viewer.layers["cells"].name = "nobody listens"
    viewer.layers.clear()
    qtbot.wait(50)


def test_the_source_layer_is_deleted(
    qtbot: Any, busy: DenoiseWidget, viewer: ViewerModel, at_rest: AtRest, tiny: TrainingConfig
) -> None:
    training = busy.state is State.TRAINING
    viewer.layers.remove("cells")
    if training:
        at_rest(busy)
        assert not [layer for layer in viewer.layers if layer.name.endswith("preview")]
        assert busy.state is State.STOPPED
        assert busy.panel.state_label.text().startswith("The layer was removed. Stopped after")
    else:
        busy.stop()
        at_rest(busy)
        assert "cells denoised" in viewer.layers
    assert busy.denoiser is not None, "what was learnt is kept"
    assert busy.panel.save_button.isEnabled()
    viewer.add_image(np.random.default_rng(0).random((64, 64)), name="next")
    goes_on(qtbot, busy, tiny)


def test_the_source_layer_is_renamed_and_the_slice_changes(
    qtbot: Any, busy: DenoiseWidget, viewer: ViewerModel, at_rest: AtRest, tiny: TrainingConfig
) -> None:
    state, layer = busy.state, viewer.layers["cells"]
    layer.name = "renamed"
    before = busy.panel.progress_bar.value()
    for t in range(0, 400, 20):
        viewer.dims.set_current_step(0, t)
        qtbot.wait(5)
    qtbot.waitUntil(lambda: busy.panel.progress_bar.value() > before, timeout=LONG)
    assert busy.state is state, "neither interrupts anything"
    assert busy.panel.layer_box.layer_combo.currentText() == "renamed"
    busy.stop()
    at_rest(busy)
    goes_on(qtbot, busy, tiny)


def test_a_second_dock_works_beside_the_first(
    qtbot: Any,
    busy: DenoiseWidget,
    viewer: ViewerModel,
    make_dock: Dock,
    at_rest: AtRest,
    tiny: TrainingConfig,
) -> None:
    second = make_dock(tiny)
    assert second.state is State.EMPTY
    assert second.panel.train_button.text() == "Train"
    with qtbot.waitSignal(second.training_finished, timeout=LONG):
        second.train()
    assert not busy.state.at_rest
    busy.stop()
    at_rest(busy)
    assert second.denoiser is not busy.denoiser
    goes_on(qtbot, busy, tiny)
    goes_on(qtbot, second, tiny)


def test_two_viewers_do_not_disturb_each_other(
    qtbot: Any, busy: DenoiseWidget, movie: np.ndarray, at_rest: AtRest, tiny: TrainingConfig
) -> None:
    other_viewer = ViewerModel()
    other_viewer.add_image(movie[:3], name="other")
    other = DenoiseWidget(other_viewer)
    qtbot.addWidget(other)
    other.panel.form.setValue(tiny)
    other.panel.denoise_after_check.setChecked(True)
    with qtbot.waitSignals([other.training_finished, other.denoising_finished], timeout=LONG):
        other.train()
    assert "other denoised" in other_viewer.layers
    assert not busy.state.at_rest
    busy.stop()
    at_rest(busy)
    goes_on(qtbot, busy, tiny)


def test_clicks_in_between_change_nothing(
    qtbot: Any, busy: DenoiseWidget, at_rest: AtRest, tiny: TrainingConfig, messages: list[str]
) -> None:
    state, job = busy.state, job_of(busy)
    busy.train()
    busy.denoise()
    busy.load_model("nowhere.safetensors")
    busy.save_model("nowhere.safetensors")
    assert (busy.state, job_of(busy)) == (state, job)
    (message,) = messages
    assert "nowhere.safetensors was not loaded" in message, "a dropped file is not ignored"
    busy.stop()
    busy.stop()
    at_rest(busy)
    goes_on(qtbot, busy, tiny)
