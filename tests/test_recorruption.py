"""Two images out of one: their noise is independent, and training on them is worth it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noise2self import api
from napari_noise2self.core import noise
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.batch import Batch
from napari_noise2self.core.correlation import noise_correlation
from napari_noise2self.core.flatness import sample_runs
from napari_noise2self.core.methods import MIRRORS, Noise2Self
from napari_noise2self.core.noise import estimate_noise
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.recorruption import Draws, Recorruption
from napari_noise2self.core.reliance import reliance, shared_by_channels

Build = Callable[..., api.TrainingConfig]
Array = NDArray[np.floating]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(x: torch.Tensor, seed: int = 0) -> Draws:
    return Draws.drawn(x.shape, generator(seed), x.device)


def noisy(signal: float, gain: float, read: float, size: int = 700) -> torch.Tensor:
    """Return pixels of one signal, with photons of `gain` grey levels and read noise."""
    rng = np.random.default_rng(1)
    values = rng.poisson(signal / gain, (1, 1, size, size)) * gain if gain else signal
    return torch.from_numpy(values + read * rng.standard_normal((1, 1, size, size))).float()


# The split

CASES = [
    (0.5, 1.0, 0.0),  # half a photon
    (3.0, 1.0, 0.0),
    (14.0, 1.0, 0.0),  # about where dealing photons gives way to the Gaussian
    (300.0, 1.0, 0.0),
    (9.0, 3.0, 6.0),
    (100.0, 0.01, 2.0),
    (50.0, 0.0, 5.0),
]


@pytest.mark.parametrize(("signal", "gain", "read"), CASES)
def test_the_noise_of_the_two_does_not_correlate(signal: float, gain: float, read: float) -> None:
    x = noisy(signal, gain, read)
    variance = gain * signal + read**2
    first, second = Recorruption((gain,), (read**2,), (read**2,)).split(x, drawn(x))
    a, b = first - signal, second - signal
    assert abs(float((a * b).mean())) < 0.02 * variance
    for half in (a, b):
        assert abs(float(half.mean())) < 0.02 * variance**0.5
        assert float((half**2).mean()) == pytest.approx(2 * variance, rel=0.02)
    assert torch.allclose(first + second, 2 * x, atol=1e-4)


@pytest.mark.parametrize("signal", [0.5, 2.0, 4.0])
def test_of_few_photons_the_two_are_independent_poisson_images(signal: float) -> None:
    """Not only uncorrelated: nothing about the second can be read off the first."""
    x = noisy(signal, 1.0, 0.0)
    first, second = Recorruption((1.0,), (0.0,), (0.0,)).split(x, drawn(x))
    halves = np.stack([first.numpy().ravel(), second.numpy().ravel()]) / 2
    assert np.allclose(halves, np.rint(halves), atol=1e-5)
    assert (halves > -0.5).all()
    halves = np.rint(halves)
    for count in range(4):
        chosen = halves[1][halves[0] == count]
        assert chosen.mean() == pytest.approx(signal / 2, rel=0.05)
        assert chosen.var() == pytest.approx(signal / 2, rel=0.1)


def test_gaussian_noise_in_the_place_of_photons_would_not_do() -> None:
    """What the dealing is for: uncorrelated halves of half a photon still tell of each other."""
    x = noisy(0.5, 1.0, 0.0)
    e = x.sqrt() * torch.randn(x.shape, generator=generator())
    first, second = x + e, x - e
    assert abs(float(((first - 0.5) * (second - 0.5)).mean())) < 0.01
    assert float(second[first < -0.5].mean()) > 1.5  # far from 0.5


def test_the_split_is_seeded_and_leaves_what_has_no_noise() -> None:
    x = torch.linspace(-2, 9, 60).view(1, 1, 6, 10)
    split = Recorruption((0.5,), (0.0,), (0.0,)).split
    first, _ = split(x, drawn(x, 3))
    assert torch.equal(first, split(x, drawn(x, 3))[0])
    assert not torch.equal(first, split(x, drawn(x, 4))[0])
    assert torch.equal(first[x <= 0], x[x <= 0])
    assert not (first[x > 1] == x[x > 1]).all()


def test_every_channel_has_its_own_noise() -> None:
    x = torch.full((2, 2, 5, 60, 60), 4.0)
    first, _ = Recorruption((1.0, 0.0), (0.0, 9.0), (0.0, 9.0)).split(x, drawn(x))
    assert (first - x).var(dim=(0, 2, 3, 4)).tolist() == pytest.approx([4, 9], rel=0.1)


def test_it_takes_the_noise_to_normalized_units() -> None:
    image = 100 + 3 * np.random.default_rng(0).poisson(np.linspace(2, 60, 128), (128, 128))
    stack = Stack.of(image.astype(np.float32))
    *_, last = Normalization.fit_iter(stack)
    level, statistics = estimate_noise(stack), last.result
    assert isinstance(statistics, Normalization)
    signal = torch.linspace(110, 280, 6).view(1, 1, 1, 6)
    found = Recorruption.from_noise(level, statistics).variance(statistics.apply(signal))
    expected = level.variance(signal.numpy())
    np.testing.assert_allclose(found.numpy() * statistics.std[0] ** 2, expected, rtol=1e-3)


# When it is made use of


def made(image: Array, axes: str | None = None, **changes: object) -> api.Denoiser:
    config = replace(api.TrainingConfig(), **changes)  # type: ignore[arg-type]
    return api.Denoiser.for_image(image, axes=axes, config=config)


@pytest.fixture(scope="module")
def image() -> Array:
    """Photons, 2 to 20 a pixel."""
    y, x = np.mgrid[:96, :96] / 96
    clean = 2 + 18 * (0.5 + 0.5 * np.sin(12 * x) * np.cos(9 * y)) ** 2
    return 7.0 * np.random.default_rng(0).poisson(clean)


def test_independent_noise_is_made_use_of_and_said(image: Array) -> None:
    denoiser = made(image)
    assert denoiser.recorruption is not None
    assert "gain 7" in denoiser.record.noise or "gain 6.9" in denoiser.record.noise
    assert len(denoiser.method.passes("best")) == len(MIRRORS)
    assert len(denoiser.method.passes("j-invariant")) == len(denoiser.method.grid)


@pytest.mark.parametrize("changes", [{"noise_model": False}, {"footprint": (3, 3)}])
def test_on_request_it_is_left_alone(image: Array, changes: dict[str, object]) -> None:
    denoiser = made(image, **changes)
    assert denoiser.recorruption is None
    assert len(denoiser.method.passes("best")) == len(denoiser.method.grid)


def test_correlated_noise_is_left_alone() -> None:
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 0.8)
    assert made(noise, footprint=None).recorruption is None
    assert made(noise, footprint=(1, 1)).recorruption is None  # whatever hole was asked for


def test_noise_that_channels_share_is_left_alone(image: Array) -> None:
    other = 7.0 * np.random.default_rng(1).poisson(image / 7)
    assert made(np.stack([image, other[::-1]]), "CYX").recorruption is not None
    grey = made(np.stack([image] * 3, axis=-1), "YXC")
    assert grey.recorruption is None
    assert "the channels have noise in common (0.9" in grey.record.noise


def test_what_channels_share_is_measured() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 200))
    for share in (0.0, 0.5, -0.5):
        mixed = share * a + np.sqrt(1 - share**2) * b
        stack = Stack.of(np.stack([a, mixed]), "CYX")
        assert shared_by_channels(stack) == pytest.approx(abs(share), abs=0.07)
    assert shared_by_channels(Stack.of(a)) == 0.0


def test_channels_without_noise_in_the_planes_looked_at_are_not_relied_on() -> None:
    """As of a sparse stack, whose other planes showed it."""
    a, b = np.random.default_rng(0).normal(size=(2, 64, 64))
    level = estimate_noise(Stack.of(np.stack([a, b]), "CYX"))
    blank = Stack.of(np.stack([a, np.zeros((64, 64))]), "CYX")
    assert shared_by_channels(blank) is None
    relied_on, said = reliance(blank, level)
    assert not relied_on
    assert "in common could not be measured" in said


def test_a_constant_channel_takes_nothing_from_the_others(image: Array) -> None:
    """Alpha, or an empty one: it has no noise, and says nothing of theirs."""
    alone = made(image)
    both = np.stack([image, np.full_like(image, 255)])
    denoiser = made(both, "CYX", steps=2, width=4)
    known, guard = denoiser.recorruption, denoiser.guard
    assert known is not None
    assert guard is not None
    assert alone.recorruption is not None
    assert alone.guard is not None
    assert (known.gain[0], known.read[0]) == (*alone.recorruption.gain, *alone.recorruption.read)
    assert guard.least[0] == alone.guard.least[0]
    for _ in api.train(denoiser, both):
        pass
    clean = denoiser.predict(both)
    assert np.isfinite(clean).all()
    assert (clean[1] == 255).all()


def test_an_image_in_which_no_noise_can_be_measured_trains_all_the_same(
    tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with a channel that is blank wherever it is looked at, and not elsewhere."""
    few = partial(sample_runs, budget=1)
    monkeypatch.setattr(noise, "sample_runs", few)
    monkeypatch.setattr("napari_noise2self.core.reliance.sample_runs", few)
    numbers = np.broadcast_to(np.arange(12)[:, None, None], (12, 40, 40))
    (looked_at,) = few(Stack.of(numbers, "TYX"), "T", seed=0)
    sparse = np.random.default_rng(0).poisson(20, (2, 12, 40, 40))
    sparse[1, np.unique(looked_at.astype(int))] = 0
    denoiser = api.Denoiser.for_image(sparse, axes="CTYX", config=tiny(steps=2))
    assert denoiser.recorruption is None
    assert denoiser.guard is None, "it would give all of that channel's noise back"
    assert "could not be measured" in denoiser.record.noise
    assert np.isfinite(api.denoise(sparse, axes="CTYX", config=tiny(steps=2))).all()


# Training


def error(result: Array, truth: Array) -> float:
    return float(np.sqrt(((result - truth) ** 2).mean()))


def test_both_outputs_are_closer_to_the_truth_than_without(tiny: Build) -> None:
    """On a texture as fine as the network's start, a smoothing, takes away; mean of three seeds."""
    y, x = np.mgrid[:96, :96]
    truth = 30 + 25 * np.sin(x / 1.2) * np.sin(y / 1.4)
    errors = np.zeros((2, 2))
    for seed in range(3):
        noise = np.random.default_rng(seed).poisson(truth).astype(np.float64)
        for noise_model in (True, False):
            config = tiny(steps=60, width=8, depth=2, validate_every=20, noise_model=noise_model)
            config = replace(config, seed=seed, pixels_per_step=4096)
            denoiser = api.Denoiser.for_image(noise, config=config)
            for _ in api.train(denoiser, noise):
                pass
            assert (denoiser.recorruption is not None) == noise_model
            errors[int(noise_model)] += [
                error(denoiser.predict(noise, output=output), truth)
                for output in ("best", "j-invariant")
            ]
    without, with_noise_model = errors
    assert (with_noise_model < without).all(), errors / 3


@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CYX"])
def test_a_single_large_crop_serves_both_losses(tiny: Build, axes: str) -> None:
    clean = np.full((5, 40, 40)[-len(axes) :], 20.0)
    image = np.random.default_rng(0).poisson(clean)
    config = tiny(steps=3, patch_size=40, pixels_per_step=1024, dimensions=3 if "Z" in axes else 2)
    denoiser = api.Denoiser.for_image(image, axes=axes, config=config)
    assert denoiser.recorruption is not None
    for _ in api.train(denoiser, image):
        pass
    assert np.isfinite(denoiser.predict(image)).all()


def test_held_out_pixels_are_no_target_of_the_split_either(image: Array) -> None:
    """Whatever the uncounted pixels hold, in the target the loss cannot tell."""
    method = Noise2Self(made(image).method.grid, 0, Recorruption((0.0,), (0.1,), (0.1,)))
    seen: list[torch.Tensor] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone().requires_grad_())
        return seen[-1] * 1.0

    x = torch.randn((2, 1, 32, 32), generator=generator())
    counted = torch.ones((2, 1, 32, 32), dtype=torch.bool)
    counted[..., ::2] = False
    offsets = torch.zeros((2, 2), dtype=torch.long)
    batch = Batch(x, None, counted, offsets)
    draws = method.draws(x.shape, generator(), x.device)
    objective, _ = method.objective(network, batch, draws)
    objective.backward()  # type: ignore[no-untyped-call]
    gradient = seen[0].grad
    assert gradient is not None
    split = gradient[1:]  # behind the sample with hidden pixels
    assert not split[..., ::2].any()
    assert split[..., 1::2].all()


def test_a_trained_model_stays_with_what_it_was_trained_on(image: Array, tiny: Build) -> None:
    config = tiny(steps=2)
    denoiser = api.Denoiser.for_image(image, config=config)
    for _ in api.train(denoiser, image):
        pass
    with pytest.raises(api.ModelMismatchError, match="use of the noise level no instead of yes"):
        next(api.train(denoiser, image, replace(config, steps=4, noise_model=False)))


@pytest.mark.parametrize(
    "wrong",
    [
        Recorruption((0.0,), (50.0,), (50.0,)),  # much too strong
        Recorruption((0.0,), (1.2,), (1.2,)),  # by as much as matters
    ],
)
def test_a_wrong_noise_is_found_out_given_up_and_said(tiny: Build, wrong: Recorruption) -> None:
    image = np.random.default_rng(0).normal(100, 5, (96, 96))
    config = tiny(steps=150, width=8, validate_every=10, pixels_per_step=8192)
    denoiser = api.Denoiser.for_image(image, config=config)
    assert isinstance(denoiser.method, Noise2Self)
    denoiser.method = replace(denoiser.method, recorruption=wrong)
    notices = [event.notice for event in api.train(denoiser, image) if event.notice]
    assert len(notices) == 1
    assert "the noise is not as it was estimated" in notices[0]
    assert denoiser.recorruption is None
    assert denoiser.record.steps == 150
    assert np.isfinite(denoiser.predict(image)).all()


def test_a_right_estimate_is_not_given_up(image: Array, tiny: Build) -> None:
    denoiser = api.Denoiser.for_image(image, config=tiny(steps=40, width=8))
    assert not [event.notice for event in api.train(denoiser, image) if event.notice]
    assert denoiser.recorruption is not None


# The file


def test_the_model_file_keeps_it(image: Array, tiny: Build, tmp_path: Path) -> None:
    denoiser = api.Denoiser.for_image(image, config=tiny(steps=2))
    for _ in api.train(denoiser, image):
        pass
    denoiser.save(tmp_path / "m.safetensors")
    loaded = api.Denoiser.load(tmp_path / "m.safetensors")
    assert loaded.recorruption == denoiser.recorruption is not None
    assert np.array_equal(loaded.predict(image), denoiser.predict(image))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"gain": [', '"gain": [1.0, '),
        ('"gain": [', '"gain": [-'),
        ('"intercept": [', '"intercept": [1.0, '),
        ('"gain"', '"gains"'),
    ],
)
def test_a_damaged_one_is_refused(image: Array, tiny: Build, old: str, new: str) -> None:
    tensors, header = api.Denoiser.for_image(image, config=tiny()).to_state()
    text = json.dumps(header)
    assert old in text
    with pytest.raises(api.ModelFileError, match="header is incomplete or altered"):
        api.Denoiser.from_state(tensors, json.loads(text.replace(old, new)))


def test_estimates_need_the_correlation_once(image: Array) -> None:
    stack = Stack.of(image)
    correlation = noise_correlation(stack)
    assert estimate_noise(stack, correlation=correlation) == estimate_noise(stack)
