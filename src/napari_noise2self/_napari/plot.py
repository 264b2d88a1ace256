"""The loss while it falls: training and held-out curve, the baseline to beat, the best step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from types import MappingProxyType

import pyqtgraph as pg

from ..core.config import Progress
from .chart import Chart, dashed
from .marks import few_marks

HEIGHT = 120
REPORTS = 10
"""Reports of the training loss that a point of its curve is the mean of: one is of a few crops,
which differ more from the next ones than the network does."""
MARGIN = 0.25
"""Of what the held-out curve and the baseline span, above and below it."""
LEAST_SPAN = math.log10(1.05)
"""What is smaller is not worth a picture."""


@dataclass
class Curves:
    """What the plot shows, without Qt; `trend` is `training` as the mean of the last reports."""

    training: list[tuple[int, float]] = field(default_factory=list)
    trend: list[tuple[int, float]] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    baseline: float | None = None
    best_step: int | None = None

    def add(self, events: Iterable[Progress]) -> bool:
        """Take in events; returns whether there is anything new to draw."""
        new = False
        for event in events:
            if event.loss is not None and event.loss > 0 and math.isfinite(event.loss):
                self.training.append((event.step, event.loss))
                lasts = [loss for _, loss in self.training[-REPORTS:]]
                self.trend.append((event.step, fmean(lasts)))
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

    @property
    def shown(self) -> tuple[float, float] | None:
        """Lowest and highest log10 of the loss to show; None where there is nothing yet.

        The held-out curve and the baseline say it: the training loss jumps by
        more than those fall, and would make them look flat.
        """
        values = [value for _, value in self.held_out]
        if values and self.baseline is not None:
            values.append(self.baseline)
        values = values or [value for _, value in self.trend]
        if not values:
            return None
        low, high = math.log10(min(values)), math.log10(max(values))
        margin = max(MARGIN * (high - low), (LEAST_SPAN - (high - low)) / 2)
        return low - margin, high + margin


class _LossAxis(pg.AxisItem):
    """Labels a logarithmic axis with plain numbers."""

    def tickValues(
        self, minVal: float, maxVal: float, size: float
    ) -> list[tuple[float, list[float]]]:
        return [(1.0, [math.log10(value) for value in few_marks(10**minVal, 10**maxVal)])]

    def logTickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return [f"{10**value:.3g}" for value in values]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        return self.logTickStrings(values, scale, spacing)


class LossPlot(Chart):
    """Draws `Curves`; hidden until there is one."""

    legend = MappingProxyType(
        {"training": "loss:&nbsp; training", "held_out": "held-out", "baseline": "- - average"}
    )

    def __init__(self) -> None:
        super().__init__(
            "loss_plot",
            "How far the network's guess of each hidden pixel is from its noisy value: lower is "
            "better.\nThe orange curve counts, on pixels that the network never trains on. Below "
            "the dashed line the network beats a plain average of the neighbours.\nThe curves "
            f"level off above zero: what remains is the noise itself.\nThe blue one is a mean of "
            f"the last {REPORTS} reports, each of a few other crops: it jumps, and may leave the "
            "picture.",
            height=HEIGHT,
            left=_LossAxis("left"),
        )
        self.item.setLogMode(y=True)
        self.item.getAxis("bottom").setHeight(18)
        self._training, self._held_out, self._baseline = (self.item.plot() for _ in range(3))
        self._best = self.item.plot(pen=None, symbol="star", symbolSize=12)
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
        self.canvas.setXRange(0, max([10, *steps]), padding=0.04)
        if curves.shown:
            self.canvas.setYRange(*curves.shown, padding=0)
        self.setVisible(bool(steps))

    def colour_curves(self, theme: Mapping[str, str]) -> None:
        """Give every curve its colour."""
        self._training.setPen(pg.mkPen(theme["training"], width=1))
        self._held_out.setPen(pg.mkPen(theme["held_out"], width=2))
        self._baseline.setPen(dashed(theme))
        self._best.setSymbolPen(theme["text"])
        self._best.setSymbolBrush(theme["held_out"])


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
