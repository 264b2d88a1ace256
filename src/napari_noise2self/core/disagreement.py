"""How much several partitions of the pixels disagree about a result.

Each partition hides other pixels together and so predicts every pixel from
other surroundings. Where the predictions differ the network is unsure of its
interpolation. That is disagreement, not uncertainty: what all partitions get
wrong together does not show.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import Stack
from .config import Progress, last_result
from .destination import destination
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
    out: Any = None,
) -> Any:
    """Predict strictly with several partitions and return their standard deviation.

    The partitions are grids whose strides grow by one from the model's own. Besides what
    is returned it keeps 12 bytes for each pixel of one sample (a plane, or a volume).

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
    out
        Array of the image's shape, real floating point, that accepts assignment (a
        memory map, a zarr array), into which sample by sample is written; None for
        a new float32 array.

    Returns
    -------
    array-like
        `out`, or a numpy.ndarray of float32: the image's shape, in its intensity units.

    Raises
    ------
    ConfigError
        If the number of partitions is out of range, or the model was trained
        on pairs and has no J-invariant output.
    ImageError
        As `predict` does.

    References
    ----------
    Chan, Golub, LeVeque: Algorithms for computing the sample variance, The American
    Statistician 37 (1983): of deviations from one of the values.

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
    return last_result(
        disagreement_iter(model, image, axes, partitions=partitions, device=device, out=out)
    )


def disagreement_iter(
    model: Model,
    image: Any,
    axes: str | None = None,
    *,
    partitions: int = 3,
    device: str | None = None,
    out: Any = None,
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
    model.method.check("j-invariant")
    stack = model.see(image, axes)
    target = destination(stack, out)
    others = [_partitioned(model, more) for more in range(partitions)]
    passes = [len(other.method.passes("j-invariant", stack.spatial)) for other in others]
    tile: tuple[int, ...] | None = None
    told: set[str] = set()
    started = time.perf_counter()
    for sample in range(stack.samples):
        spread = _Spread(stack)
        before = sample * sum(passes)
        for other, count in zip(others, passes, strict=True):
            spread.count += 1
            for event in predict_iter(
                other, stack, None, "j-invariant",
                device=device, out=spread, tile=tile, samples=[sample],
            ):  # fmt: skip
                if event.result is None:
                    tiles = event.steps // count
                    done, steps = before * tiles + event.step, stack.samples * sum(passes) * tiles
                    seconds = time.perf_counter() - started
                    notice = event.notice if event.notice not in told else None
                    told.add(event.notice or "")
                    yield replace(
                        event,
                        step=done,
                        steps=steps,
                        seconds=seconds,
                        seconds_left=seconds / done * (steps - done),
                        notice=notice,
                    )
            tile = event.tile  # what memory allows is found once
            before += count
        spread.write(target.data)
    yield replace(
        event,
        step=steps,
        steps=steps,
        seconds=time.perf_counter() - started,
        notice=None,
        result=target.data,
    )


def _partitioned(model: Model, more: int) -> Model:
    """Return the model with a grid whose strides are `more` than its own."""
    other = copy.copy(model)
    grid = model.method.grid
    strides = tuple(stride + more for stride in grid.stride)
    other.method = replace(model.method, grid=Grid(strides, grid.footprint))
    return other


class _Spread:
    """Takes several predictions of one sample as if it were the whole image.

    Parameters
    ----------
    stack
        The image.

    Attributes
    ----------
    count
        Which of the predictions is being written, from 1.
    """

    def __init__(self, stack: Stack) -> None:
        self.shape, self.dtype = tuple(stack.data.shape), np.dtype(np.float32)
        extent = [
            n for n, a in zip(self.shape, stack.axes, strict=True) if a not in stack.sample_axes
        ]
        self.count = 0
        self._place: tuple[int | slice, ...] = ()
        # deviations from the first prediction, which lose nothing in 32 bits
        self._first, self._sum, self._square = (np.zeros(extent, np.float32) for _ in range(3))

    def __setitem__(self, index: tuple[int | slice, ...], values: NDArray[np.float32]) -> None:
        inner = tuple(part for part in index if isinstance(part, slice))
        self._place = tuple(slice(None) if isinstance(part, slice) else part for part in index)
        if self.count == 1:
            self._first[inner] = values
        else:
            deviation = values - self._first[inner]
            self._sum[inner] += deviation
            self._square[inner] += deviation**2

    def write(self, out: Any) -> None:
        """Write the standard deviation of the predictions to their place in `out`."""
        self._square -= self._sum**2 / np.float32(self.count)
        np.maximum(self._square, 0, out=self._square)
        out[self._place] = np.sqrt(self._square / np.float32(self.count - 1), out=self._square)
