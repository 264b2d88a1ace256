"""Configurations: defaults that work, presets in steps, and errors that name the range."""

from __future__ import annotations

import json
import math
import re
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import numpy as np
import pytest

from napari_noise2self.core.config import CHOICES, LIMITS, PRESETS, Progress, TrainingConfig
from napari_noise2self.core.errors import ConfigError


def test_every_field_has_a_default() -> None:
    config = TrainingConfig()
    for name, (low, high) in LIMITS.items():
        assert low <= getattr(config, name) <= high
    for name, choices in CHOICES.items():
        assert getattr(config, name) in choices


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_defined_in_steps(name: str) -> None:
    """So that a seed gives one result, however fast the machine."""
    config = TrainingConfig.preset(name)
    assert config.time_limit is None
    for key, value in PRESETS[name].items():
        assert getattr(config, key) == value


def test_presets_take_more_steps_the_better_they_are() -> None:
    steps = [TrainingConfig.preset(name).steps for name in ("fast", "balanced", "best")]
    assert steps == sorted(set(steps))
    assert TrainingConfig.preset("balanced") == TrainingConfig()


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="preset='great': expected one of fast, balanced, best"):
        TrainingConfig.preset("great")


@pytest.mark.parametrize("name", LIMITS)
def test_whole_numbers_are_checked_against_their_limits(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low, high):
        assert getattr(replace(TrainingConfig(), **{name: value}), name) == value
    message = re.escape(f": expected a whole number from {low} to {high}")
    for value in (low - 1, high + 1, float(low), str(low), True, None):
        with pytest.raises(ConfigError, match=f"^{name}=.*{message}"):
            replace(TrainingConfig(), **{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0}, "learning_rate=0: expected a number above 0 and up to 1"),
        ({"learning_rate": 1.5}, "learning_rate=1.5"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"learning_rate": "high"}, "learning_rate='high'"),
        ({"time_limit": 0}, "time_limit=0: expected seconds above 0, or None"),
        ({"time_limit": math.nan}, "time_limit=nan"),
        ({"time_limit": math.inf}, "time_limit=inf: expected seconds above 0, or None"),
        ({"time_limit": "1 min"}, "time_limit='1 min'"),
        ({"footprint": (2, 2)}, "expected one odd width for each spatial axis"),
        ({"footprint": (1,)}, "expected one odd width for each spatial axis"),
        ({"footprint": (1, 1, 1, 1)}, "expected one odd width for each spatial axis"),
        ({"footprint": (1, -1)}, "expected one odd width for each spatial axis"),
        ({"footprint": (1.0, 1.0)}, "expected one odd width for each spatial axis"),
        ({"context": True}, "context=True: expected a whole number"),
        ({"footprint": 5}, "expected one odd width for each spatial axis"),
        ({"precision": "float16"}, "precision='float16': expected one of auto, float32, bfloat16"),
        ({"network": "resnet"}, "network='resnet': expected one of unet, dncnn"),
        ({"method": "noise2void"}, "method='noise2void': expected one of noise2self"),
    ],
)
def test_everything_else_is_checked_too(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrainingConfig(**changes)


def test_a_misspelled_field_fails() -> None:
    with pytest.raises(TypeError, match="learn_rate"):
        TrainingConfig(learn_rate=1e-3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "value", [TrainingConfig(), Progress(stage="s", step=0, steps=1, seconds=0)]
)
def test_parameters_and_events_are_frozen(value: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, 1)


def test_numpy_scalars_are_numbers() -> None:
    given = TrainingConfig(
        seed=np.int64(3),
        steps=np.uint16(7),
        learning_rate=np.float32(0.5),
        footprint=np.array([1, 3]),
        dimensions=np.int64(2),
        context=np.int8(1),
    )
    plain = TrainingConfig(
        seed=3, steps=7, learning_rate=0.5, footprint=(1, 3), dimensions=2, context=1
    )
    assert given == plain
    assert json.dumps(asdict(given)) == json.dumps(asdict(plain))
