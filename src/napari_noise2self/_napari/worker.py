"""Run any iterator of events in a thread and bring its events to the GUI thread.

The thread touches nothing of Qt: it leaves its events where a timer in the GUI
thread picks them up. A Qt signal emitted from another thread than its
receiver's is unsafe with PySide6: the program hangs or crashes where the
receiver is destroyed at that moment (``QObject::event`` then calls into a
wrapper that is gone), and closing a dock while it trains is just that. Qt's and
napari's generator workers, besides, take a ``RuntimeError`` (running out of GPU
memory is one) for their own deletion and report nothing at all. `Job` always
ends with one `Ended`.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from ..core.config import Progress
from ..core.errors import DeviceMemoryError
from . import garbage

COLLECT_EVERY_MS = 50
"""Milliseconds between two looks at what a thread has left."""

QUIT_PATIENCE = 5.0
"""Seconds to wait for a thread when the application quits."""

_log = logging.getLogger(__name__)
_running: set[Job] = set()


@dataclass(frozen=True)
class Ended:
    """How a job ended: by itself, by a stop, or by an error."""

    stopped: bool
    error: Exception | None = None


class Job(QObject):
    """One iterator, advanced in its own thread until it ends, fails or is stopped.

    The iterator is made, advanced and closed in that thread. The stop flag is
    looked at between two events. Events arrive in the GUI thread in batches, in
    order; of a run of `Progress` events that say nothing but "one step further",
    only the last is kept. When `ended` is emitted, the thread is over.

    Parameters
    ----------
    make
        Called in the thread, returns the iterator; heavy imports belong there.
    name
        Name of the thread, for a debugger.

    Notes
    -----
    In use::

        job = Job(lambda: denoiser.predict_iter(image), name="predict")
        job.events.connect(show)
        job.start()
    """

    events = Signal(tuple)
    ended = Signal(object)

    def __init__(self, make: Callable[[], Generator[Any, None, None]], *, name: str) -> None:
        super().__init__()
        self._worker = _Worker(make, name)
        application = QCoreApplication.instance()
        self._timer = QTimer(application)  # not ours: it must outlive its own last timeout
        self._timer.setInterval(COLLECT_EVERY_MS)
        self._timer.timeout.connect(self._collect)
        if application is not None:
            application.aboutToQuit.connect(self._quit)

    def start(self) -> None:
        """Start the thread."""
        garbage.watch(self)
        _running.add(self)  # until it has ended, whoever else may forget it
        self._timer.start()
        self._worker.start()

    def stop(self) -> None:
        """Ask the thread to end after the current event; returns at once."""
        self._worker.stopping.set()

    def _quit(self) -> None:
        """End with the application: no timer fires any more, and a script may go on."""
        self.stop()
        if self in _running and self.wait(QUIT_PATIENCE):
            _running.discard(self)
            garbage.forget(self)

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._worker.stopping.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until the thread has ended; False if it has not within `seconds`."""
        self._worker.join(seconds)
        return not self._worker.is_alive()

    def _collect(self) -> None:
        ended = self._worker.ended  # before the events: none comes after it
        events = self._worker.take()
        if events:
            self.events.emit(events)
        if ended is not None:
            self._timer.stop()
            self._timer.deleteLater()
            self._worker.join()
            _running.discard(self)
            # The collector is still off: a receiver that only a cycle keeps alive, as a closed
            # dock, may otherwise be freed in the middle of its own call (both bindings crash).
            self.ended.emit(ended)
            garbage.forget(self)
            QTimer.singleShot(0, lambda job=self: None)  # nor may a job be, in this one


class _Worker(threading.Thread):
    """Advances the iterator; what it leaves behind is fetched by `take`."""

    def __init__(self, make: Callable[[], Generator[Any, None, None]], name: str) -> None:
        super().__init__(name=f"noise2self {name}")
        self.stopping = threading.Event()
        self.ended: Ended | None = None
        self._make: Callable[[], Generator[Any, None, None]] | None = make
        self._events: list[Any] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        error = None
        try:
            self._drive()
        except Exception as raised:
            error = _explained(_without_frames(raised))
        self._make = None
        self.ended = Ended(stopped=self.stopping.is_set(), error=error)

    def take(self) -> tuple[Any, ...]:
        """Return the events since the last call, in order."""
        with self._lock:
            events, self._events = self._events, []
        return tuple(events)

    def _drive(self) -> None:
        assert self._make is not None
        with closing(self._make()) as iterator:
            for event in iterator:
                self._leave(event)
                if self.stopping.is_set() or not threading.main_thread().is_alive():
                    break

    def _leave(self, event: Any) -> None:
        with self._lock:
            if self._events and _is_tick(self._events[-1]) and isinstance(event, Progress):
                self._events.pop()
            self._events.append(event)


def wait_all(seconds: float) -> bool:
    """Stop every job and wait for their threads; False if one is still alive then."""
    for job in tuple(_running):
        job.stop()
    deadline = time.monotonic() + seconds
    return all(job.wait(max(0.0, deadline - time.monotonic())) for job in tuple(_running))


def _is_tick(event: Any) -> bool:
    return isinstance(event, Progress) and all(
        part is None for part in (event.loss, event.validation_loss, event.notice, event.result)
    )


def _without_frames(error: Exception) -> Exception:
    """Drop the local variables that the traceback keeps alive: they may be gigabytes."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    return error


def _explained(error: Exception) -> Exception:
    """Say what to do about running out of memory; leave every other error as it is."""
    # by name: this module must not import torch
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, DeviceMemoryError) or not kinds & {"OutOfMemoryError", "MemoryError"}:
        return error
    _log.error("out of memory: %s", error)
    if "MemoryError" in kinds:  # Python's own, not torch's: the arrays found no place
        return DeviceMemoryError(
            "the memory of this computer ran out; close other programs, or take a smaller part "
            "of the image"
        )
    return DeviceMemoryError(
        "the memory of the computing device ran out; make Width or Pixels per step smaller "
        "under Advanced, or choose the device cpu there, or close other programs that use it"
    )
