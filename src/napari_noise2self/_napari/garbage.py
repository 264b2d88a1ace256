"""Collect cyclic garbage in the GUI thread alone, while a dock lives or a job runs.

Python looks for cycles in whichever thread happens to allocate, and frees what it finds there. A
closed dock is such a cycle, of widgets and of functions that listen to signals. Qt destroys
widgets in the GUI thread only, and PySide6 keeps all connections to Python functions in one table
without a lock: a cycle that a second thread frees corrupts it, and the program crashes, or waits
for a signal that never comes. Such threads are not only ours: dask, zarr and napari have some.

So the collector is off from the first dock on until the last one is closed and freed, and its
turns are taken in the GUI thread.
"""

from __future__ import annotations

import gc
import time
from typing import Any
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QTimer

EVERY_MS = 50
"""Milliseconds between two sweeps."""

FULL_EVERY = 60.0
"""Seconds between two looks at everything there is, each of which holds up all threads."""

LOOKS = 3
"""Such looks for what was closed, a second apart, before it waits for the next one in turn."""

_watched: WeakSet[Any] = WeakSet()
_closed: WeakSet[Any] = WeakSet()  # of these: what is about to become garbage
_timer: QTimer | None = None
_held = False
_full_at = 0.0
_looks = 0


def watch(owner: Any) -> None:
    """Keep the collector off for as long as `owner` lives, or until `forget`.

    Does nothing where a user has switched it off already.
    """
    global _held, _full_at
    _watched.add(owner)
    _closed.discard(owner)
    if gc.isenabled():
        gc.disable()
        _held, _full_at = True, time.monotonic()
    if _held:
        _sweeping().start()


def closed(owner: Any) -> None:
    """Look for `owner` soon: it was closed."""
    global _looks
    _closed.add(owner)
    _looks = LOOKS


def forget(owner: Any) -> None:
    """Do not wait for the end of `owner` any more."""
    _watched.discard(owner)
    if not _watched:
        release()


def sweep() -> None:
    """Collect what is due by Python's own thresholds; to be called in the GUI thread."""
    global _full_at, _looks
    if not _held:
        return
    if gc.isenabled():  # by a library that switches it off and on again
        gc.disable()
    now = time.monotonic()
    generations = 3 if now - _full_at > FULL_EVERY else 2
    pairs = zip(gc.get_count()[:generations], gc.get_threshold(), strict=False)
    due = [generation for generation, (count, limit) in enumerate(pairs) if 0 < limit < count]
    if _closed and _looks and now - _full_at > 1:
        _looks -= 1
        due = [2]
    if due:
        gc.collect(due[-1])
    if due and due[-1] == 2:
        _full_at = now
    if not _watched:
        release()


def release() -> None:
    """Switch the collector on again if `watch` switched it off."""
    global _held
    if _timer is not None and isalive(_timer):
        _timer.stop()
    if _held:
        gc.enable()
        _held = False


def _sweeping() -> QTimer:
    """Return the timer that sweeps; it is the application's, and nobody else's."""
    global _timer
    if _timer is None or not isalive(_timer):
        application = QCoreApplication.instance()
        _timer = QTimer(application)
        _timer.setInterval(EVERY_MS)
        _timer.timeout.connect(sweep)
        if application is not None:
            application.aboutToQuit.connect(release)
    return _timer
