"""What is wrong with a recording before anyone denoises it.

Saturated and clipped pixels, pixels that are not finite, hot pixels, empty
planes, brightness that drifts: each is looked for on a sample of the image that
is bounded in size, and reported as a number.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .axes import Stack
from .clipping import clipped_levels
from .config import Progress
from .flatness import neighbour_axes, sample_runs
from .noise_level import NoiseLevel

PLANES = 256
"""Planes looked at, at most, spread evenly over time points and depth."""

CENTRE = 1024
"""Edge of the part in the middle of a plane that is looked at, in pixels."""

HOT = 8.0
"""Standard deviations, and photons, by which a hot pixel exceeds its surroundings."""

BINS = 128
"""Bins of the histogram."""


@dataclass(frozen=True)
class Faults:
    """Faults of a recording, channel by channel where they are tuples.

    Attributes
    ----------
    saturated, clipped
        Share of the pixels that are cut off at the bright and at the dark end.
    not_finite
        Share of the pixels that are NaN or infinite.
    hot
        Share of the pixels that stand out alone from all their neighbours; NaN
        where the noise level is not known.
    hot_stay
        Share of these that are hot in every frame; NaN without frames or
        without hot pixels.
    hot_variance
        Share of the variance of the channel that they make.
    empty
        Planes that hold one value throughout, as ``"t=3"`` or ``"t=0 z=7 c=1"``;
        the first ten.
    empty_count
        Number of such planes among those looked at.
    frames
        Indices of the time points looked at; empty without a time axis.
    brightness
        For each channel, the mean of each of these frames.
    histogram
        For each channel, the counts of `BINS` equal bins over its range.
    lowest, highest
        Ends of the range of each channel.
    mean, variance
        Of each channel, structure and noise together, hot pixels replaced.
    """

    saturated: tuple[float, ...]
    clipped: tuple[float, ...]
    not_finite: float
    hot: tuple[float, ...]
    hot_stay: tuple[float, ...]
    hot_variance: tuple[float, ...]
    empty: tuple[str, ...]
    empty_count: int
    frames: tuple[int, ...]
    brightness: tuple[tuple[float, ...], ...]
    histogram: tuple[tuple[int, ...], ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]

    def drift(self, channel: int = 0) -> float | None:
        """Return the relative change of brightness from the first frames to the last.

        The brightness is counted from the channel's lowest value, so that a
        camera's offset does not hide it; None with fewer than three frames.
        """
        values = np.array(self.brightness[channel]) if self.brightness else np.zeros(0)
        if len(values) < 3:
            return None
        ends = max(1, len(values) // 10)
        first, last = values[:ends].mean(), values[-ends:].mean()
        above = first - self.lowest[channel]
        return float((last - first) / above) if above > 0 else None


def find_faults_iter(
    stack: Stack, *, noise: NoiseLevel | None = None, seed: int = 0
) -> Iterator[Progress]:
    """Look for faults, plane by plane.

    Parameters
    ----------
    stack
        The image.
    noise
        Its noise level, without which hot pixels cannot be told from noise.
    seed
        Seed of the sample on which pixels are counted.

    Yields
    ------
    Progress
        ``stage="diagnose"``; the last one's `result` is the `Faults`.
    """
    started = time.perf_counter()
    volume = len(stack.spatial) == 3
    depth = stack.spatial[0] if volume else 1
    middle = tuple(_middle(n) for n in stack.spatial[-2:])
    everything = stack.samples * depth
    looked_at = np.unique(np.linspace(0, everything - 1, min(everything, PLANES)).astype(int))
    means = np.full((len(looked_at), stack.channels), np.nan)
    empty: list[str] = []
    count = 0
    for step, place in enumerate(looked_at.tolist(), start=1):
        sample, z = divmod(place, depth)
        window = (slice(z, z + 1), *middle) if volume else middle
        plane = stack.read(sample, window).reshape(stack.channels, -1)
        for c, values in enumerate(plane):
            finite = np.isfinite(values)
            if finite.any():
                means[step - 1, c] = values.mean(where=finite, dtype=np.float64)
            if not finite.any() or np.ptp(values[finite]) == 0:
                count += 1
                empty.append(_name(stack, sample, z if volume else None, c))
        seconds = time.perf_counter() - started
        yield Progress(
            stage="diagnose",
            step=step,
            steps=len(looked_at),
            seconds=seconds,
            seconds_left=seconds / step * (len(looked_at) - step),
        )
    frames, brightness = _along_time(stack, looked_at // depth, means)
    pixels = _Pixels(stack, noise, seed)
    yield Progress(
        stage="diagnose",
        step=len(looked_at),
        steps=len(looked_at),
        seconds=time.perf_counter() - started,
        seconds_left=0.0,
        result=Faults(
            saturated=tuple(pixels.saturated),
            clipped=tuple(pixels.clipped),
            not_finite=pixels.not_finite,
            hot=tuple(pixels.hot),
            hot_stay=tuple(pixels.hot_stay),
            hot_variance=tuple(pixels.hot_variance),
            empty=tuple(empty[:10]),
            empty_count=count,
            frames=frames,
            brightness=brightness,
            histogram=tuple(pixels.histogram),
            lowest=tuple(pixels.lowest),
            highest=tuple(pixels.highest),
            mean=tuple(pixels.mean),
            variance=tuple(pixels.variance),
        ),
    )


def _middle(extent: int) -> slice:
    start = max(0, (extent - CENTRE) // 2)
    return slice(start, min(extent, start + CENTRE))


def _name(stack: Stack, sample: int, z: int | None, channel: int) -> str:
    sizes = dict(zip(stack.axes, (int(n) for n in stack.data.shape), strict=True))
    extents = [sizes[a] for a in stack.sample_axes]
    words = [
        f"{a.lower()}={int(i)}"
        for a, i in zip(stack.sample_axes, np.unravel_index(sample, extents or [1]), strict=False)
    ]
    if z is not None:
        words.append(f"z={z}")
    if stack.channels > 1:
        words.append(f"c={channel}")
    return " ".join(words) or "the only plane"


def _along_time(
    stack: Stack, samples: NDArray[np.intp], means: NDArray[np.float64]
) -> tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]:
    """Return the time points and the mean brightness of each, for every channel."""
    if "T" not in stack.axes:
        return (), ()
    sizes = dict(zip(stack.axes, (int(n) for n in stack.data.shape), strict=True))
    extents = [sizes[a] for a in stack.sample_axes]
    time_point = np.unravel_index(samples, extents)[stack.sample_axes.index("T")]
    frames = np.unique(time_point)
    brightness = []
    for values in means.T:
        here = [values[(time_point == t) & np.isfinite(values)] for t in frames]
        brightness.append(tuple(float(h.mean()) if len(h) else float("nan") for h in here))
    return tuple(frames.tolist()), tuple(brightness)


class _Pixels:
    """What is counted pixel by pixel, on the sampled windows, for every channel."""

    def __init__(self, stack: Stack, noise: NoiseLevel | None, seed: int) -> None:
        runs = sample_runs(stack, neighbour_axes(stack)[:1], seed=seed)
        self.saturated, self.clipped = [], []
        self.hot, self.hot_stay, self.hot_variance = [], [], []
        self.histogram, self.lowest, self.highest = [], [], []
        self.mean, self.variance = [], []
        total = bad = 0
        for channel in range(stack.channels):
            planes = [run[:, channel] for run in runs]  # each (run, y, x)
            values = np.concatenate([p.ravel() for p in planes])
            total, bad = total + values.size, bad + int((~np.isfinite(values)).sum())
            low, high = clipped_levels(values)
            self.clipped.append(0.0 if low is None else float((values <= low).mean()))
            self.saturated.append(0.0 if high is None else float((values >= high).mean()))
            before = _finite(values).var(dtype=np.float64)
            hot = [_find_hot(p, noise, channel) for p in planes]
            self.hot.append(float("nan") if noise is None else _mean(h for h, _ in hot))
            self.hot_stay.append(_stay([h for h, _ in hot]))
            values = _finite(np.concatenate([replaced.ravel() for _, replaced in hot]))
            self.mean.append(float(values.mean(dtype=np.float64)))
            self.variance.append(float(values.var(dtype=np.float64)))
            self.hot_variance.append(float(1 - self.variance[-1] / before) if before else 0.0)
            lowest, highest = float(values.min()), float(values.max())
            self.lowest.append(lowest)
            self.highest.append(highest)
            # In float32 the bins of a narrow range of high values would be narrower than its steps.
            span = (highest - lowest) or max(1.0, abs(lowest))
            exact = values.astype(np.float64)
            counts = np.histogram(exact, BINS, (lowest, lowest + span))[0]
            self.histogram.append(tuple(counts.tolist()))
        self.not_finite = bad / total


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.zeros(1, np.float32)


def _mean(parts: Iterable[NDArray[np.bool_]]) -> float:
    return float(np.concatenate([p.ravel() for p in parts]).mean())


def _stay(parts: list[NDArray[np.bool_]]) -> float:
    """Share of the places that are hot in any frame which are so in every frame of a run."""
    if max(len(p) for p in parts) < 2:
        return float("nan")
    places = sum(int(p.any(0).sum()) for p in parts)
    return sum(int(p.all(0).sum()) for p in parts) / places if places else float("nan")


def _find_hot(
    run: NDArray[np.float32], noise: NoiseLevel | None, channel: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which pixels of (run, y, x) are hot, and the run with these replaced."""
    if noise is None:
        return np.zeros(run.shape, bool), run
    ring = np.ones((1, 3, 3), bool)
    ring[0, 1, 1] = False
    finite = np.isfinite(run)
    filled = np.where(finite, run, np.median(run[finite]) if finite.any() else 0)
    around = ndimage.median_filter(filled, footprint=ring, mode="nearest")
    level = np.maximum(around, ndimage.uniform_filter(around, (0, 5, 5)))
    above = filled - around
    photon = np.float32(noise.channels[channel].gain)
    threshold = HOT * np.maximum(np.sqrt(noise.variance(level, channel)), photon)
    # Alone: its neighbours differ by far less, which those of a point's image do not.
    brightest = ndimage.maximum_filter(filled, footprint=ring, mode="nearest")
    darkest = ndimage.minimum_filter(filled, footprint=ring, mode="nearest")
    hot = finite & (above > threshold) & (brightest - darkest < above / 2)
    return hot, np.where(hot, around, run)
