"""Every failure names the mend, reaches the user, and leaves the dock ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers._source import Source

from napari_noise2self import api
from napari_noise2self._napari import dialogs, widget
from napari_noise2self._napari.controls import State
from napari_noise2self._napari.results import Results
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.config import TrainingConfig

Dock = Callable[..., DenoiseWidget]
LONG = 60_000


class OutOfMemoryError(RuntimeError):
    """Named and derived as torch's."""


def fails(qtbot: Any, dock: DenoiseWidget, act: Callable[[], None]) -> str:
    """Return the message; the dock shows it in red and is ready again."""
    with qtbot.waitSignal(dock.failed, timeout=LONG) as failed:
        act()
    (message,) = failed.args
    assert dock.state.at_rest
    label = dock.panel.state_label
    assert message in label.text()
    assert not message[0].islower()
    assert "color" in label.styleSheet()
    assert dock.panel.progress_bar.value() == 0
    return str(message)


def works(qtbot: Any, dock: DenoiseWidget, viewer: ViewerModel, image: np.ndarray) -> None:
    viewer.add_image(image, name="good")
    assert "color" not in dock.panel.state_label.styleSheet(), "the error was about another layer"
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.train(start_over=True)


def nan(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[3, 3] = np.nan
    return image


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (nan, "Layers > Filter > Replace NaN"),
        (lambda image: np.full_like(image, 7), "constant"),
        (lambda image: image[:20, :20], "at least 32"),
    ],
    ids=["NaN", "constant", "tiny"],
)
def test_images_that_cannot_be_trained_on(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    messages: list[str],
    spoil: Callable[[np.ndarray], np.ndarray],
    mend: str,
) -> None:
    viewer.add_image(spoil(noisy), name="bad")
    dock = make_dock()
    message = fails(qtbot, dock, dock.train)
    assert mend in message
    assert message in messages
    works(qtbot, dock, viewer, noisy)


def test_a_gap_outside_the_region_costs_the_preview_not_the_training(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    tiny: TrainingConfig,
    messages: list[str],
) -> None:
    viewer.add_image(nan(noisy), name="cells")
    below = viewer.add_shapes([[[20, 0], [20, 63], [63, 63], [63, 0]]])
    dock = make_dock(tiny)
    dock.panel.layer_box.region_combo.setValue(below)
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.train()
    assert dock.state is State.READY
    (message,) = messages
    assert message.startswith("The training goes on, without a preview")
    assert "Layers > Filter > Replace NaN" in message


def test_wrong_axes_are_told_before_the_click(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy)
    dock = make_dock()
    edit = dock.panel.layer_box.axes_edit
    edit.setText("TYX")
    edit.textEdited.emit("TYX")
    assert not dock.panel.train_button.isEnabled()
    assert "drop a letter" in dock.panel.state_label.text()
    assert "drop a letter" in fails(qtbot, dock, dock.train)
    edit.setText("YX")
    edit.textEdited.emit("YX")
    assert dock.panel.train_button.isEnabled()
    assert "color" not in dock.panel.state_label.styleSheet()


@pytest.mark.parametrize("content", [b"", b"no model at all", b"PK\x03\x04 a zip"])
def test_unreadable_models(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    messages: list[str],
    tmp_path: Path,
    content: bytes,
) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    dock = make_dock()
    message = fails(qtbot, dock, lambda: dock.load_model(path))
    assert "broken.safetensors" in message
    assert message in messages
    assert dock.denoiser is None
    works(qtbot, dock, viewer, noisy)


def test_a_failed_load_keeps_the_model_that_was_there(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, tmp_path: Path
) -> None:
    dock = make_dock()
    works(qtbot, dock, viewer, noisy)
    denoiser = dock.denoiser
    fails(qtbot, dock, lambda: dock.load_model(tmp_path / "missing.safetensors"))
    assert dock.denoiser is denoiser
    assert dock.state is State.READY


def test_a_model_that_does_not_fit_is_refused(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray
) -> None:
    dock = make_dock()
    works(qtbot, dock, viewer, noisy)
    viewer.add_image(np.stack([noisy] * 2), name="channels", axis_labels=("c", "y", "x"))
    assert "channel" in fails(qtbot, dock, dock.denoise)
    assert dock.state is State.READY


@pytest.mark.parametrize("kind", [OutOfMemoryError, MemoryError, RuntimeError, ZeroDivisionError])
@pytest.mark.parametrize("trained", [False, True], ids=["at once", "after some steps"])
def test_errors_of_the_engine_are_never_swallowed(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    messages: list[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
    trained: bool,
) -> None:
    train = api.train

    def failing(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for progress in train(*args, **kwargs):
            yield progress
            if progress.step == (3 if trained else 0):
                raise kind("the engine broke")

    monkeypatch.setattr(api, "train", failing)
    viewer.add_image(noisy)
    dock = make_dock()
    message = fails(qtbot, dock, dock.train)
    out_of_memory = kind in (OutOfMemoryError, MemoryError)
    assert ("smaller" if out_of_memory else "the engine broke") in message
    assert any("smaller" in m if out_of_memory else "broke" in m for m in messages)
    assert dock.state is (State.STOPPED if trained else State.EMPTY)
    assert dock.panel.save_button.isEnabled() is trained
    monkeypatch.undo()
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.panel.train_button.click()


def test_running_out_of_memory_while_denoising(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: Any, **__: Any) -> Iterator[Any]:
        raise OutOfMemoryError("CUDA out of memory")
        yield

    dock = make_dock()
    works(qtbot, dock, viewer, noisy)
    monkeypatch.setattr(api.Denoiser, "predict_iter", failing)
    assert "smaller" in fails(qtbot, dock, dock.denoise)
    assert dock.state is State.READY
    monkeypatch.undo()
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.denoise()


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of results that are taken for too large for memory."""
    monkeypatch.setattr(widget, "fits_in_memory", lambda *_, **__: False)
    monkeypatch.setattr(dialogs, "folder_for_result", lambda *args: tmp_path / f"{args[-1]}.zarr")
    return tmp_path


def test_what_is_finished_when_an_error_comes_is_kept(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    stack: np.ndarray,
    messages: list[str],
    on_disk: Path,
) -> None:
    dock = make_dock()
    works(qtbot, dock, viewer, stack)
    bad = stack.copy()
    bad[5, 3, 3] = np.nan
    viewer.add_image(bad, name="cells")
    api.write_image(on_disk / "cells.zarr", stack, axes="TYX")
    assert "NaN" in fails(qtbot, dock, dock.denoise)
    result = viewer.layers["cells denoised"]
    np.testing.assert_array_equal(result.data[:5], dock.denoiser.predict(stack[:5], axes="TYX"))
    assert any("holds frames 1 to 5 of 8" in message for message in messages)
    dock.panel.layer_box.layer_combo.setValue(viewer.layers["good"])
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.denoise()


def test_an_older_result_on_disk_is_not_shown_as_a_new_one(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    messages: list[str],
    on_disk: Path,
) -> None:
    dock = make_dock()
    works(qtbot, dock, viewer, noisy)
    viewer.add_image(nan(noisy), name="cells")
    api.write_image(on_disk / "cells.zarr", noisy, axes="YX")
    assert "NaN" in fails(qtbot, dock, dock.denoise)
    assert "cells denoised" not in viewer.layers
    combo = dock.panel.target_combo
    combo.setCurrentIndex(combo.findData("all"))
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.denoise()
    assert any("cells was left out" in message for message in messages)
    assert "cells denoised" not in viewer.layers
    state = dock.panel.state_label.text()
    assert state.startswith('"good denoised" is ready. "cells" was left out: ')
    assert "Replace NaN" in state


def test_memory_is_shared_by_the_results_of_several_layers(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    stack: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def folder_for_result(*args: Any) -> Path:
        asked.append(args[-1])
        return tmp_path / f"{len(asked)}.zarr"

    dock = make_dock()
    works(qtbot, dock, viewer, stack)
    viewer.add_image(stack, name="second")
    viewer.add_image(stack, name="third")
    memory = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=5 * stack.nbytes))
    monkeypatch.setattr("napari_noise2self.io.on_disk.psutil", memory)
    monkeypatch.setattr(dialogs, "folder_for_result", folder_for_result)
    panel = dock.panel
    panel.target_combo.setCurrentIndex(panel.target_combo.findData("all"))
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.denoise()
    assert asked == ["third"], "half of what is free holds two results"
    panel.output_combo.setCurrentIndex(panel.output_combo.findData("disagreement"))
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        dock.denoise()
    assert asked == ["third"] * 2, "a disagreement is one more"


def test_a_result_that_cannot_be_shown_leaves_the_dock_ready(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: Any) -> str:
        raise OSError("the result is gone")

    dock = make_dock()
    works(qtbot, dock, viewer, noisy)
    monkeypatch.setattr(Results, "summary", failing)
    assert "the result is gone" in fails(qtbot, dock, dock.denoise)
    assert dock.panel.denoise_button.isEnabled()
    viewer.add_image(nan(noisy), name="bad")
    assert "NaN" in fails(qtbot, dock, dock.denoise), "why the job ended comes first"


def test_a_device_that_is_not_there(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, tiny: TrainingConfig
) -> None:
    from dataclasses import replace

    viewer.add_image(noisy)
    dock = make_dock(replace(tiny, device="cuda:7"))
    assert "here are" in fails(qtbot, dock, dock.train)


def test_a_file_that_cannot_be_written(
    qtbot: Any, viewer: ViewerModel, make_dock: Dock, noisy: np.ndarray, tmp_path: Path
) -> None:
    dock = make_dock()
    works(qtbot, dock, viewer, noisy)
    target = tmp_path / "no such folder" / "model.safetensors"
    assert "no such folder" in fails(qtbot, dock, lambda: dock.save_model(target))


def test_an_event_that_cannot_be_shown_costs_no_other(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    noisy: np.ndarray,
    messages: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: Any) -> None:
        raise ValueError("the plot is broken")

    viewer.add_image(noisy)
    dock = make_dock()
    monkeypatch.setattr(dock.panel.loss_plot, "add", failing)
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.train()
    assert dock.denoiser.trained
    assert dock.state is State.READY
    assert any("the plot is broken" in message for message in messages)


def test_a_result_is_not_written_over_a_layer_or_another_result(
    qtbot: Any,
    viewer: ViewerModel,
    make_dock: Dock,
    stack: np.ndarray,
    on_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dock = make_dock()
    works(qtbot, dock, viewer, stack)
    api.write_image(on_disk / "good.zarr", stack, axes="TYX")
    good = viewer.layers["good"]
    monkeypatch.setattr(good, "_source", Source(path=str(on_disk / "." / "good.zarr")))
    assert 'holds the layer "good"' in fails(qtbot, dock, dock.denoise)
    viewer.add_image(stack, name="second")
    viewer.layers.remove(good)
    viewer.add_image(stack, name="third")
    monkeypatch.setattr(dialogs, "folder_for_result", lambda *_: on_disk / "same.zarr")
    combo = dock.panel.target_combo
    combo.setCurrentIndex(combo.findData("all"))
    assert "chosen for two results" in fails(qtbot, dock, dock.denoise)
    assert not (on_disk / "same.zarr").exists()
