"""Whether the noise of neighbouring pixels is independent, and the hole to hide where it is not.

Noise2Self hides a pixel and predicts it from its surroundings. Where the noise
of neighbours is correlated they give the noise of the hidden pixel away, and the
network learns to copy it. Neither the training loss nor the held-out loss can
tell; the correlation of the noise can, and it is measured here before training,
on the flat blocks of the image.

The correlation along x is read from coefficients that are high along y: they
are blind to whatever is smooth along y, which structure mostly is and noise is
not. For noise of autocovariance c, the expected power of the v-th cosine is
sum_k c(k) A_v(k), with A_v the autocorrelation of that cosine: a small linear
system for c, of which the equation for v = 0, the one nearest to structure, is
left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .axes import Stack
from .flatness import COSINES, EDGE, HALF, STEP, Blocks, low_energy, sample_runs, windows_of_blocks

LAGS = 4
"""Distances, in pixels, up to which the correlation is estimated."""

DETECTED = 0.35
"""A correlation above this asks for a hole.

White noise stays below 0.1 in size on smooth and on textured images, and below
0.25 where fine texture of the size of the noise fills the whole image; camera
frames that were interpolated or demosaiced lie at 0.4 to 0.7. A hole costs 1 to
4 dB where noise is white, so that a weak correlation is better left alone.
"""

JOINS = 0.2
"""Once one axis asks for a hole, another joins from here on."""

REACHES = 0.15
"""The hole reaches as far as the correlation stays above this size."""

LINES = 0.15
"""Share of the variance that is common to a whole line, above which lines are noise."""

CERTAIN = 3.0
"""Standard errors by which an estimate must differ from zero to count."""

PATCHY = 5.0
"""Spread of the blocks' energies, relative to that of Gaussian noise, that means structure.

Noise has about the same energy in all blocks of the same brightness (camera
noise with hot pixels: up to 4); structure comes in patches (8 and more for clean
photographs of gravel, grass and bricks).
"""

WIDEST = 9
"""Widest hole that is proposed, in pixels; also the width for lines."""

_GROUPS = 16  # of the jackknife
_APART = (16, 24, 32)  # pixels between blocks that are compared for a common line offset


@dataclass(frozen=True)
class AxisCorrelation:
    """Correlation of the noise along one axis.

    Attributes
    ----------
    axis
        Its letter.
    rho
        Correlation at distance 1, 2, ...; an offset common to a whole line is
        not part of it.
    error
        Standard error of each.
    line
        Share of the variance that is an offset common to a whole line along
        this axis; 0.0 along Z and along samples, where it is not looked for.
    line_error
        Its standard error.
    patchiness
        Spread of the energy of the blocks that were measured, over that of
        Gaussian noise; a large one means that structure fills even the flattest
        blocks.
    """

    axis: str
    rho: tuple[float, ...]
    error: tuple[float, ...]
    line: float = 0.0
    line_error: float = 0.0
    patchiness: float = 1.0

    @property
    def lines(self) -> bool:
        """Whether lines along this axis have offsets of their own."""
        return self.line > LINES and self.line > CERTAIN * self.line_error

    @property
    def strength(self) -> float:
        """Correlation of two neighbours, the common offset of their line included."""
        share = self.line if self.lines else 0.0
        return share + (1 - share) * self.rho[0]

    @property
    def reach(self) -> int:
        """Distance up to which the noise is correlated, in pixels."""
        small = (abs(rho) <= REACHES for rho in self.rho)
        return next((k for k, beyond in enumerate(small) if beyond), len(self.rho))

    @property
    def alike(self) -> bool:
        """Whether neighbours are too much alike for white noise; noise or structure."""
        certain = abs(self.rho[0]) > CERTAIN * self.error[0]
        return self.lines or (certain and abs(self.strength) > DETECTED)

    @property
    def correlated(self) -> bool:
        """Whether the noise, not structure, is correlated so much that a hole pays."""
        return self.alike and self.patchiness <= PATCHY


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
    """

    channels: tuple[tuple[AxisCorrelation, ...], ...]
    samples: tuple[tuple[AxisCorrelation, ...], ...]
    spatial_axes: str
    blocks: tuple[int, ...]

    def along(self, axis: str) -> AxisCorrelation | None:
        """Return the correlation along `axis` in the channel where it is strongest."""
        found = [c for part in (*self.channels, *self.samples) for c in part if c.axis == axis]
        return max(found, key=lambda c: c.strength, default=None)

    @property
    def footprint(self) -> tuple[int, ...]:
        """Width of the hole along each spatial axis; see `propose_footprint`."""
        return propose_footprint(self)

    @property
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
    axes = [a for a in stack.sample_axes if stack.data.shape[stack.axes.index(a)] > 1]
    if "Z" in stack.axes and stack.spatial[0] > 1:
        axes.append("Z")
    if min(stack.spatial[-2:]) < EDGE:
        nothing: tuple[tuple[AxisCorrelation, ...], ...] = ((),) * stack.channels
        return NoiseCorrelation(nothing, nothing, stack.spatial_axes, (0,) * stack.channels)

    # Along the sample axes first: the spatial correlation is taken from the first pass.
    runs = {a: sample_runs(stack, a, seed=seed) for a in axes or ("",)}
    found = [_channel(stack.spatial_axes, runs, c) for c in range(stack.channels)]
    return NoiseCorrelation(
        channels=tuple(f[0] for f in found),
        samples=tuple(f[1] for f in found),
        spatial_axes=stack.spatial_axes,
        blocks=tuple(f[2] for f in found),
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
    widths = dict.fromkeys(correlation.spatial_axes, 1)
    for channel in correlation.channels:
        if not any(found.correlated for found in channel):
            continue
        for found in channel:
            if found.lines:
                width = WIDEST
            elif abs(found.strength) > JOINS and found.patchiness <= PATCHY:
                width = min(1 + 2 * found.reach, WIDEST)
            else:
                continue
            widths[found.axis] = max(widths[found.axis], width)
    return tuple(widths.values())


def _sentence(correlation: NoiseCorrelation) -> str:
    if not any(correlation.blocks):
        return "the correlation of the noise could not be measured: no part of the image is usable"
    footprint = propose_footprint(correlation)
    along = {a: correlation.along(a) for a in correlation.spatial_axes}
    strength = {a: c.strength for a, c in along.items() if c}
    values = ", ".join(f"{a.lower()} {v:.2f}" for a, v in reversed(strength.items()))
    if max(footprint) == 1:
        if any(c.alike for c in along.values() if c):
            return (
                f"neighbouring pixels are alike even in the flattest places ({values}), but "
                "unevenly, as structure is and noise is not: single pixels are hidden"
            )
        return f"noise is independent from pixel to pixel ({values}): single pixels are hidden"
    wide = [a for a, w in zip(correlation.spatial_axes, footprint, strict=True) if w > 1]
    names = " and ".join(a.lower() for a in reversed(wide))
    size = " x ".join(str(w) for w in footprint)
    text = (
        f"noise is correlated with its neighbours along {names} ({values}): "
        f"{size} pixels are hidden around each target"
    )
    lines = [c for c in along.values() if c and c.lines]
    for found in lines:
        text += (
            f"; {found.line:.0%} of its variance are offsets common to a whole line along "
            f"{found.axis.lower()}, which no hole can hide: subtract them first if you can"
        )
    return text


# From blocks to correlations.


def _channel(
    spatial_axes: str, runs: dict[str, list[NDArray[np.float32]]], channel: int
) -> tuple[tuple[AxisCorrelation, ...], tuple[AxisCorrelation, ...], int]:
    in_plane: list[AxisCorrelation] = []
    across: dict[str, AxisCorrelation] = {}
    count = 0
    for axis, windows in runs.items():
        values = windows_of_blocks([run[:, channel] for run in windows])
        if not in_plane:
            in_plane, count = _in_plane(values)
        if axis:
            across[axis] = _across(values, axis)
    if not in_plane:
        return (), (), 0
    depth = across.pop("Z", _unknown("Z"))
    spatial = (depth, *in_plane) if "Z" in spatial_axes else tuple(in_plane)
    return spatial, tuple(across.values()), count


def _unknown(axis: str) -> AxisCorrelation:
    return AxisCorrelation(axis, (0.0,), (math.inf,))


@dataclass(frozen=True)
class _Flat:
    """Flat blocks of one stratum, brought to unit power of the high coefficients."""

    places: NDArray[np.intp]
    values: NDArray[np.float32]
    patchiness: float
    excess: float  # energy of the low coefficients over that of the high ones


def _flat(blocks: Blocks) -> list[_Flat]:
    """Return the flat blocks of that half of the strata which has least structure."""
    found = []
    for places in blocks.flat():
        values = blocks.values.reshape(-1, EDGE, EDGE)[places]
        scale = math.sqrt(np.square(values[:, HALF:, HALF:], dtype=np.float64).mean())
        values = values / np.float32(scale)
        low = float(low_energy(values).mean(dtype=np.float64))
        found.append(_Flat(places, values, _patchiness(values), low))
    # Edges are patchy, smooth gradients are low: neither alone tells the strata apart.
    found.sort(key=lambda f: f.patchiness * f.excess)
    return found[: (len(found) + 1) // 2]


def _patchiness(values: NDArray[np.float32]) -> float:
    """Variance of the blocks' whitened high energy, over that of Gaussian noise."""
    high = np.ones((EDGE, EDGE), bool)
    high[:HALF, :HALF] = False
    power = np.square(values[:, high], dtype=np.float64)
    mean = power.mean(0)
    energy = (power / np.maximum(mean, 1e-12 * mean.max())).mean(1)
    return float(energy.var() / (2 / high.sum()))


def _in_plane(
    values: NDArray[np.float32],
) -> tuple[list[AxisCorrelation], int]:
    """Correlation along y and x, from the frames or from their differences, the flatter."""
    frames = Blocks.of(values.reshape(-1, *values.shape[2:]))
    flat = _flat(frames)
    if (pairs := values.shape[1] // 2) and flat:
        first, second = values[:, : 2 * pairs : 2], values[:, 1 : 2 * pairs : 2]
        difference = ((first - second) * np.float32(math.sqrt(0.5))).reshape(-1, *values.shape[2:])
        brightness = (first + second)[..., 0, 0].reshape(difference.shape[:3]) / (2 * EDGE)
        differences = Blocks.of(difference, brightness)
        flatter = _flat(differences)
        if flatter and _median(flatter, "excess") < _median(flat, "excess"):
            frames, flat = differences, flatter
    if not flat:
        return [], 0
    power = np.stack([_grouped(np.square(f.values, dtype=np.float64)) for f in flat])
    found = []
    for axis in "YX":
        # Power along the axis, at high frequencies across it: (strata, groups, EDGE)
        along = power[:, :, HALF:, :].mean(2) if axis == "X" else power[:, :, :, HALF:].mean(3)
        covariance = _jackknife(along, _covariance)
        rho = covariance[:, 1:] / covariance[:, :1]
        lines = _line_offsets(frames, flat, axis)
        share = lines / (lines + covariance[0, 0])
        found.append(
            AxisCorrelation(
                axis,
                tuple(rho[0].tolist()),
                tuple(_error(rho).tolist()),
                float(share[0]),
                float(_error(share)),
                _median(flat, "patchiness"),
            )
        )
    return found, sum(len(f.places) for f in flat)


def _median(flat: list[_Flat], name: str) -> float:
    return float(np.median([getattr(f, name) for f in flat]))


def _grouped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the first axis within each group of the jackknife: (groups, ...)."""
    return np.stack([part.sum(0) for part in np.array_split(values, _GROUPS)])


def _jackknife(
    sums: NDArray[np.float64], estimate: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Estimate from all groups (row 0), then from all but one (rows 1 to `_GROUPS`)."""
    total = sums.sum(-2)
    parts = [total, *(total - sums[..., g, :] for g in range(_GROUPS))]
    return np.stack([estimate(part) for part in parts])


def _error(estimates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard error that goes with `_jackknife`'s rows."""
    left = estimates[1:]
    spread = np.square(left - left.mean(0)).sum(0)
    return np.asarray(np.sqrt(spread * (_GROUPS - 1) / _GROUPS))


def _lag_matrix() -> NDArray[np.float64]:
    """A[v, k]: power of the v-th cosine under noise whose autocovariance is 1 at +-k."""
    matrix = np.stack([np.correlate(c, c, "full")[EDGE - 1 :][: LAGS + 1] for c in COSINES])
    matrix[:, 1:] *= 2
    return matrix


_SOLVE = np.linalg.pinv(_lag_matrix()[1:])


def _covariance(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Autocovariance at lags 0 to `LAGS` from the power of the cosines, (strata, EDGE)."""
    # Each stratum counts the same, whatever its number of blocks.
    high = np.maximum(power[:, HALF:].mean(1, keepdims=True), 1e-12)
    mean = (power / high).mean(0)
    return np.asarray(_SOLVE @ mean[1:])


def _line_offsets(blocks: Blocks, flat: list[_Flat], axis: str) -> NDArray[np.float64]:
    """Variance common to blocks that lie on the same lines, as `_jackknife`'s rows."""
    shape = blocks.brightness.shape
    # Coefficients that are constant along the line, and where there are some.
    grid = np.zeros((math.prod(shape), HALF + 1))
    for f in flat:
        grid[f.places, :HALF] = f.values[:, HALF:, 0] if axis == "X" else f.values[:, 0, HALF:]
        grid[f.places, HALF] = 1
    grid = grid.reshape(*shape, HALF + 1)
    if axis == "Y":
        grid = grid.swapaxes(1, 2)
    sums = np.zeros((grid.shape[0] * grid.shape[1], 2))
    for apart in (a // STEP for a in _APART):
        product = (grid[:, :, apart:] * grid[:, :, :-apart]).sum(2).reshape(-1, HALF + 1)
        sums += np.stack([product[:, :HALF].mean(1), product[:, HALF]], axis=1)
    # A line offset of variance 1 gives its blocks a product of EDGE.
    return _jackknife(_grouped(sums), lambda s: np.asarray(s[0] / max(s[1], 1.0) / EDGE))


def _across(values: NDArray[np.float32], axis: str) -> AxisCorrelation:
    """Correlation between neighbouring planes, from coefficients high along both y and x."""
    run = values.shape[1]
    blocks = Blocks.of(values.reshape(-1, *values.shape[2:]))
    shape = (*values.shape[:2], math.prod(values.shape[2:4]))
    fine = values[..., HALF:, HALF:].reshape(*shape, HALF * HALF)
    flat = _flat(blocks)
    if not flat:
        return _unknown(axis)
    rho, errors = [], []
    for lag in range(1, run):
        sums = []
        for f in flat:
            window, plane, place = np.unravel_index(f.places, shape)
            inside = plane + lag < run
            window, plane, place = window[inside], plane[inside], place[inside]
            one = fine[window, plane, place].astype(np.float64)
            two = fine[window, plane + lag, place].astype(np.float64)
            ok = np.isfinite(two).all(-1)
            products = np.stack([one * two, one * one, two * two], -1)[ok].sum(-2)
            sums.append(_grouped(products))
        estimates = _jackknife(np.stack(sums), _cosine)
        rho.append(float(estimates[0]))
        errors.append(float(_error(estimates)))
    patchiness = _median(flat, "patchiness")
    return AxisCorrelation(axis, tuple(rho), tuple(errors), patchiness=patchiness)


def _cosine(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over strata of the normalized product, from (strata, 3) sums."""
    scale = np.sqrt(sums[:, 1] * sums[:, 2])
    return np.asarray(np.mean(np.divide(sums[:, 0], scale, where=scale > 0, out=0 * scale)))
