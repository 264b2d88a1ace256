"""The noise level: right where the truth is known, and honest where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_noise2self.core.axes import Stack
from napari_noise2self.core.clipping import clipped_levels
from napari_noise2self.core.errors import ImageError
from napari_noise2self.core.noise import estimate_noise
from napari_noise2self.core.noise_level import NoiseLevel

SHAPE = (256, 256)


def blobs() -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 8)
    return (field - field.min()) / np.ptp(field)


def spots() -> np.ndarray:
    field = gaussian_filter((np.random.default_rng(2).random(SHAPE) < 0.01) * 1.0, 2)
    return field / field.max()


def edges() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] // 32
    return np.random.default_rng(3).random((8, 8))[y, x]


def filaments() -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(4).normal(size=SHAPE), 8)
    return np.exp(-np.square(field / field.std() / 0.4))


SCENES = {"blobs": blobs, "spots": spots, "edges": edges, "filaments": filaments}


def noisy(clean: np.ndarray, gain: float, read: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gain * rng.poisson(clean / gain) + rng.normal(0, read, clean.shape)


def measure(image: np.ndarray, axes: str | None = None) -> NoiseLevel:
    return estimate_noise(Stack.of(image, axes))


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("gain", "dark", "bright", "read"),
    [(1, 3, 300, 1), (5, 50, 5000, 30), (0.1, 1, 100, 1), (1, 0.2, 20, 0), (1e-6, 1, 100, 3)],
)
def test_within_a_tenth_over_two_decades(scene, gain, dark, bright, read):
    clean = dark + (bright - dark) * SCENES[scene]()
    found = measure(noisy(clean, gain, read))
    signal = np.quantile(clean, [0.05, 0.3, 0.5, 0.7, 0.95, 0.999])
    np.testing.assert_allclose(found.variance(signal), gain * signal + read**2, rtol=0.1)
    assert found.trusted


def test_a_black_level_shows_as_a_negative_intercept():
    found = measure(noisy(5 + 200 * blobs(), 2, 1) + 100)
    (channel,) = found.channels
    assert channel.gain == pytest.approx(2, rel=0.1)
    assert -channel.intercept / channel.gain == pytest.approx(100, abs=12)
    assert float(found.variance(0)) > 0


def test_low_counts_where_most_pixels_are_zero():
    """The median absolute deviation is zero there; the variance is not."""
    counts = np.random.default_rng(5).poisson(0.02 + 0.3 * blobs())
    assert np.median(counts) == 0
    found = measure(counts)
    np.testing.assert_allclose(found.variance([0.1, 0.2]), [0.1, 0.2], rtol=0.1)


def test_saturated_pixels_are_left_out():
    clean = 20 + 300 * blobs()
    found = measure(noisy(clean, 1, 2).clip(0, 255))
    np.testing.assert_allclose(found.variance([80, 150, 220]), [84, 154, 224], rtol=0.1)


def test_static_texture_drops_out_of_frame_differences():
    grain = 20 * gaussian_filter(np.random.default_rng(6).normal(size=SHAPE), 0.6)
    movie = np.stack([noisy(100 + grain, 1e-6, 5, seed) for seed in range(4)])
    np.testing.assert_allclose(measure(movie, "TYX").variance(100), 25, rtol=0.1)
    assert not measure(movie[0]).trusted


def test_correlated_noise_is_scaled_up_and_not_trusted():
    noise = gaussian_filter(np.random.default_rng(7).normal(size=SHAPE), 0.7)
    found = measure(100 * blobs() + 10 * noise / noise.std())
    assert not found.trusted
    assert "correlated" in found.sentence
    np.testing.assert_allclose(found.variance(50), 100, rtol=0.35)


def test_every_channel_has_its_own():
    clean = 50 + 50 * blobs()
    image = np.stack([noisy(clean, 1e-6, 3), noisy(clean, 4, 0)])
    found = measure(image, "CYX")
    np.testing.assert_allclose(found.variance(75, 0), 9, rtol=0.1)
    np.testing.assert_allclose(found.variance(75, 1), 300, rtol=0.1)
    assert "channel 1" in found.sentence
    assert found.variance(np.full((3, 4), 75.0)).shape == (3, 4)


@pytest.mark.parametrize("shape", [(32, 32), (40, 33), (3, 32, 48)])
def test_small_images(shape):
    image = np.random.default_rng(8).normal(100, 7, shape).astype(np.float32)
    axes = "ZYX" if len(shape) == 3 else "YX"
    np.testing.assert_allclose(measure(image, axes).variance(100), 49, rtol=0.5)


@pytest.mark.parametrize("image", [np.zeros(SHAPE), np.full(SHAPE, np.nan), np.ones((4, 40))])
def test_nothing_to_measure(image):
    with pytest.raises(ImageError, match="no place where noise can be measured"):
        measure(image)


def test_clipping_is_told_from_counts():
    rng = np.random.default_rng(9)
    assert clipped_levels(rng.poisson(0.3, 5000).astype(float)) == (None, None)
    assert clipped_levels(rng.normal(0, 1, 5000)) == (None, None)
    assert clipped_levels(rng.normal(250, 5, 5000).clip(0, 255)) == (None, 255)
    assert clipped_levels(rng.normal(3, 4, 5000).round().clip(0, 255)) == (0, None)
    assert clipped_levels(np.zeros(100)) == (None, None)


@pytest.mark.parametrize(
    ("sigma", "step", "trusted"),
    [(0.25, 1, False), (1.0, 1, True), (1.0, 16, False), (0.25, 0, True)],
)
def test_noise_below_a_grey_level_is_not_trusted(sigma, step, trusted):
    """Rounded, it is strongest half-way between two levels, and nothing grows along a line."""
    clean = np.linspace(2, 90, 256) * np.ones((256, 1))
    noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape)
    image = (step * np.round(noisy / step)).astype(np.uint8) if step else noisy.astype(np.float32)
    noise = measure(image)
    assert noise.trusted is trusted
    assert trusted or noise.channels[0].caution == "it is weaker than the steps between grey levels"


@pytest.mark.parametrize("peak", [0.3, 2.0])
def test_counted_photons_are_not_rounded(peak):
    clean = peak * (1 + np.linspace(0, 1, 256)) / 2 * np.ones((256, 1))
    counts = np.random.default_rng(0).poisson(clean).astype(np.uint8)
    assert measure(counts).channels[0].caution is None
