from __future__ import annotations

from typing import Any

from napari_noise2self._napari.plot import Curves, LossPlot
from napari_noise2self.core.config import Progress


def at(step: int, **content: Any) -> Progress:
    return Progress(stage="train", step=step, steps=100, seconds=0.0, **content)


EVENTS = [
    at(0, validation_loss=0.9, baseline_loss=0.8, best_step=0),
    at(10, loss=0.7, best_step=0),
    at(20, loss=0.6, validation_loss=0.5, best_step=20),
    at(21, best_step=20),
    at(40, loss=0.5, validation_loss=0.55, best_step=20),
]


def test_curves_keep_what_was_measured() -> None:
    curves = Curves()
    assert curves.add(EVENTS)
    assert curves.training == [(10, 0.7), (20, 0.6), (40, 0.5)]
    assert curves.held_out == [(0, 0.9), (20, 0.5), (40, 0.55)]
    assert curves.baseline == 0.8
    assert curves.best == (20, 0.5)
    assert not curves.add([at(41)]), "nothing new to draw"


def test_the_training_loss_is_drawn_as_a_running_mean() -> None:
    curves = Curves()
    curves.add([at(10 * n, loss=value) for n, value in enumerate((1, 3, 2, 2, 2, 7, 4), start=1)])
    assert curves.trend == [
        (10, 1), (20, 2), (30, 2), (40, 2), (50, 2), (60, 16 / 5), (70, 17 / 5),
    ]  # fmt: skip
    assert [value for _, value in curves.training] == [1, 3, 2, 2, 2, 7, 4]


def test_values_that_a_log_scale_cannot_show_are_left_out() -> None:
    curves = Curves()
    curves.add([at(1, loss=0.0), at(2, loss=float("nan")), at(3, loss=float("inf"))])
    assert curves.training == []


def test_the_plot_shows_itself_when_there_is_something_to_see(qtbot: Any) -> None:
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.set_colours(background="#262930", text="#ffffff")
    assert plot.isHidden()
    plot.add(EVENTS)
    assert not plot.isHidden()
    assert plot._held_out.getData()[0].tolist() == [0, 20, 40]
    assert plot._best.getData()[0].tolist() == [20]
    assert plot._baseline.getData()[0].tolist() == [0, 40]
    plot.start_again()
    assert plot.isHidden()
