"""Cycles are found in the GUI thread, where widgets may be destroyed."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_noise2self._napari import garbage
from napari_noise2self._napari.widget import DenoiseWidget
from napari_noise2self._napari.worker import Job

pytestmark = pytest.mark.usefixtures("collector_on")


class Cycle:
    """Garbage that only the collector frees; it tells where it was freed."""

    def __init__(self, freed_in: list[threading.Thread]) -> None:
        self.myself = self
        self.freed_in = freed_in
        self.dock: Any = None

    def __del__(self) -> None:
        self.freed_in.append(threading.current_thread())


def littering(freed_in: list[threading.Thread]) -> Iterator[int]:
    for number in range(200):
        for _ in range(1000):
            Cycle(freed_in)
        yield number


def run(qtbot: Any, job: Job) -> None:
    with qtbot.waitSignal(job.ended, timeout=30_000):
        job.start()


def test_cycles_of_a_job_are_freed_in_the_gui_thread(qtbot: Any) -> None:
    freed_in: list[threading.Thread] = []
    run(qtbot, Job(lambda: littering(freed_in), name="test"))
    assert len(freed_in) > 1000, "it is collected while the job runs"
    assert set(freed_in) == {threading.main_thread()}


def test_the_collector_is_on_again_when_the_last_job_has_ended(qtbot: Any) -> None:
    def work() -> Iterator[int]:
        yield 1

    def fail() -> Iterator[int]:
        raise ValueError("at once")

    endless = Job(lambda: (0 for _ in itertools.count()), name="test")
    endless.start()
    run(qtbot, Job(work, name="test"))
    run(qtbot, Job(fail, name="test"))
    assert not gc.isenabled()
    with qtbot.waitSignal(endless.ended, timeout=10_000):
        endless.stop()
    qtbot.waitUntil(gc.isenabled)


def test_no_receiver_is_freed_while_it_is_called(qtbot: Any) -> None:
    """A closed dock is a cycle, which may be found whenever the collector is on."""

    class Receiver(QObject):
        def __init__(self) -> None:
            super().__init__()
            self.myself = self

        def note(self, _ended: Any) -> None:
            heard.append((gc.isenabled(), self.myself is self))

    def work() -> Iterator[int]:
        yield 1

    heard: list[tuple[bool, bool]] = []
    job = Job(work, name="test")
    job.ended.connect(Receiver().note)
    run(qtbot, job)
    qtbot.waitUntil(gc.isenabled)
    assert heard == [(False, True)]


def test_who_has_switched_it_off_finds_it_off(qtbot: Any) -> None:
    freed_in: list[threading.Thread] = []
    gc.disable()
    try:
        run(qtbot, Job(lambda: littering(freed_in), name="test"))
        assert not gc.isenabled()
        assert not freed_in
    finally:
        gc.enable()


def test_everything_is_looked_at_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[int] = []
    monkeypatch.setattr(garbage.gc, "collect", collected.append)
    monkeypatch.setattr(garbage.gc, "get_count", lambda: (701, 11, 11))
    monkeypatch.setattr(garbage.gc, "get_threshold", lambda: (700, 10, 10))
    monkeypatch.setattr(garbage, "FULL_EVERY", 0.0)
    owner = Cycle([])
    garbage.watch(owner)
    try:
        garbage.sweep()
        monkeypatch.setattr(garbage, "FULL_EVERY", 60.0)
        garbage.sweep()
        monkeypatch.setattr(garbage.gc, "get_threshold", lambda: (0, 0, 0))
        garbage.sweep()
    finally:
        garbage.forget(owner)
    assert collected == [2, 1]


def test_a_closed_dock_is_freed_in_the_gui_thread_while_others_allocate(qtbot: Any) -> None:
    """No job runs: the thread is another library's."""

    class Dock(QWidget):
        def __init__(self) -> None:
            super().__init__()
            self.cycle = Cycle(freed_in)
            self.cycle.dock = self

    def allocate() -> None:
        while not done.is_set():
            [[number] for number in range(6000)]

    freed_in: list[threading.Thread] = []
    done = threading.Event()
    thread = threading.Thread(target=allocate)
    dock = Dock()
    garbage.watch(dock)
    assert not gc.isenabled()
    thread.start()
    try:
        garbage.closed(dock)
        del dock
        qtbot.waitUntil(lambda: bool(freed_in), timeout=10_000)
    finally:
        done.set()
        thread.join()
    assert freed_in == [threading.main_thread()]
    qtbot.waitUntil(gc.isenabled)


def test_the_collector_is_off_as_long_as_a_dock_is_open(
    qtbot: Any, make_dock: Callable[..., DenoiseWidget]
) -> None:
    assert gc.isenabled()
    first, second = make_dock(), make_dock()
    assert not gc.isenabled()
    gc.enable()  # as a library does that has switched it off for a moment
    qtbot.waitUntil(lambda: not gc.isenabled())
    garbage.forget(first)
    assert not gc.isenabled()
    garbage.forget(second)
    assert gc.isenabled()
