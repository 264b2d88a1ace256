"""No image made worse: photographs with known noise, and every stack in a folder.

    python benchmarks/no_harm.py --photographs SET12 --stacks neubias calcium bia flim_structured

Photographs get Gaussian noise of each --sigmas; a file of --truths (NOISY=TRUTH)
is measured against its truth. All other images have none: what is measured
there is what a viewer would see. Images are cropped about their middle to --crop
pixels along Y and X and --planes along every other axis but C.

noisy, best    PSNR in dB where there is a truth (range 255 for photographs, else
               that of the truth), the output clipped to it, not rescaled
loss           held-out loss over the donut average's: below 1, the network learnt
grid           power at the frequencies of the mask grid and of the network's poolings
               over their neighbourhood, the worst of them; beside it the same of a
               Gaussian smoothing of the input, for what chance and structure give
seams          mean step across the borders of 64-pixel tiles over the steps beside
               them, relative to the same lines of the prediction in one piece
tiles          largest difference of those two, in standard deviations of the input
flat           variance that remains in the flattest twentieth of the image, over the
               input's; beside it what the smoothing (sigma 1.5) leaves there

All of it on the middle plane of the middle sample, the worst channel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _data import read_plane
from _metrics import flat_blocks, grid_power, psnr, seam_contrast, texture
from _report import begin, comma_numbers, parser, print_table, save
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noise2self import api
from napari_noise2self.core.axes import Stack

TILE = 64
SMOOTHING = 1.5
COLUMNS = {
    "name": "image", "axes": "axes", "hole": "hole", "noisy": "noisy|.2f", "best": "best|.2f",
    "loss": "loss|.3f", "grid": "grid|.1f", "grid_smooth": "smoothing|.1f", "seams": "seams|.3f",
    "tiles": "tiles|.0e", "flat": "flat|.3f", "flat_smooth": "smoothing|.3f", "note": "note",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An image to denoise; `truth` is one plane, if there is one."""

    name: str
    image: api.Image
    truth: NDArray[np.float32] | None = None
    low: float = 0.0
    high: float = 255.0


def photographs(folder: Path, sigmas: list[int], seeds: list[int]) -> Iterator[Case]:
    """Yield each photograph with each noise."""
    for path in sorted(folder.glob("*.png")):
        truth = read_plane(path)
        for sigma in sigmas:
            for seed in seeds:
                noise = np.random.default_rng(seed).normal(0, sigma, truth.shape)
                noisy = api.Image((truth + noise).astype(np.float32), "YX")
                name = f"{path.parent.name}/{path.stem}, sigma {sigma}"
                yield Case(f"{name}, seed {seed}" if len(seeds) > 1 else name, noisy, truth)


def cropped(image: api.Image, crop: int, planes: int) -> api.Image:
    """Cut the image about its middle."""
    axes = Stack.of(image).axes
    limits = {"Y": crop, "X": crop, "C": 10**9}
    window = []
    for axis, extent in zip(axes, image.data.shape, strict=True):
        size = min(extent, limits.get(axis, planes))
        start = (extent - size) // 2
        window.append(slice(start, start + size))
    return api.Image(np.asarray(image.data[tuple(window)]), axes, name=image.name)


def stacks(folders: list[Path], truths: dict[Path, Path], crop: int, planes: int) -> Iterator[Case]:
    """Yield every TIFF of the folders that is no truth of another."""
    for folder in folders:
        for path in sorted(folder.glob("*.tif*")):
            if path.resolve() in truths.values():
                continue
            image = cropped(api.read_image(path), crop, planes)
            name = f"{folder.name}/{path.stem}"
            partner = truths.get(path.resolve())
            if partner is None:
                yield Case(name, image)
            else:
                truth = np.asarray(cropped(api.read_image(partner), crop, planes).data, np.float32)
                yield Case(name, image, truth, float(truth.min()), float(truth.max()))


def middle(data: Any, axes: str) -> NDArray[np.float32]:
    """Return (C, Y, X): the middle sample's middle plane."""
    stack = Stack.of(data, axes)
    plane = stack.read(stack.samples // 2)  # (C, *spatial)
    return plane if plane.ndim == 3 else plane[:, plane.shape[1] // 2]


def examine(case: Case, config: api.TrainingConfig) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Denoise a case; return its row and the planes to look at (noisy, denoised, truth)."""
    row: dict[str, Any] = {"name": case.name, "axes": Stack.of(case.image).axes}
    try:
        denoiser = api.Denoiser.for_image(case.image, config=config)
    except api.ImageError as refusal:
        return row | {"note": f"refused: {str(refusal).partition(';')[0]}"}, []
    for _ in api.train(denoiser, case.image, config):
        pass
    noisy = middle(case.image, denoiser.axes)
    best = middle(denoiser.predict(case.image), denoiser.axes)
    row |= {
        "hole": " x ".join(map(str, denoiser.footprint)),
        "loss": denoiser.record.validation_loss / denoiser.record.baseline_loss,
    }
    planes = [noisy[0], best[0]]
    if case.truth is not None:
        row["noisy"] = psnr(case.truth, noisy[0], case.low, case.high)
        row["best"] = psnr(case.truth, best[0], case.low, case.high)
        planes.append(case.truth)
    row |= artefacts(denoiser, noisy, best)
    row |= seams(denoiser, case.image, float(noisy.std()))
    return row, planes


def artefacts(
    denoiser: api.Denoiser, noisy: NDArray[np.float32], best: NDArray[np.float32]
) -> dict[str, float]:
    """Measure grid and texture of the worst channel; beside them those of a smoothing."""
    network: Any = denoiser.network
    periods = {denoiser.method.grid.stride[-2:], network.divisor[-2:]}
    found: dict[str, list[float]] = {k: [] for k in ("grid", "grid_smooth", "flat", "flat_smooth")}
    for x, y in zip(noisy, best, strict=True):
        smooth = gaussian_filter(x, SMOOTHING)
        found["grid"].append(max(grid_power(y, period) for period in periods))
        found["grid_smooth"].append(max(grid_power(smooth, period) for period in periods))
        blocks = flat_blocks(x)
        before = max(texture(x, blocks) ** 2, np.finfo(np.float32).tiny)
        found["flat"].append(texture(y, blocks) ** 2 / before)
        found["flat_smooth"].append(texture(smooth, blocks) ** 2 / before)
    worst = {k: int(np.argmax(found[k])) for k in ("grid", "flat")}
    return {k: values[worst[k.removesuffix("_smooth")]] for k, values in found.items()}


def seams(denoiser: api.Denoiser, image: api.Image, sigma: float) -> dict[str, float]:
    """Predict the middle sample in small tiles and in one piece, by a single pass."""
    stack = denoiser.see(image)
    if min(stack.spatial[-2:]) < TILE + 8:
        return {}
    chosen = stack.samples // 2

    def predict(tile: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the sample (C, *spatial), its neighbours in view."""
        whole = denoiser.predict(stack, passes=1, tile=tile, samples=[chosen])
        return replace(stack, data=whole).read(chosen)

    one = predict(stack.spatial)
    tiled = predict((*stack.spatial[:-2], TILE, TILE))
    axes = "C" + stack.spatial_axes
    contrast = [
        seam_contrast(t, (TILE, TILE)) / seam_contrast(o, (TILE, TILE))
        for t, o in zip(middle(tiled, axes), middle(one, axes), strict=True)
    ]
    return {"seams": max(contrast), "tiles": float(np.abs(tiled - one).max()) / sigma}


def draw(planes: list[NDArray[Any]], title: str, path: Path) -> None:
    """Draw noisy, denoised and truth or difference side by side, to be looked at."""
    noisy, best = planes[:2]
    low, high = np.percentile(best, (0.5, 99.8))
    third = planes[2] if len(planes) > 2 else noisy - best
    figure = Figure(figsize=(15, 5.2), layout="constrained")
    named = zip(
        figure.subplots(1, 3),
        (noisy, best, third),
        ("noisy", "denoised", "truth" if len(planes) > 2 else "difference"),
        strict=True,
    )
    for ax, plane, name in named:
        limits = {} if name == "difference" else {"vmin": low, "vmax": high}
        ax.imshow(plane, cmap="gray", interpolation="nearest", **limits)
        ax.set_title(name)
        ax.set_axis_off()
    figure.suptitle(title)
    figure.savefig(path, dpi=100)


def pairs_of(texts: list[str], arguments: argparse.ArgumentParser) -> dict[Path, Path]:
    """Split NOISY=TRUTH."""
    if any("=" not in text for text in texts):
        arguments.error("--truths: expected NOISY=TRUTH, two files")
    split = (text.split("=", 1) for text in texts)
    return {Path(noisy).resolve(): Path(truth).resolve() for noisy, truth in split}


def main() -> None:
    """Parse the command line and run."""
    arguments = parser(__doc__)
    arguments.add_argument("--photographs", type=Path, metavar="DIR", help="clean PNG images")
    arguments.add_argument("--sigmas", type=comma_numbers, default=[15, 25, 50])
    arguments.add_argument("--seeds", type=comma_numbers, default=[0], help="of noise; default: 0")
    arguments.add_argument(
        "--stacks", type=Path, nargs="+", default=[], metavar="DIR", help="folders of TIFF files"
    )
    arguments.add_argument(
        "--truths", nargs="+", default=[], metavar="NOISY=TRUTH", help="files that have a truth"
    )
    arguments.add_argument("--crop", type=int, default=256, help="pixels; default: 256")
    arguments.add_argument("--planes", type=int, default=8, help="in z and t; default: 8")
    arguments.add_argument("--preset", default="balanced", help="default: balanced")
    arguments.add_argument("--steps", type=int, help="optimiser steps instead of the preset's")
    arguments.add_argument("--device", help="default: the fastest")
    arguments.add_argument("--figures", type=Path, metavar="DIR", help="draw every image here")
    options = arguments.parse_args()
    if not (options.photographs or options.stacks):
        arguments.error("give --photographs, --stacks or both")
    truths = pairs_of(options.truths, arguments)
    config = replace(api.TrainingConfig.preset(options.preset), device=options.device)
    if options.steps:
        config = replace(config, steps=options.steps)
    here = begin(options)

    cases = list(stacks(options.stacks, truths, options.crop, options.planes))
    if options.photographs:
        cases = [*photographs(options.photographs, options.sigmas, options.seeds), *cases]
    rows = []
    for case in cases:
        row, planes = examine(case, config)
        rows.append(row)
        print(f"... {case.name}", flush=True)
        if options.figures and planes:
            options.figures.mkdir(parents=True, exist_ok=True)
            name = "".join(c if c.isalnum() else "_" for c in case.name)
            draw(planes, case.name, options.figures / f"{name}.png")
    print_table(rows, COLUMNS)
    known = [row for row in rows if "best" in row]
    seen = [row for row in rows if "grid" in row]
    worse = [row["name"] for row in known if row["best"] < row["noisy"]]
    grids = [row["name"] for row in seen if row["grid"] > 3 * max(row["grid_smooth"], 1)]
    marked = [row["name"] for row in seen if row.get("seams", 1) > 1.05]
    rough = [row["name"] for row in seen if row["flat"] > row["flat_smooth"]]
    for text, names, among in (
        ("below the input's PSNR", worse, known),
        ("grid over 3 times that of the smoothing", grids, seen),
        ("seams over 5%", marked, seen),
        ("flat regions rougher than the smoothing leaves them", rough, seen),
    ):
        print(f"\n{text}: {len(names)} of {len(among)}" + "".join(f"\n  {name}" for name in names))
    save(options, here, {"rows": rows})


if __name__ == "__main__":
    main()
