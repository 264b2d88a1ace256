"""The loss over the parameter of a classical denoiser, point by point, with its minimum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal

from .chart import Chart, dashed
from .marks import marks

HEIGHT = 165
BELOW_LABEL = 6
"""Pixels; pyqtgraph puts the label of an axis 5 of them below the axis' own place."""


class CalibrationPlot(Chart):
    """Draws trials as they come; hidden until there is one. A click chooses the nearest."""

    chosen = Signal(float)
    """Value of the parameter that was clicked on."""

    legend = MappingProxyType(
        {"training": "loss", "held_out": "★ lowest", "baseline": "- - average"}
    )

    def __init__(self) -> None:
        super().__init__(
            "calibration_plot",
            "How far the denoiser's guess of each hidden pixel is from its noisy value, for each "
            "value of its parameter: lower is better.\nThe star marks the lowest. At the dashed "
            "line it is no better than a plain average of the neighbours.\n"
            "Click on the curve to see the image with that value.",
            height=HEIGHT,
        )
        self._losses: dict[float, float] = {}
        self._whole = False
        self._shown: float | None = None

        self.canvas.setCursor(Qt.CursorShape.PointingHandCursor)
        self.canvas.scene().sigMouseClicked.connect(self._clicked)
        self.item.setContentsMargins(0, 0, 0, BELOW_LABEL)
        self._baseline = pg.InfiniteLine(1.0, angle=0)
        self.item.addItem(self._baseline)
        self._curve = self.item.plot(symbol="o", symbolSize=7)
        self._best = self.item.plot(pen=None, symbol="star", symbolSize=16)
        self._ring = self.item.plot(pen=None, symbol="o", symbolSize=14, symbolBrush=None)
        self._draw()

    @property
    def points(self) -> list[tuple[float, float]]:
        """Value and loss of every trial, in ascending order of the values."""
        return sorted(self._losses.items())

    @property
    def best(self) -> tuple[float, float] | None:
        """The point of the lowest loss."""
        return min(self.points, key=lambda point: point[1], default=None)

    @property
    def shown(self) -> float | None:
        """The value whose point has a ring."""
        return self._shown

    def start_again(self, label: str = "", *, whole: bool = False) -> None:
        """Forget the curve.

        Parameters
        ----------
        label
            The parameter in words.
        whole
            Whether its values are whole numbers; others stand on a logarithmic
            axis.
        """
        self._losses.clear()
        self._shown = None
        self._whole = whole
        self.canvas.setLabel("bottom", label)
        self._draw()

    def add(self, value: float, loss: float) -> None:
        """Draw one more trial."""
        self._losses[value] = loss
        self._draw()

    def ring(self, value: float | None) -> None:
        """Put a ring around the point that the viewer shows."""
        self._shown = value
        self._draw()

    def nearest(self, x: float) -> float:
        """Return the value whose point is nearest to a place along the axis."""
        return min(self._losses, key=lambda value: abs(self._place(value) - x))

    def colour_curves(self, theme: Mapping[str, str]) -> None:
        """Give every curve its colour."""
        self._baseline.setPen(dashed(theme))
        self._curve.setPen(pg.mkPen(theme["training"], width=2))
        self._curve.setSymbolBrush(theme["training"])
        self._best.setSymbolBrush(theme["held_out"])
        self._best.setSymbolPen(theme["text"])
        self._ring.setSymbolPen(pg.mkPen(theme["text"], width=2))

    def _place(self, value: float) -> float:
        return float(value) if self._whole else math.log10(value)

    def _draw(self) -> None:
        self._curve.setData(*self._columns(self.points))
        self._best.setData(*self._columns([self.best] if self.best else []))
        ringed = [p for p in self.points if p[0] == self._shown]
        self._ring.setData(*self._columns(ringed))
        self._label_axis()
        self.setVisible(bool(self._losses))

    def _label_axis(self) -> None:
        values = [value for value, _ in self.points]
        if not values:
            return
        named = values if self._whole else marks(values[0], values[-1])
        ticks = [(self._place(value), f"{value:g}") for value in named]
        self.item.getAxis("bottom").setTicks([ticks])

    def _columns(self, points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
        return [self._place(value) for value, _ in points], [loss for _, loss in points]

    def _clicked(self, click: Any) -> None:
        box = self.item.getViewBox()
        if self._losses and box.sceneBoundingRect().contains(click.scenePos()):
            self.chosen.emit(self.nearest(box.mapSceneToView(click.scenePos()).x()))
