"""The loss while it falls: training and held-out curve, the baseline to beat, the best step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ..core.config import Progress

TRAINING = "#4c9be8"
HELD_OUT = "#f08a3c"
BASELINE = "#9a9a9a"
HEIGHT = 120
REPORTS = 5
"""Reports of the training loss that a point of its curve is the mean of: one is of a few crops,
which differ more from the next ones than the network does."""


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
    def trend(self) -> list[tuple[int, float]]:
        """Training loss as the mean over the last `REPORTS` reports."""
        values = [value for _, value in self.training]
        lasts = (values[max(0, n - REPORTS) : n] for n in range(1, len(values) + 1))
        return [(step, mean(last)) for (step, _), last in zip(self.training, lasts, strict=True)]

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and held-out loss of the best weights."""
        return next((p for p in self.held_out if p[0] == self.best_step), None)


class _LossAxis(pg.AxisItem):
    """Labels a logarithmic axis with plain numbers."""

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{10**value:.3g}" for value in values]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return self.logTickStrings(values, scale, spacing)


class LossPlot(QWidget):
    """Draws `Curves` in the colours of napari's theme; hidden until there is one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("loss_plot")
        self.setToolTip(
            "How far the network's guess of each hidden pixel is from its noisy value: lower is "
            "better.\nThe orange curve counts, on pixels that the network never trains on. Below "
            "the dashed line the network beats a plain average of the neighbours.\nThe curves "
            "level off above zero: what remains is the noise itself."
        )
        self._canvas = pg.PlotWidget(axisItems={"left": _LossAxis("left")})
        self._canvas.setFixedHeight(HEIGHT)
        self._canvas.setMinimumWidth(100)
        self._canvas.setMenuEnabled(False)
        self._canvas.setMouseEnabled(x=False, y=False)
        self._canvas.hideButtons()
        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._legend)
        layout.addWidget(self._canvas)

        plot = self._canvas.getPlotItem()
        plot.setLogMode(y=True)
        plot.getAxis("bottom").enableAutoSIPrefix(False)
        plot.getAxis("bottom").setHeight(18)
        plot.getAxis("left").enableAutoSIPrefix(False)
        plot.getAxis("left").setWidth(38)
        self._training = plot.plot(pen=pg.mkPen(TRAINING, width=1))
        self._held_out = plot.plot(pen=pg.mkPen(HELD_OUT, width=2))
        self._baseline = plot.plot(pen=pg.mkPen(BASELINE, width=1, style=Qt.PenStyle.DashLine))
        self._best = plot.plot(pen=None, symbol="star", symbolSize=12, symbolBrush=HELD_OUT)
        self.curves = Curves()
        self.show_curves()

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
        self._training.setData(*_columns(curves.trend))
        self._held_out.setData(*_columns(curves.held_out))
        self._best.setData(*_columns([curves.best] if curves.best else []))
        steps = [step for step, _ in curves.training + curves.held_out]
        line = curves.baseline if steps else None
        ends = [(min(steps), line), (max(steps), line)] if line is not None else []
        self._baseline.setData(*_columns(ends))
        self._canvas.setXRange(0, max([10, *steps]), padding=0.04)
        self.setVisible(bool(steps))

    def set_colours(self, *, background: str, text: str) -> None:
        """Take on the colours of a theme.

        Parameters
        ----------
        background, text
            Colour names as Qt reads them, for example ``"#262930"``.
        """
        self._canvas.setBackground(background)
        plot = self._canvas.getPlotItem()
        for name in ("bottom", "left"):
            axis = plot.getAxis(name)
            axis.setPen(text)
            axis.setTextPen(text)
        self._best.setSymbolPen(text)
        parts = (("training", TRAINING), ("held-out", HELD_OUT), ("- - average", BASELINE))
        self._legend.setText(
            "loss:&nbsp; "
            + " &nbsp; ".join(f'<span style="color: {c}">{name}</span>' for name, c in parts)
        )


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
