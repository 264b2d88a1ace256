"""Whether the noise of neighbouring pixels is independent, and the hole to hide where it is not.

Noise2Self hides a pixel and predicts it from its surroundings. Where the noise
of neighbours is correlated they give the noise of the hidden pixel away, and the
network learns to copy it. Neither the training loss nor the held-out loss can
tell; the correlation of the noise can, and it is measured here before training,
on the flat places of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .axes import Stack
from .flatness import EDGE, HALF, neighbour_axes, sample_runs, windows_of_blocks
from .footprint import DETECTED, SURE, alike, hole, leak
from .spectrum import AxisCorrelation, across_planes, in_plane, unknown

CONTEXT = 2
"""Neighbouring frames or planes on each side: a third gains nothing where things move."""

SHARED = 0.1
"""Correlation of the noise of neighbouring frames above which they are not shown: the part of the
noise that they share stays in the result, and this much is what other noise stays there as well."""


@dataclass(frozen=True)
class NoiseCorrelation:
    """Correlation of the noise along every axis, channel by channel.

    Attributes
    ----------
    channels
        For each channel, one `AxisCorrelation` for each spatial axis, in the
        order Z, Y, X; empty for a channel that has no blocks to measure.
    samples
        For each channel, the correlation between neighbouring frames, one for
        each sample axis that is long enough. Structure finer than the blocks
        that stays in its place counts as well, so that a low value proves
        independence but a high one does not disprove it.
    spatial_axes
        ``"YX"`` or ``"ZYX"``.
    blocks
        Number of flat blocks of each channel that were measured.
    loudness
        For each channel, the variance of the noise over that of the structure.
    """

    channels: tuple[tuple[AxisCorrelation, ...], ...]
    samples: tuple[tuple[AxisCorrelation, ...], ...]
    spatial_axes: str
    blocks: tuple[int, ...]
    loudness: tuple[float, ...]

    def along(self, axis: str) -> AxisCorrelation | None:
        """Return the correlation along `axis` in the channel where it is strongest."""
        found = [c for part in (*self.channels, *self.samples) for c in part if c.axis == axis]
        return max(found, key=lambda c: c.strength, default=None)

    @cached_property  # in a volume it takes seconds
    def holes(self) -> tuple[tuple[int, ...], ...]:
        """The hole that each channel asks for; empty for one that could not be measured."""
        pairs = zip(self.channels, self.loudness, strict=True)
        return tuple(hole(channel, loudness) if channel else () for channel, loudness in pairs)

    @property
    def footprint(self) -> tuple[int, ...]:
        """Width of the hole along each spatial axis; see `propose_footprint`."""
        return propose_footprint(self)

    @cached_property
    def sentence(self) -> str:
        """What was found and what follows from it, for the user."""
        return _sentence(self)


def noise_correlation(stack: Stack, *, seed: int = 0) -> NoiseCorrelation:
    """Estimate the correlation of the noise from the image alone.

    At most some two million pixels per channel are read, in windows that a
    seeded generator draws. Where neighbouring frames or planes are there, their
    difference is used instead of the frames if it is flatter.

    Parameters
    ----------
    stack
        The image; blocks with NaN or infinity are left out.
    seed
        Seed of the draw of windows.

    Returns
    -------
    NoiseCorrelation
        For each channel and axis.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_noise2self.core.axes import Stack
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> noise_correlation(Stack.of(noise)).footprint
    (1, 1)
    >>> smoothed = noise + np.roll(noise, 1, axis=1) + np.roll(noise, 2, axis=1)
    >>> noise_correlation(Stack.of(smoothed)).footprint
    (1, 5)
    """
    if min(stack.spatial[-2:]) < EDGE:
        nothing: tuple[tuple[AxisCorrelation, ...], ...] = ((),) * stack.channels
        none = (0,) * stack.channels
        return NoiseCorrelation(nothing, nothing, stack.spatial_axes, none, none)

    # Along the sample axes first: the spatial correlation is taken from the first pass.
    runs = {a: sample_runs(stack, a, seed=seed) for a in neighbour_axes(stack) or ("",)}
    found = [_channel(stack.spatial_axes, runs, c) for c in range(stack.channels)]
    return NoiseCorrelation(
        channels=tuple(f[0] for f in found),
        samples=tuple(f[1] for f in found),
        spatial_axes=stack.spatial_axes,
        blocks=tuple(f[2] for f in found),
        loudness=tuple(f[3] for f in found),
    )


def propose_footprint(correlation: NoiseCorrelation) -> tuple[int, ...]:
    """Return the width of the hole that hides a pixel, along each spatial axis.

    Parameters
    ----------
    correlation
        What `noise_correlation` found.

    Returns
    -------
    tuple of int
        Odd widths in the order Z, Y, X: ``(1, 1)`` where noise is white,
        ``(5, 5)`` for correlated camera noise, ``(1, 9)`` for horizontal lines.
        The channel that asks for most decides.
    """
    holes = [hole for hole in correlation.holes if hole]
    return tuple(map(max, zip(*holes, strict=True))) or (1,) * len(correlation.spatial_axes)


def propose_context(correlation: NoiseCorrelation, stack: Stack) -> int:
    """Return how many neighbouring frames or planes on each side a network should see.

    Noise that neighbours share, the fixed pattern of a camera, would be taken for
    structure, and no loss could tell. So they are not shown where the noise of
    neighbours is found to be shared, beyond chance; nor are volumes, for the cost.

    Parameters
    ----------
    correlation
        What `noise_correlation` found in `stack`.
    stack
        The image.
    """
    axis = stack.context_axis if len(stack.spatial) == 2 else ""
    found = correlation.along(axis) if axis else None
    if found is None or not found.rho or found.rho[0] - SURE * found.error[0] > SHARED:
        return 0
    count = int(stack.data.shape[stack.axes.index(axis)])
    return min(CONTEXT, (count - 1) // 2)


def _sentence(correlation: NoiseCorrelation) -> str:
    each = zip(correlation.channels, correlation.loudness, correlation.holes, strict=True)
    channels = [found for found in each if found[0]]
    if not channels:
        return "the correlation of the noise could not be measured: no part of the image is usable"
    channel, loudness, _ = max(channels, key=lambda c: (c[2], max(a.strength for a in c[0])))
    values = ", ".join(f"{a.axis.lower()} {a.strength:.2f}" for a in reversed(channel))
    widths = correlation.footprint
    if max(widths) == 1 and alike(channel):
        return (
            f"neighbouring pixels are alike even in the flattest places ({values}), but "
            "unevenly, as structure is and noise is not: single pixels are hidden"
        )
    if max(widths) == 1:
        return f"noise is independent from pixel to pixel ({values}): single pixels are hidden"
    wide = [a.lower() for a, w in zip(correlation.spatial_axes, widths, strict=True) if w > 1]
    given = leak(channel, (1,) * len(channel))
    much = (
        ", and there is more of it than of structure" if loudness > 1 and given < DETECTED else ""
    )
    text = (
        f"noise is correlated with its neighbours along {' and '.join(reversed(wide))} "
        f"({values}), which would give away {given:.0%} of it{much}: "
        f"{' x '.join(map(str, widths))} pixels are hidden around each target"
    )
    for found in channel:
        if found.lines:
            text += (
                f"; {found.line:.0%} of its variance are offsets common to a whole line along "
                f"{found.axis.lower()}, which no hole can hide: subtract them first if you can"
            )
    return text


def _channel(
    spatial_axes: str, runs: dict[str, list[NDArray[np.float32]]], channel: int
) -> tuple[tuple[AxisCorrelation, ...], tuple[AxisCorrelation, ...], int, float]:
    plane: list[AxisCorrelation] = []
    across: dict[str, AxisCorrelation] = {}
    count, loudness = 0, 0.0
    for axis, windows in runs.items():
        pixels = [run[:, channel] for run in windows]
        values = windows_of_blocks(pixels)
        if not plane:
            plane, count = in_plane(values)
            loudness = _loudness(pixels, values)
        if axis:
            across[axis] = across_planes(values, axis)
    if not plane:
        return (), (), 0, loudness
    spatial = tuple(plane)
    if "Z" in spatial_axes:
        spatial = (across.pop("Z", unknown("Z")), *plane)
    return spatial, tuple(across.values()), count, loudness


def _loudness(pixels: Sequence[NDArray[np.float32]], values: NDArray[np.float32]) -> float:
    """Return the variance of the noise, in the middle block, over that of the structure."""
    power = np.square(values[..., HALF:, HALF:], dtype=np.float64).mean((-2, -1))
    power = power[np.isfinite(power)]
    seen = np.concatenate([p[np.isfinite(p)] for p in pixels]).astype(np.float64)
    if not power.size or not seen.size:
        return 0.0
    noise = float(np.median(power))
    return noise / max(float(seen.var()) - noise, 1e-3 * noise, np.finfo(np.float64).tiny)
