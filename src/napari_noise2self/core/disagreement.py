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

from .config import Progress
from .errors import ConfigError
from .masks import Grid
from .model import Model
from .prediction import predict_iter


def disagreement_iter(
    model: Model,
    image: Any,
    axes: str | None = None,
    *,
    partitions: int = 3,
    device: str | None = None,
) -> Iterator[Progress]:
    """Predict strictly with several partitions and return their standard deviation.

    The partitions are grids whose strides grow by one from the model's own.

    Parameters
    ----------
    model
        A trained model.
    image
        `Image` or array-like that fits it.
    axes
        Axes of `image`; None for its own, else the model's.
    partitions
        How many, from 2 to 8. Time grows with the square of the stride.
    device
        Where to compute; None for the configuration's, else the fastest.

    Yields
    ------
    Progress
        ``stage="predict"``; the last one's `result` is a float32 array of the
        image's shape, in its units.

    Raises
    ------
    ConfigError
        If the number of partitions is out of range, or the model was trained
        on pairs and has no J-invariant output.
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
