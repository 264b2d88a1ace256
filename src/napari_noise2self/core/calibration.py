"""Classical denoisers tuned by the self-supervised loss: the noisy image chooses the parameter.

Each value of a family's parameter is one trial: the strictly J-invariant version
of the filter is compared with the noisy image itself. Where the noise is
independent across the hole, that loss is the true loss plus the noise variance,
so both are lowest at the same value.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Stack, check_size
from .blocks import sample_windows
from .calibrated import Calibration, Trial
from .classical import FAMILIES, Family, donut_gaussian, family_of
from .config import FAMILY, Progress, check_within, last_result, odd_widths
from .correlation import NoiseCorrelation, noise_correlation
from .errors import ConfigError, ImageError
from .invariance import Array, offsets
from .noise import measured_noise

_REFINEMENTS = 2
"""Times that the gaps on both sides of the best value are halved."""


@dataclass(frozen=True)
class _Pass:
    """One channel of one window in noise scales, what the filter sees of it, the targets J."""

    x: Array
    seen: Array
    j: tuple[slice, ...]
    footprint: tuple[int, ...]

    def loss(self, family: Family, value: float) -> float:
        """Self-supervised loss, as a difference from the baseline's, whose mean is 1.

        The noise of the few pixels of one J-set is in both and drops out, so
        that the losses of families that were scored on different pixels compare.
        """
        error = family.filter(self.seen, value, self.footprint)[self.j] - self.x[self.j]
        return 1 + _mean_square(error) - self._baseline

    @cached_property
    def _baseline(self) -> float:
        return _mean_square((_baseline(self.x, self.footprint) - self.x)[self.j])


def _baseline(x: Array, footprint: tuple[int, ...]) -> Array:
    """Average of the nearest visible neighbours."""
    return donut_gaussian(x, 1.0, footprint)


def _mean_square(x: Array) -> float:
    return float(np.mean(np.square(x, dtype=np.float64)))


def calibrate(
    image: Any,
    family: str = FAMILY,
    *,
    axes: str | None = None,
    footprint: Sequence[int] | None = None,
    values: Sequence[float] | None = None,
    seed: int = 0,
) -> Calibration:
    """Choose the parameter of a classical denoiser by the noisy image alone.

    Parameters
    ----------
    image
        Array-like or `Image` of 2 to 5 dimensions; samples and channels share
        one parameter. A large one is looked at in part.
    family
        ``"median"``, ``"gaussian"``, ``"nlm"`` (non-local means), ``"wavelet"``,
        ``"tv"`` (total variation) or ``"bm3d"`` (needs the package bm3d).
    axes
        Axes string such as ``"TYX"``; None for the image's own, else a guess.
    footprint
        Width of the hole that hides a pixel, along each spatial axis, odd. As
        wide as the noise is correlated; None measures that first.
    values
        Values of the parameter to try instead of the family's own.
    seed
        Seed of the choice of windows, in an image that is looked at in part.

    Returns
    -------
    Calibration
        With the best parameter, the curve, and ``predict``.

    Raises
    ------
    ConfigError
        If the family is unknown or its package missing, or a value, the
        footprint or the seed is out of range.
    ImageError
        If the image is too small, constant, or holds NaN.

    References
    ----------
    J. Batson, L. Royer. Noise2Self: Blind Denoising by Self-Supervision. ICML 2019.

    Examples
    --------
    >>> from napari_noise2self import samples
    >>> calibration = calibrate(samples.cells(size=128).noisy, "gaussian")
    >>> 0.5 < calibration.parameters["sigma"] < 5
    True
    """
    result: Calibration = last_result(
        calibrate_iter(image, family, axes=axes, footprint=footprint, values=values, seed=seed)
    )
    return result


def calibrate_iter(
    image: Any,
    family: str = FAMILY,
    *,
    axes: str | None = None,
    footprint: Sequence[int] | None = None,
    values: Sequence[float] | None = None,
    seed: int = 0,
) -> Iterator[Progress]:
    """Calibrate trial by trial; parameters and errors as in `calibrate`.

    Yields
    ------
    Progress
        One event for the analysis of the noise, then one for each window of each
        trial. The event that completes a trial carries it as `trial`, and as
        `result` the `Calibration` with the best trial so far, so that whoever
        stops early keeps it. `baseline_loss` is 1, the loss of the average of
        the nearest neighbours.

    Examples
    --------
    >>> from napari_noise2self import samples
    >>> for progress in calibrate_iter(samples.cells(size=64).noisy, "median", values=(1, 2)):
    ...     if progress.trial:
    ...         print(progress.trial.parameters)
    {'radius': 1}
    {'radius': 2}
    """
    check_within("seed", seed)
    found = family_of(family)
    stack = Stack.of(image, axes)
    check_size(stack.spatial)
    hole = None if footprint is None else _checked_footprint(footprint, stack)
    tried = _checked_values(values, found, stack)
    refinements = 0 if values is not None or found.whole else _REFINEMENTS
    return _events(family, stack, hole, tried, refinements, seed)


def _checked_footprint(widths: Sequence[int], stack: Stack) -> tuple[int, ...]:
    ndim = len(stack.spatial)
    try:
        footprint = odd_widths(widths)
    except ConfigError:  # what is expected here is said more exactly
        footprint = ()
    if len(footprint) != ndim:
        raise ConfigError(
            f"footprint={widths!r}: expected one odd width for each of the axes "
            f"{stack.spatial_axes}, for example {(1,) * (ndim - 2) + (5, 5)}"
        )
    widest = min(stack.spatial[-2:]) // 4
    if max(footprint) > widest:
        raise ConfigError(
            f"footprint={footprint} is too wide for an image of {stack.spatial} pixels; "
            f"expected at most {widest} along each axis"
        )
    return footprint


def _checked_values(
    values: Sequence[float] | None, family: Family, stack: Stack
) -> tuple[float, ...]:
    if values is None:
        return family.values[len(stack.spatial)]
    try:
        tried = tuple(sorted({float(v) for v in values}))
    except (TypeError, ValueError):
        tried = ()
    if not tried or not all(math.isfinite(v) and v > 0 for v in tried):
        raise ConfigError(f"values={values!r}: expected numbers above 0 for the {family.parameter}")
    if family.whole and any(v != int(v) for v in tried):
        raise ConfigError(f"values={values!r}: the {family.parameter} is a whole number of pixels")
    return tuple(map(int, tried)) if family.whole else tried


def _events(
    name: str,
    stack: Stack,
    footprint: tuple[int, ...] | None,
    values: tuple[float, ...],
    refinements: int,
    seed: int,
) -> Iterator[Progress]:
    started = time.perf_counter()
    start, passes, notice = _analyse(name, stack, footprint, seed)
    yield Progress(
        stage="analyse", step=1, steps=1, seconds=time.perf_counter() - started, notice=notice
    )
    yield from _trials(start, passes, values, refinements, started)


def _analyse(
    name: str, stack: Stack, footprint: tuple[int, ...] | None, seed: int
) -> tuple[Calibration, list[list[_Pass]], str | None]:
    """Measure the noise and choose what the trials look at: by window, by channel."""
    family = FAMILIES[name]
    rng = np.random.default_rng(seed)
    windows = sample_windows(stack, family.pixels, rng)  # (C, *window) each
    correlation = noise_correlation(stack, seed=seed)
    notice = None
    if footprint is None:
        footprint = correlation.footprint
        notice = correlation.sentence if max(footprint) > 1 else None
    scale = _noise_scale(windows, footprint)
    extent = windows[0].shape[1:]
    # A stack thinner than the stride has no target at the far ones.
    every = [o for o in offsets(footprint) if all(a < n for a, n in zip(o, extent, strict=True))]
    passes = []
    for window in windows:
        # A donut predicts every pixel at once; another filter is scored on one J-set a window.
        offset = every[int(rng.integers(len(every)))]
        channels = [x / np.float32(s) for x, s in zip(window, scale, strict=True)]
        passes.append([_Pass(x, *family.masked(x, footprint, offset), footprint) for x in channels])
    start = Calibration(
        family=name,
        parameters={},
        losses=(),
        trials=(),
        scale=tuple(scale.tolist()),
        # Correlated noise keeps part of its variance in low frequencies, unmeasured.
        noise=_noise_variance(stack, windows, correlation, seed) if max(footprint) == 1 else None,
        footprint=footprint,
        axes=stack.axes,
    )
    return start, passes, notice


def _trials(
    start: Calibration,
    passes: list[list[_Pass]],
    values: tuple[float, ...],
    refinements: int,
    started: float,
) -> Iterator[Progress]:
    family = FAMILIES[start.family]
    trials: dict[float, Trial] = {}
    queue = list(values)
    steps = (len(values) + 2 * refinements) * len(passes)
    step = 0
    while queue:
        value = queue.pop(0)
        total = np.zeros(len(start.scale))
        for window in passes:
            total += [seen.loss(family, value) for seen in window]
            step += 1
            trial = None
            if step % len(passes) == 0:
                losses = tuple((total / len(passes)).tolist())
                if not all(map(math.isfinite, losses)):
                    raise ConfigError(
                        f"with a {family.parameter} of {value:g} {start.family} returns no "
                        "numbers; leave this value out"
                    )
                trial = Trial({family.parameter: value}, losses)
                trials[value] = trial
                if not queue and refinements:
                    refinements -= 1
                    queue = _between(trials)
                    steps = step + (len(queue) + 2 * refinements) * len(passes)
            finished = trial is not None and not queue
            result = None if trial is None else _with(start, trials)
            seconds = time.perf_counter() - started
            yield Progress(
                stage="calibrate",
                step=step,
                steps=step if finished else steps,
                seconds=seconds,
                seconds_left=0.0 if finished else seconds / step * (steps - step),
                loss=None if trial is None else trial.loss,
                baseline_loss=1.0,
                trial=trial,
                notice=_at_the_end(result) if finished and result else None,
                result=result,
            )


def _between(trials: dict[float, Trial]) -> list[float]:
    """Values halfway, as ratios, between the best one and its neighbours."""
    tried = sorted(trials)
    best = tried.index(min(tried, key=lambda value: trials[value].loss))
    gaps = itertools.pairwise(tried[max(0, best - 1) : best + 2])
    return [float(f"{math.sqrt(low * high):.3g}") for low, high in gaps]


def _noise_variance(
    stack: Stack, windows: list[NDArray[np.float32]], correlation: NoiseCorrelation, seed: int
) -> tuple[float, ...] | None:
    """Estimate the variance of the noise at the mean brightness of each channel."""
    level = measured_noise(stack, correlation, seed=seed)
    if level is None:
        return None
    mean = np.mean([window.mean(axis=tuple(range(1, window.ndim))) for window in windows], axis=0)
    return tuple(float(level.variance(m, channel)) for channel, m in enumerate(mean))


def _with(start: Calibration, trials: dict[float, Trial]) -> Calibration:
    """Return the calibration with the best of the trials."""
    curve = tuple(trials[value] for value in sorted(trials))
    best = min(curve, key=lambda trial: trial.loss)
    return replace(start, trials=curve).at(best)


def _at_the_end(result: Calibration) -> str | None:
    """Say so if the minimum lies at an end of the curve, where it may not be one."""
    if len(result.trials) < 2:
        return None
    for trial, end, more in (
        (result.trials[0], "smallest", "smaller"),
        (result.trials[-1], "largest", "larger"),
    ):
        if trial.parameters == result.parameters:
            ((parameter, value),) = trial.parameters.items()
            return (
                f"the loss is lowest at the {end} {parameter} tried, {value:g}: "
                f"{more} ones may be better still"
            )
    return None


def _noise_scale(
    windows: list[NDArray[np.float32]], footprint: tuple[int, ...]
) -> NDArray[np.float64]:
    """Root mean square difference between a pixel and its nearest visible neighbours' average."""
    square = np.zeros(len(windows[0]))
    for window in windows:
        for channel, x in enumerate(window):
            square[channel] += _mean_square(_baseline(x, footprint) - x)
    scale = np.sqrt(square / len(windows))
    if not scale.any():
        raise ImageError(
            f"the image is constant, every value about {windows[0].flat[0]:.6g}: there is nothing "
            "to denoise; is it the right layer or file?"
        )
    scale[scale == 0] = 1.0  # a constant channel passes through
    return np.asarray(scale)
