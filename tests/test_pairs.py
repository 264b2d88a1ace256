"""Noise2Noise and Noise2Clean: pairs are checked, trained on, and saved like any model."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_noise2self import api
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.config import CHOICES
from napari_noise2self.core.masks import Grid
from napari_noise2self.core.methods import METHODS
from napari_noise2self.core.networks import NETWORKS
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.patches import Crops, HeldOut

TINY = {"steps": 40, "width": 8, "depth": 1, "validate_every": 20, "device": "cpu"}


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(1)
    truth = 100 + 400 * gaussian_filter(rng.normal(size=(64, 64)), 3)
    first, second = (truth + rng.normal(0, 30, truth.shape) for _ in range(2))
    return truth, first, second


@pytest.mark.parametrize("method", ["noise2noise", "noise2clean"])
@pytest.mark.parametrize("network", ["unet", "dncnn"])
def test_training_on_a_pair_lowers_the_error_and_survives_saving(scene, method, network, tmp_path):
    truth, first, second = scene
    config = api.TrainingConfig(method=method, network=network, **TINY)
    denoiser = api.Denoiser.for_image(first, "YX", config)
    for _ in api.train(denoiser, first, target=truth if method == "noise2clean" else second):
        pass
    result = denoiser.predict(first)
    assert np.mean((result - truth) ** 2) < 0.5 * np.mean((first - truth) ** 2)
    denoiser.save(tmp_path / "pair.safetensors")
    loaded = api.Denoiser.load(tmp_path / "pair.safetensors")
    assert type(loaded.method) is METHODS[method]
    np.testing.assert_array_equal(loaded.predict(first), result)


def test_a_target_alone_means_noise2noise(scene):
    _, first, second = scene
    few = {**TINY, "steps": 5}
    config = api.TrainingConfig(**few)
    named = api.TrainingConfig(method="noise2noise", **few)
    np.testing.assert_array_equal(
        api.denoise(first, target=second, config=config),
        api.denoise(first, target=second, config=named),
    )


@pytest.mark.parametrize("place", [(3, 3), (50, 40)])
def test_a_target_that_is_not_finite_is_refused_and_nothing_is_kept(scene, place):
    """Whether in the region where shifts are looked for, or beyond it."""
    _, first, second = scene
    config = api.TrainingConfig(method="noise2noise", **TINY)
    denoiser = api.Denoiser.for_image(first, "YX", config)
    broken = second.copy()
    broken[place] = np.nan
    mend = r"the target has 1 NaN .*api\.fill_nan\(target\)"
    with pytest.raises(api.ImageError, match=mend):
        next(api.train(denoiser, first, target=broken))
    with pytest.raises(api.ImageError, match=mend):
        api.denoise(first, target=broken, config=config)
    with pytest.raises(api.NotTrainedError):
        denoiser.predict(first)


@pytest.mark.parametrize("swaps", [False, True])
def test_image_and_target_change_places_where_the_method_allows_it(swaps):
    stacks = [Stack.of(np.full((64, 64), value), "YX") for value in (1.0, 2.0)]
    crops = Crops(
        stacks,
        Normalization((0.0,), (1.0,)),
        (32, 32),
        HeldOut.seeded(Grid((4, 4), (1, 1)), (32, 32), 0),
        seed=0,
        device=torch.device("cpu"),
    )
    crops.renew(0)
    places = crops.draw(32, torch.Generator().manual_seed(0), turns=True, swaps=swaps)
    batch = crops.cut(places)
    inputs = batch.noisy.mean(dim=(1, 2, 3))
    assert set(inputs.tolist()) == ({1.0, 2.0} if swaps else {1.0})
    torch.testing.assert_close(batch.target.mean(dim=(1, 2, 3)), 3 - inputs)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda first, second: first, "the noisy image itself"),
        (lambda first, second: np.roll(second, 3, axis=0), "shifted by 3.0 pixels in y"),
        (lambda first, second: second[:48], "same shape"),
        (lambda first, second: np.full_like(second, 7), "the target is constant"),
    ],
)
def test_a_pair_that_is_none_is_refused_by_name(scene, spoil, words):
    _, first, second = scene
    with pytest.raises(api.ImageError, match=words):
        api.denoise(first, target=spoil(first, second), config=api.TrainingConfig(**TINY))


def test_unrelated_noise_is_not_called_shifted():
    rng = np.random.default_rng(3)
    for _ in range(10):
        pair = rng.normal(size=(2, 64, 64)) + 50
        denoiser = api.Denoiser.for_image(
            pair[0], "YX", api.TrainingConfig(method="noise2noise", **TINY)
        )
        next(api.train(denoiser, pair[0], target=pair[1]))


def test_method_and_target_must_agree(scene):
    _, first, second = scene
    alone = api.Denoiser.for_image(first, "YX", api.TrainingConfig(**TINY))
    with pytest.raises(api.ConfigError, match="takes no target"):
        next(api.train(alone, first, target=second))
    paired = api.Denoiser.for_image(first, "YX", api.TrainingConfig(method="noise2noise", **TINY))
    with pytest.raises(api.ConfigError, match="needs a target"):
        next(api.train(paired, first))


def test_a_network_trained_on_pairs_has_no_strict_output(scene):
    _, first, second = scene
    denoiser = api.Denoiser.for_image(first, "YX", api.TrainingConfig(method="noise2noise", **TINY))
    next(api.train(denoiser, first, target=second))
    with pytest.raises(api.ConfigError, match="no J-invariant output"):
        denoiser.predict(first, output="j-invariant")


def test_the_torch_free_choices_are_the_methods_and_networks_there_are():
    assert CHOICES["method"] == tuple(METHODS)
    assert CHOICES["network"] == tuple(NETWORKS)
