"""A classical denoiser with its calibrated parameter, applied block by block."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from .axes import Stack
from .blocks import blocks, finite
from .classical import Family, family_of
from .config import Output, Progress
from .errors import ConfigError, ModelMismatchError
from .invariance import strides


@dataclass(frozen=True)
class Trial:
    """One value of the parameter and how well it predicts the hidden pixels.

    Attributes
    ----------
    parameters
        Name and value of the parameter.
    loss
        Self-supervised loss in squared noise scales: below 1 is better than
        averaging the nearest neighbours.
    """

    parameters: dict[str, float]
    loss: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A classical denoiser with the parameter that suits an image, and the way there.

    Attributes
    ----------
    family
        Name of the denoiser.
    parameters
        Name and value of its parameter. A radius or sigma is in pixels; a
        strength is in noise scales.
    loss
        Its self-supervised loss, see `Trial`.
    trials
        Every value that was tried, in ascending order: the curve to plot.
    scale
        Noise scale of each channel in intensity units, an upper bound of the
        noise level: root mean square difference between a pixel and the average
        of its nearest visible neighbours. ``loss * scale[c] ** 2`` is the loss in
        squared intensities, ``strength * scale[c]`` the noise level assumed.
    footprint
        Width of the hole around a target along each spatial axis.
    axes
        Axes of the image it was calibrated on.
    """

    family: str
    parameters: dict[str, float]
    loss: float
    trials: tuple[Trial, ...]
    scale: tuple[float, ...]
    footprint: tuple[int, ...]
    axes: str

    def at(self, trial: Trial) -> Calibration:
        """Return the same denoiser with another trial's parameter, for a preview."""
        return replace(self, parameters=trial.parameters, loss=trial.loss)

    def denoise(
        self, image: Any, axes: str | None = None, *, output: Output = "best", out: Any = None
    ) -> Any:
        """Apply the calibrated denoiser.

        Parameters
        ----------
        image
            Array-like or `Image` with as many channels and spatial axes as the
            one it was calibrated on.
        axes
            Its axes; None for the image's own, else those of the calibration
            where the dimensions fit.
        output
            ``"best"`` is the ordinary filter, which sees every pixel;
            ``"j-invariant"`` the strict version that was calibrated.
        out
            Array in the shape of `image` that accepts assignment, for example
            zarr; None for a new one in memory.

        Returns
        -------
        array
            `out`, or float32 of the shape of `image`, in its intensity units.

        Raises
        ------
        ModelMismatchError
            If the number of channels or of spatial axes differs.
        ImageError
            If there are NaN or infinite values.

        Examples
        --------
        >>> from napari_noise2self import samples
        >>> from napari_noise2self.core.calibration import calibrate
        >>> noisy = samples.cells(size=64).noisy
        >>> calibrate(noisy, "median").denoise(noisy).shape
        (64, 64)
        """
        return last(self.denoise_iter(image, axes, output=output, out=out))

    def denoise_iter(
        self, image: Any, axes: str | None = None, *, output: Output = "best", out: Any = None
    ) -> Iterator[Progress]:
        """Apply it block by block, see `denoise`; the last event's `result` is the array."""
        if output not in get_args(Output):
            raise ConfigError(f"output={output!r}: expected one of {', '.join(get_args(Output))}")
        family = family_of(self.family)
        if axes is None and len(getattr(image, "shape", ())) == len(self.axes):
            axes = self.axes
        stack = Stack.of(image, axes)
        if len(stack.spatial) != len(self.footprint) or stack.channels != len(self.scale):
            raise ModelMismatchError(
                f"calibrated on {len(self.scale)} channel(s) in {len(self.footprint)}-D, but the "
                f"image has {stack.channels} in {len(stack.spatial)}-D (axes {stack.axes!r}); "
                "name its axes, or calibrate on it"
            )
        if out is None:
            out = np.empty(stack.data.shape, dtype=np.float32)
        return self._blocks(family, stack, Stack(out, stack.axes, stack.understood), output)

    def _blocks(
        self, family: Family, stack: Stack, target: Stack, output: Output
    ) -> Iterator[Progress]:
        started = time.perf_counter()
        (value,) = self.parameters.values()
        apply = family.strict if output == "j-invariant" else family.apply
        # As far as the filter looks, and the fill of a hole.
        halo = tuple(family.reach(value) + 2 * width + 2 for width in self.footprint)
        cover = list(blocks(stack.spatial, halo, strides(self.footprint)))
        steps = stack.samples * len(cover)
        for step, (sample, block) in enumerate(itertools.product(range(stack.samples), cover), 1):
            noisy = finite(stack.read(sample, block.grown))  # (C, *grown)
            clean = [
                apply(x / np.float32(scale), value, self.footprint)[block.inner] * scale
                for x, scale in zip(noisy, self.scale, strict=True)
            ]
            target.write(sample, block.core, np.stack(clean))
            seconds = time.perf_counter() - started
            yield Progress(
                stage="predict",
                step=step,
                steps=steps,
                seconds=seconds,
                seconds_left=seconds / step * (steps - step),
                result=target.data if step == steps else None,
            )


def last(events: Iterator[Progress]) -> Any:
    """Run a long operation to its end and return its result."""
    result = None
    for event in events:
        result = event.result
    return result
