"""Look at a result: whether only noise was taken away, and whether intensities are kept.

The residual, noisy minus denoised, should be noise and nothing else: as smooth
or rough where there is structure as where there is none, zero on average at
every brightness, and blind to the other channels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .axes import Stack
from .config import Progress, check_within, last_result
from .correlation import noise_correlation
from .errors import ImageError
from .noise import measured_noise
from .plain import plain
from .residual import (
    CERTAIN,
    Array,
    ChannelInspection,
    inspect_channel,
    leakage,
    nearness,
    psnr_range,
)

PIXELS = 2**22
"""Pixels looked at, at most, per channel: the middle of planes spread over the stack."""

CENTRE = 1024
"""Edge of the part in the middle of a plane that is looked at, in pixels."""

LOST = 1.2
"""Smoothness of the residual at structures, over that in flat places: structure was lost."""

MORE = 1.15
"""Variance of the residual over that of the noise: more than noise was taken away."""

SURELY = 3.0
"""Standard errors by which either must exceed 1 as well. The smoothness of pure noise did so by 2.7
at most in 550 images of 48 to 512 pixels, its variance by 2.5 in 200 of 48 to 256."""

HARDLY = 0.25
"""Variance of the residual over that of the noise: most of the noise is still there."""

LEAKS = 0.05
"""Share of another channel's fine structure found in the residual, worth a word."""


@dataclass(frozen=True)
class Inspection:
    """What `inspect_result` found.

    Attributes
    ----------
    channels
        One `ChannelInspection` for each channel.
    leakage
        ``leakage[i][j]`` is the share of channel j's fine structure that the
        result of channel i shows beyond what its own noisy image shows; 0.0 on
        the diagonal.
    leakage_error
        Standard error of each.
    psnr
        Lowest and highest PSNR of the strict output in decibels that its loss
        and the noise level allow, at the range of the output; None where they
        allow no statement.
    psnr_sentence
        The same in words, or why there is none.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> clean = np.outer(np.linspace(50, 90, 128), np.linspace(1, 2, 128))
    >>> found = inspect_result(rng.normal(clean, 5), 0.95 * clean)
    >>> found.channels[0].total < 0.96
    True
    """

    channels: tuple[ChannelInspection, ...]
    leakage: tuple[tuple[float, ...], ...]
    leakage_error: tuple[tuple[float, ...], ...]
    psnr: tuple[float, float] | None
    psnr_sentence: str

    def remarks(self) -> list[str]:
        """Return one sentence for each finding that is worth a word."""
        remarks = []
        for k, c in enumerate(self.channels):
            where = f" in channel {k}" if len(self.channels) > 1 else ""
            if _surely(c.structure_lost, c.structure_lost_error, LOST):
                remarks.append(
                    f"structure went with the noise{where}: the residual is smooth at "
                    f"structures, by {c.structure_lost:.1f} times what it is in flat places"
                )
            elif c.removed and _surely(c.removed, c.removed_error / c.removed, MORE):
                remarks.append(
                    f"structure went with the noise{where}: the residual has {c.removed:.2f} "
                    "times the variance of the noise"
                )
            elif c.removed is not None and c.removed < HARDLY:
                remarks.append(
                    f"hardly anything was taken away{where}: the residual has {c.removed:.2f} "
                    "times the variance of the noise"
                )
            worst = c.worst_bias
            if worst is not None:
                word = "dark" if c.bias[worst] < 0 else "bright"
                remarks.append(
                    f"pixels of about {c.signal[worst]:.4g}{where} come out "
                    f"{abs(c.bias[worst]):.3g} too {word}"
                )
            for j, (share, error) in enumerate(
                zip(self.leakage[k], self.leakage_error[k], strict=True)
            ):
                if abs(share) > max(LEAKS, CERTAIN * error):
                    remarks.append(
                        f"channel {k} shows {share:.0%} of the structure of channel {j} that its "
                        "own noisy image does not show"
                    )
        return remarks

    def summary(self) -> str:
        """Return the findings as a text of a few lines."""
        remarks = self.remarks() or ["the residual is noise: no structure, no bias, no leak"]
        kept = [
            f"{name} {100 * value:.2f}%"
            for name, value in (
                ("in all", min((c.total for c in self.channels), key=nearness)),
                ("in objects", min((c.objects for c in self.channels), key=nearness)),
                ("in the background", min((c.background for c in self.channels), key=nearness)),
            )
        ]
        lines = [
            *(("Residual", remark) for remark in remarks),
            ("Intensity", f"{', '.join(kept)} of the noisy image's"),
            ("PSNR", self.psnr_sentence),
        ]
        return "\n".join(f"{name + ':':13}{text[:1].upper()}{text[1:]}." for name, text in lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers; what is unbounded is None."""
        values: dict[str, Any] = plain(asdict(self))
        values["remarks"] = self.remarks()
        return values


def inspect_result(
    noisy: Any,
    denoised: Any,
    axes: str | None = None,
    *,
    strict: Any = None,
    seed: int = 0,
) -> Inspection:
    """Test a result against the noisy image it was made from.

    Parameters
    ----------
    noisy
        `Image` or array-like of 2 to 5 dimensions.
    denoised
        The result, of the same shape.
    axes
        Axes string; None for the noisy image's own, else a guess.
    strict
        The J-invariant output of the same model, if there is one: the only
        one whose PSNR can be estimated without truth.
    seed
        Seed of the sample on which the noise is measured.

    Returns
    -------
    Inspection
        With `summary()` for people and `to_dict()` for programs.

    Raises
    ------
    ImageError
        If the shapes differ.
    ConfigError
        If the seed is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> clean = np.outer(np.linspace(50, 90, 128), np.linspace(1, 2, 128))
    >>> noisy = rng.normal(clean, 5)
    >>> inspect_result(noisy, clean).remarks()
    []
    """
    found: Inspection = last_result(
        inspect_result_iter(noisy, denoised, axes, strict=strict, seed=seed)
    )
    return found


def inspect_result_iter(
    noisy: Any,
    denoised: Any,
    axes: str | None = None,
    *,
    strict: Any = None,
    seed: int = 0,
) -> Iterator[Progress]:
    """Do what :func:`inspect_result` does, event by event; the last `result` is what it found.

    Yields
    ------
    Progress
        ``stage="inspect"``.

    Examples
    --------
    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).normal(100, 5, (64, 64))
    >>> *_, last = inspect_result_iter(noisy, np.full((64, 64), 100.0))
    >>> last.stage, last.step == last.steps, type(last.result).__name__
    ('inspect', True, 'Inspection')
    """
    check_within("seed", seed)
    stack = Stack.of(noisy, axes)
    others = [Stack.of(denoised, stack.axes)]
    if strict is not None:
        others.append(Stack.of(strict, stack.axes))
    for other in others:
        if other.shape != stack.shape:
            raise ImageError(
                f"the noisy image has the shape {tuple(stack.data.shape)} and the result "
                f"{tuple(other.data.shape)}; expected the same: is it another image's result?"
            )
    return _events(stack, others, seed)


def _events(stack: Stack, others: Sequence[Stack], seed: int) -> Iterator[Progress]:
    """Compare a noisy stack with its result and, where there is one, its strict result."""
    started = time.perf_counter()
    places = _places(stack)
    steps = 1 + len(places) + stack.channels

    def at(step: int, result: Inspection | None = None) -> Progress:
        seconds = time.perf_counter() - started
        left = seconds / step * (steps - step)
        return Progress(
            stage="inspect", step=step, steps=steps, seconds=seconds, seconds_left=left,
            result=result,
        )  # fmt: skip

    correlation = noise_correlation(stack, seed=seed)
    noise = measured_noise(stack, correlation, seed=seed)
    yield at(1)
    planes: list[list[Array]] = [[] for _ in (stack, *others)]  # of each stack (C, y, x)
    for number, (sample, window) in enumerate(places, 1):
        for seen, read in zip((stack, *others), planes, strict=True):
            plane = seen.read(sample, window).astype(np.float64)
            read.append(plane.reshape(plane.shape[0], *plane.shape[-2:]))
        yield at(1 + number)
    width = max(correlation.footprint)
    channels = []
    for c in range(stack.channels):
        before, after = ([plane[c] for plane in read] for read in planes[:2])
        channels.append(inspect_channel(before, after, noise, c, width))
        if c + 1 < stack.channels:
            yield at(1 + len(places) + c + 1)
    leaks, leak_error = leakage(planes[0], planes[1])
    psnr, sentence = None, "no estimate without the strict, J-invariant output"
    if len(others) > 1:
        psnr, sentence = psnr_range(planes[0], planes[2], noise, width)
    yield at(steps, Inspection(tuple(channels), leaks, leak_error, psnr, sentence))


def _surely(ratio: float, error: float, limit: float) -> bool:
    """Whether a ratio exceeds a limit, and 1 by `SURELY` times an error as well."""
    return ratio > max(limit, 1 + SURELY * error)


def _places(stack: Stack) -> list[tuple[int, tuple[slice, ...]]]:
    volume = len(stack.spatial) == 3
    depth = stack.spatial[0] if volume else 1
    middle = []
    for extent in stack.spatial[-2:]:
        start = max(0, (extent - CENTRE) // 2)
        middle.append(slice(start, min(extent, start + CENTRE)))
    size = math.prod(s.stop - s.start for s in middle)
    count = min(stack.samples * depth, max(1, PIXELS // size))
    found = []
    for place in np.linspace(0, stack.samples * depth - 1, count).astype(int).tolist():
        sample, z = divmod(place, depth)
        found.append((sample, (slice(z, z + 1), *middle) if volume else tuple(middle)))
    return found
