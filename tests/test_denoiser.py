"""The denoiser and the one-liner, as a script uses them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2self import api
from napari_noise2self.core import methods
from napari_noise2self.core.config import PRESETS

Build = Callable[..., api.TrainingConfig]
Noise = Callable[..., NDArray[np.float32]]
Train = Callable[..., list[api.Progress]]

DTYPES = ["uint8", "int8", "uint16", ">u2", "int32", "float16", "float32", ">f4", "float64"]


@pytest.fixture(scope="module")
def truth() -> NDArray[np.float32]:
    """Stripes and a disc, of 48 x 56 pixels."""
    y, x = np.mgrid[:48, :56].astype(np.float32)
    disc = (y - 24) ** 2 + (x - 30) ** 2 < 200
    values: NDArray[np.float32] = (60 + 20 * np.sin(x / 2) + 30 * disc).astype(np.float32)
    return values


def error(image: NDArray[Any], truth: NDArray[np.float32]) -> float:
    return float(np.sqrt(((image - truth) ** 2).mean()))


# The one-liner


def test_the_error_goes_down(truth: NDArray[np.float32], tiny: Build) -> None:
    """Below that of the smoothing it starts from, and the best output below the strict one."""
    truth = np.tile(truth, (2, 2))  # with enough held-out pixels to see it by
    noisy = truth + np.random.default_rng(0).normal(0, 20, truth.shape)
    config = tiny(steps=120, width=8, depth=2, validate_every=30, footprint=(1, 1))
    denoiser = api.Denoiser.for_image(noisy, config=config)
    before = None
    for event in api.train(denoiser, noisy):
        if event.step == 0:
            before = error(denoiser.predict(noisy), truth)
    assert before is not None
    best = error(denoiser.predict(noisy), truth)
    strict = error(denoiser.predict(noisy, output="j-invariant"), truth)
    assert best < 0.5 * error(noisy, truth)
    assert best < 0.95 * before
    assert best < strict < 0.6 * error(noisy, truth)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_gives_what_its_values_give(
    truth: NDArray[np.float32], tiny: Build, dtype: str
) -> None:
    """In the units of the image: neither rescaled nor clipped, and no byte swapped."""
    noisy = (truth + np.random.default_rng(0).normal(0, 5, truth.shape)).clip(0, 127).round()
    config = tiny(steps=8, learning_rate=0.02)  # enough to leave the smoothing behind
    clean = api.denoise(noisy.astype(dtype), config=config)
    assert clean.dtype == np.float32
    assert clean.dtype.isnative
    assert np.array_equal(clean, api.denoise(noisy.astype(np.float32), config=config))
    assert abs(float(clean.mean() - noisy.mean())) < 3


def test_events_go_from_analysis_over_training_to_prediction(noise: Noise, tiny: Build) -> None:
    image = noise(40, 36)
    *events, last = api.denoise_iter(image, config=tiny(steps=3))
    assert list(dict.fromkeys(e.stage for e in events)) == ["analyse", "train", "predict"]
    assert all(e.result is None for e in events)
    assert last.stage == "predict"
    assert np.array_equal(last.result, api.denoise(image, config=tiny(steps=3)))


def test_it_is_the_steps_in_one(noise: Noise, tiny: Build) -> None:
    image, config = noise(2, 40, 36), tiny(steps=3)
    denoiser = api.Denoiser.for_image(image, "ZYX", config)
    for _ in api.train(denoiser, image):
        pass
    outputs: tuple[Any, ...] = ("best", "j-invariant")
    for output in outputs:
        at_once = api.denoise(image, axes="ZYX", config=config, output=output)
        assert np.array_equal(at_once, denoiser.predict(image, output=output))


def test_preset_seed_and_device_reach_the_training(
    truth: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"steps": 8, "width": 4, "depth": 1, "learning_rate": 0.02, "validate_every": 4}
    monkeypatch.setitem(PRESETS, "fast", quick)
    image = truth + np.random.default_rng(0).normal(0, 10, truth.shape)
    first = api.denoise(image, preset="fast", device="cpu")
    assert np.array_equal(first, api.denoise(image, preset="fast", device="cpu", seed=0))
    assert not np.array_equal(first, api.denoise(image, preset="fast", device="cpu", seed=1))
    with pytest.raises(api.DeviceError, match="not there"):
        api.denoise(image, preset="fast", device="cuda:99")
    with pytest.raises(api.ConfigError, match="expected one of fast"):
        api.denoise(image, preset="quick")


def test_axes_of_an_image_are_followed(noise: Noise, tiny: Build) -> None:
    data = noise(3, 36, 34)
    as_image = api.denoise(api.Image(data, "CYX"), config=tiny(steps=2))
    as_array = api.denoise(data, axes="CYX", config=tiny(steps=2))
    assert np.array_equal(as_image, as_array)
    assert not np.array_equal(as_array, api.denoise(data, config=tiny(steps=2)))


def explode(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the loss become infinite after so many steps."""
    loss_of = methods.Noise2Self.loss
    calls = itertools.count()

    def exploding(self: Any, *args: Any) -> Tensor:
        loss = loss_of(self, *args)
        return loss * math.inf if torch.is_grad_enabled() and next(calls) >= steps else loss

    monkeypatch.setattr(methods.Noise2Self, "loss", exploding)


def test_a_loss_that_is_infinite_from_the_start_is_an_error(
    noise: Noise, tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no smoothing for a result; where something was learnt before, the notice is a warning."""
    image = noise(40, 36) + np.linspace(0, 60, 36, dtype=np.float32)
    explode(monkeypatch, 3)
    with pytest.raises(api.ConfigError, match=r"learning_rate=0\.001: .*infinite by step 10.*0001"):
        api.denoise(image, config=tiny(validate_every=25))
    monkeypatch.undo()
    with pytest.raises(api.ConfigError, match=r"learning_rate=1: .* rose by step 20, .*0\.1"):
        api.denoise(image, config=tiny(steps=20, learning_rate=1))
    with pytest.raises(api.ConfigError, match="time was over before the first step"):
        api.denoise(image, config=tiny(time_limit=1e-9))
    explode(monkeypatch, 13)
    with pytest.warns(UserWarning, match=r"step \d+ are kept"):
        clean = api.denoise(image, config=tiny(steps=100))
    assert np.isfinite(clean).all()


def test_an_image_that_may_not_be_written_to(noise: Noise, tiny: Build, tmp_path: Path) -> None:
    """Such as a memory map that is open for reading, of which torch would warn."""
    np.save(tmp_path / "image.npy", noise(40, 36))
    image = np.load(tmp_path / "image.npy", mmap_mode="r")
    torch.set_warn_always(True)
    try:
        clean = api.denoise(image, config=tiny(steps=1))
    finally:
        torch.set_warn_always(False)
    assert np.array_equal(clean, api.denoise(noise(40, 36), config=tiny(steps=1)))


# Notices


def test_a_notice_is_a_warning_at_the_line_of_the_call(
    noise: Noise, tiny: Build, train: Train
) -> None:
    image = noise(40, 36)
    denoiser = api.Denoiser.for_image(image, config=tiny(steps=2, stride=2))
    train(denoiser, image)
    denoiser.predict(image)
    other = 100 * image
    calls: list[Callable[[], Any]] = [
        lambda: denoiser.predict(other),
        lambda: api.disagreement(denoiser, other, partitions=2),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="has mean 9988 .* trained on 99") as warned:
            call()
        assert [w.filename for w in warned] == [__file__]


# Analysis


@pytest.mark.parametrize(
    ("shape", "given", "axes", "channels", "ndim"),
    [
        ((40, 36), None, "YX", 1, 2),
        ((5, 40, 36), None, "TYX", 1, 2),
        ((40, 36, 3), None, "YXC", 3, 2),
        ((3, 40, 36), "CYX", "CYX", 3, 2),
        ((5, 40, 36), "zyx", "ZYX", 1, 2),
        ((2, 2, 5, 40, 36), None, "TCZYX", 2, 2),
    ],
)
def test_it_says_what_it_understood(
    noise: Noise,
    tiny: Build,
    shape: tuple[int, ...],
    given: str | None,
    axes: str,
    channels: int,
    ndim: int,
) -> None:
    denoiser = api.Denoiser.for_image(noise(*shape), given, tiny())
    assert (denoiser.axes, denoiser.channels, denoiser.ndim) == (axes, channels, ndim)
    assert denoiser.record.image.startswith("40 x 36")
    assert len(denoiser.footprint) == ndim
    assert not denoiser.trained


def test_the_last_event_of_the_analysis_holds_the_denoiser(noise: Noise, tiny: Build) -> None:
    *events, last = api.Denoiser.for_image_iter(noise(3, 40, 36), config=tiny())
    assert {e.stage for e in (*events, last)} == {"analyse"}
    assert len(events) == 3
    assert all(e.result is None for e in events)
    assert isinstance(last.result, api.Denoiser)


def test_the_hole_follows_the_noise_unless_it_is_given(tiny: Build) -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(100, 10, (96, 96))
    lines = white + np.roll(white, 1, axis=1) + np.roll(white, 2, axis=1)
    assert api.Denoiser.for_image(white, config=tiny()).footprint == (1, 1)
    assert api.Denoiser.for_image(lines, config=tiny()).footprint > (1, 1)  # without a warning
    *_, last = api.Denoiser.for_image_iter(lines, config=tiny())
    width = last.result.footprint[1]
    assert last.result.footprint[0] == 1
    assert width > 3
    assert last.result.method.grid.stride[1] > width
    assert last.notice == last.result.record.noise
    assert "correlated" in last.notice
    *_, last = api.Denoiser.for_image_iter(lines, config=tiny(footprint=(1, 1)))
    assert last.result.footprint == (1, 1)
    assert last.notice is None


# Files


def test_a_file_gives_back_the_denoiser_bit_for_bit(
    noise: Noise, tiny: Build, train: Train, tmp_path: Path
) -> None:
    image = api.Image(noise(40, 36), name="noise")
    denoiser = api.Denoiser.for_image(image, config=tiny(steps=6))
    train(denoiser, image)
    denoiser.save(tmp_path / "m.safetensors")
    again = api.Denoiser.load(tmp_path / "m.safetensors")
    assert type(again) is api.Denoiser
    assert again.record == denoiser.record
    assert again.config == replace(denoiser.config, device=None)
    outputs: tuple[Any, ...] = ("best", "j-invariant")
    for output in outputs:
        first = denoiser.predict(image, output=output)
        assert np.array_equal(first, again.predict(image, output=output, device="cpu"))


def test_a_denoiser_saved_on_the_way_predicts_as_it_did_there(
    noise: Noise, tiny: Build, tmp_path: Path
) -> None:
    image = noise(40, 36)
    denoiser = api.Denoiser.for_image(image, config=tiny())
    for event in api.train(denoiser, image):
        if event.step == 5:
            shown = denoiser.predict(image)
            denoiser.save(tmp_path / "m.safetensors")
    again = api.Denoiser.load(tmp_path / "m.safetensors")
    assert np.array_equal(again.predict(image, device="cpu"), shown)


def test_a_denoiser_of_planes_is_applied_to_any_number_of_them(
    noise: Noise, tiny: Build, train: Train
) -> None:
    image = noise(40, 36)
    denoiser = api.Denoiser.for_image(image, config=tiny(steps=2))
    train(denoiser, image)
    frames = np.stack([image, image[::-1]])
    clean = denoiser.predict(frames)
    assert clean.shape == frames.shape
    assert np.array_equal(clean[0], denoiser.predict(image))
    assert np.array_equal(denoiser.predict(frames, "TYX"), clean)
