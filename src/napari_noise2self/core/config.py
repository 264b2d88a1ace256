"""What a training is asked to do (`TrainingConfig`) and what it reports (`Progress`).

Free of torch, so that a form or ``--help`` can import it at once. Every default
of the package lives here; the dock, the terminal and the docs read it from
these dataclasses.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from .errors import ConfigError

Output = Literal["best", "j-invariant"]
Precision = Literal["auto", "float32", "bfloat16"]
MethodName = Literal["noise2self", "noise2noise", "noise2clean"]
NetworkName = Literal["unet", "dncnn"]
FamilyName = Literal["median", "gaussian", "nlm", "wavelet", "tv", "bm3d"]

FAMILY: FamilyName = "gaussian"
"""The classical denoiser that is calibrated unless another is asked for."""

MOST_CONTEXT = 8
"""Most neighbouring frames on each side that a network may look at."""

MINIMUM_SIZE = 32
"""Smallest extent along Y and X, in pixels, that a network is trained on."""

LIMITS: Mapping[str, tuple[int, int]] = {
    "steps": (1, 10_000_000),
    "width": (4, 512),
    "depth": (1, 6),
    "patch_size": (MINIMUM_SIZE, 4096),
    "patch_depth": (4, 1024),
    "pixels_per_step": (1024, 2**30),
    "stride": (2, 64),
    "validate_every": (1, 10_000_000),
    "patience": (0, 10_000_000),
    "seed": (0, 2**63 - 1),
}
"""Smallest and largest value of the whole numbers in `TrainingConfig`."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train; every field has a default that works.

    Change single fields with :func:`dataclasses.replace`; the named sets are
    :meth:`preset`.

    Attributes
    ----------
    steps
        Optimiser steps in all. A training that was stopped and is called again
        goes on to this number; a preset differs from another mainly in it.
    time_limit
        Wall-clock limit in seconds on top of `steps`; None for none.
    method
        ``"noise2self"`` trains on the image alone; ``"noise2noise"`` on a second
        noisy image of the scene, ``"noise2clean"`` on a clean one.
    network
        Architecture: ``"unet"`` or ``"dncnn"``.
    width
        Feature channels at full resolution.
    depth
        How many times the network halves the resolution.
    learning_rate
        Peak learning rate, which falls as the training goes on; see `core.optimizer`.
    patch_size
        Edge of a training crop along Y and X, in pixels; less in a volume, whose
        planes share `pixels_per_step`.
    patch_depth
        Edge of a training crop along Z, in planes, for a 3-D network.
    pixels_per_step
        Pixels in one batch; the number of crops follows from it and from the
        patch, so that a step costs about the same in 2-D and 3-D.
    stride
        Spacing of the pixels that are hidden together. A footprint that asks
        for more raises it along its axis.
    footprint
        Width of the hole that hides one pixel, along each axis that the network
        convolves (odd numbers, for example ``(1, 1)`` for the pixel alone or
        ``(1, 9)`` for a horizontal line). None takes it from the correlation of
        the noise.
    dimensions
        Of the network: 2 denoises a z-stack plane by plane, 3 convolves in z as
        well, which takes several times as long. None takes 2, or 3 where
        `footprint` has three widths.
    context
        How many neighbouring frames (or planes of a z-stack) on each side the
        network sees besides the one that it denoises. None takes 2, and 0 where the
        noise of neighbours is shown to be shared.
    noise_model
        Whether the noise level estimated from the image may be used, where it can be
        trusted: each pixel's own value then counts for more in the best output, and
        what the noise cannot explain is given back to it (`guard`).
        False hides pixels and nothing else, as Noise2Self was published.
    validate_every
        Steps between two looks at the held-out pixels.
    patience
        Stop after this many looks without an improvement; 0 never stops early.
    seed
        Seed of the weights, the crops and the masks.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; None takes the fastest
        that is there.
    precision
        ``"auto"`` computes in bfloat16 where the device is much faster at it.

    Examples
    --------
    >>> from dataclasses import replace
    >>> config = replace(TrainingConfig.preset("fast"), seed=7)
    >>> config.seed
    7
    """

    steps: int = 400
    time_limit: float | None = None
    method: MethodName = "noise2self"
    network: NetworkName = "unet"
    width: int = 16
    depth: int = 3
    learning_rate: float = 1e-3
    patch_size: int = 96
    patch_depth: int = 16
    pixels_per_step: int = 46_080
    stride: int = 3
    footprint: tuple[int, ...] | None = None
    dimensions: int | None = None
    context: int | None = None
    noise_model: bool = True
    validate_every: int = 25
    patience: int = 12
    seed: int = 0
    device: str | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in LIMITS:
            self._set(name, check_within(name, getattr(self, name)))
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise ConfigError(
                f"learning_rate={self.learning_rate!r}: expected a number above 0 and up to 1, "
                "for example 0.001"
            )
        if self.time_limit is not None and not (
            _is_number(self.time_limit) and 0 < self.time_limit < math.inf
        ):
            raise ConfigError(
                f"time_limit={self.time_limit!r}: expected seconds above 0, or None for no limit"
            )
        if self.footprint is not None:
            self._set("footprint", odd_widths(self.footprint))
        if self.dimensions not in (None, 2, 3):
            raise ConfigError(f"dimensions={self.dimensions!r}: expected 2, 3 or None")
        if self.footprint and self.dimensions not in (None, len(self.footprint)):
            raise ConfigError(
                f"footprint={self.footprint} with dimensions={self.dimensions}: expected one "
                "width for each dimension of the network"
            )
        if self.context is not None and (
            not _is_whole(self.context) or not 0 <= self.context <= MOST_CONTEXT
        ):
            raise ConfigError(
                f"context={self.context!r}: expected a whole number from 0 to {MOST_CONTEXT}, or "
                "None to take it from the noise"
            )
        if self.context and self.method != "noise2self":
            raise ConfigError(
                f"context={self.context} with method={self.method!r}: only noise2self looks at "
                "neighbouring frames; leave context out"
            )
        if not isinstance(self.noise_model, bool):
            raise ConfigError(f"noise_model={self.noise_model!r}: expected True or False")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name}={getattr(self, name)!r}: expected one of {', '.join(choices)}"
                )
        for name in ("dimensions", "context"):
            if getattr(self, name) is not None:
                self._set(name, int(getattr(self, name)))
        for name in ("learning_rate", "time_limit"):
            if getattr(self, name) is not None:
                self._set(name, float(getattr(self, name)))

    def _set(self, name: str, value: object) -> None:
        """Keep a checked value, a NumPy scalar as the Python number that it is."""
        object.__setattr__(self, name, value)

    @classmethod
    def preset(cls, name: str) -> TrainingConfig:
        """Return the configuration of a preset.

        Parameters
        ----------
        name
            ``"fast"``, ``"balanced"`` or ``"best"``.

        Raises
        ------
        ConfigError
            If there is no preset of that name.
        """
        if name not in PRESETS:
            raise ConfigError(f"preset={name!r}: expected one of {', '.join(PRESETS)}")
        return replace(cls(), **PRESETS[name])

    def dimensions_for(self, axes: str) -> int:
        """Return how many dimensions the network has for an image with these axes.

        Parameters
        ----------
        axes
            The image's, such as ``"TZYX"``.

        Raises
        ------
        ConfigError
            If three are asked for and there is no Z.

        Examples
        --------
        >>> TrainingConfig().dimensions_for("ZYX")
        2
        >>> TrainingConfig(footprint=(1, 5, 5)).dimensions_for("ZYX")
        3
        """
        asked = self.dimensions or len(self.footprint or (1, 1))
        if asked == 3 and "Z" not in axes:
            raise ConfigError(
                f'a 3-D network (dimensions=3, or a footprint of three widths) for axes "{axes}", '
                "which have no Z; leave dimensions out and give a footprint of two widths, or "
                "name the axis of the planes Z"
            )
        return asked


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def odd_widths(widths: Any) -> tuple[int, ...]:
    """Return the widths of a hole as a tuple.

    Raises
    ------
    ConfigError
        If they are not two or three odd whole numbers above 0.
    """
    sizes = tuple(widths) if isinstance(widths, Iterable) else ()
    if len(sizes) not in (2, 3) or any(not _is_whole(w) or w < 1 or w % 2 == 0 for w in sizes):
        raise ConfigError(
            f"footprint={widths!r}: expected one odd width for each spatial axis, "
            "for example (1, 1) or (5, 5) in 2-D, (1, 5, 5) in 3-D"
        )
    return tuple(map(int, sizes))


CHOICES: Mapping[str, tuple[str, ...]] = {
    "method": get_args(MethodName),
    "network": get_args(NetworkName),
    "precision": get_args(Precision),
}
"""The allowed values of the text fields of `TrainingConfig`."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"steps": 150},
    "balanced": {},
    "best": {"steps": 2500},
}
"""What each preset changes in the defaults of `TrainingConfig`."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One event of a long operation; training, prediction and calibration share it.

    Attributes
    ----------
    stage
        What is going on: ``"analyse"``, ``"read"``, ``"train"``, ``"predict"``,
        ``"calibrate"``, ``"diagnose"``, ``"inspect"`` or ``"export"``.
    step, steps
        How much of how much is done; `steps` is where it ends at the latest.
    seconds
        Wall-clock time since this call began.
    seconds_left
        Estimated time to the end; None while there is nothing to go by.
    loss
        Mean training loss since the last report, in normalized units; None at
        the steps in between (reading it would make the device wait).
    validation_loss
        Loss on the held-out pixels with the averaged weights; None between two
        looks.
    best_step
        Step of the weights that would be kept now: the latest whose validation
        loss is the lowest so far, or higher by chance only; None before the first look.
    baseline_loss
        Loss of the donut average on the same held-out pixels; a network is useful
        only below this value.
    notice
        A sentence for the user, for example that the tiles were halved because
        the device ran out of memory; None most of the time. From a plain verb,
        those on training and prediction are warnings.
    tile
        Extent of the tiles that a prediction was made of, for each spatial
        axis; on its last event only.
    trial
        On an event that completes one trial of a calibration: its parameters
        and its loss.
    result
        What the operation made; on the last event only, save that each trial of
        a calibration carries the best one so far.

    Examples
    --------
    >>> event = Progress(stage="train", step=75, steps=300, seconds=10.0, seconds_left=30.0)
    >>> f"{event.step / event.steps:.0%}, {event.seconds_left:.0f} s left"
    '25%, 30 s left'
    """

    stage: str
    step: int
    steps: int
    seconds: float
    seconds_left: float | None = None
    loss: float | None = None
    validation_loss: float | None = None
    best_step: int | None = None
    baseline_loss: float | None = None
    notice: str | None = None
    tile: tuple[int, ...] | None = None
    trial: Any = None
    result: Any = None


def check_within(name: str, value: Any) -> int:
    """Return `value`; refuse what is no whole number within the `LIMITS` of that name.

    Raises
    ------
    ConfigError
        With the limits.
    """
    low, high = LIMITS[name]
    if not _is_whole(value) or not low <= value <= high:
        raise ConfigError(f"{name}={value!r}: expected a whole number from {low} to {high}")
    return int(value)


def check_output(output: str) -> None:
    """Raise if there is no such output.

    Raises
    ------
    ConfigError
        With the names of those that there are.
    """
    if output not in get_args(Output):
        raise ConfigError(f"output={output!r}: expected one of {', '.join(get_args(Output))}")


def sizes_in_words(sizes: Iterable[int]) -> str:
    """Return the extent of a hole or an image as people write it.

    Examples
    --------
    >>> sizes_in_words((1, 9))
    '1 x 9'
    """
    return " x ".join(map(str, sizes))


def last_result(events: Iterator[Progress]) -> Any:
    """Run an operation to its end and return what it made; for the plain verb beside its iterator.

    A notice on training or prediction becomes a warning at the line that called the verb. Those of
    an analysis or a calibration say what was found in the image, and the result holds it.
    """
    said = set()
    for event in events:
        if event.notice and event.stage in ("train", "predict") and event.notice not in said:
            said.add(event.notice)
            warnings.warn(event.notice, stacklevel=3)
    return event.result
