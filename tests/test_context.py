"""Neighbouring frames and planes as visible input: which, when, and never the frame itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noise2self import api
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.correlation import noise_correlation, propose_context
from napari_noise2self.core.errors import ConfigError, ModelMismatchError
from napari_noise2self.core.masks import Grid
from napari_noise2self.core.methods import Noise2Self
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.patches import ALONE, Crops, HeldOut
from napari_noise2self.core.record import TrainingRecord

Tiny = Callable[..., api.TrainingConfig]
Train = Callable[..., list[api.Progress]]


@pytest.fixture(scope="module")
def movie() -> NDArray[np.float32]:
    """Six frames of blobs that stay, with independent noise."""
    y, x = np.mgrid[:48, :40]
    clean = 100 + 30 * np.sin(y / 6) * np.cos(x / 5)
    return np.random.default_rng(0).normal(clean, 10, (6, 48, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def denoiser(movie: NDArray[np.float32], tiny: Tiny, randomise: Any) -> api.Denoiser:
    """It looks at one frame on each side, with random weights."""
    found = api.Denoiser.for_image(movie, "TYX", tiny(context=1, footprint=(1, 1)))
    randomise(found.network)
    found.record = TrainingRecord(steps=1)
    return found


@given(count=st.integers(1, 12), context=st.integers(1, 8), data=st.data())
def test_neighbours_are_those_of_the_stack(count: int, context: int, data: st.DataObject) -> None:
    stack = Stack.of(np.zeros((count, 4, 4)), "TYX")
    here = data.draw(st.integers(0, count - 1))
    steps = [*range(-context, 0), *range(1, context + 1)]
    expected = [here + step if 0 <= here + step < count else None for step in steps]
    assert stack.neighbours(here, context) == expected


@pytest.mark.parametrize(
    ("axes", "shape", "planes", "neighbours_of_7"),
    [
        ("TYX", (9, 4, 4), False, [6, 8]),
        ("SYX", (9, 4, 4), False, [None, None]),
        ("STYX", (3, 5, 4, 4), False, [6, 8]),
        ("TSYX", (5, 3, 4, 4), False, [4, 10]),
        ("TZYX", (3, 5, 4, 4), True, [6, 8]),
        ("ZTYX", (5, 3, 4, 4), True, [4, 10]),
        ("TCYX", (9, 2, 4, 4), False, [6, 8]),
    ],
)
def test_neighbours_are_found_along_one_axis(
    axes: str, shape: tuple[int, ...], planes: bool, neighbours_of_7: list[int | None]
) -> None:
    stack = Stack.of(np.arange(np.prod(shape), dtype=float).reshape(shape), axes, planes=planes)
    assert stack.neighbours(7, 1) == neighbours_of_7
    read = stack.read(7, context=1)
    channels = stack.channels
    assert read.shape[0] == 3 * channels
    for place, sample in enumerate([7, *neighbours_of_7]):
        part = read[place * channels : (place + 1) * channels]
        expected = np.full_like(part, np.nan) if sample is None else stack.read(sample)
        np.testing.assert_array_equal(part, expected)


def test_separate_images_are_denoised_each_by_itself(
    denoiser: api.Denoiser, movie: NDArray[np.float32]
) -> None:
    """By the model of a movie as well, which looks at the frames before and after."""
    together = denoiser.predict(movie, "SYX")
    for image, result in zip(movie, together, strict=True):
        np.testing.assert_array_equal(denoiser.predict(image, "YX"), result)


def test_neighbours_of_another_kind_are_told_of(
    denoiser: api.Denoiser, movie: NDArray[np.float32]
) -> None:
    def notice(axes: str, image: NDArray[np.float32] = movie) -> str | None:
        return next(denoiser.predict_iter(image, axes)).notice

    assert notice("TYX") is notice("SYX") is notice("YX", movie[0]) is None
    told = notice("ZYX")
    assert told is not None
    assert "neighbouring frames (T)" in told
    assert "this image has planes (Z)" in told
    both = notice("ZYX", 20 * movie)
    assert both is not None
    assert both.startswith("channel 0 has mean")
    assert both.endswith(told)


def test_no_pixel_reaches_its_own_strict_output(
    denoiser: api.Denoiser, movie: NDArray[np.float32]
) -> None:
    before = denoiser.predict(movie, output="j-invariant")
    changed = movie.copy()
    changed[2, 20, 17] += 500
    after = denoiser.predict(changed, output="j-invariant")
    assert after[2, 20, 17] == before[2, 20, 17]
    assert after[2, 20, 18] != before[2, 20, 18], "but the pixels around it"
    assert after[1, 20, 17] != before[1, 20, 17], "and the same pixel of the frame before"
    assert after[3, 20, 17] != before[3, 20, 17]
    np.testing.assert_array_equal(after[[0, 4, 5]], before[[0, 4, 5]])


def test_what_only_the_neighbours_know_is_learnt(tiny: Tiny, train: Train) -> None:
    """A texture without any pattern in the plane can be predicted from other frames alone."""
    rng = np.random.default_rng(1)
    texture = rng.normal(0, 10, (64, 64))
    noisy = (100 + texture + rng.normal(0, 10, (10, 64, 64))).astype(np.float32)
    left = {}
    for context in (0, 2):
        config = tiny(steps=300, width=8, context=context, footprint=(1, 1), validate_every=50)
        denoiser = api.Denoiser.for_image(noisy, "TYX", config)
        train(denoiser, noisy)
        strict = denoiser.predict(noisy, output="j-invariant")
        left[context] = float(np.mean((strict - 100 - texture) ** 2))
    assert left[0] == pytest.approx(100, rel=0.1), "the variance of the texture"
    # Shrunk as is best, one other frame leaves 1 / (1 / 100 + 1 / 100) = 50, all four leave 20.
    assert 20 < left[2] < 50


def test_it_is_chosen_where_the_noise_of_neighbours_is_independent(
    movie: NDArray[np.float32],
) -> None:
    rng = np.random.default_rng(2)
    still = np.repeat(movie[:1], 6, axis=0) + rng.normal(0, 3, movie.shape)

    def proposed(image: NDArray[Any], axes: str, *, planes: bool = False) -> int:
        stack = Stack.of(image, axes, planes=planes)
        return propose_context(noise_correlation(stack), stack)

    assert proposed(movie, "TYX") == 2
    assert proposed(movie, "ZYX", planes=True) == 2
    assert proposed(movie, "ZYX") == 0, "a volume"
    assert proposed(movie, "SYX") == 0, "separate images"
    assert proposed(movie[0], "YX") == 0
    assert proposed(movie[:4], "TYX") == 1
    assert proposed(movie[:2], "TYX") == 0
    assert proposed(still, "TYX") == 0, "its noise is a fixed pattern"


def test_a_z_stack_is_denoised_plane_by_plane(movie: NDArray[np.float32], tiny: Tiny) -> None:
    planes = api.Denoiser.for_image(movie, "ZYX", tiny())
    assert (planes.ndim, planes.context, planes.context_axis) == (2, 2, "Z")
    assert "each plane is denoised with the 2 before and after it in view" in planes.record.noise
    volume = api.Denoiser.for_image(movie, "ZYX", tiny(dimensions=3))
    assert (volume.ndim, volume.context) == (3, 0)
    hole = api.Denoiser.for_image(movie, "ZYX", tiny(footprint=(1, 3, 3)))
    assert (hole.ndim, hole.footprint) == (3, (1, 3, 3))


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_train_predict_save_load(
    axes: str, movie: NDArray[np.float32], tiny: Tiny, train: Train, tmp_path: Path
) -> None:
    denoiser = api.Denoiser.for_image(movie, axes, tiny())
    events = train(denoiser, movie)
    assert events[-1].step == 10
    result = denoiser.predict(movie)
    assert result.shape == movie.shape
    path = tmp_path / "model.safetensors"
    denoiser.save(path)
    again = api.Denoiser.load(path)
    assert (again.context, again.context_axis) == (2, axes[0])
    np.testing.assert_array_equal(again.predict(movie), result)


def test_going_on_equals_never_having_stopped(
    movie: NDArray[np.float32], tiny: Tiny, train: Train
) -> None:
    whole = api.Denoiser.for_image(movie, "TYX", tiny())
    train(whole, movie)
    parts = api.Denoiser.for_image(movie, "TYX", tiny())
    train(parts, movie, steps=4)
    train(parts, movie, steps=10)
    np.testing.assert_array_equal(parts.predict(movie), whole.predict(movie))


def test_tiles_see_the_neighbours_too(denoiser: api.Denoiser, movie: NDArray[np.float32]) -> None:
    whole = denoiser.predict(movie)
    tiled = denoiser.predict(movie, tile=(16, 16))
    np.testing.assert_allclose(tiled, whole, rtol=1e-5)


def test_chosen_samples_alone_are_denoised(
    denoiser: api.Denoiser, movie: NDArray[np.float32]
) -> None:
    result = denoiser.predict(movie, samples=[0, 4])
    np.testing.assert_array_equal(result[[0, 4]], denoiser.predict(movie)[[0, 4]])
    assert np.isnan(result[[1, 2, 3, 5]]).all()


@pytest.mark.parametrize("resident_bytes", [2**30, 2**16])
def test_crops_hold_the_same_place_of_the_neighbours(resident_bytes: int) -> None:
    """Values tell frame and place; neither the whole in memory nor the pool may mix them up."""
    t, y, x = np.mgrid[:7, :96, :96]
    stack = Stack.of((10_000 * t + 100 * y + x).astype(np.float32), "TYX")
    grid = Grid((4, 4), (1, 1))
    crops = Crops(
        [stack],
        Normalization((0.0,), (1.0,)),
        (16, 16),
        HeldOut(grid, (0, 0)),
        seed=0,
        device=torch.device("cpu"),
        resident_bytes=resident_bytes,
        context=2,
    )
    assert crops.whole is (resident_bytes == 2**30)
    crops.renew(0)
    noisy = crops.cut(crops.draw(200, torch.Generator().manual_seed(0), turns=True)).noisy
    assert noisy.shape == (200, 5, 16, 16)
    whole = 0
    for crop in noisy:
        own, *near = (int(channel[0, 0] // 10_000) if channel.isfinite().all() else None
                      for channel in crop)  # fmt: skip
        assert own is not None
        places = [channel % 10_000 for channel in crop if channel.isfinite().all()]
        assert all(torch.equal(place, places[0]) for place in places)
        there = stack.neighbours(own, 2)
        assert all(n in (None, m) for n, m in zip(near, there, strict=True))
        whole += near == there
        # What is taken away lies beyond an end, so from there on, or it is all.
        gone = [n is None for n in near]
        assert gone in [[0] * 4, [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1], [1] * 4,
                        [1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 1, 1]]  # fmt: skip
    assert whole / 200 == pytest.approx(1 - ALONE, abs=0.2)


def test_the_method_hides_the_frame_and_shows_its_neighbours() -> None:
    method = Noise2Self(Grid((4, 4), (1, 1)), context=1)
    noisy = torch.randn(1, 6, 16, 16, generator=torch.Generator().manual_seed(0))
    targets, filled = method.hide(noisy, torch.zeros((1, 2), dtype=torch.long))
    assert torch.equal(filled[:, 2:], noisy[:, 2:])
    assert (filled[:, :2] != noisy[:, :2])[targets.expand(1, 2, 16, 16)].all()
    assert torch.equal(method.own(noisy), noisy[:, :2])
    noisy[:, 4:] = torch.nan
    _, instead = method.hide(noisy, torch.zeros((1, 2), dtype=torch.long))
    assert torch.equal(instead[:, 4:], filled[:, :2]), "never the pixels that are hidden"


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (48, 40)), ("TYX", (1, 48, 40)), ("TYX", (2, 48, 40))]
)
def test_an_image_with_few_neighbours_or_none_is_denoised_too(
    denoiser: api.Denoiser, axes: str, shape: tuple[int, ...]
) -> None:
    image = np.random.default_rng(0).normal(100, 30, shape)
    before = denoiser.predict(image, axes, output="j-invariant")
    assert np.isfinite(before).all()
    image[..., 20, 17] += 500
    after = denoiser.predict(image, axes, output="j-invariant")
    changed = (after != before)[..., 20, 17]
    assert changed.any() == (shape[0] == 2), "only by the other frame"


def test_a_configuration_that_contradicts_itself_is_refused(movie: NDArray[np.float32]) -> None:
    for wrong in (-1, 9, 1.5, True):
        with pytest.raises(ConfigError, match="from 0 to 8"):
            api.TrainingConfig(context=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="leave context out"):
        api.TrainingConfig(context=1, method="noise2noise")
    with pytest.raises(ConfigError, match="expected 2, 3 or None"):
        api.TrainingConfig(dimensions=4)
    with pytest.raises(ConfigError, match="one width for each dimension"):
        api.TrainingConfig(dimensions=2, footprint=(1, 3, 3))
    with pytest.raises(ConfigError, match="which have no Z"):
        api.Denoiser.for_image(movie, "TYX", api.TrainingConfig(dimensions=3))
    with pytest.raises(ConfigError, match="to see beside each other"):
        api.Denoiser.for_image(movie[0], "YX", api.TrainingConfig(context=1))


def test_a_trained_denoiser_keeps_its_context(
    movie: NDArray[np.float32], tiny: Tiny, train: Train
) -> None:
    denoiser = api.Denoiser.for_image(movie, "TYX", tiny())
    assert denoiser.context == 2
    train(denoiser, movie, context=1)
    assert denoiser.context == 1
    with pytest.raises(ModelMismatchError, match="context 0 instead of 1"):
        train(denoiser, movie, context=0)
    with pytest.raises(ConfigError, match=r"Denoiser\.for_image"):
        train(api.Denoiser.for_image(movie, "ZYX", tiny()), movie, dimensions=3)


def test_a_file_from_before_there_was_context_is_read(
    movie: NDArray[np.float32], tiny: Tiny, train: Train
) -> None:
    denoiser = api.Denoiser.for_image(movie, "TYX", tiny(context=0))
    train(denoiser, movie)
    tensors, header = denoiser.to_state()
    del header["method"]["context"], header["config"]["context"], header["config"]["dimensions"]
    again = api.Denoiser.from_state(tensors, header)
    assert again.context == 0
    np.testing.assert_array_equal(again.predict(movie), denoiser.predict(movie))


def test_a_pair_is_trained_on_without_neighbours(movie: NDArray[np.float32], tiny: Tiny) -> None:
    denoiser = api.Denoiser.for_image(movie, "TYX", tiny())
    assert denoiser.context == 2
    config = replace(denoiser.config, method="noise2noise")
    events = list(api.train(denoiser, movie, config, target=movie[::-1]))
    assert denoiser.context == 0
    assert np.isfinite(events[-1].loss)
