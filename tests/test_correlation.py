"""The correlation of the noise: found where it is, not found where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter1d

from napari_noise2self.core.axes import Stack
from napari_noise2self.core.correlation import (
    NoiseCorrelation,
    noise_correlation,
    propose_footprint,
)
from napari_noise2self.core.footprint import LOUDEST, REMAINS, WIDEST, alike, hole, leak
from napari_noise2self.core.spectrum import AxisCorrelation

FMD = Path(__file__).parents[2] / "shared" / "data" / "fmd"


def measure(image: np.ndarray, axes: str | None = None, seed: int = 0) -> NoiseCorrelation:
    return noise_correlation(Stack.of(image, axes), seed=seed)


def scene(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth blobs, a hard edge and a stripe pattern, 0 to 200."""
    blobs = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 6)
    image = 100 * (blobs - blobs.min()) / np.ptp(blobs)
    image[:, shape[1] // 2 :] += 60
    image[: shape[0] // 4] += 20 * (1 + np.sin(np.arange(shape[1]) / 2))
    return image


def smoothed(noise: np.ndarray, sigma: float) -> np.ndarray:
    blurred = gaussian_filter(noise, sigma)
    return blurred / blurred.std() * noise.std()


def correlation_of(*rho: float, axis: str = "X") -> AxisCorrelation:
    return AxisCorrelation(axis, rho, (0.001,) * len(rho))


def test_leak_is_what_the_best_linear_prediction_explains():
    """Predicted from all others, a process leaves the harmonic mean of its spectrum."""
    rho = 0.35
    spectrum = 1 + 2 * rho * np.cos(2 * np.pi * np.arange(256) / 256)
    expected = 1 - 1 / np.mean(1 / spectrum)
    along = correlation_of(rho)
    assert leak([along], [1]) == pytest.approx(expected, abs=0.01)
    assert leak([along, correlation_of(rho, axis="Y")], [1, 1]) == pytest.approx(
        1 - (1 - expected) ** 2, abs=0.02
    )
    assert leak([along], [3]) == pytest.approx(0, abs=1e-3)
    assert leak([correlation_of(0.0)], [1]) == pytest.approx(0, abs=1e-9)


def test_the_hole_is_the_smallest_that_leaks_little():
    camera = (0.57, 0.22, 0.02)
    axes = [correlation_of(*camera, axis=a) for a in "YX"]
    assert hole(axes) == (5, 5)
    assert leak(axes, (5, 5)) <= REMAINS < leak(axes, (3, 3))
    assert hole([correlation_of(0.0, axis="Z"), *axes]) == (1, 5, 5)
    assert hole([correlation_of(0.1, axis="Y"), correlation_of(0.45)]) == (1, 3)
    assert hole([correlation_of(0.1, axis="Y"), correlation_of(0.2)]) == (1, 1)


@pytest.mark.parametrize(
    ("rho", "loudness", "width"),
    [(0.15, 0.0, 1), (0.15, 0.2, 1), (0.15, 3.0, 3), (0.1, 1.0, 1), (0.03, 1e9, 1), (0.45, 0.0, 3)],
)
def test_a_weak_leak_counts_where_noise_drowns_the_structure(
    rho: float, loudness: float, width: int
):
    assert hole([correlation_of(0.02, axis="Y"), correlation_of(rho, 0.0)], loudness) == (1, width)


@pytest.mark.parametrize(("contrast", "expected"), [(1.0, (1, 1)), (0.1, (1, 3))])
def test_the_same_noise_on_strong_and_on_weak_structure(contrast: float, expected: tuple[int, int]):
    noise = np.random.default_rng(4).normal(0, 20, (256, 257))
    shared = noise[:, 1:] + 0.2 * noise[:, :-1]  # correlated by 0.19
    found = measure(scene((256, 256)) * contrast + shared)
    assert found.along("X").rho[0] == pytest.approx(0.19, abs=0.06)
    assert found.footprint == expected
    assert ("more of it than of structure" in found.sentence) is (expected != (1, 1))


def test_strong_white_noise_hides_single_pixels():
    found = measure(np.random.default_rng(5).normal(0, 20, (256, 256)))
    assert found.loudness[0] > LOUDEST
    assert found.footprint == (1, 1)


def test_coefficients_of_a_known_filter():
    """Averaging k neighbours gives a correlation of 1 - lag / k."""
    noise = np.random.default_rng(0).normal(size=(256, 256))
    found = measure(uniform_filter1d(noise, 3, axis=1, mode="wrap"))
    along_x, along_y = found.along("X"), found.along("Y")
    np.testing.assert_allclose(along_x.rho[:3], (2 / 3, 1 / 3, 0), atol=0.06)
    np.testing.assert_allclose(along_y.rho, 0, atol=0.1)
    assert abs(along_x.line) < 0.05
    assert found.footprint == (1, 5)


def test_the_standard_error_is_the_spread_between_images():
    rng = np.random.default_rng(1)
    found = [measure(rng.normal(size=(128, 128))).along("X") for _ in range(30)]
    spread = np.std([f.rho[0] for f in found])
    stated = np.median([f.error[0] for f in found])
    assert 0.5 < stated / spread < 2


@pytest.mark.parametrize("level", [15, 50])
def test_structure_is_not_taken_for_correlated_noise(level: int):
    rng = np.random.default_rng(2)
    found = measure(scene((192, 192)) + rng.normal(0, level, (192, 192)))
    assert found.footprint == (1, 1)
    assert "independent" in found.sentence
    assert max(abs(found.along(a).rho[0]) for a in "YX") < 0.15


@pytest.mark.parametrize("peak", [0.1, 1, 20])
def test_poisson_counts_are_white(peak: float):
    """Also where most pixels are zero, and quantised."""
    clean = scene((192, 192))
    counts = np.random.default_rng(3).poisson(clean / clean.max() * peak).astype(np.uint8)
    found = measure(counts)
    assert found.footprint == (1, 1)
    assert max(abs(found.along(a).rho[0]) for a in "YX") < 0.15


@pytest.mark.parametrize("sigma", [0.7, 0.8])
def test_smoothed_noise_on_structure_is_found(sigma: float):
    noise = smoothed(np.random.default_rng(4).normal(0, 15, (192, 192)), sigma)
    found = measure(scene((192, 192)) + noise)
    assert set(found.footprint) <= {3, 5, 7}
    assert "x and y" in found.sentence
    assert min(found.along(a).strength for a in "YX") > 0.4


@pytest.mark.parametrize("axis", [0, 1])
def test_line_offsets_are_found_along_their_axis(axis: int):
    rng = np.random.default_rng(5)
    shape = (192, 192)
    offsets = rng.normal(0, 10, (192, 1) if axis == 1 else (1, 192))
    found = measure(scene(shape) + offsets + rng.normal(0, 15, shape))
    along = found.along("YX"[axis])
    assert along.line == pytest.approx(100 / 325, abs=0.1)
    assert found.footprint == ((1, WIDEST) if axis == 1 else (WIDEST, 1))
    assert "whole line" in found.sentence


def test_fine_structure_without_noise_is_told_from_noise():
    """Patches of fine structure are alike from pixel to pixel, but uneven."""
    rng = np.random.default_rng(6)
    grain = gaussian_filter(rng.normal(size=(192, 192)), 0.8)
    patches = np.exp(2 * gaussian_filter(rng.normal(size=(192, 192)), 4) / 0.07)
    found = measure(grain * patches)
    assert alike(found.channels[0])
    assert not alike(found.channels[0], noise_only=True)
    assert found.footprint == (1, 1)
    assert "unevenly" in found.sentence


def test_along_z_and_t():
    rng = np.random.default_rng(7)
    stack = rng.normal(size=(9, 64, 64))
    shared = stack[:-1] + stack[1:]  # neighbouring planes correlated by 0.5
    volume = measure(shared, "ZYX")
    assert volume.along("Z").rho[0] == pytest.approx(0.5, abs=0.05)
    assert volume.footprint == (3, 1, 1)
    movie = measure(shared, "TYX")
    assert movie.along("T").rho[0] == pytest.approx(0.5, abs=0.05)
    assert movie.along("T").rho[1] == pytest.approx(0, abs=0.05)
    assert movie.footprint == (1, 1)
    assert measure(stack, "ZYX").footprint == (1, 1, 1)


def test_static_structure_drops_out_of_frame_differences():
    """Grain of the size of the noise: one frame cannot tell it, two frames can."""
    rng = np.random.default_rng(8)
    grain = smoothed(rng.normal(0, 20, (128, 128)), 0.8)
    frames = grain + rng.normal(0, 10, (6, 128, 128))
    assert abs(measure(frames, "TYX").along("X").rho[0]) < 0.1
    assert measure(frames[0], "YX").along("X").rho[0] > 0.3


def test_the_worst_channel_decides():
    rng = np.random.default_rng(9)
    noise = rng.normal(size=(2, 96, 96))
    noise[1] = smoothed(noise[1], 0.8)
    found = measure(noise, "CYX")
    assert len(found.channels) == 2
    assert propose_footprint(found) == found.footprint
    assert min(found.footprint) >= 3
    assert measure(noise[:1], "CYX").footprint == (1, 1)


def test_hot_pixels_and_nan_do_no_harm():
    rng = np.random.default_rng(10)
    image = smoothed(rng.normal(0, 10, (192, 192)), 0.8)
    image.ravel()[rng.choice(image.size, 60, replace=False)] = 5000
    image[:20, :20] = np.nan
    assert measure(image).footprint in ((5, 5), (7, 7))
    white = rng.normal(0, 10, (192, 192))
    white[50:60] = np.nan
    white[100:140, 100:140] = white.max()  # saturated
    assert measure(white).footprint == (1, 1)


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((64, 64), np.nan), np.ones((5, 9))])
def test_nothing_to_measure(image: np.ndarray):
    found = measure(image)
    assert found.footprint == (1, 1)
    assert "could not be measured" in found.sentence


@settings(max_examples=20, deadline=None)
@given(
    axes=st.sampled_from(["YX", "YXC", "TYX", "ZYX", "CZYX", "TZCYX"]),
    edges=st.tuples(st.integers(32, 70), st.integers(32, 70)),
    others=st.integers(1, 3),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    seed=st.integers(0, 5),
)
def test_every_shape_gets_one_odd_width_for_each_axis(axes, edges, others, dtype, seed):
    shape = tuple({"Y": edges[0], "X": edges[1]}.get(a, others) for a in axes)
    image = np.random.default_rng(seed).normal(100, 12, shape).clip(0, 255).astype(dtype)
    found = measure(image, axes)
    assert [width % 2 for width in found.footprint] == [1] * len(found.spatial_axes)
    assert len(found.channels) == (others if "C" in axes else 1)


def test_small_white_images_are_rarely_taken_for_correlated():
    """They hold few blocks, so that no test is certain: at most 1 in 50, here seeded."""
    images = (np.random.default_rng(seed).normal(size=(64, 64)) for seed in range(100))
    assert sum(max(measure(image).footprint) > 1 for image in images) <= 2


class Counted:
    """An array that counts the pixels that were read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.read += part.size
        return part


def test_a_large_stack_is_sampled_and_the_seed_decides():
    base = np.random.default_rng(11).normal(size=(1, 256, 256)).astype(np.float32)
    stack = Counted(np.broadcast_to(base, (500, 256, 256)))
    found = noise_correlation(Stack.of(stack, "TYX"), seed=3)
    assert stack.read <= 2**21
    assert found == noise_correlation(Stack.of(stack, "TYX"), seed=3)


@pytest.mark.skipif(not FMD.exists(), reason="the FMD frames are not at hand")
@pytest.mark.parametrize(
    ("name", "footprint"),
    [
        ("raw/WideField_BPAE_G_1", (5, 5)),
        ("raw/WideField_BPAE_G_2", (5, 5)),
        ("avg4/WideField_BPAE_G_1", (5, 5)),
        ("raw/Confocal_FISH_1", (1, 1)),
        ("raw/Confocal_BPAE_R_1", (1, 1)),
        ("raw/TwoPhoton_BPAE_G_1", (1, 1)),
        ("raw/TwoPhoton_BPAE_B_1", (1, 1)),
    ],
)
def test_real_frames(name: str, footprint: tuple[int, int]):
    from skimage.io import imread

    assert measure(imread(FMD / f"{name}.png")).footprint == footprint
