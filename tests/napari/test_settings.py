from __future__ import annotations

from dataclasses import replace

import pytest

from napari_noise2self._napari import settings
from napari_noise2self._napari.settings import Remembered, changes_from_preset
from napari_noise2self.core.config import TrainingConfig


def test_without_a_past_there_are_defaults() -> None:
    assert settings.load() == Remembered()
    assert Remembered().config() == TrainingConfig.preset("balanced")


def test_what_is_saved_is_loaded() -> None:
    remembered = Remembered(
        preset="best",
        changes={"width": 24, "footprint": (1, 9), "time_limit": 60.0},
        output="j-invariant",
        denoise_after=False,
        folder="/somewhere",
        devices={"automatic": "GPU: of the lab"},
        seconds_per_step={"2d": 0.1},
    )
    settings.save(remembered)
    assert settings.load() == remembered
    expected = replace(TrainingConfig.preset("best"), width=24, footprint=(1, 9), time_limit=60.0)
    assert settings.load().config() == expected


def test_changes_are_what_differs_from_the_preset() -> None:
    config = replace(TrainingConfig.preset("fast"), width=8)
    assert changes_from_preset(config, "fast") == {"width": 8}


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"preset": "of another version"}',
        '{"changes": {"width": -1}}',
        '{"changes": {"gone": 1}}',
        '{"changes": 3}',
        '{"output": "of another version"}',
        '{"folder": 3}',
    ],
)
def test_what_cannot_be_used_gives_the_defaults(text: str) -> None:
    settings._storage().setValue("remembered", text)
    assert settings.load() == Remembered()


def test_fields_of_a_later_version_are_passed_over() -> None:
    settings._storage().setValue("remembered", '{"preset": "fast", "later": 1}')
    assert settings.load() == Remembered(preset="fast")
