"""Per-channel statistics, frozen with the model: fit, apply, invert."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .axes import Stack
from .config import Progress
from .errors import ImageError

ROUNDING = 1e-6
"""Spread, relative to the mean, that float32 cannot tell from none."""


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel, in the image's intensity units.

    A constant channel (alpha, an empty one) has a standard deviation of zero
    and is no part of what a network sees. In the best output it comes out as it
    went in, whatever it is in another image. In the strict output, and from a
    network that was trained on pairs, it is the mean.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} standard deviations")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std, default=0.0) < 0:
            raise ValueError(f"means {self.mean}, standard deviations {self.std}: no finite ones")

    @classmethod
    def fit_iter(cls, stack: Stack) -> Iterator[Progress]:
        """Measure `stack` in one pass, window by window, in float64.

        Yields
        ------
        Progress
            The last one's `result` is the `Normalization`.

        Raises
        ------
        ImageError
            If there are NaN or infinite values, or the image is constant.
        """
        started = time.perf_counter()
        windows = list(stack.windows())
        count = 0
        bad = 0
        mean = np.zeros(stack.channels)
        square = np.zeros(stack.channels)  # sum of squared deviations from the mean
        for step, (sample, window) in enumerate(windows, 1):
            values = stack.read(sample, window).reshape(stack.channels, -1)
            if stack.dtype.kind == "f":
                bad += int(values.size - np.isfinite(values).sum())
            if not bad:
                n = values.shape[1]
                part = values.mean(axis=1, dtype=np.float64)
                spread = ((values - part[:, None]) ** 2).sum(axis=1, dtype=np.float64)
                # Chan's update of a mean and a sum of squares by another block's.
                delta = part - mean
                square += spread + delta**2 * count * n / (count + n)
                mean += delta * n / (count + n)
                count += n
            seconds = time.perf_counter() - started
            yield Progress(
                stage="analyse",
                step=step,
                steps=len(windows),
                seconds=seconds,
                seconds_left=seconds / step * (len(windows) - step),
            )
        if bad:
            total = math.prod(stack.shape)
            raise ImageError(
                f"the image has {bad} NaN or infinite values among {total}; "
                "replace them, for example with api.fill_nan(image)"
            )
        std = np.sqrt(square / count)
        std[std <= ROUNDING * np.abs(mean)] = 0.0
        if not std.any():
            raise ImageError(
                f"the image is constant, every value about {mean[0]:.6g}: there is nothing to "
                "denoise; is it the right layer or file?"
            )
        yield Progress(
            stage="analyse",
            step=len(windows),
            steps=len(windows),
            seconds=time.perf_counter() - started,
            seconds_left=0.0,
            result=cls(tuple(map(float, mean)), tuple(map(float, std))),
        )

    def _column(self, values: tuple[float, ...], like: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (like.ndim - 2)
        column = torch.tensor(values, dtype=torch.float32).repeat(like.shape[1] // len(values))
        return column.to(like.device).view(shape)

    def apply(self, x: Tensor) -> Tensor:
        """Normalize `x` of shape (N, C, *spatial), or with the channels of several samples."""
        scale = tuple(std or math.inf for std in self.std)  # what is constant becomes 0
        return (x - self._column(self.mean, x)) / self._column(scale, x)

    def invert(self, x: Tensor) -> Tensor:
        """Return normalized `x` of shape (N, C, *spatial) to intensity units."""
        return x * self._column(self.std, x) + self._column(self.mean, x)

    def differs_from(self, stack: Stack) -> str | None:
        """Say how the middle sample of `stack` differs from these statistics, if by much."""
        window = next(stack.windows())[1]
        values = stack.read(stack.samples // 2, window).reshape(stack.channels, -1)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            finite = values[channel][np.isfinite(values[channel])].astype(np.float64)
            if not finite.size:
                continue  # whoever reads it next says so
            here, spread = float(finite.mean()), float(finite.std())
            margin = ROUNDING * abs(mean)
            if (
                abs(here - mean) > 2 * std + margin
                or not std / 4 - margin <= spread <= 4 * std + margin
            ):
                return (
                    f"channel {channel} has mean {here:.4g} and standard deviation {spread:.4g} "
                    f"where the model was trained on {mean:.4g} and {std:.4g}; if the result "
                    "looks wrong, train on this image"
                )
        return None
