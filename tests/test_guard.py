"""The guard: noise stays away, structure comes back, and no result is worse than its image."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_noise2self import api
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.guard import SHARED_WINDOW, Guard
from napari_noise2self.core.noise import estimate_noise
from napari_noise2self.core.noise_level import ChannelNoise, NoiseLevel
from napari_noise2self.core.normalization import Normalization

Build = Callable[..., api.TrainingConfig]
Random = Callable[..., api.Denoiser]
Array = NDArray[np.floating]

UNIT = Guard((0.0,), (1.0,), (0.1,))
"""Of noise with a variance of 1 everywhere."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Return white noise of variance 1."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def squares(size: int, height: float) -> Tensor:
    """Return a checkerboard of squares of 4 x 4 pixels, with a variance of `height` squared."""
    place = torch.arange(size) // 4
    return height * (1 - 2.0 * ((place[:, None] + place) % 2))[None, None]


def error(result: Tensor, truth: Tensor) -> float:
    """Mean square, in units of the noise's variance."""
    return float(((result - truth) ** 2).mean())


# What it gives back


@pytest.mark.parametrize("height", [0.0, 0.3, 0.6, 1.0, 1.4, 2.0, 4.0, 20.0])
def test_a_result_that_lost_all_structure_becomes_no_worse_than_its_image(height: float) -> None:
    """At the image's own error, 1, a result that is flat stands where the height is 1."""
    truth = squares(256, height)
    noisy = truth + normal(1, 1, 256, 256)
    flat = torch.zeros_like(noisy)
    guarded = UNIT.give_back(noisy, flat)
    assert error(guarded, truth) < 1
    assert error(guarded, truth) < 1.02 * error(flat, truth) + 0.01


def test_of_noise_alone_next_to_nothing_comes_back() -> None:
    noisy = normal(1, 1, 512, 512)
    returned = UNIT.give_back(noisy, torch.zeros_like(noisy))
    assert float((returned != 0).float().mean()) < 0.03
    assert error(returned, torch.zeros_like(noisy)) < 0.005


@pytest.mark.parametrize("photons", [0.03, 0.1, 0.3, 1.0, 10.0])
def test_of_few_photons_next_to_nothing_comes_back_either(photons: float) -> None:
    """Their squares scatter more than those of Gaussian noise of the same variance."""
    counts = np.random.default_rng(0).poisson(photons, (1, 1, 512, 512))
    noisy = torch.from_numpy(counts).float()
    true = torch.full_like(noisy, photons)
    returned = Guard((1.0,), (0.0,), (1e-3 * photons,)).give_back(noisy, true)
    assert error(returned, true) < 0.02 * photons


def test_noise_shared_by_neighbours_stays_away_as_well() -> None:
    """The mean square of fewer independent values has more chance in it."""
    white = np.random.default_rng(0).normal(size=(512, 512))
    shared = gaussian_filter(white, 0.7, mode="wrap")
    noisy = torch.from_numpy(shared / shared.std()).float()[None, None]
    wide = replace(UNIT, window=SHARED_WINDOW)
    of_all, of_wide = (g.give_back(noisy, torch.zeros_like(noisy)) for g in (UNIT, wide))
    assert error(of_wide, torch.zeros_like(noisy)) < 0.005
    assert error(of_wide, torch.zeros_like(noisy)) < 0.5 * error(of_all, torch.zeros_like(noisy))


def test_it_comes_back_where_it_was_lost_and_nowhere_else() -> None:
    truth = squares(128, 5.0)
    truth[..., 64:] = 0
    noisy = truth + normal(1, 1, 128, 128)
    guarded = UNIT.give_back(noisy, torch.zeros_like(noisy))
    assert error(guarded[..., :56], truth[..., :56]) < 1
    beyond = guarded[..., 64 + UNIT.reach :]
    assert error(beyond, torch.zeros_like(beyond)) < 0.02


def test_nothing_farther_than_its_reach_is_looked_at() -> None:
    noisy, result = 3 * normal(1, 1, 41, 41), torch.zeros((1, 1, 41, 41))
    changed = noisy.clone()
    changed[..., 20, 20] += 50
    differs = (UNIT.give_back(noisy, result) != UNIT.give_back(changed, result))[0, 0]
    rows, columns = torch.nonzero(differs, as_tuple=True)
    assert (rows - 20).abs().max() == (columns - 20).abs().max() == UNIT.reach


def test_the_variance_grows_with_the_signal_of_the_result() -> None:
    """Photons: what is noise at a signal of 100 is structure at one of 4."""
    guard = Guard((1.0,), (0.0,), (0.01,))
    residual = 5 * normal(1, 1, 128, 128)
    bright, dark = torch.full_like(residual, 100.0), torch.full_like(residual, 4.0)
    assert torch.equal(guard.give_back(bright + residual, bright), bright)
    assert error(guard.give_back(dark + residual, dark), dark + residual) < 0.15 * 25


def test_channels_and_planes_each_by_themselves() -> None:
    guard = Guard((0.0, 0.0), (1.0, 100.0), (0.1, 0.1))
    residual = 5 * normal(1, 2, 3, 64, 64)
    residual[:, :, 1] *= 0.1
    given = guard.give_back(residual, torch.zeros_like(residual))
    assert given[:, 0, [0, 2]].std() > 4
    assert not given[:, 0, 1].any()
    assert not given[:, 1].any()


# Where it comes from


def level_of(image: Array) -> NoiseLevel:
    """Return the noise level of an image of two dimensions."""
    return estimate_noise(Stack.of(image, "YX"))


def photons() -> Array:
    """Return an image whose noise grows with its signal."""
    clean = np.linspace(10, 200, 256) * np.ones((256, 1))
    return np.random.default_rng(0).poisson(clean) * 3 + 20.0


def test_it_knows_the_noise_of_the_normalized_image() -> None:
    level = level_of(photons())
    statistics = Normalization((300.0,), (150.0,))
    guard = Guard.from_noise(level, statistics)
    assert guard is not None
    signal = np.array([[0.0, 15.0, 50.0, 300.0, 620.0]], np.float32)
    normalized = statistics.apply(torch.from_numpy(signal)[None, None])
    found = guard._variance(normalized) * 150**2
    noise = level.channels[0]
    expected = noise.surplus * level.variance(np.maximum(signal, min(noise.signal)))
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-5)


def test_without_a_level_there_is_none() -> None:
    assert Guard.from_noise(None, Normalization((300.0,), (150.0,))) is None


def channel(**changes: Any) -> ChannelNoise:
    """Return noise of which every level lies on the line."""
    signal = (10.0, 20.0, 30.0, 60.0, 90.0)
    variance = tuple(0.5 * s for s in signal)
    error = tuple(0.01 * v for v in variance)
    return replace(ChannelNoise(0.5, 0.0, signal, variance, error, 1.0, None), **changes)


def test_a_line_that_fits_is_its_own_bound() -> None:
    assert channel().bounded() == pytest.approx((0.5, 0.0, 5.0))


def test_dark_levels_above_the_line_are_noise_and_bright_ones_structure() -> None:
    dark = channel(variance=(20.0, 16.0, 15.0, 30.0, 45.0), fits=0.6)
    assert dark.bounded() == pytest.approx((0.5, 0.0, 20.0))
    bright = channel(variance=(5.0, 10.0, 15.0, 90.0, 200.0), fits=0.6)
    assert bright.bounded() == pytest.approx((0.5, 0.0, 5.0))


def test_where_no_line_fits_it_is_raised_above_nearly_all_levels() -> None:
    scattered = channel(variance=(5.0, 10.0, 30.0, 60.0, 90.0), fits=0.4)
    assert scattered.bounded() == pytest.approx((1.0, 0.0, 10.0))


def test_where_noise_may_be_shared_the_bound_is_higher() -> None:
    assert channel(surplus=1.5).bounded() == pytest.approx((0.75, 0.0, 7.5))


def test_what_is_darker_than_all_levels_gets_no_noise_back() -> None:
    """A texture all over shows its mean brightness alone, and a line through that may be steep."""
    y, x = np.mgrid[:96, :96]
    truth = 30 + 25 * np.sin(x / 1.5) * np.sin(y / 2)
    noisy = np.random.default_rng(0).poisson(truth).astype(np.float32)
    guard = Guard.from_noise(level_of(noisy), Normalization((0.0,), (1.0,)))
    assert guard is not None
    clean, noise = (torch.from_numpy(a.astype(np.float32))[None, None] for a in (truth, noisy))
    given = guard.give_back(noise, clean)
    assert error(given, clean) < 0.05 * error(noise, clean)


@pytest.mark.parametrize("width", [0.0, 0.35, 0.42, 0.7])
def test_no_flat_place_gets_its_noise_back(width: float) -> None:
    """Also where neighbours share too little of it for a wide hole."""
    white = np.random.default_rng(0).normal(size=(256, 256))
    noise = gaussian_filter(white, width, mode="wrap") if width else white
    image = (100 + 10 * noise / noise.std()).astype(np.float32)
    guard = Guard.from_noise(level_of(image), Normalization((100.0,), (10.0,)))
    assert guard is not None
    normalized = torch.from_numpy((image - 100) / 10)[None, None]
    given = guard.give_back(normalized, torch.zeros_like(normalized))
    assert error(given, torch.zeros_like(given)) < 0.05


@pytest.mark.parametrize(
    "numbers",
    [
        ((-1.0,), (1.0,), (0.1,)),
        ((1.0,), (float("nan"),), (0.1,)),
        ((1.0,), (1.0,), (0.0,)),
        ((1.0,), (1.0, 1.0), (0.1,)),
        ((1.0,), (1.0,), (0.1,), 8),
        ((1.0,), (1.0,), (0.1,), -1),
        ((1.0,), (1.0,), (0.1,), 10**6 + 1),
    ],
)
def test_impossible_noise_is_refused(numbers: Any) -> None:
    with pytest.raises(ValueError, match=r"noise|window"):
        Guard(*numbers)


# In a denoiser


def shared_noise(amount: float) -> tuple[Array, Array]:
    """Return fine stripes with noise that neighbours share, and without."""
    y, x = np.mgrid[:160, :160]
    truth = 100 + 30 * np.sin(x / 1.1) * (y > 60)
    noise = gaussian_filter(np.random.default_rng(0).normal(size=truth.shape), 0.7)
    return (truth + amount * noise / noise.std()).astype(np.float32), truth


def trained(image: Array, config: api.TrainingConfig) -> api.Denoiser:
    """Train a denoiser to the end."""
    denoiser = api.Denoiser.for_image(image, axes="YX", config=config)
    for _ in api.train(denoiser, image, config):
        pass
    return denoiser


def test_behind_a_wide_hole_fine_structure_survives(tiny: Build) -> None:
    """The network cannot know the stripes: without the guard the result is worse than the image."""
    noisy, truth = shared_noise(8)
    denoiser = trained(noisy, tiny(footprint=(7, 7)))
    assert denoiser.guard is not None
    assert denoiser.guard.window == SHARED_WINDOW
    before = float(np.mean((noisy - truth) ** 2))
    without = replace(denoiser, guard=None).predict(noisy)
    with_guard = denoiser.predict(noisy)
    assert float(np.mean((without - truth) ** 2)) > 2 * before
    assert float(np.mean((with_guard - truth) ** 2)) < before
    flat = np.s_[:40, 20:140]
    assert with_guard[flat].std() < 0.5 * noisy[flat].std()


def test_the_strict_output_knows_nothing_of_it(tiny: Build) -> None:
    noisy, _ = shared_noise(8)
    denoiser = trained(noisy, tiny(footprint=(7, 7)))
    without = replace(denoiser, guard=None)
    strict = [d.predict(noisy, output="j-invariant") for d in (denoiser, without)]
    np.testing.assert_array_equal(*strict)


def test_who_wants_no_noise_model_gets_no_guard(tiny: Build) -> None:
    noisy, _ = shared_noise(8)
    assert api.Denoiser.for_image(noisy, config=tiny(noise_model=False)).guard is None
    denoiser = trained(noisy, tiny(footprint=(7, 7)))
    plain = replace(denoiser, config=replace(denoiser.config, noise_model=False))
    np.testing.assert_array_equal(
        plain.predict(noisy), replace(denoiser, guard=None).predict(noisy)
    )


def test_pairs_have_none(tiny: Build) -> None:
    noisy, _ = shared_noise(8)
    assert api.Denoiser.for_image(noisy, config=tiny(method="noise2noise")).guard is None


@pytest.mark.parametrize(("axes", "shape"), [("YX", (101, 90)), ("ZYX", (5, 61, 45))])
def test_in_pieces_it_equals_the_whole(random_denoiser: Random, axes: str, shape: Any) -> None:
    denoiser = replace(random_denoiser(axes), guard=Guard((0.2,), (0.4,), (0.1,), 15))
    image = (100 + 10 * normal(*shape)).numpy()
    whole = denoiser.predict(image, tile=shape)
    assert float(np.abs(whole - replace(denoiser, guard=None).predict(image)).max()) > 1
    pieces = denoiser.predict(image, tile=(*shape[:-2], 24, 16))
    assert float(np.abs(whole - pieces).max()) < 1e-5 * float(np.abs(whole).max())


# In a file


def test_it_is_kept_with_the_model(random_denoiser: Random) -> None:
    guard = Guard((0.1,), (0.7,), (0.05,))
    tensors, header = replace(random_denoiser(), guard=guard).to_state()
    assert api.Denoiser.from_state(tensors, header).guard == guard
    del header["guard"]  # as files from before have none
    assert api.Denoiser.from_state(tensors, header).guard is None


@pytest.mark.parametrize(
    "change",
    [
        {"least": [0.0]},
        {"gain": [0.1, 0.2], "intercept": [1.0, 1.0], "least": [0.1, 0.1]},
        {"gain": "much"},
        {"window": 10},
        {"gain": None},
    ],
)
def test_an_altered_guard_is_refused(random_denoiser: Random, change: dict[str, Any]) -> None:
    guard = Guard((0.1,), (0.7,), (0.05,))
    tensors, header = replace(random_denoiser(), guard=guard).to_state()
    altered = copy.deepcopy(header)
    altered["guard"].update(change)
    with pytest.raises(api.ModelFileError, match="header is incomplete or altered"):
        api.Denoiser.from_state(tensors, altered)
