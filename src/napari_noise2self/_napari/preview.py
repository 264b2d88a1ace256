"""The live preview: what the viewer shows, denoised by the weights of the moment.

The GUI thread asks for a window of the image; between two steps of the training
the worker predicts the window asked for last. The GUI asks anew when it has
shown a preview, so that previews never queue up, and when the user moves on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.config import Progress
from ..core.errors import DeviceMemoryError, ImageError

LARGEST = 2**18
"""Most pixels of one preview on a CPU: a quarter of a megapixel."""

LARGEST_ON_GPU = 2**20
"""Most pixels of one preview on a GPU; more would not fit on the screen."""

INTERVAL = 0.3
"""Least seconds between two previews: each keeps the GUI thread busy for a moment."""

SMALLEST = 128**2
"""Fewest pixels that are worth looking at."""

SECONDS = 0.3
"""How long one preview should take; the window is made as large as that allows."""

Z_REACH = 4
"""Planes above and below the shown one that a 3-D network or filter is given."""

PASSES = 1
"""Of the many that a prediction is the mean of."""

SHARE = 0.05
"""Part of the time that goes into computing previews; showing them takes about as much again."""

OVERDRAFT = 0.5
"""Seconds of preview that may be taken in advance when the user moves on."""


@dataclass(frozen=True)
class Window:
    """A part of an image: what to hand to the network, and what of it to show.

    Attributes
    ----------
    read
        One slice for each dimension of the array; with pixels around `show`
        that the network needs to see.
    show
        One slice for each dimension, inside `read`.
    """

    read: tuple[slice, ...]
    show: tuple[slice, ...]

    @property
    def inner(self) -> tuple[slice, ...]:
        """`show`, counted from the corner of `read`."""
        return tuple(
            slice(s.start - r.start, s.stop - r.start)
            for r, s in zip(self.read, self.show, strict=True)
        )

    def widened(self, reach: Mapping[str, int], axes: str, shape: tuple[int, ...]) -> Window:
        """Return the same window with so many more planes or frames read on each side."""
        read = []
        for part, letter, size in zip(self.read, axes, shape, strict=True):
            more = reach.get(letter, 0)
            read.append(slice(*within(part.start - more, part.stop + more, size)))
        return replace(self, read=tuple(read))


@dataclass(frozen=True)
class Preview:
    """A denoised window, and the step whose weights made it."""

    window: Window
    data: NDArray[np.float32]
    step: int
    pixels_per_second: float


class Requests:
    """A slot for the window that is wanted; a newer one replaces an older one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: Window | None = None
        self._last: Window | None = None

    def put(self, window: Window | None) -> None:
        """Ask for a window; None asks for nothing."""
        with self._lock:
            self._wanted = window

    def waiting(self) -> tuple[bool, bool]:
        """Whether a window is wanted, and whether it is another than the one before."""
        with self._lock:
            return self._wanted is not None, self._wanted != self._last

    def take(self) -> Window | None:
        """Empty the slot."""
        with self._lock:
            window, self._wanted = self._wanted, None
            self._last = window
            return window


class Pace:
    """Decides when a preview is due, so that they cost `SHARE` of the time.

    A preview that the user asks for by moving on may come up to `OVERDRAFT`
    seconds early; what it took is made up for afterwards.
    """

    def __init__(self, now: float) -> None:
        self._balance = OVERDRAFT
        self._at = now
        self._last = -INTERVAL

    def due(self, now: float, *, moved: bool) -> bool:
        """Whether to make a preview now."""
        self._balance = min(OVERDRAFT, self._balance + SHARE * (now - self._at))
        self._at = now
        rested = now - self._last >= INTERVAL
        return rested and self._balance >= (0.0 if moved else OVERDRAFT)

    def spent(self, seconds: float, now: float) -> None:
        """Book what a preview took that is ready now."""
        self._balance -= seconds
        self._last = now


def with_previews(
    events: Generator[Any, None, None],
    denoiser: Any,
    array: Any,
    axes: str,
    requests: Requests,
) -> Generator[Any, None, None]:
    """Pass on the events of a training and put previews between them.

    Parameters
    ----------
    events
        The training; at each of its events `denoiser` may be used.
    denoiser
        What is being trained.
    array, axes
        The image that windows are cut from.
    requests
        Where the windows come from.

    Yields
    ------
    Any
        The events, and `Preview`. Where a window cannot be denoised it is passed over, and the
        first time a `Progress` with a notice says why.
    """
    pace, told = Pace(time.monotonic()), False
    with closing(events):
        for event in events:
            yield event
            wanted, moved = requests.waiting()
            trains = isinstance(event, Progress) and event.stage == "train" and denoiser.trained
            if not (wanted and trains):
                continue
            if not pace.due(time.monotonic(), moved=moved):
                continue
            window = requests.take()
            if window is None:
                continue
            begin, data, reason = time.monotonic(), None, ""
            try:
                data = _predict(denoiser, array, axes, window)
            except Exception as error:
                if not _only_here(error):
                    raise
                reason = str(error) or type(error).__name__
            seconds = time.monotonic() - begin
            pace.spent(seconds, begin + seconds)
            if data is None:
                if not told:
                    notice = f"The training goes on, without a preview of what is shown: {reason}"
                    yield replace(event, loss=None, validation_loss=None, notice=notice)
                told = True
                continue
            pixels = np.prod([s.stop - s.start for s in window.read])
            yield Preview(window, data, event.step, float(pixels / max(seconds, 1e-6)))


def _predict(denoiser: Any, array: Any, axes: str, window: Window) -> NDArray[np.float32]:
    """Denoise the window, with the planes or frames around it in view that the network asks for."""
    reach = {"Z": Z_REACH} if denoiser.ndim == 3 else {denoiser.context_axis: denoiser.context}
    window = window.widened(reach, axes, array.shape)
    # One frame is shown; those around it are looked at, not denoised.
    place = dict(zip(axes, window.inner, strict=True)).get(denoiser.context_axis)
    samples = None if place is None or denoiser.ndim == 3 else range(place.start, place.stop)
    crop = _read(array, window)
    events = denoiser.predict_iter(crop, axes=axes, passes=PASSES, samples=samples)
    *_, last = events  # without its notices, which speak of the part that is shown
    shown = last.result[window.inner]
    return np.ascontiguousarray(shown, dtype=np.float32)


def _read(array: Any, window: Window) -> NDArray[Any]:
    try:
        return np.asarray(array[window.read])
    except Exception as error:  # each kind of lazy array has its own for a damaged or missing file
        raise ImageError(f"it cannot be read ({type(error).__name__}: {error})") from error


def _only_here(error: Exception) -> bool:
    """Whether another window may well be denoised where this one was not."""
    from ..core.devices import is_out_of_memory

    return isinstance(error, ImageError | DeviceMemoryError) or is_out_of_memory(error)


def within(start: int, stop: int, size: int) -> tuple[int, int]:
    """Shift a part into the image, so that the network sees as much at its end as elsewhere."""
    shift = max(0, -start) - max(0, stop - size)
    return max(0, start + shift), min(size, stop + shift)


def affordable_pixels(pixels_per_second: float, before: int, largest: int = LARGEST) -> int:
    """Return how large the next window may be; steady, so that it does not flicker."""
    pixels = int(min(max(pixels_per_second * SECONDS, SMALLEST), largest))
    return pixels if not 0.6 < pixels / before < 1.6 else before
