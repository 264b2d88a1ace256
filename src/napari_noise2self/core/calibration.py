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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Stack
from .blocks import sample_windows
from .calibrated import Calibration, Trial, last
from .classical import FAMILIES, Family, donut_gaussian, family_of
from .config import MINIMUM_SIZE, Progress
from .correlation import noise_correlation
from .errors import ConfigError, ImageError
from .invariance import offsets

_REFINEMENTS = 2
"""Times that the gaps on both sides of the best value are halved."""


def calibrate(
    image: Any,
    family: str = "median",
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
        With the best parameter, the curve, and ``denoise``.

    Raises
    ------
    ConfigError
        If the family is unknown or its package missing, or a value or the
        footprint is out of range.
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
    result: Calibration = last(
        calibrate_iter(image, family, axes=axes, footprint=footprint, values=values, seed=seed)
    )
    return result


def calibrate_iter(
    image: Any,
    family: str = "median",
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
        One event for each window of each trial, after one for the correlation
        of the noise where no footprint is given. The event that completes a
        trial carries it as `trial`; the last one's `result` is the
        `Calibration`. `baseline_loss` is 1, the loss of the average of the
        nearest neighbours.

    Examples
    --------
    >>> from napari_noise2self import samples
    >>> for progress in calibrate_iter(samples.cells(size=64).noisy, "median", values=(1, 2)):
    ...     if progress.trial:
    ...         print(progress.trial.parameters)
    {'radius': 1}
    {'radius': 2}
    """
    found = family_of(family)
    stack = Stack.of(image, axes)
    if min(stack.spatial[-2:]) < MINIMUM_SIZE:
        raise ImageError(
            f"the image is {stack.spatial[-2]} x {stack.spatial[-1]} pixels; expected at least "
            f"{MINIMUM_SIZE} x {MINIMUM_SIZE}, so that its statistics mean something"
        )
    hole = None if footprint is None else _checked_footprint(tuple(footprint), stack)
    tried = _checked_values(values, found, stack)
    refinements = 0 if values is not None or found.whole else _REFINEMENTS
    return _trials(family, stack, hole, tried, refinements, seed)


def _checked_footprint(footprint: tuple[int, ...], stack: Stack) -> tuple[int, ...]:
    ndim = len(stack.spatial)
    if len(footprint) != ndim or any(w < 1 or w % 2 == 0 for w in footprint):
        raise ConfigError(
            f"footprint={footprint}: expected one odd width for each of the axes "
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
    tried = tuple(sorted(set(values)))
    if not tried or not all(math.isfinite(v) and v > 0 for v in tried):
        raise ConfigError(
            f"values={list(values)}: expected numbers above 0 for the {family.parameter}"
        )
    if family.whole and any(v != int(v) for v in tried):
        raise ConfigError(
            f"values={list(values)}: the {family.parameter} is a whole number of pixels"
        )
    return tried


def _trials(
    name: str,
    stack: Stack,
    footprint: tuple[int, ...] | None,
    values: tuple[float, ...],
    refinements: int,
    seed: int,
) -> Iterator[Progress]:
    started = time.perf_counter()
    if footprint is None:
        correlation = noise_correlation(stack, seed=seed)
        footprint = correlation.footprint
        yield Progress(
            stage="analyse",
            step=1,
            steps=1,
            seconds=time.perf_counter() - started,
            notice=correlation.sentence if max(footprint) > 1 else None,
        )
    family = FAMILIES[name]
    rng = np.random.default_rng(seed)
    windows = sample_windows(stack, family.pixels, rng)
    scale = _noise_scale(windows, footprint)
    column = scale.astype(np.float32).reshape(-1, *[1] * len(footprint))
    windows = [window / column for window in windows]
    # A donut predicts every pixel at once; another filter is scored on one J-set a window.
    every = list(offsets(footprint))
    masked = [
        [(x, *family.masked(x, footprint, offset)) for x in window]
        for window, offset in zip(windows, rng.choice(every, len(windows)), strict=True)
    ]

    losses: dict[float, float] = {}
    queue = list(values)
    steps = (len(values) + 2 * refinements) * len(windows)
    step = 0
    while queue:
        value = queue.pop(0)
        square, count = 0.0, 0
        for window in masked:
            for x, seen, j in window:
                error = family.filter(seen, value, footprint)[j] - x[j]
                square += float(np.sum(np.square(error, dtype=np.float64)))
                count += error.size
            step += 1
            done = step % len(windows) == 0
            trial = None
            if done:
                losses[value] = square / count
                trial = Trial({family.parameter: value}, losses[value])
                if not queue and refinements:
                    refinements -= 1
                    queue = _between(losses)
                    steps = step + (len(queue) + 2 * refinements) * len(windows)
            seconds = time.perf_counter() - started
            finished = done and not queue
            result = _result(name, losses, scale, footprint, stack) if finished else None
            yield Progress(
                stage="calibrate",
                step=step,
                steps=step if finished else steps,
                seconds=seconds,
                seconds_left=0.0 if finished else seconds / step * (steps - step),
                loss=None if trial is None else trial.loss,
                baseline_loss=1.0,
                trial=trial,
                notice=_at_the_end(result) if result is not None else None,
                result=result,
            )


def _between(losses: dict[float, float]) -> list[float]:
    """Values halfway, as ratios, between the best one and its neighbours."""
    tried = sorted(losses)
    best = tried.index(min(tried, key=losses.__getitem__))
    gaps = itertools.pairwise(tried[max(0, best - 1) : best + 2])
    return [float(f"{math.sqrt(low * high):.3g}") for low, high in gaps]


def _result(
    name: str,
    losses: dict[float, float],
    scale: NDArray[np.float64],
    footprint: tuple[int, ...],
    stack: Stack,
) -> Calibration:
    parameter = FAMILIES[name].parameter
    trials = tuple(Trial({parameter: value}, losses[value]) for value in sorted(losses))
    best = min(trials, key=lambda trial: trial.loss)
    return Calibration(
        family=name,
        parameters=best.parameters,
        loss=best.loss,
        trials=trials,
        scale=tuple(map(float, scale)),
        footprint=footprint,
        axes=stack.axes,
    )


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
            error = donut_gaussian(x, 1.0, footprint) - x
            square[channel] += float(np.mean(np.square(error, dtype=np.float64)))
    scale = np.sqrt(square / len(windows))
    if not scale.any():
        raise ImageError(
            f"the image is constant, every value about {windows[0].flat[0]:.6g}: there is nothing "
            "to denoise; is it the right layer or file?"
        )
    scale[scale == 0] = 1.0  # a constant channel passes through
    return np.asarray(scale)
