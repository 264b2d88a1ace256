"""No image made worse: photographs with known noise, and every stack in a folder.

    python benchmarks/no_harm.py --photographs SET12 --stacks neubias calcium bia flim_structured

Photographs get Gaussian noise of each --sigmas, and of each --shared, of which
neighbouring pixels share 0.6; a file of --truths (NOISY=TRUTH) is measured against
its truth. --hard adds made scenes that invite harm, each with a truth: single bright
pixels, a tenth of a photon, a pattern of the finest pixels, textures, nothing at all.
All other images have none: what is measured there is what a viewer would see.
Images are cropped about their middle to --crop pixels along Y and X and --planes
along every other axis but C.

noisy, best    PSNR in dB where there is a truth (range 255 for photographs, else
               that of the truth), the output clipped to it, not rescaled
loss           held-out loss over the donut average's: below 1, the network learnt
grid           power at the frequencies of the mask grid and of the network's poolings
               over their neighbourhood, the worst of them
shifted        the same of the mean over predictions of the image shifted by every step
               of the grid's period, in which no grid of ours can be left: what the
               image has itself, and chance
seams          mean step across the borders of 64-pixel tiles over the steps beside
               them, relative to the same lines of the prediction in one piece
tiles          largest difference of those two, in standard deviations of the input
flat           variance that remains in the flattest twentieth of the image, over the
               input's; beside it what the smoothing (sigma 1.5) leaves there

All of it on the middle plane of the middle sample, the worst channel.
"""

from __future__ import annotations

import argparse
import itertools
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
from skimage import data

from napari_noise2self import api, samples
from napari_noise2self.core.axes import Stack

TILE = 64
SMOOTHING = 1.5
SHARED = 0.7
"""Width of the Gaussian that makes white noise shared, in pixels."""
COLUMNS = {
    "name": "image", "axes": "axes", "hole": "hole", "noisy": "noisy|.2f", "best": "best|.2f",
    "loss": "loss|.3f", "grid": "grid|.1f", "grid_shifted": "shifted|.1f", "seams": "seams|.3f",
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


def photographs(
    folder: Path, sigmas: list[int], shared: list[int], seeds: list[int]
) -> Iterator[Case]:
    """Yield each photograph with each noise."""
    kinds = [*((sigma, False) for sigma in sigmas), *((sigma, True) for sigma in shared)]
    for path in sorted(folder.glob("*.png")):
        truth = read_plane(path)
        for (sigma, is_shared), seed in itertools.product(kinds, seeds):
            noise = np.random.default_rng(seed).normal(0, sigma, truth.shape)
            if is_shared:
                noise = gaussian_filter(noise, SHARED)
                noise *= sigma / noise.std()
            noisy = api.Image((truth + noise).astype(np.float32), "YX")
            name = f"{path.parent.name}/{path.stem}, {'shared ' * is_shared}sigma {sigma}"
            yield Case(f"{name}, seed {seed}" if len(seeds) > 1 else name, noisy, truth)


def hard(crop: int) -> Iterator[Case]:
    """Yield made scenes that invite harm."""
    rng = np.random.default_rng(0)
    shape = (crop, crop)
    beads = np.full(shape, 2.0)
    beads[tuple(rng.integers(crop, size=(2, crop * crop // 1000)))] = 60
    cells = samples.cells(size=crop).truth.data
    rows, columns = np.mgrid[:crop, :crop]
    for name, truth in (
        ("single bright pixels, 2 and 60 photons", beads),
        ("cells of 0.1 photons a pixel", 0.1 * cells / cells.mean()),
        ("cells of 1 photon a pixel", cells / cells.mean()),
    ):
        yield Case(name, api.Image(rng.poisson(truth).astype(np.uint16), "YX"), *_truth(truth))
    for name, truth, sigma in (
        ("checks of single pixels", 100 + 30.0 * (-1) ** (rows + columns), 15),
        ("gravel", data.gravel()[:crop, :crop], 15),
        ("brick", data.brick()[:crop, :crop], 15),
        ("nothing", np.full(shape, 100.0), 10),
        ("cells, nearly clean", 255 * (cells - cells.min()) / np.ptp(cells), 2),
        ("camera at half its size, nearly clean", _halved(data.camera())[:crop, :crop], 2),
    ):
        noisy = (truth + rng.normal(0, sigma, shape)).astype(np.float32)
        yield Case(f"{name}, sigma {sigma}", api.Image(noisy, "YX"), np.float32(truth))


def _halved(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of every two by two pixels, with half of the noise of its own."""
    height, width = (n // 2 for n in image.shape)
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))


def _truth(truth: NDArray[Any]) -> tuple[NDArray[np.float32], float, float]:
    return truth.astype(np.float32), float(truth.min()), float(truth.max())


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


def middle(stack: Stack) -> NDArray[np.float32]:
    """Return (C, Y, X): the middle sample's middle plane."""
    return in_plane(stack.read(stack.samples // 2))


def in_plane(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (C, Y, X): the middle plane of (C, *spatial)."""
    return sample if sample.ndim == 3 else sample[:, sample.shape[1] // 2]


def examine(case: Case, config: api.TrainingConfig) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Denoise a case; return its row and the planes to look at (noisy, denoised, truth)."""
    row: dict[str, Any] = {"name": case.name, "axes": Stack.of(case.image).axes}
    try:
        denoiser = api.Denoiser.for_image(case.image, config=config)
    except api.ImageError as refusal:
        return row | {"note": f"refused: {str(refusal).partition(';')[0]}"}, []
    for _ in api.train(denoiser, case.image, config):
        pass
    stack = denoiser.see(case.image)
    noisy = middle(stack)
    clean = denoiser.predict(stack, samples=[stack.samples // 2])
    best = middle(replace(stack, data=clean))
    row |= {
        "hole": " x ".join(map(str, denoiser.footprint)),
        "loss": denoiser.record.validation_loss / denoiser.record.baseline_loss,
    }
    planes = [noisy[0], best[0]]
    if case.truth is not None:
        row["noisy"] = psnr(case.truth, noisy[0], case.low, case.high)
        row["best"] = psnr(case.truth, best[0], case.low, case.high)
        planes.append(case.truth)
    row |= artefacts(noisy, best)
    row |= grids(denoiser, stack, best)
    row |= seams(denoiser, stack, float(noisy.std()))
    return row, planes


def artefacts(noisy: NDArray[np.float32], best: NDArray[np.float32]) -> dict[str, float]:
    """Measure what is left in flat places, in the worst channel; beside it that of a smoothing."""
    found = []
    for x, y in zip(noisy, best, strict=True):
        blocks = flat_blocks(x)
        before = max(texture(x, blocks) ** 2, np.finfo(np.float32).tiny)
        smooth = gaussian_filter(x, SMOOTHING)
        found.append((texture(y, blocks) ** 2 / before, texture(smooth, blocks) ** 2 / before))
    return dict(zip(("flat", "flat_smooth"), max(found), strict=True))


def grids(denoiser: api.Denoiser, stack: Stack, best: NDArray[np.float32]) -> dict[str, float]:
    """Measure the grid of the worst channel and period, and the same averaged over all shifts."""
    network: Any = denoiser.network
    found = []
    for period in sorted({denoiser.method.grid.stride[-2:], network.divisor[-2:]}):
        shifted = over_shifts(denoiser, stack, period)
        inner = (..., *(slice(p - 1, None) for p in period))
        for y, mean in zip(best[inner], shifted, strict=True):
            found.append((grid_power(y, period), grid_power(mean, period)))
    return dict(zip(("grid", "grid_shifted"), max(found), strict=True))


def over_shifts(
    denoiser: api.Denoiser, stack: Stack, period: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return the mean (C, Y, X) over predictions of an image whose first rows and columns are cut.

    Grids are anchored to the first pixel: so each pixel takes every place in them.
    One pass for each shift; as many pixels are lost as the largest shift has.
    """
    chosen = [stack.samples // 2]
    y, x = (stack.axes.index(axis) for axis in "YX")
    total: Any = 0
    for down, right in np.ndindex(*period):
        window = [slice(None)] * len(stack.axes)
        window[y], window[x] = slice(down, None), slice(right, None)
        cut = replace(stack, data=stack.data[tuple(window)])
        whole = denoiser.predict(cut, passes=1, samples=chosen)
        plane = middle(replace(cut, data=whole))
        total = total + plane[:, period[0] - 1 - down :, period[1] - 1 - right :]
    return np.asarray(total / np.prod(period), np.float32)


def seams(denoiser: api.Denoiser, stack: Stack, sigma: float) -> dict[str, float]:
    """Predict the middle sample in small tiles and in one piece, by a single pass."""
    if min(stack.spatial[-2:]) < TILE + 8:
        return {}
    chosen = stack.samples // 2

    def predict(tile: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the sample (C, *spatial), its neighbours in view."""
        whole = denoiser.predict(stack, passes=1, tile=tile, samples=[chosen])
        return replace(stack, data=whole).read(chosen)

    one = predict(stack.spatial)
    tiled = predict((*stack.spatial[:-2], TILE, TILE))
    contrast = [
        seam_contrast(t, (TILE, TILE)) / seam_contrast(o, (TILE, TILE))
        for t, o in zip(in_plane(tiled), in_plane(one), strict=True)
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
    arguments.add_argument("--sigmas", type=comma_numbers, default=[5, 15, 25, 50])
    arguments.add_argument("--shared", type=comma_numbers, default=[5, 15])
    arguments.add_argument("--seeds", type=comma_numbers, default=[0], help="of noise; default: 0")
    arguments.add_argument(
        "--stacks", type=Path, nargs="+", default=[], metavar="DIR", help="folders of TIFF files"
    )
    arguments.add_argument("--hard", action="store_true", help="made scenes that invite harm")
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
    if not (options.photographs or options.stacks or options.hard):
        arguments.error("give --photographs, --stacks or --hard")
    truths = pairs_of(options.truths, arguments)
    config = replace(api.TrainingConfig.preset(options.preset), device=options.device)
    if options.steps:
        config = replace(config, steps=options.steps)
    here = begin(options)

    cases = list(stacks(options.stacks, truths, options.crop, options.planes))
    if options.hard:
        cases = [*hard(options.crop), *cases]
    if options.photographs:
        cases = [
            *photographs(options.photographs, options.sigmas, options.shared, options.seeds),
            *cases,
        ]
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
    gridded = [row["name"] for row in seen if row["grid"] > 2 * max(row["grid_shifted"], 1)]
    marked = [row["name"] for row in seen if row.get("seams", 1) > 1.05]
    rough = [row["name"] for row in seen if row["flat"] > row["flat_smooth"]]
    for text, names, among in (
        ("below the input's PSNR", worse, known),
        ("grid over twice that of the mean over shifts", gridded, seen),
        ("seams over 5%", marked, seen),
        ("flat regions rougher than the smoothing leaves them", rough, seen),
    ):
        print(f"\n{text}: {len(names)} of {len(among)}" + "".join(f"\n  {name}" for name in names))
    save(options, here, {"rows": rows})


if __name__ == "__main__":
    main()
