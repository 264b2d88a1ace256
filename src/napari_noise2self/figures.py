"""The figure for a talk: noisy, denoised and truth side by side, with a closer look below.

Drawn on a `matplotlib.figure.Figure` of its own, so that neither pyplot's state
nor its windows are touched.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy import ndimage

from .core.errors import ImageError

_DPI = 200
_MARGIN, _GAP, _HEAD, _FOOT = 28, 20, 84, 62  # pixels
_ZOOM = 4
_ACCENT = "#ffb000"


def psnr(truth: NDArray[Any], image: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in decibels, at the range of the truth.

    Nothing is rescaled or clipped: 10 log10((max - min of `truth`)^2 / mean
    squared error).

    Parameters
    ----------
    truth
        The image without noise, of any shape.
    image
        The image to judge, of the same shape.

    Returns
    -------
    float
        Decibels; infinite for equal images.

    Raises
    ------
    ImageError
        If the shapes differ, or the truth is constant, and so has no range.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[0.0, 10.0]])
    >>> psnr(truth, truth + 1)
    20.0
    """
    if truth.shape != image.shape:
        raise ImageError(
            f"truth of shape {truth.shape} and image of shape {image.shape}: "
            "expected the same shape; crop one of them"
        )
    error = float(np.mean((image.astype(np.float64) - truth) ** 2))
    if error == 0:
        return math.inf
    reach = float(np.ptp(truth))
    if reach == 0:
        raise ImageError("the truth is constant, so that PSNR has no range; take another region")
    return 20 * math.log10(reach) - 10 * math.log10(error)


def comparison(
    noisy: NDArray[Any],
    denoised: NDArray[Any],
    truth: NDArray[Any],
    *,
    pixel_size: float | None = None,
    unit: str = "µm",
) -> Figure:
    """Draw noisy, denoised and truth at equal contrast, whole and enlarged.

    The contrast is the truth's; the enlarged part is where the truth has most
    structure. PSNR is :func:`psnr`.

    Parameters
    ----------
    noisy, denoised, truth
        Three images of one shape (Y, X).
    pixel_size
        Edge of a pixel in `unit`, for the scale bars; None draws none.
    unit
        Unit of the scale bars.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``figure.savefig(path)``; one image pixel is a whole number
        of figure pixels.

    Raises
    ------
    ImageError
        If the images are not 2-D or their shapes differ.

    Examples
    --------
    >>> from napari_noise2self.samples import cells
    >>> sample = cells(size=128)
    >>> noisy, truth = sample.noisy.data, sample.truth.data
    >>> figure = comparison(noisy, truth, truth, pixel_size=0.25)
    >>> len(figure.axes)
    6
    """
    if truth.ndim != 2:
        raise ImageError(
            f"an image of shape {truth.shape} cannot be drawn; expected 2 dimensions (Y, X); "
            "take one plane, for example image[0]"
        )
    decibels = [psnr(truth, noisy), psnr(truth, denoised)]
    titles = ("Noisy", "Denoised", "Truth")
    notes = (*(f"PSNR {value:.1f} dB" for value in decibels), "")
    low, high = np.percentile(truth, (0.2, 99.8))
    height, width = truth.shape
    zoom = max(1, round(600 / width))
    panel_height, panel_width = zoom * height, zoom * width
    total_width = 2 * _MARGIN + 2 * _GAP + 3 * panel_width
    total_height = _HEAD + 2 * panel_height + _GAP + _FOOT
    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI, facecolor="white")

    rows, columns = _busiest(truth)
    for column, image in enumerate((noisy, denoised, truth)):
        left = _MARGIN + column * (panel_width + _GAP)
        for row, part in enumerate((image, image[rows, columns])):
            bottom = _FOOT + (1 - row) * (panel_height + _GAP)
            axes = figure.add_axes(
                (
                    left / total_width,
                    bottom / total_height,
                    panel_width / total_width,
                    panel_height / total_height,
                )
            )
            axes.imshow(
                part, cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect="auto"
            )
            axes.set_axis_off()
            if row == 0:
                _frame(axes, rows, columns)
            if column == 0 and pixel_size is not None:
                _scale_bar(axes, part.shape, pixel_size, unit)
        head = (total_height - _HEAD + 20) / total_height
        figure.text(left / total_width, head, titles[column], fontsize=12, fontweight="bold")
        figure.text(
            (left + panel_width) / total_width,
            head,
            notes[column],
            fontsize=10,
            color="0.2",
            ha="right",
        )
    figure.text(
        _MARGIN / total_width,
        22 / total_height,
        "Trained on the noisy image alone (Noise2Self).  Equal contrast;  "
        "PSNR at the truth's range, nothing rescaled.",
        fontsize=7.5,
        color="0.35",
    )
    return figure


def _busiest(truth: NDArray[Any]) -> tuple[slice, slice]:
    """Return the window, a `_ZOOM`-th of the image along each axis, with most structure."""
    edges = ndimage.gaussian_gradient_magnitude(truth.astype(np.float64), 1.5)
    height, width = (max(1, n // _ZOOM) for n in truth.shape)
    # Compress, so that a window full of texture wins over one very bright edge.
    density = ndimage.uniform_filter(np.sqrt(edges), (height, width), mode="constant")
    y, x = np.unravel_index(int(np.argmax(density)), truth.shape)
    top = int(np.clip(int(y) - height // 2, 0, truth.shape[0] - height))
    left = int(np.clip(int(x) - width // 2, 0, truth.shape[1] - width))
    return slice(top, top + height), slice(left, left + width)


def _frame(axes: Axes, rows: slice, columns: slice) -> None:
    """Mark the enlarged window."""
    axes.add_patch(
        Rectangle(
            (columns.start - 0.5, rows.start - 0.5),
            columns.stop - columns.start,
            rows.stop - rows.start,
            fill=False,
            edgecolor=_ACCENT,
            linewidth=1.0,
        )
    )


def _scale_bar(axes: Axes, shape: tuple[int, ...], pixel_size: float, unit: str) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten, about a fifth of the width."""
    height, width = shape
    aim = 0.22 * width * pixel_size
    power = 10.0 ** math.floor(math.log10(aim))
    length = max(factor * power for factor in (1, 2, 5) if factor * power <= aim)
    pixels = length / pixel_size
    x, y = 0.04 * width, 0.945 * height
    axes.add_patch(
        Rectangle(
            (x, y), pixels, 0.014 * height, facecolor="white", edgecolor="black", linewidth=0.6
        )
    )
    axes.text(
        x + pixels / 2,
        y - 0.014 * height,
        f"{length:g} {unit}",
        color="white",
        fontsize=9,
        ha="center",
        va="bottom",
        path_effects=[withStroke(linewidth=2.0, foreground="black")],
    )
