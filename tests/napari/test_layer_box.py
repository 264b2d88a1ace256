from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noise2self._napari.layer_box import LayerBox
from napari_noise2self._napari.layers import METADATA_KEY
from napari_noise2self._napari.ties import Ties
from napari_noise2self.core.errors import AxesError, ImageError


@pytest.fixture
def box(qtbot: Any, viewer: ViewerModel) -> LayerBox:
    box = LayerBox(viewer)
    qtbot.addWidget(box)
    box.ties = Ties()
    box.ties.connect(box.connections())
    box.refresh()
    return box


def names(box: LayerBox) -> list[str]:
    combo = box.layer_combo
    return [combo.itemText(n) for n in range(combo.count())]


def test_the_combo_follows_the_list(box: LayerBox, viewer: ViewerModel, noisy: np.ndarray) -> None:
    assert box.layer() is None
    assert "Open" in box.understood_label.text()
    first = viewer.add_image(noisy, name="first")
    viewer.add_labels(noisy.astype(int))
    second = viewer.add_image(noisy, name="second")
    assert names(box) == ["first", "second"]
    assert box.layer() == second, "the active layer"
    viewer.layers.selection.active = first
    assert box.layer() == first
    first.name = "renamed"
    assert names(box) == ["renamed", "second"]
    viewer.layers.move(0, 3)
    assert names(box) == ["second", "renamed"]
    assert box.layer() == first
    viewer.layers.remove(first)
    assert (names(box), box.layer()) == (["second"], second)


def test_results_are_offered_but_not_followed(
    box: LayerBox, viewer: ViewerModel, noisy: np.ndarray
) -> None:
    source = viewer.add_image(noisy, name="source")
    viewer.add_image(noisy, name="result", metadata={METADATA_KEY: {"output": "best"}})
    viewer.add_image(noisy, name="preview", metadata={METADATA_KEY: {"preview": True}})
    assert names(box) == ["source", "result"]
    assert box.layer() == source


def test_a_disabled_combo_keeps_its_layer(
    box: LayerBox, viewer: ViewerModel, noisy: np.ndarray
) -> None:
    source = viewer.add_image(noisy)
    box.layer_combo.setEnabled(False)
    viewer.add_image(noisy)
    assert box.layer() == source


def test_axes_are_read_shown_and_corrected(
    box: LayerBox, viewer: ViewerModel, stack: np.ndarray
) -> None:
    layer = viewer.add_image(stack, name="stack")
    assert box.axes_edit.text() == "TYX"
    assert "8 time points" in box.understood_label.text()
    box.axes_edit.setText("zyx")
    box.axes_edit.textEdited.emit("zyx")
    assert "8 planes in z" in box.understood_label.text()
    assert box.source().image.axes == "ZYX"
    viewer.add_image(stack[0])
    assert box.axes_edit.text() == "YX"
    box.layer_combo.setValue(layer)
    assert box.axes_edit.text() == "ZYX", "a correction is kept with its layer"


def write(box: LayerBox, axes: str) -> None:
    box.axes_edit.setText(axes)
    box.axes_edit.textEdited.emit(axes)


def test_another_layer_is_read_as_it_says_itself(
    box: LayerBox, viewer: ViewerModel, stack: np.ndarray
) -> None:
    corrected = viewer.add_image(stack, name="corrected")
    write(box, "SYX")
    labelled = viewer.add_image(stack, name="labelled", axis_labels=("c", "y", "x"))
    silent = viewer.add_image(stack, name="silent")
    viewer.add_image(stack, name="chosen", axis_labels=("t", "y", "x"))
    write(box, "ZYX")
    read = {layer.name: box.source_for(layer).image.axes for layer in viewer.layers}
    assert read == {"corrected": "SYX", "labelled": "CYX", "silent": "ZYX", "chosen": "ZYX"}
    alike = {box.source_like(layer).image.axes for layer in (corrected, labelled, silent)}
    assert alike == {"ZYX"}, "what shows the same scene has the same axes"


def test_wrong_axes_are_explained_under_the_edit(
    box: LayerBox, viewer: ViewerModel, stack: np.ndarray
) -> None:
    viewer.add_image(stack)
    box.axes_edit.setText("YX")
    box.axes_edit.textEdited.emit("YX")
    assert "add a letter" in box.understood_label.text()
    with pytest.raises(AxesError):
        box.source()


def test_a_region_is_taken_from_a_shapes_layer(
    box: LayerBox, viewer: ViewerModel, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy)
    assert box.region() is None
    shapes = viewer.add_shapes([[[8, 8], [8, 47], [47, 47], [47, 8]]])
    box.region_combo.setValue(shapes)
    assert box.region() == (slice(8, 48), slice(8, 48))
    shapes.add_rectangles([[[100, 100], [100, 120], [120, 120], [120, 100]]])
    told: list[None] = []
    box.valueChanged.connect(lambda: told.append(None))
    shapes.selected_data = {1}
    assert told, "the shapes that are selected count, and the dock is told"
    with pytest.raises(ImageError, match="lie beside"):
        box.region()
    viewer.layers.remove(shapes)
    assert box.region() is None


def test_new_data_in_the_layer_are_noticed(
    box: LayerBox, viewer: ViewerModel, noisy: np.ndarray
) -> None:
    layer = viewer.add_image(noisy)
    layer.data = noisy[:40]
    assert "40 x 64" in box.understood_label.text()
    layer.scale = (2, 2)
    box.forget()
    layer.data = noisy[:36]
    assert "40 x 64" in box.understood_label.text()


def test_targets(box: LayerBox, viewer: ViewerModel, noisy: np.ndarray) -> None:
    assert box.targets("layer") == box.targets("all") == []
    first = viewer.add_image(noisy)
    second = viewer.add_image(noisy)
    result = viewer.add_image(noisy, metadata={METADATA_KEY: {"output": "best"}})
    viewer.add_points()
    assert box.targets("layer") == [second]
    assert box.targets("all") == [first, second]
    viewer.layers.selection = {first, result}
    assert set(box.targets("selected")) == {first, result}


def test_a_region_needs_no_axes_that_are_written(
    box: LayerBox, viewer: ViewerModel, noisy: np.ndarray
) -> None:
    viewer.add_image(noisy)
    shapes = viewer.add_shapes([[[8, 8], [8, 47], [47, 47], [47, 8]]])
    box.region_combo.setValue(shapes)
    box.axes_edit.setText("")
    box.axes_edit.textEdited.emit("")
    assert box.source().image.axes == "YX"
    assert box.region() == (slice(8, 48), slice(8, 48))


def test_no_layer_is_said_to_be_none(box: LayerBox) -> None:
    with pytest.raises(ImageError, match="open an image"):
        box.source()
