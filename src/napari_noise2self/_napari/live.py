"""The preview layer in the viewer, and what asks for the next preview."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
from qtpy.QtCore import QObject, QTimer

from .layers import METADATA_KEY, Source, pixels_for_display, result_name
from .placing import selection_kept, unmixed
from .preview import LARGEST, SMALLEST, Preview, Requests, affordable_pixels
from .view import moved_translate, window_shown

SETTLE = 60
"""Milliseconds to wait for more mouse and slider events before a window is asked for."""


LOOK = ("contrast_limits", "colormap", "gamma")
"""What of the source's look the preview takes on, so that the two can be compared."""


class LivePreview(QObject):
    """Shows the previews of one training at a time.

    Parameters
    ----------
    viewer
        The napari viewer.
    parent
        Lives as long as this.
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: Any = None
        self._source_layer: ReferenceType[Any] | None = None
        self._source: Source | None = None
        self._requests = Requests()
        self._limit = SMALLEST * 4
        self.largest = LARGEST
        self._wanted = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE)
        self._timer.timeout.connect(self._ask)

    @property
    def layer(self) -> Any:
        """The preview layer, or None."""
        return self._layer

    def begin(
        self, layer: Any, source: Source, *, wanted: bool, requests: Requests | None = None
    ) -> Requests:
        """Follow the viewer's view of a layer; returns the slot that the worker reads."""
        self.end()
        if self._source_layer is None or self._source_layer() != layer:
            self.remove()
        self._forget_deleted()
        self._source_layer, self._source = ref(layer), source
        self._requests = requests or Requests()
        for emitter in self._emitters():
            emitter.connect(self._moved)
        for emitter in self._looks():
            emitter.connect(self._take_look)
        self.set_wanted(wanted)
        return self._requests

    def set_wanted(self, wanted: bool) -> None:
        """Turn previews on or off while a training runs."""
        if wanted:
            self._forget_deleted()
        self._wanted = wanted
        self._ask()

    def end(self) -> None:
        """Stop following; the last preview stays in the viewer."""
        if self._source is not None:
            for emitter in self._emitters():
                emitter.disconnect(self._moved)
            for emitter in self._looks():
                emitter.disconnect(self._take_look)
        self._source = None
        self._timer.stop()
        self._requests.put(None)

    def remove(self) -> None:
        """Take the preview layer out of the viewer."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def show(self, preview: Preview) -> bool:
        """Show a preview and ask for the next.

        Returns
        -------
        bool
            False where the user has deleted the preview layer: previews stop then.
        """
        source_layer = self._followed()
        if source_layer is None or not self._wanted:
            return True
        if self._forget_deleted():
            self.set_wanted(False)
            return False
        data = pixels_for_display(preview.data, self._without_alpha(preview))
        translate = moved_translate(source_layer, preview.window)
        if self._layer is None:
            self._add(data, translate)
        else:
            if not np.array_equal(self._layer.translate, translate):
                self._layer.translate = translate
            self._layer.data = data
        self._limit = affordable_pixels(preview.pixels_per_second, self._limit, self.largest)
        self._ask()
        return True

    def _forget_deleted(self) -> bool:
        """Let go of a preview layer that the user has deleted; whether there was one."""
        deleted = self._layer is not None and self._layer not in self._viewer.layers
        if deleted:
            self._layer = None
        return deleted

    def _followed(self) -> Any:
        """Return the layer that is being trained on, if it is still there."""
        if self._source is None or self._source_layer is None:
            return None
        return self._source_layer()

    def _without_alpha(self, preview: Preview) -> Source:
        assert self._source is not None
        source = self._source
        if source.alpha is None:
            return source
        alpha = source.alpha[preview.window.show[:-1]]
        return replace(source, alpha=alpha)

    def _add(self, data: Any, translate: Any) -> None:
        assert self._source is not None
        taken = {layer.name for layer in self._viewer.layers}
        with selection_kept(self._viewer.layers):
            self._layer = self._viewer.add_image(
                data,
                name=result_name(self._source.image.name, taken, suffix="preview"),
                rgb=self._source.rgb,
                metadata={METADATA_KEY: {"preview": True}},
                **{**unmixed(self._source.appearance), "translate": translate},
            )

    def _emitters(self) -> list[Any]:
        viewer = self._viewer
        camera = getattr(viewer, "scene", viewer).camera  # moved in napari 0.9
        return [
            viewer.dims.events.point,
            viewer.dims.events.order,
            viewer.dims.events.ndisplay,
            camera.events.center,
            camera.events.zoom,
        ]

    def _looks(self) -> list[Any]:
        layer = self._followed()
        if layer is None or layer.rgb:
            return []
        return [getattr(layer.events, name) for name in LOOK]

    def _take_look(self, _: Any = None) -> None:
        """Show the preview as the source is shown, when that is changed."""
        source = self._followed()
        if self._layer is not None and source is not None:
            for name in LOOK:
                setattr(self._layer, name, getattr(source, name))

    def _moved(self, _: Any = None) -> None:
        self._timer.start()

    def _ask(self) -> None:
        layer = self._followed()
        if layer is None or self._source is None:
            return
        window = None
        if self._wanted:
            axes = self._source.image.axes
            assert axes is not None
            window = window_shown(layer, self._viewer.dims, axes, self._limit)
        self._requests.put(window)
