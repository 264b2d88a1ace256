"""A classical denoiser with its calibrated parameter, applied block by block."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .axes import Stack, check_axes
from .blocks import blocks, finite
from .classical import FAMILIES, Family, family_of
from .config import Output, Progress, check_output, last_result, odd_widths, sizes_in_words
from .destination import destination
from .errors import ImageError, ModelFileError, ModelMismatchError, Noise2SelfError
from .invariance import strides
from .plain import plain


@dataclass(frozen=True)
class Trial:
    """One value of the parameter and how well it predicts the hidden pixels.

    Attributes
    ----------
    parameters
        Name and value of the parameter.
    losses
        Self-supervised loss of each channel in squared noise scales: below 1 is
        better than averaging the nearest neighbours.

    Examples
    --------
    >>> Trial({"radius": 2}, losses=(0.8, 1.0)).loss
    0.9
    """

    parameters: dict[str, float]
    losses: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean over the channels; the lowest one wins."""
        return sum(self.losses) / len(self.losses)


def _parameter(values: Mapping[str, float]) -> dict[str, float]:
    """Return the one parameter of a filter, a number above 0; whole ones stay whole."""
    ((name, value),) = values.items()
    if not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: expected a number")
    _numbers([value], above=0.0)
    return {str(name): value}


def _numbers(values: Sequence[float], above: float = -math.inf) -> tuple[float, ...]:
    numbers = tuple(map(float, values))
    if not all(math.isfinite(n) and n > above for n in numbers):
        raise ValueError(f"{numbers}: expected finite numbers above {above}")
    return numbers


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
    losses
        Its self-supervised loss in each channel, see `Trial`.
    trials
        Every value that was tried, in ascending order: the curve to plot.
    scale
        Noise scale of each channel in intensity units, an upper bound of the
        noise level: root mean square difference between a pixel and the average
        of its nearest visible neighbours. ``losses[c] * scale[c] ** 2`` is the loss
        in squared intensities, ``strength * scale[c]`` the noise level assumed.
    noise
        Estimated noise variance of each channel, in squared intensities, at its
        mean brightness; None where it cannot be measured, as where neighbours
        share their noise: then nothing is mixed in.
    footprint
        Width of the hole around a target along each spatial axis.
    axes
        Axes of the image it was calibrated on.

    Examples
    --------
    >>> from napari_noise2self import api, samples
    >>> found = api.calibrate(samples.cells(size=64).noisy, "median")
    >>> found.family, found.footprint, len(found.trials)
    ('median', (1, 1), 7)
    """

    family: str
    parameters: dict[str, float]
    losses: tuple[float, ...]
    trials: tuple[Trial, ...]
    scale: tuple[float, ...]
    noise: tuple[float, ...] | None
    footprint: tuple[int, ...]
    axes: str

    @property
    def loss(self) -> float:
        """Self-supervised loss, mean over the channels."""
        return sum(self.losses) / len(self.losses)

    @property
    def keep(self) -> tuple[float, ...]:
        """Weight of each pixel's own value in the output ``"best"``, by channel.

        The J-invariant estimate leaves that value out; the optimal mix gives it
        the weight ``1 - noise variance / loss``, which is 0 where the estimate is
        perfect and near 1 where the image has hardly any noise.
        """
        if self.noise is None or FAMILIES[self.family].single_pass:
            return (0.0,) * len(self.scale)
        return tuple(
            min(1.0, max(0.0, 1 - noise / max(loss * scale**2, 1e-30)))
            for noise, loss, scale in zip(self.noise, self.losses, self.scale, strict=True)
        )

    def at(self, trial: Trial) -> Calibration:
        """Return the same denoiser with another trial's parameter, for a preview.

        Parameters
        ----------
        trial
            One of `trials`.
        """
        return replace(self, parameters=trial.parameters, losses=trial.losses)

    def see(self, image: Any, axes: str | None = None) -> Stack:
        """Lay out an image that the calibration is to be applied to.

        Parameters
        ----------
        image
            Array-like or `Image`.
        axes
            Its axes; None for the image's own, else those of the calibration
            where the dimensions fit.

        Raises
        ------
        ModelMismatchError
            If the number of channels or of spatial axes differs.
        ImageError
            If it is so small that nothing is left to see around a hole.
        """
        stack = Stack.of(image, axes, like=self.axes)
        if len(stack.spatial) != len(self.footprint) or stack.channels != len(self.scale):
            raise ModelMismatchError(
                f"calibrated on {len(self.scale)} channel(s) in {len(self.footprint)}-D, but the "
                f"image has {stack.channels} in {len(stack.spatial)}-D (axes {stack.axes!r}); "
                "name its axes, or calibrate on it"
            )
        smallest = FAMILIES[self.family].smallest
        needed = ""
        if all(n <= width for n, width in zip(stack.spatial, self.footprint, strict=True)):
            needed = f"more along one axis than the hole, {sizes_in_words(self.footprint)}, hides"
        elif min(stack.spatial[-2:]) < smallest:
            needed = f"at least {smallest} x {smallest} pixels in a plane"
        if needed:
            raise ImageError(
                f"the image is {sizes_in_words(stack.spatial)} pixels; {self.family} needs "
                f"{needed}; take a larger region, or correct the axes"
            )
        return stack

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in JSON's types."""
        values: dict[str, Any] = plain(asdict(self))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Rebuild a calibration; the inverse of :meth:`to_dict`.

        Parameters
        ----------
        values
            From :meth:`to_dict`, or from a file.

        Raises
        ------
        ModelFileError
            If a part is missing or cannot be.
        """
        try:
            trials = tuple(
                Trial(_parameter(t["parameters"]), _numbers(t["losses"])) for t in values["trials"]
            )
            noise = values["noise"]
            made = cls(
                family=str(values["family"]),
                parameters=_parameter(values["parameters"]),
                losses=_numbers(values["losses"]),
                trials=trials,
                scale=_numbers(values["scale"], above=0.0),
                noise=None if noise is None else _numbers(noise),
                footprint=odd_widths(values["footprint"]),
                axes=str(values["axes"]),
            )
            channels = {len(made.losses), len(made.scale), len(made.noise or made.scale)}
            check_axes((1,) * len(made.axes), made.axes)
            named = {*made.parameters, *(name for t in trials for name in t.parameters)}
            family = FAMILIES.get(made.family)
            whole = len(channels) == 1 and family is not None and named == {family.parameter}
        except (AttributeError, KeyError, Noise2SelfError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"the calibration is incomplete or altered ({type(error).__name__}: {error}); "
                "calibrate again"
            ) from error
        if not whole:
            raise ModelFileError(
                f"the calibration of the family {made.family!r} contradicts itself or is of a "
                "newer version; calibrate again"
            )
        return made

    def predict(
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
            ``"j-invariant"`` is the strict version that was calibrated;
            ``"best"`` mixes it with the pixel's own value, see `keep`.
        out
            Array in the shape of `image`, real floating point, that accepts
            assignment, for example zarr, and not the image itself; None for a new
            one in memory.

        Returns
        -------
        array
            `out`, or float32 of the shape of `image`, in its intensity units.

        Raises
        ------
        ModelMismatchError
            If the number of channels or of spatial axes differs.
        ImageError
            If there are NaN or infinite values, the image is so small that nothing
            is left to see around a hole, or `out` has another shape, holds integers
            or shares the image's memory.

        Examples
        --------
        >>> from napari_noise2self import samples
        >>> from napari_noise2self.core.calibration import calibrate
        >>> noisy = samples.cells(size=64).noisy
        >>> calibrate(noisy, "median").predict(noisy).shape
        (64, 64)
        """
        return last_result(self.predict_iter(image, axes, output=output, out=out))

    def predict_iter(
        self, image: Any, axes: str | None = None, *, output: Output = "best", out: Any = None
    ) -> Iterator[Progress]:
        """Apply it block by block, see `predict`; the last event's `result` is the array."""
        check_output(output)
        family = family_of(self.family)
        stack = self.see(image, axes)
        return self._blocks(family, stack, destination(stack, out), output)

    def _blocks(
        self, family: Family, stack: Stack, target: Stack, output: Output
    ) -> Iterator[Progress]:
        started = time.perf_counter()
        (value,) = self.parameters.values()
        strict = output == "j-invariant"
        keep = (0.0,) * len(self.scale) if strict else self.keep
        # As far as the filter looks, and the fill of a hole.
        halo = tuple(family.reach(value) + 2 * width + 2 for width in self.footprint)
        cover = list(blocks(stack.spatial, halo, strides(self.footprint)))
        passes = family.passes(self.footprint, strict=strict)
        steps = stack.samples * len(cover) * passes * len(self.scale)
        step = 0

        def progress(result: Any = None) -> Progress:
            seconds = time.perf_counter() - started
            left = seconds / step * (steps - step)
            return Progress(
                stage="predict",
                step=step,
                steps=steps,
                seconds=seconds,
                seconds_left=left,
                result=result,
            )

        for sample, block in itertools.product(range(stack.samples), cover):
            noisy = finite(stack.read(sample, block.grown))  # (C, *grown)
            clean = np.empty_like(noisy[(slice(None), *block.inner)])
            for channel, (x, scale, weight) in enumerate(zip(noisy, self.scale, keep, strict=True)):
                # Each pass is an event: a stop need not wait for all of a slow filter's.
                for filtered in family.run(
                    x / np.float32(scale), value, self.footprint, strict=strict
                ):
                    step += 1
                    if step % passes == 0:
                        estimate = filtered[block.inner] * scale
                        clean[channel] = estimate + weight * (x[block.inner] - estimate)
                    if step % (passes * len(self.scale)):
                        yield progress()
            target.write(sample, block.core, clean)
            yield progress(target.data if step == steps else None)
