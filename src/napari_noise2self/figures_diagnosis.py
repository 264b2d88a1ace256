"""The figure of a diagnosis, fit for a supplement: noise, faults and verdict on one page.

Drawn on a `matplotlib.figure.Figure` of its own, so that neither pyplot's state
nor its windows are touched.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .core.axes import Stack
from .core.config import sizes_in_words
from .core.correlation import NoiseCorrelation
from .core.diagnostics import Diagnosis

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_HIDDEN, _TARGET = "#e69f00", "#d55e00"
_WIDTH, _ROW, _LINE = 7.2, 2.2, 0.135  # inches
_SMALL = 7  # points


def draw_diagnosis(diagnosis: Diagnosis, image: Any = None) -> Figure:
    """Draw a diagnosis on one page, 7.2 inches wide.

    Panels: the image, the correlation of the noise, the hole that follows from
    it, variance against signal, the histogram, the brightness along time; below
    them the diagnosis in words.

    Parameters
    ----------
    diagnosis
        What `diagnose` returned.
    image
        The image it was made of, to show its first plane; None leaves that out.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig("diagnosis.pdf")``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_noise2self.core.diagnostics import diagnose
    >>> image = np.random.default_rng(0).poisson(20, (96, 96))
    >>> len(draw_diagnosis(diagnose(image), image).axes)
    5
    """
    panels: list[Callable[[Axes], None]] = []
    if image is not None:
        panels.append(lambda axes: _draw_image(axes, Stack.of(image, diagnosis.axes)))
    panels.append(lambda axes: _draw_correlation(axes, diagnosis.correlation))
    panels.append(lambda axes: _draw_hole(axes, diagnosis.footprint))
    if diagnosis.noise is not None:
        panels.append(lambda axes: _draw_noise(axes, diagnosis))
    panels.append(lambda axes: _draw_histogram(axes, diagnosis))
    if len(diagnosis.faults.frames) > 1:
        panels.append(lambda axes: _draw_brightness(axes, diagnosis))

    words = [
        line
        for paragraph in diagnosis.summary().splitlines()
        for line in textwrap.wrap(paragraph, 118, subsequent_indent=" " * 13)
    ]
    rows = -(-len(panels) // 3)
    text_height = _LINE * len(words) + 0.25
    height = rows * _ROW + text_height
    figure = Figure(figsize=(_WIDTH, height), facecolor="white")
    grid = figure.add_gridspec(
        rows,
        3,
        left=0.08,
        right=0.985,
        top=1 - 0.28 / height,
        bottom=(text_height + 0.42) / height,
        wspace=0.42,
        hspace=0.62,
    )
    for k, draw in enumerate(panels):
        axes = figure.add_subplot(grid[k // 3, k % 3])
        axes.tick_params(labelsize=_SMALL, length=2)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        axes.set_title(f"{'abcdef'[k]}   {axes.get_title()}", loc="left", fontsize=8)
        axes.set_title("")
    figure.text(
        0.02,
        (text_height - 0.1) / height,
        "\n".join(words),
        va="top",
        family="monospace",
        fontsize=6.2,
        linespacing=1.45,
    )
    return figure


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x, fontsize=_SMALL, labelpad=2)
    axes.set_ylabel(y, fontsize=_SMALL, labelpad=2)


def _legend(axes: Axes, **where: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=_SMALL - 1, frameon=False, handlelength=1.2, **where)


def _draw_image(axes: Axes, stack: Stack) -> None:
    window = tuple(
        slice(max(0, (n - 1024) // 2), min(n, max(0, (n - 1024) // 2) + 1024))
        for n in stack.spatial[-2:]
    )
    if len(stack.spatial) == 3:
        middle = stack.spatial[0] // 2
        window = (slice(middle, middle + 1), *window)
    plane = stack.read(0, window)[0].reshape([s.stop - s.start for s in window[-2:]])
    finite = plane[np.isfinite(plane)]
    low, high = np.percentile(finite, (0.5, 99.7)) if finite.size else (0, 1)
    axes.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="none")
    axes.set_axis_off()
    axes.set_title("image")


def _draw_correlation(axes: Axes, correlation: NoiseCorrelation) -> None:
    names = [a.lower() for a in reversed(correlation.spatial_axes)]
    names += sorted({c.axis.lower() for part in correlation.samples for c in part})
    found = [c for c in (correlation.along(name.upper()) for name in names) if c is not None]
    for k, c in enumerate(found):
        if not np.isfinite(c.error).all():
            continue
        lags = np.arange(1, len(c.rho) + 1) + 0.12 * (k - (len(found) - 1) / 2)
        axes.errorbar(
            lags,
            c.rho,
            2 * np.array(c.error),
            fmt="o",
            ms=3.5,
            lw=1,
            color=_COLOURS[k % len(_COLOURS)],
            label=f"along {c.axis.lower()}",
        )
    axes.axhline(0, color="black", lw=0.6)
    lowest = min((min(c.rho) for c in found), default=0.0)
    axes.set_ylim(min(-0.2, lowest - 0.1), 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label(axes, "noise of neighbours", "distance (pixels, frames)", "correlation, ± 2 s.e.")
    _legend(axes, loc="upper right")


def _draw_hole(axes: Axes, footprint: tuple[int, ...]) -> None:
    height, width = footprint[-2:]
    edge = 5 + max(2, max(height, width) - 3)
    for y in range(-edge, edge + 1):
        for x in range(-edge, edge + 1):
            hidden = abs(y) <= height // 2 and abs(x) <= width // 2
            colour = _TARGET if x == y == 0 else _HIDDEN if hidden else "#dddddd"
            axes.add_patch(Rectangle((x - 0.45, y - 0.45), 0.9, 0.9, color=colour, lw=0))
    axes.set_xlim(-edge - 0.6, edge + 0.6)
    axes.set_ylim(-edge - 0.6, edge + 0.6)
    axes.set_aspect("equal")
    axes.set_axis_off()
    size = sizes_in_words(footprint)
    axes.set_title(f"hidden: {size} pixels" if max(footprint) > 1 else "hidden: the pixel alone")


def _draw_noise(axes: Axes, diagnosis: Diagnosis) -> None:
    assert diagnosis.noise is not None
    several = len(diagnosis.noise.channels) > 1
    for k, c in enumerate(diagnosis.noise.channels):
        colour = _COLOURS[k % len(_COLOURS)]
        axes.errorbar(
            c.signal, c.variance, 2 * np.array(c.error), fmt="o", ms=2.5, lw=0.8, color=colour
        )
        signal = np.linspace(min(c.signal), max(c.signal), 50)
        gain = f"gain {c.gain:.3g}"
        label = f"channel {k}, {gain}" if several else gain
        axes.plot(signal, diagnosis.noise.variance(signal, k), lw=1, color=colour, label=label)
    if several:  # whose levels may lie decades apart
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(style="sci", scilimits=(-2, 4), useMathText=True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_offset_text().set_fontsize(_SMALL - 1)
            axis.set_major_locator(MaxNLocator(4))
    _label(axes, "noise and signal", "signal", "variance of the noise")
    _legend(axes, loc="upper left")


def _draw_histogram(axes: Axes, diagnosis: Diagnosis) -> None:
    faults = diagnosis.faults
    for k, counts in enumerate(faults.histogram):
        edges = np.linspace(faults.lowest[k], faults.highest[k], len(counts) + 1)
        share = np.array(counts) / max(1, sum(counts))
        cut = [
            f"{value:.2%} {word}"
            for value, word in ((faults.clipped[k], "clipped"), (faults.saturated[k], "saturated"))
            if value > 0
        ]
        label = f"channel {k}" if len(faults.histogram) > 1 else ""
        axes.stairs(
            share,
            edges,
            color=_COLOURS[k % len(_COLOURS)],
            lw=0.9,
            label=": ".join(filter(None, [label, ", ".join(cut)])) or None,
        )
    axes.set_yscale("log")
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 4), useMathText=True)
    axes.xaxis.get_offset_text().set_fontsize(_SMALL - 1)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    _label(axes, "grey levels", "grey level", "share of pixels")
    _legend(axes, loc="upper right")


def _draw_brightness(axes: Axes, diagnosis: Diagnosis) -> None:
    for k, values in enumerate(diagnosis.faults.brightness):
        axes.plot(diagnosis.faults.frames, values, lw=1, color=_COLOURS[k % len(_COLOURS)])
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4), useMathText=True)
    axes.yaxis.get_offset_text().set_fontsize(_SMALL - 1)
    _label(axes, "brightness along time", "frame", "mean grey level")
