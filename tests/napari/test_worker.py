from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QWidget

from napari_noise2self._napari import worker
from napari_noise2self._napari.worker import Ended, Job
from napari_noise2self.core.config import Progress
from napari_noise2self.core.errors import DeviceMemoryError


class OutOfMemoryError(RuntimeError):
    """As torch's is one."""


def tick(step: int, **content: Any) -> Progress:
    return Progress(stage="train", step=step, steps=10, seconds=0.0, **content)


def iter_once() -> Iterator[int]:
    yield 1


def run(qtbot: Any, job: Job) -> tuple[list[Any], Ended]:
    events: list[Any] = []
    job.events.connect(events.extend)
    with qtbot.waitSignal(job.ended, timeout=10_000) as ended:
        job.start()
    return events, ended.args[0]


def test_all_that_matters_arrives_in_order(qtbot: Any) -> None:
    def work() -> Iterator[Any]:
        yield "first"
        for step in range(1, 100):
            yield tick(step, loss=1.0 if step % 10 == 0 else None)
        yield "last"

    events, ended = run(qtbot, Job(work, name="test"))
    assert ended == Ended(stopped=False)
    assert (events[0], events[-1]) == ("first", "last")
    steps = [event.step for event in events[1:-1]]
    assert steps == sorted(steps)
    assert {10, 20, 30, 40, 50, 60, 70, 80, 90, 99} <= set(steps)
    assert len(steps) < 50, "events that only say one step further are thinned out"


def test_its_thread_is_over_when_it_says_so(qtbot: Any) -> None:
    job = Job(iter_once, name="test")
    alive: list[bool] = []
    job.ended.connect(lambda _: alive.append(not job.wait(0)))
    run(qtbot, job)
    assert alive == [False]


def test_a_closed_dock_may_be_freed_while_jobs_run(qtbot: Any) -> None:
    class Receiver(QWidget):
        def __init__(self) -> None:
            super().__init__()
            self.myself = self  # only the collector frees it, as it does a dock

        def take(self, _: tuple[Any, ...]) -> None:
            pass

    def littering() -> Iterator[list[list[int]]]:
        for number in range(10):
            yield [[number] for _ in range(6000)]

    for _ in range(300):
        receiver = Receiver()
        job = Job(littering, name="test")
        job.events.connect(receiver.take)
        job.start()
        QApplication.processEvents()
    del receiver, job
    assert worker.wait_all(30)
    qtbot.waitUntil(lambda: not worker._running, timeout=30_000)


def test_everything_happens_in_the_worker_thread(qtbot: Any) -> None:
    threads = []

    def work() -> Iterator[int]:
        try:
            while True:
                threads.append(threading.current_thread())
                yield 1
        finally:
            threads.append(threading.current_thread())

    job = Job(work, name="test")
    job.events.connect(job.stop)
    _, ended = run(qtbot, job)
    assert ended == Ended(stopped=True)
    assert job.stopping
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, StopAsyncIteration])
def test_no_error_is_swallowed(qtbot: Any, kind: type[Exception]) -> None:
    def work() -> Iterator[int]:
        yield 1
        raise kind("what went wrong")

    _, ended = run(qtbot, Job(work, name="test"))
    assert type(ended.error) is kind
    assert str(ended.error) == "what went wrong"


def test_an_error_before_the_first_event_is_not_swallowed(qtbot: Any) -> None:
    def make() -> Iterator[int]:
        raise RuntimeError("at once")

    _, ended = run(qtbot, Job(make, name="test"))
    assert str(ended.error) == "at once"


@pytest.mark.parametrize(
    ("kind", "mend"),
    [
        (OutOfMemoryError, "make Width or Pixels per step smaller"),
        (MemoryError, "close other programs, or take a smaller part of the image"),
    ],
)
def test_running_out_of_memory_names_the_mend(qtbot: Any, kind: type[Exception], mend: str) -> None:
    def work() -> Iterator[int]:
        yield 1
        raise kind("CUDA out of memory. Tried to allocate 20.00 MiB.")

    _, ended = run(qtbot, Job(work, name="test"))
    assert isinstance(ended.error, DeviceMemoryError)
    assert mend in str(ended.error)


def test_an_error_keeps_no_array_alive(qtbot: Any) -> None:
    arrays: list[weakref.ref[np.ndarray]] = []

    def work() -> Iterator[int]:
        large = np.zeros(10)
        arrays.append(weakref.ref(large))
        yield 1
        raise ValueError("with a traceback")

    _, ended = run(qtbot, Job(work, name="test"))
    assert ended.error is not None
    assert arrays[0]() is None


def test_stopping_all_stops_all(qtbot: Any) -> None:
    def work() -> Iterator[int]:
        while True:
            yield 1

    jobs = [Job(work, name="test") for _ in range(3)]
    for job in jobs:
        job.start()
    assert not jobs[0].wait(0.05)
    assert worker.wait_all(5)
    assert all(job.wait(0) for job in jobs)


@pytest.mark.usefixtures("collector_on")
def test_a_job_ends_with_the_application(qtbot: Any) -> None:
    """What the script does after that is not the job's any more, nor is the collector."""

    def endless() -> Iterator[int]:
        yield from itertools.count()

    job = Job(endless, name="test")
    job.start()
    assert not gc.isenabled()
    job._quit()
    assert job.wait(0)
    assert job not in worker._running
    assert gc.isenabled()
