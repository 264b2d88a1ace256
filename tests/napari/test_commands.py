"""The commands of the layer menu on a viewer without a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from app_model.expressions import parse_expression
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_noise2self._napari import commands, settings
from napari_noise2self._napari.commands import denoise_selected_layer
from napari_noise2self._napari.filling import fill_selected_layer
from napari_noise2self._napari.layers import METADATA_KEY
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self.core.config import TrainingConfig

Dock = Callable[..., DenoiseWidget]
LONG = 60_000


@pytest.fixture
def dock(
    viewer: ViewerModel, make_dock: Dock, tiny: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> DenoiseWidget:
    """The dock that the command opens, with settings of the user's own."""
    dock = make_dock(replace(tiny, steps=5, width=8))
    monkeypatch.setattr(commands, "dock_of", lambda _: dock)
    monkeypatch.setattr(commands, "TrainingConfig", lambda: tiny)
    return dock


def test_gaps_are_filled_in_a_new_layer_that_lies_and_looks_the_same(
    viewer: ViewerModel, noisy: np.ndarray
) -> None:
    movie = np.stack([noisy, noisy + 1])
    movie[1, 3, 3] = np.nan
    source = viewer.add_image(movie, name="ratio", scale=(1, 0.5, 0.5), colormap="magma")
    fill_selected_layer(viewer)
    filled = viewer.layers["ratio filled"]
    assert isinstance(filled.data, da.Array), "a long stack makes nobody wait"
    kept = np.isfinite(movie)
    assert np.array_equal(np.asarray(filled.data)[kept], movie[kept])
    assert np.isfinite(np.asarray(filled.data)).all()
    assert np.isnan(movie[1, 3, 3]), "the source stays as it is"
    assert tuple(filled.scale) == tuple(source.scale)
    assert filled.colormap.name == "magma"


def test_a_second_filling_gets_a_number(viewer: ViewerModel, noisy: np.ndarray) -> None:
    layer = viewer.add_image(noisy, name="ratio")
    for _ in range(2):
        viewer.layers.selection.active = layer
        fill_selected_layer(viewer)
    assert "ratio filled 2" in viewer.layers


def test_colour_is_filled_within_each_colour(viewer: ViewerModel) -> None:
    colour = np.zeros((40, 40, 3), np.float32)
    colour[:] = 0.1, 0.2, 0.3
    colour[5, 5, 1] = np.inf
    viewer.add_image(colour, name="slide", rgb=True)
    fill_selected_layer(viewer)
    filled = viewer.layers["slide filled"]
    assert filled.rgb
    assert np.allclose(filled.data, [0.1, 0.2, 0.3])


def test_what_is_transparent_stays_so(viewer: ViewerModel) -> None:
    colour = np.full((40, 40, 4), 0.5, np.float32)
    colour[5, 5, 1] = np.nan
    colour[:20, :, 3] = 0.2
    viewer.add_image(colour, name="slide", rgb=True)
    fill_selected_layer(viewer)
    filled = np.asarray(viewer.layers["slide filled"].data)
    np.testing.assert_array_equal(filled[..., 3], colour[..., 3])
    assert np.allclose(filled[..., :3], 0.5)


def test_one_selected_image_layer_enables_the_commands(
    viewer: ViewerModel, noisy: np.ndarray
) -> None:
    image, other, points = viewer.add_image(noisy), viewer.add_image(noisy), viewer.add_points()
    found = PluginManifest.from_distribution("napari-noise2self").contributions.commands
    conditions = {command.enablement for command in found} - {None}
    for selected, expected in (
        ({image}, True),
        (set(), False),
        ({points}, False),
        ({image, other}, False),
        ({image, points}, False),
    ):
        viewer.layers.selection = selected
        for condition in conditions:
            assert parse_expression(condition).eval(viewer.layers._ctx) == expected, selected


@pytest.mark.parametrize("command", [denoise_selected_layer, fill_selected_layer])
def test_a_selection_of_two_or_of_a_preview_is_refused_with_a_reason(
    viewer: ViewerModel,
    dock: DenoiseWidget,
    noisy: np.ndarray,
    messages: list[str],
    command: Callable[[ViewerModel], None],
) -> None:
    first, second = viewer.add_image(noisy), viewer.add_image(noisy)
    preview = viewer.add_image(noisy, metadata={METADATA_KEY: {"preview": True}})
    for count, selected in enumerate(({first, second}, {preview}, set()), start=1):
        viewer.layers.selection = selected
        command(viewer)
        assert len(messages) == count
        assert "exactly one image layer" in messages[-1]
    assert not dock.busy
    assert len(viewer.layers) == 3


def test_train_and_denoise_takes_the_layer_alone_and_leaves_the_settings(
    qtbot: Any,
    viewer: ViewerModel,
    dock: DenoiseWidget,
    noisy: np.ndarray,
    tiny: TrainingConfig,
) -> None:
    second = viewer.add_image(noisy + 1, name="second")
    region = viewer.add_shapes([[[0, 0], [0, 39], [39, 39], [39, 0]]])
    cells = viewer.add_image(noisy, name="cells")
    panel = dock.panel
    panel.pair_combo.setValue(second)
    panel.layer_box.region_combo.setValue(region)
    panel.output_combo.setCurrentIndex(panel.output_combo.findData("j-invariant"))
    mine, remembered = panel.form.value(), settings.load()
    viewer.layers.selection = {cells}
    with qtbot.waitSignal(dock.denoising_finished, timeout=LONG):
        denoise_selected_layer(viewer)
    assert dock.denoiser.config == tiny
    assert dock.denoiser.record.image == "cells: 64 x 64, 32-bit float", "the whole of it"
    assert viewer.layers["cells denoised"].metadata[METADATA_KEY]["output"] == "best"
    assert panel.form.value() == mine
    assert panel.pair_combo.value() == second
    assert not panel.denoise_after_check.isChecked()
    now = settings.load()
    assert (now.preset, now.changes) == (remembered.preset, remembered.changes)
    assert not now.denoise_after


def test_train_and_denoise_leaves_a_running_training_alone(
    qtbot: Any,
    viewer: ViewerModel,
    dock: DenoiseWidget,
    noisy: np.ndarray,
    endless: TrainingConfig,
    messages: list[str],
) -> None:
    first, second = viewer.add_image(noisy), viewer.add_image(noisy)
    viewer.layers.selection = {first}
    dock.panel.form.setValue(endless)
    dock.train()
    viewer.layers.selection = {second}
    denoise_selected_layer(viewer)
    assert "at work" in messages[-1]
    assert dock.panel.layer_box.layer() == first
    assert dock.panel.form.value() == endless
    with qtbot.waitSignal(dock.training_finished, timeout=LONG):
        dock.stop()
