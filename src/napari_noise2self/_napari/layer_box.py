"""Which layer, which part of it, and how its axes are read: the top of the dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QSizePolicy, QWidget

from ..core.errors import ImageError, Noise2SelfError
from . import pieces
from .layers import (
    METADATA_KEY,
    Source,
    detected_axes,
    labelled_axes,
    region_of,
    source_of,
    understood,
)


def is_own(layer: Any) -> bool:
    """Whether a layer is a result of this package."""
    return METADATA_KEY in layer.metadata


def is_preview(layer: Any) -> bool:
    """Whether a layer is a live preview of this package."""
    return bool(layer.metadata.get(METADATA_KEY, {}).get("preview"))


class LayerCombo(QComboBox):
    """Offers the layers of one kind and follows the viewer's list.

    Parameters
    ----------
    viewer
        The napari viewer.
    kind
        Class of layer to offer.
    nothing
        Text of a first entry that stands for no layer; None for no such entry.
    """

    valueChanged = Signal()

    def __init__(self, viewer: Any, kind: type[Layer], nothing: str | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._kind = kind
        self._nothing = nothing
        self._layers: list[Any] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        pieces.clicked_before_rolled(self)
        self.currentIndexChanged.connect(self._index_changed)

    def connections(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what of the viewer to listen to, and with what."""
        events = self._viewer.layers.events
        ties: list[tuple[Any, Callable[..., None]]] = [
            (emitter, self.refresh)
            for emitter in (events.inserted, events.removed, events.reordered, events.renamed)
        ]
        if self._nothing is None:
            ties.append((self._viewer.layers.selection.events.active, self._follow))
        return ties

    def value(self) -> Any:
        """Return the chosen layer, or None."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def setValue(self, layer: Any) -> None:
        """Choose a layer; one that is not on offer changes nothing."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))

    def refresh(self, _: Any = None) -> None:
        """Read the viewer's list again, and keep the choice if it is still there."""
        chosen = self.value()
        offered = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not is_preview(layer)
        ]
        self._layers = offered if self._nothing is None else [None, *offered]
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            self.addItem(self._nothing if layer is None else layer.name)
        if chosen in self._layers:
            self.setCurrentIndex(self._layers.index(chosen))
        elif self._nothing is None:
            self._choose_active()
        self.blockSignals(False)
        if self.value() != chosen:
            self.valueChanged.emit()

    def _choose_active(self) -> None:
        active = self._viewer.layers.selection.active
        if active is not None and active in self._layers and not is_own(active):
            self.setCurrentIndex(self._layers.index(active))

    def _follow(self, _: Any = None) -> None:
        if self.isEnabled():  # a running job keeps its layer
            self._choose_active()

    def _index_changed(self, _: int) -> None:
        self.valueChanged.emit()


class LayerBox(QWidget):
    """Layer, region and axes, with a sentence that says what was understood."""

    valueChanged = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._corrected: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._watched: tuple[Any, Any] = (None, None)

        self.layer_combo = LayerCombo(viewer, Image)
        self.layer_combo.setObjectName("layer_combo")
        self.layer_combo.setToolTip("The noisy image to learn from. Every image layer is offered.")
        self.region_combo = LayerCombo(viewer, Shapes, nothing="whole image")
        self.region_combo.setObjectName("region_combo")
        self.region_combo.setToolTip(
            "Train only on the part inside the shapes of a Shapes layer, for example where the "
            "cells are.\nDenoise still works on the whole image."
        )
        self.axes_edit = QLineEdit()
        self.axes_edit.setObjectName("axes_edit")
        self.axes_edit.setMaxLength(6)
        self.axes_edit.setToolTip(
            "What each dimension of the image is: T time, S separate samples, C channels, Z depth, "
            "Y, X.\nCorrect it if the sentence below is wrong. Frames along T and planes "
            "along Z are neighbours of each other, S are not."
        )
        self.understood_label = pieces.text("understood_label")

        layout = pieces.form(
            ("Layer", self.layer_combo), ("Region", self.region_combo), ("Axes", self.axes_edit)
        )
        layout.addRow(self.understood_label)
        self.setLayout(layout)

        self.layer_combo.valueChanged.connect(self._layer_changed)
        self.region_combo.valueChanged.connect(self._changed)
        self.axes_edit.textEdited.connect(self._axes_edited)

    def connections(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what of the viewer to listen to, and with what."""
        return self.layer_combo.connections() + self.region_combo.connections()

    def refresh(self) -> None:
        """Read the viewer's layers."""
        self.layer_combo.refresh()
        self.region_combo.refresh()
        self._changed()

    def layer(self) -> Any:
        """Return the chosen image layer, or None."""
        return self.layer_combo.value()

    def axes(self) -> str:
        """Return the axes as they are written."""
        return self.axes_edit.text().strip().upper()

    def source(self) -> Source:
        """Return what a job needs of the chosen layer.

        Raises
        ------
        AxesError
            If the axes that are written do not fit.
        ImageError
            If there is no layer, or the image cannot be denoised.
        """
        if self.layer() is None:
            raise ImageError("open an image, or select one in the layer list")
        return source_of(self.layer(), self.axes())

    def source_for(self, layer: Any) -> Source:
        """Return the source of any layer, read as was written for it, else as its labels say.

        One for which neither is known is read as the chosen one, if it is of its kind.
        """
        if layer is self.layer():
            return self.source()
        own = self._corrected.get(layer) or labelled_axes(layer)
        return source_of(layer, own) if own else self.source_like(layer)

    def source_like(self, layer: Any) -> Source:
        """Return the source of a layer that shows the chosen one's scene: it has its axes."""
        chosen = self.layer()
        same = chosen is not None and (layer.ndim, layer.rgb) == (chosen.ndim, chosen.rgb)
        return source_of(layer, self.axes() if same else None)

    def targets(self, which: str) -> list[Any]:
        """Return the layers that are meant by ``"layer"``, ``"selected"`` or ``"all"``."""
        if which == "layer":
            return [] if self.layer() is None else [self.layer()]
        layers = self._viewer.layers if which == "all" else self._viewer.layers.selection
        images = [x for x in layers if isinstance(x, Image) and not is_preview(x)]
        return images if which == "selected" else [x for x in images if not is_own(x)]

    def region(self) -> tuple[slice, ...] | None:
        """Return the part to train on; None for the whole image."""
        shapes = self.region_combo.value()
        if shapes is None:
            return None
        axes = self.source().image.axes
        assert axes is not None
        return region_of(shapes, self.layer(), axes)

    def _layer_changed(self) -> None:
        layer = self.layer()
        text = ""
        if layer is not None:
            try:
                text = self._corrected.get(layer) or detected_axes(layer)
            except Noise2SelfError:
                text = ""  # the sentence below the edit says what is wrong
        self.axes_edit.setText(text)
        self._changed()

    def _axes_edited(self, _: str) -> None:
        layer = self.layer()
        if layer is not None:
            self._corrected[layer] = self.axes()
        self._changed()

    def _changed(self, _: Any = None) -> None:
        layer = self.layer()
        self._watch(layer, self.region_combo.value())
        if layer is None:
            self.understood_label.setText("Open or select an image to begin.")
        else:
            try:
                source_of(layer, self.axes())
                text = understood(layer, self.axes() or detected_axes(layer))
            except Noise2SelfError as error:
                text = str(error)
            self.understood_label.setText(text[:1].upper() + text[1:])
        self.valueChanged.emit()

    def forget(self) -> None:
        """Stop listening to the chosen layers."""
        self._watch(None, None)

    def _watch(self, image: Any, shapes: Any) -> None:
        """Listen to what changes inside these two layers, and no longer to those before."""
        before, self._watched = self._watched, (image, shapes)
        if before == self._watched:
            return
        for emitter in _inner_events(*before):
            emitter.disconnect(self._changed)
        for emitter in _inner_events(image, shapes):
            emitter.connect(self._changed)


def _inner_events(image: Any, shapes: Any) -> list[Any]:
    events = [] if image is None else [image.events.data, image.events.scale]
    if shapes is None:
        return events
    if image is not None:
        events.append(image.events.translate)
    # A highlight comes with every selection, in each napari; which shapes are selected counts.
    return [*events, *(getattr(shapes.events, n) for n in ("data", "highlight", "translate"))]
