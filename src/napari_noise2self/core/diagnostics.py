"""Look at a recording before denoising it: its noise, its faults, and what suits it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .axes import Stack
from .config import Progress, check_within
from .correlation import NoiseCorrelation, noise_correlation
from .faults import Faults, find_faults_iter
from .noise import measured_noise
from .noise_level import NoiseLevel
from .plain import plain
from .verdict import Advice, Assumption, advise, judge_assumption, remarks_on, signal_to_noise


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    understood
        How the shape was read.
    axes
        One letter for each dimension.
    correlation
        Correlation of the noise along every axis, and the hole it asks for.
    noise
        Noise level as a function of the signal; None where nothing could be
        measured.
    faults
        Saturation, hot pixels, empty planes, drift.
    assumption
        Whether Noise2Self's assumption holds: noise of mean zero, independent
        of the pixels that stay visible.
    assumption_sentence
        The same in plain words, with the reason.
    advice
        What suits: a network, a calibrated classical denoiser, or nothing.
    advice_sentence
        The same in plain words, with the reason.

    Examples
    --------
    >>> import numpy as np
    >>> found = diagnose(np.random.default_rng(0).poisson(9, (96, 160)))
    >>> found.footprint, found.advice
    ((1, 1), 'calibrated')
    >>> print(found.summary().splitlines()[0])
    Image:       96 x 160, 64-bit signed (axes "YX" taken from the shape).
    """

    understood: str
    axes: str
    correlation: NoiseCorrelation
    noise: NoiseLevel | None
    faults: Faults
    assumption: Assumption
    assumption_sentence: str
    advice: Advice
    advice_sentence: str

    @property
    def footprint(self) -> tuple[int, ...]:
        """Width of the hole that the noise asks for, along each spatial axis."""
        return self.correlation.footprint

    def snr(self, channel: int = 0) -> float | None:
        """Return signal over noise in decibels; None where the noise level is not known.

        Variance of the structure over that of the noise.

        Parameters
        ----------
        channel
            Index of the channel.
        """
        if self.noise is None:
            return None
        mean, variance = self.faults.mean[channel], self.faults.variance[channel]
        return signal_to_noise(self.noise, mean, variance, channel)

    def remarks(self) -> list[str]:
        """Return one sentence for each fault that is worth a word."""
        return remarks_on(self.faults, self.correlation)

    def summary(self) -> str:
        """Return the whole diagnosis as a text of a few lines."""
        noise = self.noise.sentence if self.noise else "the noise level could not be measured"
        lines = [
            ("Image", self.understood),
            ("Correlation", self.correlation.sentence),
            ("Noise", noise),
            *(("Note", remark) for remark in self.remarks()),
            ("Noise2Self", self.assumption_sentence),
            ("Advice", self.advice_sentence),
        ]
        return "\n".join(f"{name + ':':13}{text[:1].upper()}{text[1:]}." for name, text in lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers; what is unknown is None."""
        values: dict[str, Any] = plain(asdict(self))
        values["footprint"] = list(self.footprint)
        values["correlation"]["sentence"] = self.correlation.sentence
        values["remarks"] = self.remarks()
        return values


def diagnose(image: Any, axes: str | None = None, *, seed: int = 0) -> Diagnosis:
    """Say what the noise of an image is like, what is wrong with it, and what suits it.

    Parameters
    ----------
    image
        `Image` or array-like (numpy, dask, zarr) of 2 to 5 dimensions. NaN is
        reported, not refused. A large image is sampled: at most two million
        pixels for the noise, and the middle of at most 256 planes for the rest.
    axes
        Axes string such as ``"TYX"``; None for the image's own, else a guess.
    seed
        Seed of the sample.

    Returns
    -------
    Diagnosis
        With `summary()` for people and `to_dict()` for programs.

    Raises
    ------
    AxesError
        If the axes do not fit the shape.
    ConfigError
        If the seed is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).normal(100, 10, (128, 128))
    >>> diagnose(image).assumption
    'holds'
    """
    *_, last = diagnose_iter(image, axes, seed=seed)
    result: Diagnosis = last.result
    return result


def diagnose_iter(image: Any, axes: str | None = None, *, seed: int = 0) -> Iterator[Progress]:
    """Do what :func:`diagnose` does, event by event; the last one's `result` is the diagnosis.

    Yields
    ------
    Progress
        ``stage="diagnose"``.

    Examples
    --------
    >>> import numpy as np
    >>> events = list(diagnose_iter(np.random.default_rng(0).normal(size=(5, 64, 64)), "TYX"))
    >>> events[-1].result.footprint
    (1, 1)
    """
    check_within("seed", seed)
    started = time.perf_counter()
    stack = Stack.of(image, axes)
    correlation = noise_correlation(stack, seed=seed)
    noise = measured_noise(stack, correlation, seed=seed)
    for event in find_faults_iter(stack, noise=noise, seed=seed):
        if event.result is None:
            yield event
    faults: Faults = event.result
    assumption, assumption_sentence = judge_assumption(stack.shape, correlation, noise, faults)
    advice, advice_sentence = advise(stack.shape, correlation, noise, faults, assumption)
    yield Progress(
        stage="diagnose",
        step=event.steps,
        steps=event.steps,
        seconds=time.perf_counter() - started,
        seconds_left=0.0,
        result=Diagnosis(
            stack.understood,
            stack.axes,
            correlation,
            noise,
            faults,
            assumption,
            assumption_sentence,
            advice,
            advice_sentence,
        ),
    )
