from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from napari_noise2self import api
from napari_noise2self._napari import preview
from napari_noise2self._napari.preview import (
    INTERVAL,
    LARGEST,
    OVERDRAFT,
    SHARE,
    SMALLEST,
    Pace,
    Preview,
    Requests,
    Window,
    affordable_pixels,
    with_previews,
)
from napari_noise2self.core.config import Progress, TrainingConfig
from napari_noise2self.core.errors import ImageError

PART = (slice(10, 20), slice(5, 40))
WINDOW = Window(read=(slice(0, 64), slice(0, 64)), show=PART)


class Brightener:
    """Stands in for a denoiser."""

    trained = True

    def __init__(self, *, ndim: int = 2, context: int = 0, context_axis: str = "T") -> None:
        self.ndim, self.context, self.context_axis = ndim, context, context_axis
        self.asked: list[tuple[tuple[int, ...], Any]] = []

    def predict_iter(self, image: Any, axes: str, passes: int, samples: Any) -> Any:
        self.asked.append((image.shape, None if samples is None else tuple(samples)))
        yield Progress(stage="predict", step=1, steps=1, seconds=0, result=np.asarray(image) + 1)


def steps(n: int) -> Iterator[Progress]:
    for step in range(1, n + 1):
        yield Progress(stage="train", step=step, steps=n, seconds=0.0)


def test_a_preview_is_the_window_that_was_asked_for(noisy: np.ndarray) -> None:
    requests = Requests()
    requests.put(WINDOW)
    events = list(with_previews(steps(5), Brightener(), noisy, "YX", requests))
    previews = [event for event in events if isinstance(event, Preview)]
    assert len(previews) == 1, "one request, one preview"
    assert previews[0].window == WINDOW
    assert previews[0].step == 1
    np.testing.assert_array_equal(previews[0].data, noisy[PART] + 1)
    assert [e.step for e in events if isinstance(e, Progress)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("axes", "denoiser", "at", "planes", "samples"),
    [
        ("TYX", Brightener(context=2), 5, 5, (2,)),
        ("TYX", Brightener(context=2), 0, 5, (0,)),
        ("TYX", Brightener(context=2), 8, 5, (3,)),
        ("TYX", Brightener(), 5, 1, (0,)),
        ("ZYX", Brightener(context=1, context_axis="Z"), 5, 3, (1,)),
        ("ZYX", Brightener(ndim=3, context_axis="T"), 5, 9, None),
        ("ZYX", Brightener(ndim=3, context_axis="T"), 0, 9, None),
    ],
)
def test_what_the_network_sees_around_the_shown_plane(
    axes: str, denoiser: Brightener, at: int, planes: int, samples: Any
) -> None:
    image = np.random.default_rng(0).random((10, 64, 64)).astype(np.float32)
    shown = (slice(at, at + 1), *PART)
    requests = Requests()
    requests.put(Window(read=(shown[0], *WINDOW.read), show=shown))
    events = list(with_previews(steps(2), denoiser, image, axes, requests))
    (found,) = [event for event in events if isinstance(event, Preview)]
    assert denoiser.asked == [((planes, 64, 64), samples)]
    np.testing.assert_array_equal(found.data, image[shown] + 1)


def test_the_preview_of_a_frame_is_what_denoising_the_movie_gives() -> None:
    movie = np.random.default_rng(0).random((9, 64, 64)).astype(np.float32)
    config = TrainingConfig(steps=1, width=4, depth=1, context=2, footprint=(1, 1), device="cpu")
    denoiser = api.Denoiser.for_image(movie, "TYX", config)
    list(api.train(denoiser, movie))
    whole = denoiser.predict(movie, passes=preview.PASSES)
    for at in (0, 1, 4, 8):
        window = (slice(at, at + 1), slice(0, 64), slice(0, 64))
        requests = Requests()
        requests.put(Window(window, window))
        events = list(with_previews(steps(1), denoiser, movie, "TYX", requests))
        (found,) = [event for event in events if isinstance(event, Preview)]
        np.testing.assert_array_equal(found.data, whole[window])


def test_nothing_is_predicted_unless_asked_for_or_before_there_are_weights(
    noisy: np.ndarray,
) -> None:
    requests = Requests()
    untrained = Brightener()
    untrained.trained = False
    for denoiser, wanted in ((Brightener(), None), (untrained, WINDOW)):
        requests.put(wanted)
        events = with_previews(steps(3), denoiser, noisy, "YX", requests)
        assert all(isinstance(event, Progress) for event in events)


def test_the_newest_request_wins() -> None:
    requests = Requests()
    newest = Window(PART, PART)
    requests.put(WINDOW)
    requests.put(newest)
    assert requests.take() == newest
    assert requests.take() is None


class Damaged:
    """A lazy array whose upper half is gone."""

    shape = (128, 64)

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        if window[0].start < 64:
            raise FileNotFoundError("chunk 0.0 is missing")
        return np.ones((64, 64), np.float32)


class OutOfMemory(Brightener):
    """A device that is full at the first request."""

    def predict_iter(self, *args: Any, **kwargs: Any) -> Any:
        if not self.asked:
            self.asked.append(((), None))
            raise torch.OutOfMemoryError("CUDA out of memory")
        yield from super().predict_iter(*args, **kwargs)


class Choosy(Brightener):
    """Refuses what is not finite, as a network does."""

    def predict_iter(self, image: Any, *args: Any, **kwargs: Any) -> Any:
        if not np.isfinite(image).all():
            raise ImageError("there are NaN in it")
        yield from super().predict_iter(image, *args, **kwargs)


HALVES = tuple(
    Window((slice(at, at + 64), slice(0, 64)), (slice(at, at + 64), slice(0, 64))) for at in (0, 64)
)


@pytest.mark.parametrize(
    ("denoiser", "array", "reason"),
    [
        (Choosy(), np.vstack([np.full((64, 64), np.nan), np.ones((64, 64))]), "NaN"),
        (Brightener(), Damaged(), "chunk 0.0 is missing"),
        (OutOfMemory(), np.ones((128, 64)), "out of memory"),
    ],
    ids=["NaN", "unreadable", "memory"],
)
def test_a_window_that_cannot_be_denoised_is_passed_over_and_told_once(
    monkeypatch: pytest.MonkeyPatch, denoiser: Brightener, array: Any, reason: str
) -> None:
    monkeypatch.setattr(preview, "INTERVAL", 0.0)
    requests, events = Requests(), []
    wanted = iter([HALVES[0], HALVES[1], HALVES[0], HALVES[1]])
    requests.put(next(wanted))
    for event in with_previews(steps(9), denoiser, array, "YX", requests):
        if isinstance(event, Preview) or (isinstance(event, Progress) and event.step > 2):
            requests.put(next(wanted, None))
        events.append(event)
    shown = [event.window for event in events if isinstance(event, Preview)]
    assert HALVES[1] in shown, "previews go on elsewhere"
    told = [event.notice for event in events if isinstance(event, Progress) and event.notice]
    assert len(told) == 1
    assert reason in told[0]
    assert events[-1].step == 9, "and the training goes on"


def test_an_error_that_is_no_windows_own_ends_the_training(noisy: np.ndarray) -> None:
    class Broken(Brightener):
        def predict_iter(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("a bug")

    requests = Requests()
    requests.put(WINDOW)
    with pytest.raises(RuntimeError, match="a bug"):
        list(with_previews(steps(3), Broken(), noisy, "YX", requests))


def test_closing_the_previews_closes_the_training(noisy: np.ndarray) -> None:
    closed = []

    def training() -> Iterator[Progress]:
        try:
            yield from steps(100)
        finally:
            closed.append(True)

    events = with_previews(training(), Brightener(), noisy, "YX", Requests())
    next(events)
    events.close()
    assert closed


def test_previews_cost_less_than_a_tenth_of_the_time() -> None:
    now = spent = 0.0
    pace = Pace(now)
    while now < 600:
        now += 0.2  # a step
        if pace.due(now, moved=True):  # the user never stops panning
            spent += 0.7
            now += 0.7
            pace.spent(0.7, now)
    assert spent / now < 0.1


def test_moving_on_is_answered_sooner_than_waiting() -> None:
    pace = Pace(0.0)
    assert pace.due(0.0, moved=False)
    pace.spent(0.3, 0.3)
    assert not pace.due(1.0, moved=False)
    assert pace.due(1.0, moved=True)
    assert pace.due(0.3 / SHARE + 0.1, moved=False)
    pace.spent(OVERDRAFT + 0.1, 10.0)
    assert not pace.due(10.1, moved=True)


def test_even_the_fastest_device_lets_the_window_breathe() -> None:
    pace = Pace(0.0)
    assert pace.due(0.0, moved=True)
    pace.spent(0.0, 0.0)
    assert not pace.due(INTERVAL / 2, moved=True)
    assert pace.due(INTERVAL, moved=True)


def test_the_window_grows_with_the_speed_and_has_its_limits() -> None:
    assert affordable_pixels(1.0, 2**16) == SMALLEST
    assert affordable_pixels(1e12, 2**16) == LARGEST
    assert affordable_pixels(1e12, 2**16, 2**20) == 2**20
    steady = 2**16
    assert affordable_pixels(steady / preview.SECONDS * 1.2, steady) == steady
