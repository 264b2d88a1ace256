from __future__ import annotations

from dataclasses import replace

from napari_noise2self._napari.durations import expected, kind_of_step
from napari_noise2self.core.config import TrainingConfig

CONFIG = TrainingConfig()


def test_what_was_measured_wins() -> None:
    rough, measured = expected(CONFIG, 2, {})
    assert rough > 0
    assert not measured
    assert expected(CONFIG, 2, {kind_of_step(CONFIG, 2): 0.01}) == (CONFIG.steps * 0.01, True)
    assert expected(CONFIG, 3, {kind_of_step(CONFIG, 2): 0.01})[1] is False


def test_more_steps_and_wider_networks_take_longer() -> None:
    seconds = expected(CONFIG, 2, {})[0]
    assert expected(replace(CONFIG, steps=2 * CONFIG.steps), 2, {})[0] == 2 * seconds
    assert expected(replace(CONFIG, width=2 * CONFIG.width), 2, {})[0] == 4 * seconds


def test_it_never_takes_longer_than_its_limit() -> None:
    assert expected(replace(CONFIG, time_limit=5.0), 2, {})[0] == 5.0


def test_a_training_that_goes_on_takes_the_rest() -> None:
    seconds = expected(CONFIG, 2, {})[0]
    assert expected(CONFIG, 2, {}, steps_done=CONFIG.steps // 2)[0] == seconds / 2
