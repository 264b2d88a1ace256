"""A model as weights and header: what comes back is what went out, or the error says why not."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2self import api
from napari_noise2self.core import model
from napari_noise2self.core.methods import METHODS
from napari_noise2self.core.record import TrainingRecord

Random = Callable[..., api.Denoiser]
Noise = Callable[..., NDArray[np.float32]]
State = tuple[dict[str, Tensor], dict[str, Any]]


def through_json(denoiser: api.Denoiser) -> State:
    tensors, header = denoiser.to_state()
    return tensors, json.loads(json.dumps(header, allow_nan=False))


@pytest.mark.parametrize(
    ("axes", "shape", "changes"),
    [
        ("YX", (36, 33), {}),
        ("YX", (36, 33), {"network": "dncnn", "footprint": (1, 9)}),
        ("TYX", (2, 36, 33), {"depth": 2, "width": 5}),
        ("CYX", (3, 32, 35), {"footprint": (3, 3)}),
        ("ZYX", (4, 32, 35), {"stride": (2, 2, 2)}),
    ],
)
def test_a_model_predicts_the_same_bit_for_bit_once_it_is_rebuilt(
    random_denoiser: Random,
    noise: Noise,
    axes: str,
    shape: tuple[int, ...],
    changes: dict[str, Any],
) -> None:
    channels = dict(zip(axes, shape, strict=True)).get("C", 1)
    denoiser = random_denoiser(axes, channels=channels, **changes)
    # numbers that have no short decimal form survive as well
    stats = type(denoiser.normalization)((100 + 1 / 3,) * channels, (math.pi,) * channels)
    denoiser.normalization = stats
    again = api.Denoiser.from_state(*through_json(denoiser))
    assert again.normalization == stats
    assert again.method == denoiser.method
    assert again.trained
    assert again.training is None
    for name in ("axes", "channels", "ndim", "footprint"):
        assert getattr(again, name) == getattr(denoiser, name)
    image = noise(*shape)
    outputs: tuple[Any, ...] = ("best", "j-invariant")
    for output in outputs:
        first, second = (d.predict(image, output=output, device="cpu") for d in (denoiser, again))
        assert np.array_equal(first, second)


@pytest.mark.parametrize("name", METHODS)
def test_the_method_is_remembered(random_denoiser: Random, name: str) -> None:
    denoiser = random_denoiser()
    denoiser.method = METHODS[name](denoiser.method.grid)
    assert type(api.Denoiser.from_state(*through_json(denoiser)).method) is METHODS[name]


def test_the_configuration_comes_back_without_the_device_of_the_machine_that_trained_it(
    random_denoiser: Random,
) -> None:
    denoiser = random_denoiser(learning_rate=3e-4, seed=11)
    again = api.Denoiser.from_state(*through_json(denoiser))
    assert again.config.device is None
    assert (again.config.learning_rate, again.config.seed) == (3e-4, denoiser.config.seed)


def test_the_state_shares_no_memory_with_what_goes_on_training(random_denoiser: Random) -> None:
    denoiser = random_denoiser()
    tensors, _ = denoiser.to_state()
    again = api.Denoiser.from_state(*through_json(denoiser))
    with torch.no_grad():
        for parameter in again.network.parameters():
            parameter.zero_()
    assert all(bool(v.any()) for v in denoiser.network.state_dict().values())
    assert all(bool(v.any()) for v in tensors.values())


# The record


def test_a_record_survives_whole() -> None:
    record = TrainingRecord(
        image="cells: 64 x 64",
        noise="independent",
        device="CPU",
        steps=30,
        earlier_steps=10,
        seconds=1.5,
        best_step=25,
        validation_loss=0.1 + 0.2,
        baseline_loss=1 / 3,
        curve=((0, 1.0), (25, 0.1 + 0.2)),
    )
    assert TrainingRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_what_is_not_known_is_null_in_json_and_nan_in_python() -> None:
    values = TrainingRecord().to_dict()
    assert values["validation_loss"] is None
    assert math.isnan(TrainingRecord.from_dict(values).validation_loss)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_what_is_not_finite_is_null_in_json_as_well(loss: float) -> None:
    record = TrainingRecord(validation_loss=loss, curve=((0, 1.0), (25, loss)))
    values = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert (values["validation_loss"], values["curve"]) == (None, [[0, 1.0], [25, None]])
    again = TrainingRecord.from_dict(values)
    assert again.curve[0] == (0, 1.0)
    assert math.isnan(again.curve[1][1])


def test_what_a_later_version_adds_is_left_out(random_denoiser: Random) -> None:
    tensors, header = through_json(random_denoiser())
    header["record"]["electricity"] = 3.0
    header["config"]["dropout"] = 0.5
    header["licence"] = "CC0"
    again = api.Denoiser.from_state(tensors, header)
    assert again.record == TrainingRecord(steps=1)


def test_what_an_earlier_version_did_not_know_has_its_default(random_denoiser: Random) -> None:
    tensors, header = through_json(random_denoiser())
    del header["record"]["earlier_steps"], header["config"]["patience"]
    again = api.Denoiser.from_state(tensors, header)
    assert again.record.earlier_steps == 0
    assert again.config.patience == api.TrainingConfig().patience


# What does not fit


def altered(header: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        header = header[name]
    header[last] = value


@pytest.mark.parametrize(
    "path",
    ["network", "method", "normalization", "axes", "config", "record", "method.stride",
     "normalization.std", "method.name"],
)  # fmt: skip
def test_a_missing_part_is_named(random_denoiser: Random, path: str) -> None:
    tensors, header = through_json(random_denoiser())
    *parents, last = path.split(".")
    part = header
    for name in parents:
        part = part[name]
    del part[last]
    with pytest.raises(api.ModelFileError, match=f"incomplete or altered .*{last}.*train anew"):
        api.Denoiser.from_state(tensors, header)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("network.channels", 2),
        ("network.width", 8),
        ("network.name", "dncnn"),
        ("network.ndim", 3),
        ("axes", "ZYQ"),
        ("axes", "YYX"),
        ("axes", 7),
        ("normalization.mean", [1.0, 2.0]),
        ("normalization.mean", ["a"]),
        ("normalization", {"mean": [1.0, 2.0], "std": [1.0, 2.0]}),
        ("method.stride", [4, 1]),
        ("method.stride", [4, 4, 4]),
        ("method.footprint", [2, 2]),
        ("method", {"name": "noise2self", "stride": [4, 4, 4], "footprint": [1, 1, 1]}),
        ("method.name", "noise2void"),
        ("method.context", 10**8),
        ("method.context", -1),
        ("normalization.mean", [math.inf]),
        ("normalization.std", [math.nan]),
        ("normalization.std", [-1.0]),
        ("method", "noise2self"),
        ("config.depth", 2),
        ("config.depth", "deep"),
        ("config.network", "resnet"),
        ("config", []),
        ("config", None),
        ("record", None),
        ("record", [1]),
        ("record.curve", 3),
        ("record.validation_loss", "low"),
        ("record.steps", [1]),
        ("network", None),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(
    random_denoiser: Random, path: str, value: Any
) -> None:
    tensors, header = through_json(random_denoiser())
    altered(header, path, value)
    with pytest.raises(api.ModelFileError, match=r"the model's header .*; save it again from"):
        api.Denoiser.from_state(tensors, header)


def test_weights_that_are_missing_extra_or_of_another_shape_are_named(
    random_denoiser: Random,
) -> None:
    tensors, header = through_json(random_denoiser())
    name = "last.weight"
    missing, extra, misshaped = (copy.copy(tensors) for _ in range(3))
    del missing[name]
    extra["last.scale"] = torch.ones(1)
    misshaped[name] = tensors[name][:, :2]
    for wrong, message in [
        (missing, r'1 weight.* "last.weight": expected shape \(1, 4, 1, 1\), found None'),
        (extra, r'1 weight.* "last.scale": expected shape None, found \(1,\)'),
        (misshaped, r'1 weight.* "last.weight": expected shape .*, found \(1, 2, 1, 1\)'),
        ({}, r"\d+ weight\(s\) do not fit"),
    ]:
        with pytest.raises(api.ModelFileError, match=message):
            api.Denoiser.from_state(wrong, header)


def test_nothing_is_allocated_for_a_network_that_does_not_fit_its_weights(
    random_denoiser: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*given: Any, **named: Any) -> torch.nn.Module:
        raise AssertionError("it would take all memory")

    tensors, header = through_json(random_denoiser())
    header["network"]["width"] = header["config"]["width"] = 512
    monkeypatch.setattr(model, "build_network", build)
    with pytest.raises(api.ModelFileError, match=r"weight\(s\) do not fit"):
        api.Denoiser.from_state(tensors, header)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(random_denoiser: Random, value: float) -> None:
    tensors, header = through_json(random_denoiser())
    tensors["last.bias"] = torch.full_like(tensors["last.bias"], value)
    with pytest.raises(api.ModelFileError, match=r'"last.bias" holds values .*train anew'):
        api.Denoiser.from_state(tensors, header)
    tensors["last.bias"] = torch.zeros_like(tensors["last.bias"], dtype=torch.complex64)
    with pytest.raises(api.ModelFileError, match="not of float32"):
        api.Denoiser.from_state(tensors, header)


# Whether an image fits


@pytest.mark.parametrize(
    ("model", "given", "shape", "axes"),
    [
        ("YX", None, (32, 33), "YX"),
        ("ZYX", None, (4, 32, 33), "ZYX"),  # the model's own, where a guess would say TYX
        ("CYX", None, (2, 32, 33), "CYX"),
        ("YX", None, (4, 32, 33), "TYX"),  # the model's do not fit: a guess
        ("ZYX", "XYZ", (32, 33, 4), "XYZ"),
        ("TYX", "YX", (32, 33), "YX"),
    ],
)
def test_axes_are_those_given_else_the_models_else_a_guess(
    random_denoiser: Random, model: str, given: str | None, shape: tuple[int, ...], axes: str
) -> None:
    denoiser = random_denoiser(model, channels=2 if "C" in model else 1)
    data = np.zeros(shape, np.float32)
    assert denoiser.see(data, given).axes == axes
    assert denoiser.see(api.Image(data, given)).axes == axes  # known or not
    assert denoiser.see(denoiser.see(data, given)).axes == axes


@pytest.mark.parametrize(
    ("model", "shape", "axes", "message"),
    [
        ("ZYX", (32, 32), "YX", r'volumes \(3-D, .* give a volume, axes "ZYX"'),
        ("YX", (2, 32, 32), "CYX", r"1 channel\(s\) and the image has 2 .*pick matching channels"),
        ("CYX", (3, 32, 32), "CYX", r"2 channel\(s\) and the image has 3"),
        ("CYX", (32, 32), "YX", r"2 channel\(s\) and the image has 1"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_the_mend(
    random_denoiser: Random, model: str, shape: tuple[int, ...], axes: str, message: str
) -> None:
    denoiser = random_denoiser(model, channels=2 if "C" in model else 1)
    with pytest.raises(api.ModelMismatchError, match=message):
        denoiser.see(np.zeros(shape, np.float32), axes)
