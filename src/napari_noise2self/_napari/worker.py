"""Run any iterator of events in a thread and bring its events to the GUI thread.

A plain Python thread, because Qt's and napari's generator workers take a
``RuntimeError`` (running out of GPU memory is one) for their own deletion and
then report nothing at all. `Job` always ends with one `Ended`.
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

from qtpy.QtCore import QCoreApplication, QObject, Signal

from ..core.config import Progress
from ..core.errors import DeviceMemoryError

REPORT_EVERY = 0.1
"""Seconds between two reports to the GUI thread, however fast the iterator is."""

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
    only the last is kept.

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
        self._make: Callable[[], Generator[Any, None, None]] | None = make
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"noise2self {name}")
        self.ended.connect(self._forget)

    def start(self) -> None:
        """Start the thread."""
        application = QCoreApplication.instance()
        if not _running and application is not None:
            application.aboutToQuit.connect(stop_all)
        _running.add(self)  # a QObject may only be destroyed in the thread that it lives in
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the current event; returns at once."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stop.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Block until the thread has ended; False if it has not within `seconds`."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _forget(self, _: Ended) -> None:
        _running.discard(self)

    def _run(self) -> None:
        error = None
        try:
            self._drive()
        except Exception as raised:
            error = _without_frames(raised)
        self._make = None
        self.ended.emit(Ended(stopped=self._stop.is_set(), error=error and _explained(error)))

    def _drive(self) -> None:
        assert self._make is not None
        batch: list[Any] = []
        reported = -REPORT_EVERY
        iterator = self._make()
        try:
            with closing(iterator):
                for event in iterator:
                    if batch and _is_tick(batch[-1]) and isinstance(event, Progress):
                        batch.pop()
                    batch.append(event)
                    now = time.monotonic()
                    if now - reported >= REPORT_EVERY:
                        self.events.emit(tuple(batch))
                        batch.clear()
                        reported = now
                    if self._stop.is_set() or not threading.main_thread().is_alive():
                        break
        finally:
            if batch:
                self.events.emit(tuple(batch))


def stop_all() -> None:
    """Stop every job there is; their threads end soon after."""
    for job in tuple(_running):
        job.stop()


def wait_all(seconds: float) -> bool:
    """Stop every job and wait for their threads; False if one is still alive then."""
    stop_all()
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
    return DeviceMemoryError(
        "the memory of the computing device ran out; make Width or Pixels per step smaller "
        "under Advanced, or choose the device cpu there, or close other programs that use it"
    )
