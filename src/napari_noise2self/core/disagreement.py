"""How much several partitions of the pixels disagree about a result.

Each partition hides other pixels together and so predicts every pixel from
other surroundings. Where the predictions differ the network is unsure of its
interpolation. That is disagreement, not uncertainty: what all partitions get
wrong together does not show.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import Progress, last_result
from .errors import ConfigError
from .masks import Grid
from .model import Model
from .prediction import predict_iter


def disagreement(
    model: Model,
    image: Any,
    axes: str | None = None,
    *,
    partitions: int = 3,
    device: str | None = None,
) -> NDArray[np.float32]:
    """Predict strictly with several partitions and return their standard deviation.

    The partitions are grids whose strides grow by one from the model's own.

    Parameters
    ----------
    model
        A trained `Denoiser`.
    image
        `Image` or array-like that fits it.
    axes
        Axes of `image`; None for its own, else the model's.
    partitions
        How many, from 2 to 8. The time of each grows with its stride, squared
        in 2-D, cubed in 3-D.
    device
        Where to compute; None for the configuration's, else the fastest.

    Returns
    -------
    numpy.ndarray
        float32, the image's shape, in its intensity units.

    Raises
    ------
    ConfigError
        If the number of partitions is out of range, or the model was trained
        on pairs and has no J-invariant output.

    Examples
    --------
    >>> from napari_noise2self import api
    >>> image = np.random.default_rng(0).normal(100, 10, (64, 64))
    >>> config = api.TrainingConfig(steps=2, width=4, depth=1, stride=2)
    >>> denoiser = api.Denoiser.for_image(image, config=config)
    >>> for _ in api.train(denoiser, image, config):
    ...     pass
    >>> disagreement(denoiser, image, partitions=2).shape
    (64, 64)
    """
    events = disagreement_iter(model, image, axes, partitions=partitions, device=device)
    result: NDArray[np.float32] = last_result(events)
    return result


def disagreement_iter(
    model: Model,
    image: Any,
    axes: str | None = None,
    *,
    partitions: int = 3,
    device: str | None = None,
) -> Iterator[Progress]:
    """Do what :func:`disagreement` does, event by event; the last one's `result` is the array.

    Yields
    ------
    Progress
        ``stage="predict"``.

    Examples
    --------
    See :func:`disagreement`.

    >>> next(disagreement_iter(None, None, partitions=1))
    Traceback (most recent call last):
    napari_noise2self.core.errors.ConfigError: partitions=1: expected a number from 2 to 8
    """
    if not 2 <= partitions <= 8:
        raise ConfigError(f"partitions={partitions!r}: expected a number from 2 to 8")
    count = 0
    mean = square = None
    done = 0.0
    for more in range(partitions):
        other = copy.copy(model)
        grid = model.method.grid
        strides = tuple(stride + more for stride in grid.stride)
        other.method = replace(model.method, grid=Grid(strides, grid.footprint))
        for event in predict_iter(other, image, axes, "j-invariant", device=device):
            if event.result is None:
                yield _shifted(event, more, partitions, done)
        done += event.seconds
        values = np.asarray(event.result, np.float64)
        count += 1
        if mean is None or square is None:
            mean, square = values, np.zeros_like(values)
        else:  # Welford's update
            delta = values - mean
            mean += delta / count
            square += delta * (values - mean)
    assert square is not None
    result = np.sqrt(square / (count - 1)).astype(np.float32)
    yield _shifted(replace(event, result=result), partitions - 1, partitions, done - event.seconds)


def _shifted(event: Progress, before: int, partitions: int, seconds: float) -> Progress:
    """Place the progress of one partition in that of all."""
    steps = event.steps * partitions
    step = event.steps * before + event.step
    spent = seconds + event.seconds
    left = spent / step * (steps - step) if step else None
    return replace(event, step=step, steps=steps, seconds=spent, seconds_left=left)
