from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtGui import QColor

from napari_noise2self._napari.plot import REPORTS, Curves, LossPlot
from napari_noise2self._napari.theme import colours
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
    values = [1, 3] * (REPORTS // 2) + [1 + REPORTS]
    curves.add([at(10 * n, loss=value) for n, value in enumerate(values, start=1)])
    assert curves.trend[:3] == [(10, 1), (20, 2), (30, 5 / 3)]
    assert curves.trend[-2:] == [(10 * REPORTS, 2), (10 * REPORTS + 10, 3)]
    assert [value for _, value in curves.training] == values


def test_the_range_is_that_of_what_counts() -> None:
    curves = Curves()
    assert curves.shown is None
    curves.add([at(0, validation_loss=0.44, baseline_loss=0.45)])
    curves.add([at(10, loss=0.2), at(20, loss=0.9), at(20, validation_loss=0.42)])
    assert curves.shown is not None
    low, high = (10**end for end in curves.shown)
    assert 0.41 < low < 0.42, "below the held-out curve, and not by much"
    assert 0.45 < high < 0.46, "above the baseline; the training loss does not count"


def test_a_curve_that_is_flat_is_shown_flat() -> None:
    curves = Curves()
    curves.add([at(10 * n, validation_loss=0.4 + 1e-6 * n, baseline_loss=0.4) for n in range(5)])
    assert curves.shown is not None
    assert np.ptp(curves.shown) == pytest.approx(math.log10(1.05))


def test_without_held_out_pixels_the_training_loss_is_in_view() -> None:
    curves = Curves()
    curves.add([at(10, loss=0.3)])
    assert curves.shown is not None
    assert curves.shown[0] < math.log10(0.3) < curves.shown[1]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_legends_and_messages_can_be_read(theme: str) -> None:
    def luminance(colour: str) -> float:
        parts = np.array(QColor(colour).getRgbF()[:3])
        linear = np.where(parts <= 0.04, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    viewer = ViewerModel()
    viewer.theme = theme
    found = colours(viewer)
    for name in ("text", "error", "training", "held_out", "baseline"):
        low, high = sorted((luminance(found[name]), luminance(found["background"])))
        assert (high + 0.05) / (low + 0.05) > 4.5, name


def test_values_that_a_log_scale_cannot_show_are_left_out() -> None:
    curves = Curves()
    curves.add([at(1, loss=0.0), at(2, loss=float("nan")), at(3, loss=float("inf"))])
    assert curves.training == []


def test_the_plot_shows_itself_when_there_is_something_to_see(qtbot: Any) -> None:
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.set_colours(colours(ViewerModel()))
    assert plot.isHidden()
    plot.add(EVENTS)
    assert not plot.isHidden()
    assert plot._held_out.getData()[0].tolist() == [0, 20, 40]
    assert plot._best.getData()[0].tolist() == [20]
    assert plot._baseline.getData()[0].tolist() == [0, 40]
    (_, view), labels = plot.canvas.viewRange(), plot.item.getAxis("left")
    ((_, ticks),) = labels.tickValues(*view, 100)
    assert labels.tickStrings(ticks, 1, 1) == ["0.5", "1"], "one label gives no scale"
    plot.start_again()
    assert plot.isHidden()
