"""What comes into a composite of channels leaves the other channels in view."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_noise2self._napari.filling import fill_selected_layer
from napari_noise2self._napari.layers import source_of
from napari_noise2self._napari.live import LivePreview
from napari_noise2self._napari.placing import stand_in
from napari_noise2self._napari.preview import Preview, Window

WHOLE = (slice(0, 64), slice(0, 64))


@pytest.fixture
def composite(viewer: ViewerModel, stack: np.ndarray) -> ViewerModel:
    """Three channels as napari opens them: translucent, then additive."""
    viewer.add_image(stack[:3], channel_axis=0, name=["red", "green", "blue"])
    return viewer


@pytest.fixture
def live(qapp: QApplication, composite: ViewerModel) -> Iterator[LivePreview]:
    parent = QObject()
    live = LivePreview(composite, parent)
    yield live
    live.end()


def visible(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


def test_a_preview_is_not_added_to_the_noisy_channel(
    composite: ViewerModel, live: LivePreview, noisy: np.ndarray
) -> None:
    layer = composite.layers["green"]
    live.begin(layer, source_of(layer), wanted=True)
    assert live.show(Preview(Window(WHOLE, WHOLE), noisy, 1, 1e6))
    assert live.layer.blending == "translucent_no_depth"
    assert live.layer.colormap == layer.colormap
    assert visible(composite) == ["red", "green", "blue", "green preview"]


def test_a_filled_channel_takes_the_place_of_its_source(composite: ViewerModel) -> None:
    composite.layers.selection.active = composite.layers["green"]
    fill_selected_layer(composite)
    assert visible(composite) == ["red", "green filled", "blue"]


def test_without_its_source_or_a_composite_a_layer_stays_on_top(
    viewer: ViewerModel, noisy: np.ndarray
) -> None:
    one, two, three = (viewer.add_image(noisy, name=name) for name in ("one", "two", "three"))
    assert stand_in(viewer.layers, three, one) == []
    assert visible(viewer) == ["one", "two", "three"]
    viewer.layers.remove(one)
    two.blending = three.blending = "additive"
    assert stand_in(viewer.layers, three, one) == []
    assert visible(viewer) == ["two", "three"]
