"""What the method rests on, as tests: the loss identity, the donut, the optimal mix, the size of J.

J. Batson, L. Royer. Noise2Self: Blind Denoising by Self-Supervision. ICML 2019.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_noise2self.core.classical import FAMILIES, neighbourhood

SHAPE = (256, 256)
RADII = (1, 2, 3, 4, 5, 6)


def scene(blur: float = 4.0) -> np.ndarray:
    """Blobs with edges, in [40, 160]."""
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.normal(size=SHAPE), blur, mode="wrap")
    return 100 + 60 * np.tanh(3 * smooth / smooth.std())


def gaussian_noise(clean: np.ndarray, seed: int) -> np.ndarray:
    return clean + np.random.default_rng(seed).normal(scale=30, size=clean.shape)


def poisson_noise(clean: np.ndarray, seed: int) -> np.ndarray:
    """Ten grey levels a photon: variance 10 times the signal."""
    return 10.0 * np.random.default_rng(seed).poisson(clean / 10)


def mse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a - b) ** 2))


def statistical_error(noise: np.ndarray, error: np.ndarray) -> float:
    """Standard deviation of loss - true loss - noise variance, which is the mean of 2 n e."""
    return float(2 * np.sqrt(np.mean(noise**2 * error**2) / noise.size))


@pytest.mark.parametrize("noise", [gaussian_noise, poisson_noise])
@pytest.mark.parametrize(
    ("name", "value"), [("median", 2), ("gaussian", 1.5), ("nlm", 0.6), ("wavelet", 0.8), ("tv", 1)]
)
def test_self_supervised_loss_is_true_loss_plus_noise_variance(noise, name, value) -> None:
    """Where E[x|y] = y, for every J-invariant f: E|f(x) - x|^2 = E|f(x) - y|^2 + E|x - y|^2."""
    clean = scene()
    noisy = noise(clean, seed=2)
    scale = 35.0
    estimate = scale * FAMILIES[name].strict(noisy / scale, value, (1, 1))
    self_supervised, true = mse(estimate, noisy), mse(estimate, clean)
    error = statistical_error(noisy - clean, estimate - clean)
    assert self_supervised - true == pytest.approx(mse(noisy, clean), abs=4 * error)
    assert 4 * error < 0.1 * mse(noisy, clean)  # so that the line above says something


def test_identity_fails_for_an_ordinary_filter() -> None:
    """An ordinary Gaussian sees the pixel itself: its loss is too low by twice the covariance."""
    clean = scene()
    noisy = gaussian_noise(clean, seed=2)
    estimate = ndimage.gaussian_filter(noisy, 0.7)
    gap = mse(estimate, noisy) - mse(estimate, clean) - mse(noisy, clean)
    weight = ndimage.gaussian_filter(np.eye(9)[4][:, None] * np.eye(9)[4], 0.7).max()
    assert gap == pytest.approx(-2 * weight * 30**2, rel=0.05)


def test_identity_fails_for_noise_that_the_hole_does_not_cover() -> None:
    """Correlated noise: the neighbours know the hidden pixel's noise."""
    clean = scene()
    noise = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=SHAPE), 1, mode="wrap")
    noisy = clean + 30 * noise / noise.std()
    gaps = []
    for hole in ((1, 1), (7, 7)):
        estimate = FAMILIES["gaussian"].filter(noisy, 1.0, hole)
        gaps.append(mse(estimate, noisy) - mse(estimate, clean) - mse(noisy, clean))
    assert gaps[0] < -0.5 * 30**2
    assert abs(gaps[1]) < 0.05 * 30**2


def donut_median(noisy: np.ndarray, radius: int) -> np.ndarray:
    return FAMILIES["median"].strict(noisy, radius, (1, 1))


def ordinary_median(noisy: np.ndarray, radius: int) -> np.ndarray:
    disk = neighbourhood(radius, (1, 1))
    disk[radius, radius] = True
    return ndimage.median_filter(noisy, footprint=disk)


@pytest.mark.parametrize("noise", [gaussian_noise, poisson_noise])
def test_donut_median_finds_its_radius_by_the_noisy_image_alone(noise) -> None:
    """The two curves of the paper's figure: minimum at the same radius, variance between them."""
    clean = scene()
    noisy = noise(clean, seed=3)
    estimates = [donut_median(noisy, r) for r in RADII]
    self_supervised = np.array([mse(e, noisy) for e in estimates])
    true = np.array([mse(e, clean) for e in estimates])
    best = int(np.argmin(true))
    assert 0 < best < len(RADII) - 1
    assert int(np.argmin(self_supervised)) == best
    np.testing.assert_allclose(self_supervised - true, mse(noisy, clean), rtol=0.03)


def test_ordinary_median_learns_nothing_from_the_noisy_image() -> None:
    """Its self-supervised loss only rises with the radius: the smallest one always wins."""
    clean = scene()
    noisy = gaussian_noise(clean, seed=3)
    estimates = [ordinary_median(noisy, r) for r in RADII]
    self_supervised = [mse(e, noisy) for e in estimates]
    true = [mse(e, clean) for e in estimates]
    assert self_supervised == sorted(self_supervised)
    assert int(np.argmin(true)) > 0


@pytest.mark.parametrize("noise", [gaussian_noise, poisson_noise])
def test_optimal_mix(noise) -> None:
    """y = lambda f(x) + (1 - lambda) x is best at lambda = variance / self-supervised loss."""
    clean = scene(blur=2)
    noisy = noise(clean, seed=4)
    estimate = donut_median(noisy, 1)
    optimal = mse(noisy, clean) / mse(estimate, noisy)
    grid = np.linspace(0, 1, 101)
    errors = [mse(w * estimate + (1 - w) * noisy, clean) for w in grid]
    assert grid[int(np.argmin(errors))] == pytest.approx(optimal, abs=0.03)
    # What it is worth: mse * variance / (mse + variance).
    true = mse(estimate, clean)
    assert min(errors) == pytest.approx(true * optimal, rel=0.03)


def test_a_larger_hole_costs_more_than_it_must() -> None:
    """Independent noise: hiding more than the pixel itself only takes information away."""
    clean = scene()
    noisy = gaussian_noise(clean, seed=5)
    best = []
    for width in (1, 3, 5, 7, 9):
        estimates = [FAMILIES["gaussian"].filter(noisy, s, (width,) * 2) for s in (0.5, 1, 1.5, 2)]
        best.append(min(mse(e, clean) for e in estimates))
    assert best == sorted(best)
    assert best[-1] > 3 * best[0]


def test_too_dense_a_grid_biases_the_parameter() -> None:
    """Every second pixel hidden: the filter is tuned for an image that is half interpolated."""
    clean = scene(blur=2)
    noisy = gaussian_noise(clean, seed=6)
    sigmas = np.geomspace(0.3, 3, 15)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    filled = ndimage.convolve(noisy, cross, mode="mirror")

    rows, columns = np.indices(SHAPE)

    def chosen(hidden: np.ndarray) -> float:
        seen = np.where(hidden, filled, noisy)
        losses = [mse(ndimage.gaussian_filter(seen, s)[hidden], noisy[hidden]) for s in sigmas]
        return float(sigmas[int(np.argmin(losses))])

    checkerboard = chosen((rows + columns) % 2 == 0)
    every_fourth, every_eighth = (chosen((rows % n == 0) & (columns % n == 0)) for n in (4, 8))
    assert checkerboard < every_fourth == every_eighth
