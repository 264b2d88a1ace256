"""Draw the figures of docs/explanation/how-it-works.md: what is hidden, and what the loss knows.

    python docs/scripts/explanation_figures.py

Writes ``docs/images/hidden-pixels.png`` and ``docs/images/two-losses.png``,
about a minute on a CPU. Everything in them is computed: the masks by the code that
trains, the losses by a real training on a sample whose truth is known.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from napari_noise2self import api, samples
from napari_noise2self.core.masks import Grid, donut_fill

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
WINDOW = (slice(150, 168), slice(200, 227))
"""A piece with structure, small enough to see the pixels."""
LOOKS = (0, 5, 10, 20, 40, 70, 100, 140, 200)
"""Steps at which the losses are measured on the whole image."""


def main() -> None:
    """Draw both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES)
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)
    draw_hidden().savefig(out / "hidden-pixels.png", dpi=110)
    draw_losses().savefig(out / "two-losses.png", dpi=110)


def draw_hidden() -> Figure:
    """Show a piece of a noisy image, and what the network gets to see, for two holes."""
    noisy = samples.cells().noisy.data[WINDOW].astype(np.float32)
    shown = {"cmap": "gray", "vmin": noisy.min(), "vmax": np.percentile(noisy, 99)}
    figure = Figure(figsize=(9.6, 2.6), layout="constrained")
    panels = figure.subplots(1, 3)
    panels[0].imshow(noisy, **shown)
    panels[0].set_title("noisy", fontsize=10)
    for axes, width, stride in ((panels[1], 1, 3), (panels[2], 5, 6)):
        grid = Grid((stride, stride), (width, width))
        x = torch.from_numpy(noisy)[None, None]
        targets, hidden = grid.masks(noisy.shape, torch.tensor([[2, 3]]))
        axes.imshow(donut_fill(x, hidden, grid.footprint)[0, 0].numpy(), **shown)
        outline(axes, hidden[0, 0].numpy(), ORANGE if width == 1 else GREY)
        if width > 1:
            outline(axes, targets[0, 0].numpy(), ORANGE)
        axes.set_title(f"what the network sees: a hole of {width} x {width}", fontsize=10)
    for axes in panels:
        axes.set_axis_off()
    return figure


def outline(axes: Axes, mask: np.ndarray, colour: str) -> None:
    """Frame every pixel of a mask."""
    for y, x in np.argwhere(mask):
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, color=colour, linewidth=0.9))


def draw_losses() -> Figure:
    """Train on a sample and measure both losses on the way."""
    sample = samples.cells(size=256)
    noisy = sample.noisy.data.astype(np.float64)
    truth = sample.truth.data.astype(np.float64)
    steps, blind, true = [], [], []
    denoiser = api.Denoiser.for_image(sample.noisy)
    for event in api.train(denoiser, sample.noisy, api.TrainingConfig(steps=LOOKS[-1], patience=0)):
        if event.step in LOOKS:
            strict = denoiser.predict(sample.noisy, output="j-invariant")
            steps.append(event.step)
            blind.append(float(np.mean((strict - noisy) ** 2)))
            true.append(float(np.mean((strict - truth) ** 2)))
    variance = float(np.mean((noisy - truth) ** 2))
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps, blind, "o-", color=BLUE, markersize=4)
    left.set_title("what can be measured:\nerror against the noisy image", fontsize=10)
    right.plot(steps, true, "o-", color=ORANGE, markersize=4, label="true error")
    right.plot(
        steps,
        np.array(blind) - variance,
        "x",
        color=BLUE,
        label="the curve on the left, minus the noise variance",
    )
    right.set_title("what is wanted:\nerror against the clean image", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("training step")
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("mean squared error")
    return figure


if __name__ == "__main__":
    main()
