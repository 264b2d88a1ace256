"""What every dock does: follow the viewer, run one job at a time, say how it went."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

from napari.utils.notifications import (
    notification_manager,
    show_error,
    show_info,
    show_warning,
)
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..core.config import Progress
from ..core.errors import ImageError, Noise2SelfError
from . import dialogs, garbage, pieces, words
from .layer_box import LayerBox
from .theme import colours
from .ties import Ties
from .worker import Ended, Job

_log = logging.getLogger(__name__)


class Dock(QWidget):
    """A layer box, a progress bar, a state line, and at most one job.

    A subclass fills `column`, calls `begin`, and overrides `take`, `job_ended`,
    `finished`, `refresh` and, where it must, `progressed`, `recolour` and
    `leave`. Closing the dock stops the job.

    Parameters
    ----------
    napari_viewer
        The viewer that the dock belongs to.
    """

    failed = Signal(str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._message, self._is_error = "", False
        self._said_of: ReferenceType[Any] | None = None  # the layer that was chosen then
        self._error_colour = "red"
        self._ties = ties = Ties()
        self.destroyed.connect(lambda *_: ties.release())
        self.layer_box = LayerBox(napari_viewer)
        self.progress_bar = pieces.progress_bar()
        self.state_label = pieces.text("state_label")
        self.column = pieces.Column()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.column)

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._ties.job is not None

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._ties.job is not None and self._ties.job.stopping

    def stop(self) -> None:
        """Stop the job, after its current step; what was reached is kept."""
        if self._ties.job is not None:
            self._ties.job.stop()
            self.refresh()

    def say(self, message: str, *, error: bool = False) -> None:
        """Show a sentence in the state line, until another layer is chosen."""
        self._message, self._is_error = message, error
        layer = self.layer_box.layer()
        self._said_of = None if layer is None else ref(layer)
        self._show_state(message, error=error)

    def fail(self, error: Exception) -> None:
        """Tell the user, in the dock, as a notification and as a signal."""
        if isinstance(error, Noise2SelfError):
            message = _sentence(words.as_here(str(error)))
            show_error(message)
        else:
            message = f"{type(error).__name__}: {error}"
            _log.error("unexpected error in a job", exc_info=error)
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.say(message, error=True)
        self.refresh()
        self.failed.emit(message)

    def choice_changed(self, _: Any = None) -> None:
        """Drop what was said of another layer, or of what did not work, and look again."""
        said_of = None if self._said_of is None else self._said_of()
        if not self.busy and (self._is_error or said_of is not self.layer_box.layer()):
            self.say("")
        self.refresh()

    def turn_away(self, path: str | Path) -> None:
        """Say that a file is not loaded: a job runs, and the state line is the job's."""
        show_warning(
            f"{Path(path).name} was not loaded, since this dock is at work; stop that or wait for "
            "its end, then load the file again"
        )

    def begin(self, make: Callable[[], Generator[Any, None, None]], *, name: str) -> None:
        """Start a job."""
        job = Job(make, name=name)
        job.events.connect(self._events)
        job.ended.connect(self._ended)
        self._ties.job = job
        self.refresh()
        job.start()

    def ask_folder(self, name: str, start: str, taken: Collection[Path] = ()) -> Path | None:
        """Ask where to put a result that is too large for memory; None to do nothing.

        Parameters
        ----------
        name
            Of the image.
        start
            Folder to begin in.
        taken
            Where other results of this click go.

        Raises
        ------
        ImageError
            If a layer is read from there, or another result goes there.
        """
        folder = dialogs.folder_for_result(self, start, name)
        if folder is None:
            return None
        place = os.path.realpath(folder)
        if place in map(os.path.realpath, taken):
            raise ImageError(f"{folder} is chosen for two results; choose a name for each")
        for layer in self.viewer.layers:
            path = layer.source.path
            if path and os.path.realpath(path) == place:
                raise ImageError(
                    f'{folder} holds the layer "{layer.name}", whose pixels would be lost; choose '
                    "another name"
                )
        return folder

    # For subclasses

    def connections(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what of the viewer to listen to, and with what."""
        return [*self.layer_box.connections(), (self.viewer.events.theme, self.recolour)]

    def take(self, event: Any) -> None:
        """Use one event of a job."""

    def progressed(self, events: list[Progress]) -> None:
        """Show how far a job is; `events` came since the last call."""
        self.progress_bar.setRange(0, events[-1].steps)
        self.progress_bar.setValue(events[-1].step)
        self.progress_bar.setFormat(words.on_bar(events[-1]))

    def job_ended(self, ended: Ended) -> None:
        """Use what the job came to, an error excepted; `fail` and `refresh` follow."""

    def finished(self, ended: Ended) -> None:
        """Announce the end of a job that met no error, now that all is at rest again."""

    def refresh(self) -> None:
        """Derive every control from the state."""

    def recolour(self, _: Any = None) -> None:
        """Take on the colours of the viewer's theme."""
        self._error_colour = colours(self.viewer)["error"]
        self._show_state(self._message, error=self._is_error)

    def leave(self) -> None:
        """Take out of the viewer what belongs to the dock, which is being closed."""

    def tell(self, problem: str | None, ready: str) -> None:
        """Show what hinders, else what was said last, else `ready`; an error stays in view."""
        if problem is not None and not self._is_error:
            self._show_state(words.as_here(problem), error=True)
        else:
            self._show_state(self._message or ready, error=self._is_error)

    # The job

    def _events(self, events: tuple[Any, ...]) -> None:
        """Show what a job reports; the only way from the worker into the GUI.

        Progress first: what else a job says, it says of what it has done since.
        """
        progress = [event for event in events if isinstance(event, Progress)]
        if progress:
            self._show_event(self.progressed, progress)
        for event in events:
            if isinstance(event, Progress) and event.notice is not None:
                show_info(words.as_here(event.notice))
            self._show_event(self.take, event)

    def _show_event(self, show: Callable[[Any], None], event: Any) -> None:
        """Call `show`; where that fails, say so: the events that follow must not be lost."""
        try:
            show(event)
        except Exception as error:
            _log.exception("what a job reports could not be shown")
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _ended(self, ended: Ended) -> None:
        self._ties.job = None
        self.progress_bar.setRange(0, 1)
        self.progress_bar.setValue(0)
        self.progress_bar.setFormat("")
        try:
            self.job_ended(ended)
        except Exception as error:  # must neither hide why the job ended nor leave the dock busy
            _log.exception("what a job came to could not be shown")
            ended = replace(ended, error=ended.error or error)
        if ended.error is not None:
            self.fail(ended.error)
        else:
            self.refresh()
            self.finished(ended)

    def _show_state(self, message: str, *, error: bool) -> None:
        self.state_label.setStyleSheet(f"color: {self._error_colour};" if error else "")
        self.state_label.setText(_sentence(message))

    # The viewer

    def listen(self) -> None:
        """Follow the viewer; a subclass calls this once it is complete."""
        garbage.watch(self)
        self._ties.connect(self.connections())
        self.layer_box.refresh()
        self.recolour()
        self.refresh()

    def _part(self) -> None:
        """Leave the viewer: the dock is being closed."""
        self._ties.release()
        self.leave()
        self.layer_box.forget()
        garbage.closed(self)

    def event(self, event: QEvent) -> bool:
        """Notice that the dock was closed: napari takes its widget out and sends no close event."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None and self._ties.connected:
                self._part()
            elif self.parent() is not None and not self._ties.connected:
                self.listen()
        return super().event(event)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]
