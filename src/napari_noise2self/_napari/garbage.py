"""Collect cyclic garbage in the GUI thread alone while jobs run.

Python looks for cycles in whichever thread happens to allocate, and frees what
it finds there. A closed dock or viewer is such a cycle, made of widgets, and Qt
destroys widgets in the GUI thread only: with PySide6 the program hangs or
crashes when a training thread comes upon one. So the collector is switched off
while a thread of ours runs, and its turns are taken in the GUI thread.
"""

from __future__ import annotations

import gc
import time

FULL_EVERY = 60.0
"""Seconds between two looks at everything there is, each of which holds up all threads."""

_held = False
_full_at = 0.0


def hold() -> None:
    """Switch the collector off; does nothing where a user has switched it off already."""
    global _held, _full_at
    if gc.isenabled():
        gc.disable()
        _held, _full_at = True, time.monotonic()


def sweep() -> None:
    """Collect what is due by Python's own thresholds; to be called in the GUI thread."""
    global _full_at
    if not _held:
        return
    now = time.monotonic()
    generations = 3 if now - _full_at > FULL_EVERY else 2
    pairs = zip(gc.get_count()[:generations], gc.get_threshold(), strict=False)
    due = [generation for generation, (count, limit) in enumerate(pairs) if 0 < limit < count]
    if due:
        gc.collect(due[-1])
    if due and due[-1] == 2:
        _full_at = now


def release() -> None:
    """Switch the collector on again if `hold` switched it off."""
    global _held
    if _held:
        gc.enable()
        _held = False
