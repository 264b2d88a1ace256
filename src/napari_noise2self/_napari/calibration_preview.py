"""What the viewer shows, denoised with one value of a calibration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from .calibration_jobs import Looked, looking
from .layers import Source
from .live import LivePreview
from .preview import Requests, Window
from .ties import Ties
from .worker import Ended, Job


class _Asking(Requests):
    """A slot that says when something is put into it."""

    def __init__(self, asked: Callable[[], None]) -> None:
        super().__init__()
        self._asked = asked

    def put(self, window: Window | None) -> None:
        """Ask for a window."""
        super().put(window)
        self._asked()


class CalibrationPreview(QObject):
    """A preview layer that follows the view, one short job for each look.

    Parameters
    ----------
    viewer
        The napari viewer.
    parent
        Lives as long as this.
    """

    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._live = LivePreview(viewer, self)
        self._requests = _Asking(lambda: None)
        self._calibration: Any = None
        self._shown: Any = None  # the calibration whose preview is there or on its way
        self._source: Source | None = None
        self._ties = ties = Ties()
        self.destroyed.connect(lambda *_: ties.release())

    @property
    def layer(self) -> Any:
        """The preview layer, or None."""
        return self._live.layer

    def begin(self, layer: Any, source: Source) -> None:
        """Follow the viewer's view of a layer; there is nothing to show yet."""
        self.end()
        self._source = source
        self._requests = _Asking(self._look)
        self._live.begin(layer, source, wanted=True, requests=self._requests)

    def show(self, calibration: Any) -> None:
        """Show the view as `calibration` denoises it."""
        self._calibration = calibration
        self._live.set_wanted(True)

    def end(self) -> None:
        """Stop following; the last preview stays in the viewer."""
        self._calibration = self._shown = self._source = None
        self._live.end()
        if self._ties.job is not None:
            self._ties.job.stop()

    def remove(self) -> None:
        """Take the preview layer out of the viewer, until the next `show`."""
        self._live.set_wanted(False)
        self._live.remove()

    def _look(self) -> None:
        """Start a look, if there is one to be had that is not there yet."""
        wanted, moved = self._requests.waiting()
        new = self._calibration is not self._shown
        if self._ties.job is not None or self._calibration is None or self._source is None:
            return
        if not wanted or not (moved or new):
            return
        window = self._requests.take()
        assert window is not None
        self._shown = calibration = self._calibration
        image = self._source.image
        assert image.axes is not None
        array, axes = image.data, image.axes
        job = Job(lambda: looking(calibration, array, axes, window), name="look")
        job.events.connect(self._take)
        job.ended.connect(self._ended)
        self._ties.job = job
        job.start()

    def _take(self, events: tuple[Any, ...]) -> None:
        for event in events:
            if isinstance(event, Looked) and event.calibration is self._shown:
                self._live.show(event.preview)

    def _ended(self, ended: Ended) -> None:
        self._ties.job = None
        if ended.error is not None:
            self.failed.emit(ended.error)
        else:
            self._look()
