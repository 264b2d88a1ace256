"""The loss while it falls: training and held-out curve, the baseline to beat, the best step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..core.config import Progress

TRAINING = "#4c9be8"
HELD_OUT = "#f08a3c"
BASELINE = "#9a9a9a"


@dataclass
class Curves:
    """What the plot shows, without Qt."""

    training: list[tuple[int, float]] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    baseline: float | None = None
    best_step: int | None = None

    def add(self, events: Iterable[Progress]) -> bool:
        """Take in events; returns whether there is anything new to draw."""
        new = False
        for event in events:
            if event.loss is not None and event.loss > 0 and math.isfinite(event.loss):
                self.training.append((event.step, event.loss))
                new = True
            value = event.validation_loss
            if value is not None and value > 0 and math.isfinite(value):
                self.held_out.append((event.step, value))
                new = True
            if event.baseline_loss is not None:
                self.baseline = event.baseline_loss
            if event.best_step is not None:
                self.best_step = event.best_step
        return new

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and held-out loss of the best weights."""
        return next((p for p in self.held_out if p[0] == self.best_step), None)


class LossPlot(pg.PlotWidget):
    """Draws `Curves` in the colours of napari's theme."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("loss_plot")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "How far the network's guess of each hidden pixel is from its noisy value: lower is "
            "better.\nThe orange curve counts, on pixels that the network never trains on. Below "
            "the dashed line the network beats a plain average of the neighbours.\nThe curves "
            "level off above zero: what remains is the noise itself."
        )
        self.setMenuEnabled(False)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        plot = self.getPlotItem()
        plot.setLogMode(y=True)
        plot.getAxis("bottom").enableAutoSIPrefix(False)
        plot.setLabel("bottom", "step")
        plot.setLabel("left", "loss")
        self._legend = plot.addLegend(offset=(-4, 4), labelTextSize="8pt", verSpacing=-6)
        self._training = plot.plot(name="training", pen=pg.mkPen(TRAINING, width=1))
        self._held_out = plot.plot(name="held-out", pen=pg.mkPen(HELD_OUT, width=2))
        self._best = plot.plot(
            name="best", pen=None, symbol="star", symbolSize=12, symbolBrush=HELD_OUT
        )
        self._baseline = plot.plot(
            name="neighbours' average",
            pen=pg.mkPen(BASELINE, width=1, style=Qt.PenStyle.DashLine),
        )
        self.curves = Curves()
        self.show_curves()

    def sizeHint(self) -> QSize:
        """Ask for less than the 640 x 480 of a bare plot widget, which squeezes the canvas."""
        return QSize(260, 150)

    def minimumSizeHint(self) -> QSize:
        """Keep the axes readable."""
        return QSize(160, 130)

    def start_again(self) -> None:
        """Forget the curves."""
        self.curves = Curves()
        self.show_curves()

    def add(self, events: Iterable[Progress]) -> None:
        """Take in events and draw what is new."""
        if self.curves.add(events):
            self.show_curves()

    def show_curves(self) -> None:
        """Draw."""
        curves = self.curves
        self._training.setData(*_columns(curves.training))
        self._held_out.setData(*_columns(curves.held_out))
        self._best.setData(*_columns([curves.best] if curves.best else []))
        steps = [step for step, _ in curves.training + curves.held_out]
        line = curves.baseline if steps else None
        ends = [(min(steps), line), (max(steps), line)] if line is not None else []
        self._baseline.setData(*_columns(ends))

    def set_colours(self, *, background: str, text: str) -> None:
        """Take on the colours of a theme.

        Parameters
        ----------
        background, text
            Colour names as Qt reads them, for example ``"#262930"``.
        """
        self.setBackground(background)
        plot = self.getPlotItem()
        for name in ("bottom", "left"):
            axis = plot.getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)
        self._legend.setLabelTextColor(text)
        self._best.setSymbolPen(text)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
