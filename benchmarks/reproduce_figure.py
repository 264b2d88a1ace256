"""The paper's calibration figure: what a noisy image alone knows about a filter.

    python benchmarks/reproduce_figure.py --out docs/explanation/calibration.png

Gaussian noise is added to a clean image (scikit-image's "camera" unless --image
names another). Three panels:

1. Self-supervised and true loss against the radius, for the median and the
   donut median: the donut's two curves have their minimum at the same radius
   and lie the noise variance apart; the median's self-supervised loss rises
   from the smallest radius on and says nothing.
2. The optimal mix of the estimate with the pixel's own value, and the weight
   that the theory predicts from the noisy image.
3. The calibrated donut Gaussian against the width of its hole, for independent
   noise and for noise that neighbours share: too small a hole copies the noise,
   too large a hole throws information away. The self-supervised loss prefers
   the smallest hole in either case, so it cannot choose it.

Batson and Royer, "Noise2Self: Blind Denoising by Self-Supervision", ICML 2019.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from _report import begin, parser, print_table, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import ndimage
from skimage import data
from skimage.color import rgb2gray
from skimage.io import imread

from napari_noise2self.core.classical import FAMILIES, neighbourhood

RADII = range(1, 8)
HOLES = (1, 3, 5, 7, 9)
SIGMAS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"


def mse(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared difference."""
    return float(np.mean((a - b) ** 2))


def clean_image(path: Path | None) -> np.ndarray:
    """Return one channel with values in [0, 1]."""
    image = data.camera() if path is None else imread(path)
    image = rgb2gray(image[..., :3]) if image.ndim == 3 else image.astype(np.float64)
    return (image - image.min()) / (image.max() - image.min())


def median(noisy: np.ndarray, radius: int) -> np.ndarray:
    """Ordinary median over a disk."""
    disk = neighbourhood(radius, (1, 1))
    disk[radius, radius] = True
    return ndimage.median_filter(noisy, footprint=disk)


def donut_median(noisy: np.ndarray, radius: int) -> np.ndarray:
    """Median over the same disk without its centre."""
    return FAMILIES["median"].strict(noisy, radius, (1, 1))


def chosen_donut(noisy: np.ndarray, clean: np.ndarray, width: int) -> tuple[float, float]:
    """Return the losses, self-supervised and true, of the donut Gaussian that the former picks."""
    found = [FAMILIES["gaussian"].strict(noisy, sigma, (width, width)) for sigma in SIGMAS]
    return min((mse(estimate, noisy), mse(estimate, clean)) for estimate in found)


def minimum(axes: Axes, x: list[float], y: list[float], colour: str) -> None:
    """Mark the lowest point of a curve."""
    best = int(np.argmin(y))
    axes.plot(x[best], y[best], "o", color=colour, markersize=9, markerfacecolor="none")


def radius_panel(axes: Axes, rows: list[dict[str, float]], variance: float) -> None:
    """Loss against radius, four curves."""
    radii = [row["radius"] for row in rows]
    for filter_, colour in (("donut", BLUE), ("median", ORANGE)):
        for loss, style in (("self", "-"), ("true", "--")):
            y = [row[f"{filter_}_{loss}"] for row in rows]
            name = {"self": "self-supervised", "true": "true"}[loss]
            axes.plot(radii, y, style, color=colour, label=f"{filter_}, {name} loss")
            minimum(axes, radii, y, colour)
    best = int(np.argmin([row["donut_true"] for row in rows]))
    low, high = rows[best]["donut_true"], rows[best]["donut_self"]
    axes.annotate(
        "", (radii[best], high), (radii[best], low), arrowprops={"arrowstyle": "<->", "color": GREY}
    )
    axes.text(
        radii[best] - 0.12, (low + high) / 2, f"noise variance\n{variance:.4f}", color=GREY,
        va="center", ha="right",
    )  # fmt: skip
    axes.set(xlabel="radius (pixels)", ylabel="mean squared error", title="Which radius?")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.72, 0.66))


def mix_panel(axes: Axes, noisy: np.ndarray, clean: np.ndarray, radius: int) -> dict[str, float]:
    """Error against the weight of the estimate, with the predicted optimum."""
    estimate = donut_median(noisy, radius)
    weights = np.linspace(0, 1, 101)
    errors = [mse(w * estimate + (1 - w) * noisy, clean) for w in weights]
    predicted = mse(noisy, clean) / mse(estimate, noisy)
    best = float(weights[int(np.argmin(errors))])
    axes.plot(weights, errors, color=BLUE)
    minimum(axes, list(weights), errors, BLUE)
    axes.axvline(predicted, color=GREY, linestyle=":")
    axes.text(
        predicted - 0.02, 0.8 * max(errors), "noise variance /\nself-supervised loss", color=GREY,
        ha="right",
    )  # fmt: skip
    axes.set(
        xlabel="weight of the estimate", ylabel="true error",
        title=f"How much of the pixel itself? (donut, radius {radius})",
    )  # fmt: skip
    return {
        "best": best,
        "predicted": predicted,
        "gain_db": 10 * np.log10(errors[-1] / min(errors)),
    }


def hole_panel(axes: Axes, rows: list[dict[str, float]]) -> None:
    """Error against the width of the hole, for two kinds of noise."""
    widths = [row["hole"] for row in rows]
    for noise, colour in (("independent", BLUE), ("shared", ORANGE)):
        y = [row[f"{noise}_true"] for row in rows]
        axes.plot(widths, y, "--", color=colour, label=f"{noise} noise, true error")
        minimum(axes, widths, y, colour)
        left = [row[f"{noise}_self"] for row in rows]
        axes.plot(widths, left, "-", color=colour, label=f"{noise} noise, self-supervised loss")
        minimum(axes, widths, left, colour)
    axes.set(
        xlabel="width of the hole (pixels)", ylabel="mean squared error",
        title="How large a hole?", yscale="log",
    )  # fmt: skip
    axes.set_ylim(bottom=axes.get_ylim()[0] / 2.2)  # room for the legend
    axes.set_xticks(widths)
    axes.legend(frameon=False, loc="lower right")


def main() -> None:
    """Measure, print the tables, draw."""
    arguments = options().parse_args()
    here = begin(arguments)
    clean = clean_image(arguments.image)
    rng = np.random.default_rng(arguments.seed)
    white = rng.normal(size=clean.shape)
    blurred = ndimage.gaussian_filter(rng.normal(size=clean.shape), 0.8, mode="wrap")
    noisy = clean + arguments.sigma * white
    shared = clean + arguments.sigma * blurred / blurred.std()
    variance = mse(noisy, clean)

    radii = []
    for radius in RADII:
        row: dict[str, float] = {"radius": radius}
        for name, filter_ in (("median", median), ("donut", donut_median)):
            estimate = filter_(noisy, radius)
            row[f"{name}_self"], row[f"{name}_true"] = mse(estimate, noisy), mse(estimate, clean)
        row["apart"] = (row["donut_self"] - row["donut_true"]) / variance
        radii.append(row)
    holes = []
    for width in HOLES:
        row = {"hole": width}
        for name, image in (("independent", noisy), ("shared", shared)):
            row[f"{name}_self"], row[f"{name}_true"] = chosen_donut(image, clean, width)
        holes.append(row)

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    radius_panel(first, radii, variance)
    mix = mix_panel(second, noisy, clean, radius=1)
    hole_panel(third, holes)
    for axes in (first, second, third):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(arguments.out, dpi=100)

    print_table(
        radii,
        {
            "radius": "radius", "donut_self": "donut, self-supervised|.5f",
            "donut_true": "donut, true|.5f", "apart": "apart / noise variance|.3f",
            "median_self": "median, self-supervised|.5f", "median_true": "median, true|.5f",
        },
        f"Gaussian noise of {arguments.sigma} of the range, variance {variance:.5f}",
    )  # fmt: skip
    print(
        f"\noptimal mix at radius 1: best weight {mix['best']:.2f}, predicted "
        f"{mix['predicted']:.3f}, worth {mix['gain_db']:.2f} dB"
    )
    print_table(
        holes,
        {
            "hole": "hole", "independent_true": "independent, true|.5f",
            "independent_self": "independent, self-supervised|.5f",
            "shared_true": "shared, true|.5f", "shared_self": "shared, self-supervised|.5f",
        },
        "Calibrated donut Gaussian against the width of its hole",
    )  # fmt: skip
    save(arguments, here, {"radii": radii, "mix": [mix], "holes": holes})


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    made = parser(__doc__ or "")
    made.add_argument("--image", type=Path, help="clean image; default: scikit-image's camera")
    made.add_argument("--sigma", type=float, default=0.1, help="noise, as a part of the range")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--out", type=Path, default=Path("calibration.png"))
    return made


if __name__ == "__main__":
    main()
