"""Correlation of the noise along one axis, from the power of its cosine coefficients.

The correlation along x is read from coefficients that are high along y: they
are blind to whatever is smooth along y, which structure mostly is and noise is
not. For noise of autocovariance c, the expected power of the v-th cosine is
sum_k c(k) A_v(k), with A_v the autocorrelation of that cosine: a small linear
system for c, of which the equation for v = 0, the one nearest to structure, is
left out. Offsets common to a whole line show in that very coefficient, as a
product of blocks that lie far apart on the same lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .flatness import COSINES, EDGE, HALF, STEP, Blocks, low_energy

LAGS = 4
"""Distances, in pixels, up to which the correlation is estimated."""

LINES = 0.15
"""Share of the variance that is common to a whole line, above which lines are noise."""

CERTAIN = 3.0
"""Standard errors by which a correlation must differ from zero to count."""

CERTAIN_LINE = 2.0
"""The same for line offsets; their error grows with them, so that fewer are asked for."""

PATCHY = 3.0
"""Spread of the blocks' energies, relative to that of Gaussian noise, that means structure.

Noise has about the same energy in all blocks of the same brightness: 1.2 to 1.5
in camera frames. Structure comes in patches: 4 to 10 in clean photographs of
gravel, grass and bricks.
"""

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
        return self.line > LINES and self.line > CERTAIN_LINE * self.line_error

    @property
    def strength(self) -> float:
        """Correlation of two neighbours, the common offset of their line included."""
        share = self.line if self.lines else 0.0
        return share + (1 - share) * self.rho[0]

    @property
    def certain(self) -> bool:
        """Whether neighbours are correlated beyond the error of the estimate."""
        return abs(self.rho[0]) > CERTAIN * self.error[0]


def unknown(axis: str) -> AxisCorrelation:
    """Return what stands for a correlation that could not be measured."""
    return AxisCorrelation(axis, (0.0,), (math.inf,))


@dataclass(frozen=True)
class _Flat:
    """Flat blocks of one stratum, brought to unit power of the high coefficients."""

    places: NDArray[np.intp]
    values: NDArray[np.float32]
    patchiness: float
    excess: float  # energy of the low coefficients over that of the high ones

    @property
    def structure(self) -> float:
        """How much more than noise is in it: edges are patchy, gradients are low."""
        return max(self.patchiness, 1.0) * self.excess


def _flat(blocks: Blocks) -> list[_Flat]:
    """Return the flat blocks of that half of the strata which has least structure."""
    found = []
    for places in blocks.flat():
        values = blocks.values.reshape(-1, EDGE, EDGE)[places]
        scale = math.sqrt(np.square(values[:, HALF:, HALF:], dtype=np.float64).mean())
        values = values / np.float32(scale)
        low = float(low_energy(values).mean(dtype=np.float64))
        found.append(_Flat(places, values, _patchiness(values), low))
    found.sort(key=lambda f: f.structure)
    return found[: (len(found) + 1) // 2]


def _patchiness(values: NDArray[np.float32]) -> float:
    """Variance of the blocks' high energy, over that of Gaussian noise of the same spectrum."""
    high = np.ones((EDGE, EDGE), bool)
    high[:HALF, :HALF] = False
    power = np.square(values[:, high], dtype=np.float64)
    return float(power.sum(1).var() / (2 * np.square(power.mean(0)).sum()))


def in_plane(values: NDArray[np.float32]) -> tuple[list[AxisCorrelation], int]:
    """Measure along Y and X, on the planes or on their differences, whichever is flatter.

    Parameters
    ----------
    values
        Cosine coefficients, shape (windows, run, rows, columns, EDGE, EDGE).

    Returns
    -------
    tuple
        The two correlations, none if no block is usable; the number of blocks.
    """
    blocks = Blocks.of(values.reshape(-1, *values.shape[2:]))
    flat = _flat(blocks)
    if flat and (differences := Blocks.of_differences(values)):
        flatter = _flat(differences)
        if flatter and _median(flatter, "structure") < _median(flat, "structure"):
            blocks, flat = differences, flatter
    if not flat:
        return [], 0
    power = np.stack([_grouped(np.square(f.values, dtype=np.float64)) for f in flat])
    found = []
    for axis in "YX":
        # Power along the axis, at high frequencies across it: (strata, groups, EDGE)
        along = power[:, :, HALF:, :].mean(2) if axis == "X" else power[:, :, :, HALF:].mean(3)
        covariance = _jackknife(along, _covariance)
        variance = np.maximum(covariance[:, :1], 1e-12)
        rho = covariance[:, 1:] / variance
        lines = _line_offsets(blocks, flat, axis)
        share = lines / (np.maximum(lines, 0) + variance[0, 0])
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


_LAG_MATRIX = _lag_matrix()
_SOLVE = np.linalg.pinv(_LAG_MATRIX[1:])


def high_share(found: AxisCorrelation) -> float:
    """Return the power of the high coefficients along an axis over the noise variance.

    1 for white noise, less where neighbours are alike.
    """
    rho = np.array([1.0, *found.rho, *[0.0] * LAGS])[: LAGS + 1]
    return float(np.clip((_LAG_MATRIX[HALF:] @ rho).mean(), 0.01, None))


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


def across_planes(values: NDArray[np.float32], axis: str) -> AxisCorrelation:
    """Measure between the planes of a run, on coefficients that are high along both Y and X."""
    run = values.shape[1]
    blocks = Blocks.of(values.reshape(-1, *values.shape[2:]))
    shape = (*values.shape[:2], math.prod(values.shape[2:4]))
    fine = values[..., HALF:, HALF:].reshape(*shape, HALF * HALF)
    flat = _flat(blocks)
    if not flat:
        return unknown(axis)
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
