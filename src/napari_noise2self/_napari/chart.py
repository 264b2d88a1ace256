"""A small plot with its legend above it, in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Mapping

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget


class Chart(QWidget):
    """What the plots of the docks have in common: a canvas that the mouse does not move.

    Parameters
    ----------
    name
        Name of the object, for tests and style sheets.
    tooltip
        What the curves mean.
    height
        Of the canvas, in pixels.
    left
        The vertical axis; None for pyqtgraph's own.
    """

    legend: Mapping[str, str]
    """The name of each curve, by the name of its colour."""

    def __init__(
        self, name: str, tooltip: str, *, height: int, left: pg.AxisItem | None = None
    ) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tooltip)
        self.canvas = pg.PlotWidget(axisItems={"left": left} if left else {})
        self.canvas.setFixedHeight(height)
        self.canvas.setMinimumWidth(100)
        self.canvas.setMenuEnabled(False)
        self.canvas.setMouseEnabled(x=False, y=False)
        self.canvas.hideButtons()
        self.item = self.canvas.getPlotItem()
        for axis in self._axes():
            axis.enableAutoSIPrefix(False)
        self.item.getAxis("left").setWidth(38)
        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._legend)
        layout.addWidget(self.canvas)

    def set_colours(self, theme: Mapping[str, str]) -> None:
        """Take on the colours of a theme.

        Parameters
        ----------
        theme
            What `theme.colours` returns.
        """
        self.canvas.setBackground(theme["background"])
        for axis in self._axes():
            axis.setPen(theme["text"])
            axis.setTextPen(theme["text"])
        names = (f'<span style="color: {theme[c]}">{n}</span>' for c, n in self.legend.items())
        self._legend.setText(" &nbsp; ".join(names))
        self.colour_curves(theme)

    def colour_curves(self, theme: Mapping[str, str]) -> None:
        """Give every curve its colour."""
        raise NotImplementedError

    def _axes(self) -> list[pg.AxisItem]:
        return [self.item.getAxis(name) for name in ("bottom", "left")]


def dashed(theme: Mapping[str, str]) -> pg.QtGui.QPen:
    """Return the pen of the baseline."""
    return pg.mkPen(theme["baseline"], width=1, style=Qt.PenStyle.DashLine)
