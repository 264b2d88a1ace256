"""Whatever is wrong, the error says what was given, what is needed and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_noise2self import api

Build = Callable[..., api.TrainingConfig]
Noise = Callable[..., NDArray[np.float32]]


def broken(value: float) -> NDArray[np.float64]:
    image = np.random.default_rng(0).normal(100, 10, (40, 40))
    image[3, 4:7] = value
    return image


PLANE = np.random.default_rng(0).normal(100, 10, (40, 40))

IMAGES: list[tuple[str, Any, str | None, type[Exception], str]] = [
    ("nan", broken(np.nan), None, api.ImageError, "3 NaN or infinite values among 1600; replace"),
    ("inf", broken(-np.inf), None, api.ImageError, "for example with api.fill_nan(image)"),
    ("constant", np.full((40, 40), 7), None, api.ImageError, "constant, every value about 7"),
    ("thin", PLANE[:31], None, api.ImageError, "31 x 40 pixels; at least 32 x 32"),
    ("narrow", PLANE[:, :5], None, api.ImageError, "40 x 5 pixels; at least"),
    ("empty", PLANE[:0], None, api.ImageError, "the image is empty"),
    ("complex", PLANE + 1j, None, api.ImageError, "take its magnitude or its real part"),
    ("masked", np.ma.masked_greater(PLANE, 110), None, api.ImageError, "give api.fill_nan(image)"),
    ("name", "cells.tif", None, api.ImageError, "give api.read_image('cells.tif')"),
    ("ragged", [[1, 2], [3]], None, api.ImageError, "with rows of one length"),
    ("axes", PLANE, ("Y", "X"), api.AxesError, 'expected one text, for example "YX"'),
    ("bool", PLANE > 100, None, api.ImageError, "image.astype('uint8')"),
    ("words", PLANE.astype(str), None, api.ImageError, "image.astype('float32')"),
    ("objects", PLANE.astype(object), None, api.ImageError, "image.astype('float32')"),
    ("a line", PLANE[0], None, api.AxesError, "arrange it in rows and columns"),
    ("six axes", PLANE[(None,) * 4], None, api.AxesError, "take a part of it, as image[0]"),
    ("too few", PLANE[None], "YX", api.AxesError, 'add a letter, for example "TYX"'),
    ("too many", PLANE, "TYX", api.AxesError, 'drop a letter, for example "YX"'),
    ("unknown", PLANE, "YQ", api.AxesError, 'has the letter "Q"; expected letters from T (time)'),
    ("twice", PLANE, "YY", api.AxesError, "names Y more than once; each letter may stand once"),
    ("no X", PLANE, "ZY", api.AxesError, "lacks Y or X; every image needs both"),
]


@pytest.mark.parametrize(
    ("image", "axes", "kind", "mend"), [row[1:] for row in IMAGES], ids=[row[0] for row in IMAGES]
)
def test_an_image_that_cannot_be_denoised(
    tiny: Build, image: Any, axes: str | None, kind: type[Exception], mend: str
) -> None:
    """By whichever door it comes in."""
    with pytest.raises(kind, match=re.escape(mend)):
        api.denoise(image, axes=axes, config=tiny())
    with pytest.raises(kind, match=re.escape(mend)):
        api.Denoiser.for_image(image, axes, tiny())
    if axes is None:
        with pytest.raises(kind, match=re.escape(mend)):
            api.denoise(api.Image(image), config=tiny())


@pytest.mark.parametrize(
    ("image", "axes", "kind", "mend"),
    [row[1:] for row in IMAGES if row[0] != "constant"],
    ids=[row[0] for row in IMAGES if row[0] != "constant"],
)
def test_an_image_that_cannot_be_predicted(
    random_denoiser: Callable[..., api.Denoiser],
    image: Any,
    axes: str | None,
    kind: type[Exception],
    mend: str,
) -> None:
    """A constant one can: an empty frame of a movie is no error."""
    if kind is api.ImageError and "NaN" in mend:
        mend = "3 of them in one tile of sample 0; replace them"
    with pytest.raises(kind, match=re.escape(mend)):
        random_denoiser().predict(image, axes)


def test_filling_what_the_error_names_is_enough(tiny: Build) -> None:
    for value in (np.nan, np.inf):
        clean = api.denoise(api.fill_nan(broken(value)), config=tiny(steps=1))
        assert np.isfinite(clean).all()


def test_training_on_an_image_that_became_too_small(noise: Noise, tiny: Build) -> None:
    denoiser = api.Denoiser.for_image(noise(40, 40), config=tiny())
    with pytest.raises(api.ImageError, match="take a larger region"):
        next(api.train(denoiser, noise(40, 20)))


def test_predicting_before_training(noise: Noise, tiny: Build, tmp_path: Path) -> None:
    image = noise(40, 40)
    denoiser = api.Denoiser.for_image(image, config=tiny())
    with pytest.raises(api.NotTrainedError, match=r"call api\.train first"):
        denoiser.predict(image)
    denoiser.save(tmp_path / "untrained.safetensors")
    with pytest.raises(api.NotTrainedError, match=r"call api\.train first"):
        api.Denoiser.load(tmp_path / "untrained.safetensors").predict(image)


@pytest.mark.parametrize(
    ("arguments", "kind", "mend"),
    [
        ({"output": "strict"}, api.ConfigError, "expected one of best, j-invariant"),
        ({"passes": 0}, api.ConfigError, "expected 1 or more"),
        (
            {"passes": 2, "output": "j-invariant"},
            api.ConfigError,
            "the strict output needs every pass",
        ),
        ({"passes": 1.5}, api.ConfigError, "expected 1 or more"),
        ({"samples": [1]}, api.ConfigError, "expected whole numbers from 0 to 0"),
        ({"samples": np.array([True])}, api.ConfigError, "expected whole numbers from 0 to 0"),
        ({"tile": 8}, api.ConfigError, "expected 2 sizes above 0"),
        ({"tile": (0, 8)}, api.ConfigError, "expected 2 sizes above 0"),
        ({"tile": (8, 8, 8)}, api.ConfigError, "or None, to take them from the memory"),
        ({"out": np.zeros((2, 2))}, api.ImageError, "expected the image's, (40, 40)"),
        ({"device": "cuda:99"}, api.DeviceError, 'device "cuda:99" is not there; here are: '),
        ({"device": "abacus"}, api.DeviceError, 'device "abacus" is unknown; here are: '),
        ({"axes": "TYX"}, api.AxesError, "drop a letter"),
    ],
)
def test_predicting_with_arguments_that_make_no_sense(
    random_denoiser: Callable[..., api.Denoiser],
    noise: Noise,
    arguments: dict[str, Any],
    kind: type[Exception],
    mend: str,
) -> None:
    with pytest.raises(kind, match=re.escape(mend)):
        random_denoiser().predict(noise(40, 40), **arguments)


@pytest.mark.parametrize(
    ("changes", "kind", "mend"),
    [
        ({"footprint": (1, 1, 1)}, api.ConfigError, "leave dimensions out and give"),
        ({"footprint": (1, 21)}, api.ConfigError, "pixels; give a narrower one"),
        ({"device": "cuda:99"}, api.DeviceError, 'device "cuda:99" is not there; here are: '),
        ({"method": "noise2noise"}, api.ConfigError, "give a second image of the scene as target="),
    ],
)
def test_training_with_a_configuration_that_does_not_fit(
    noise: Noise, tiny: Build, changes: dict[str, Any], kind: type[Exception], mend: str
) -> None:
    with pytest.raises(kind, match=re.escape(mend)):
        api.denoise(noise(40, 40), config=tiny(**changes))


@pytest.mark.parametrize("beside", [{"preset": "fast"}, {"seed": 1}, {"device": "cpu"}])
def test_what_a_configuration_would_overrule_is_refused(
    tiny: Build, beside: dict[str, Any]
) -> None:
    with pytest.raises(api.ConfigError, match="give one or the other"):
        api.denoise(PLANE, config=tiny(), **beside)


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        ({"output": "strict"}, "expected one of best, j-invariant"),
        ({"output": "j-invariant", "target": PLANE.T}, 'no J-invariant output; use output="best"'),
    ],
)
def test_an_output_that_there_is_none_of_is_refused_before_anything_is_done(
    tiny: Build, arguments: dict[str, Any], mend: str
) -> None:
    unreadable = np.full((40, 40), np.nan)  # which would be the first thing to be said
    with pytest.raises(api.ConfigError, match=re.escape(mend)):
        api.denoise(unreadable, config=tiny(), **arguments)


@pytest.mark.parametrize(
    ("target", "mend"),
    [(None, "give a second image of the scene as target="), (PLANE[1:], "with the same shape")],
)
def test_a_lacking_or_wrong_target_is_told_of_before_the_analysis(
    tiny: Build, target: Any, mend: str
) -> None:
    events = api.denoise_iter(PLANE, target=target, config=tiny(method="noise2noise"))
    with pytest.raises(api.Noise2SelfError, match=re.escape(mend)):
        next(events)


@pytest.mark.parametrize("seed", [-1, 0.5])
@pytest.mark.parametrize("verb", [api.calibrate, api.diagnose, partial(api.inspect_result, PLANE)])
def test_a_seed_out_of_range(verb: Callable[..., Any], seed: Any) -> None:
    with pytest.raises(api.ConfigError, match=f"seed={seed}: expected a whole number from 0"):
        verb(PLANE, seed=seed)


def test_a_target_that_the_method_does_not_take(noise: Noise, tiny: Build) -> None:
    image = noise(40, 40)
    denoiser = api.Denoiser.for_image(image, config=tiny())
    with pytest.raises(api.ConfigError, match='use method="noise2noise"'):
        next(api.train(denoiser, image, target=noise(40, 40, seed=1)))


def test_a_model_that_cannot_be_written_or_read(
    random_denoiser: Callable[..., api.Denoiser], tmp_path: Path
) -> None:
    """More on files in `test_models`; here, that the denoiser's verbs say so too."""
    denoiser = random_denoiser()
    with pytest.raises(api.ModelFileError, match="does not exist"):
        api.Denoiser.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(api.ModelFileError):
        denoiser.save(tmp_path / "no" / "such" / "folder" / "m.safetensors")
    (tmp_path / "text.safetensors").write_text("not a model")
    with pytest.raises(api.ModelFileError, match=r"choose a \.safetensors file"):
        api.Denoiser.load(tmp_path / "text.safetensors")
    denoiser.save(tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(api.ModelFileError, match="bytes are missing"):
        api.Denoiser.load(tmp_path / "m.safetensors")


def test_none_of_ours_is_a_runtime_error() -> None:
    """Qt's thread workers take that for "the worker was deleted" and drop it."""
    errors = [v for v in vars(api).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert len(errors) > 8
    assert not any(issubclass(e, RuntimeError) for e in errors)
    assert all(issubclass(e, api.Noise2SelfError) for e in errors)
