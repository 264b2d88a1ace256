"""The synthetic samples: their metadata, and that their noise is what their docstrings say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noise2self.samples import SAMPLES, Sample, cells, correlated, timelapse, zstack

SMALL: dict[str, Callable[[int], Sample]] = {
    "cells": lambda seed: cells(size=160, seed=seed),
    "zstack": lambda seed: zstack(planes=6, size=64, seed=seed),
    "timelapse": lambda seed: timelapse(frames=4, size=96, seed=seed),
    "correlated": lambda seed: correlated(size=160, seed=seed),
}


def noise_of(sample: Sample) -> NDArray[np.float64]:
    return np.asarray(sample.noisy.data.astype(float) - sample.truth.data)


def lag_one(noise: NDArray[np.float64], axis: int) -> float:
    ahead = np.moveaxis(noise, axis, 0)
    return float(np.mean(ahead[1:] * ahead[:-1]) / noise.var())


def test_small_covers_every_sample() -> None:
    assert set(SMALL) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_says_what_it_is(name: str) -> None:
    sample = SMALL[name](0)
    assert sample.noisy.data.dtype == np.uint16
    assert sample.truth.data.dtype == np.float32
    assert sample.noisy.data.shape == sample.truth.data.shape
    for image in (sample.noisy, sample.truth):
        assert image.axes is not None
        assert image.scale is not None
        assert image.units is not None
        assert len(image.axes) == len(image.scale) == len(image.units) == image.data.ndim
        assert image.units[-2:] == ("micrometer", "micrometer")


@pytest.mark.parametrize("name", SAMPLES)
def test_seed_decides_every_pixel(name: str) -> None:
    once, again, other = SMALL[name](5), SMALL[name](5), SMALL[name](6)
    np.testing.assert_array_equal(once.noisy.data, again.noisy.data)
    np.testing.assert_array_equal(once.truth.data, again.truth.data)
    assert (once.truth.data != other.truth.data).mean() > 0.9


@pytest.mark.parametrize("name", SAMPLES)
def test_truth_is_the_mean_of_the_noisy(name: str) -> None:
    noise = noise_of(SMALL[name](0))
    # Correlated noise has fewer independent values: up to 9 pixels share one.
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(noise.size / 9)


@pytest.mark.parametrize("name", SAMPLES)
def test_noise_grows_with_the_light(name: str) -> None:
    sample = SMALL[name](0)
    noise, truth = noise_of(sample), sample.truth.data
    low, high = np.quantile(truth, [0.25, 0.75])
    assert noise[truth > high].var() > 1.2 * noise[truth < low].var()


@pytest.mark.parametrize("name", ["cells", "zstack", "timelapse"])
def test_noise_is_independent(name: str) -> None:
    noise = noise_of(SMALL[name](0))
    for axis in range(noise.ndim):
        assert abs(lag_one(noise, axis)) < 4 / np.sqrt(noise.size)


def test_correlated_noise_is_correlated() -> None:
    noise = noise_of(SMALL["correlated"](0))
    for axis in (0, 1):
        assert lag_one(noise, axis) == pytest.approx(0.62, abs=0.05)
    assert abs(np.mean(noise[3:] * noise[:-3]) / noise.var()) < 0.05  # a 5 x 5 hole is enough


def test_demo_image_is_noisy_enough_to_show_something() -> None:
    sample = cells()
    truth = sample.truth.data
    psnr = 20 * np.log10(np.ptp(truth)) - 10 * np.log10(np.mean(noise_of(sample) ** 2))
    assert 18 < psnr < 22


def test_needs_no_torch() -> None:
    code = "import sys, napari_noise2self.samples; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
