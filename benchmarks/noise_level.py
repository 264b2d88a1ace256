"""How far the estimated noise level is off, where the truth is known.

Poisson-Gaussian noise is put on clean scenes; the estimate is compared with the
truth at four quantiles of the signal. With two frames of one scene (FMD) the
variance of their difference, in bins of the mean of many frames, is the truth.

    python benchmarks/noise_level.py --photographs SET12 --fmd FMD
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from footprint_detection import scenes
from scipy.ndimage import gaussian_filter
from skimage.io import imread

from napari_noise2self.core.axes import Stack
from napari_noise2self.core.noise import estimate_noise

# gain, darkest and brightest signal, read noise
KINDS = (
    (1, 1, 100, 2),
    (1, 0.05, 5, 0),
    (1, 3, 300, 1),
    (0.1, 1, 100, 1),
    (5, 50, 5000, 30),
    (2, 20, 40, 3),
    (1e-6, 1, 100, 10),
)
QUANTILES = (0.05, 0.5, 0.95, 0.999)


def synthetic(photographs: Path | None, fmd: Path | None) -> None:
    """Print the ratio of the estimated to the true variance for every scene."""
    rng = np.random.default_rng(0)
    clean_scenes = list(scenes(photographs))
    for path in sorted((fmd / "gt").glob("*.png")) if fmd else ():
        clean_scenes.append(("micrograph", path.stem, gaussian_filter(imread(path) * 1.0, 1.5)))
    within: dict[str, list[bool]] = {}
    print(f"{'ratio at quantiles':26}", *(f"{q:7}" for q in QUANTILES), "  trusted")
    for kind, name, clean in clean_scenes:
        clean = np.asarray(clean, np.float64)
        clean = (clean - clean.min()) / max(np.ptp(clean), 1e-9)
        for gain, dark, bright, read in KINDS:
            truth = dark + (bright - dark) * clean
            image = gain * rng.poisson(truth / gain) + rng.normal(0, read, truth.shape)
            noise = estimate_noise(Stack.of(image))
            signal = np.quantile(truth, QUANTILES)
            ratio = noise.variance(signal) / (gain * signal + read**2)
            within.setdefault(kind, []).extend((np.abs(ratio - 1) <= 0.1).tolist())
            if noise.trusted:
                within.setdefault(f"{kind}, trusted", []).extend(
                    (np.abs(ratio - 1) <= 0.1).tolist()
                )
            print(f"{name[:16]:16} {gain:g} {dark:g}-{bright:g} {read:g}".ljust(36), end="")
            print(*(f"{r:7.2f}" for r in ratio), f"  {noise.trusted}")
    print("\nwithin 10%")
    for kind, hits in within.items():
        print(f"{kind:24}{sum(hits):5} of {len(hits):5} {np.mean(hits):7.1%}")


def real(fmd: Path) -> None:
    """Print the ratio of the estimate from one frame to the variance of two frames' difference."""
    print("\nFMD, estimate over truth at quantiles of the signal")
    for path in sorted((fmd / "raw").glob("*_1.png")):
        first, second, mean = (
            imread(p).astype(np.float64)
            for p in (path, path.with_name(path.name.replace("_1", "_2")), fmd / "gt" / path.name)
        )
        noise = estimate_noise(Stack.of(first))
        edges = np.quantile(mean, (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1))
        ratios = []
        for low, high in itertools.pairwise(edges):
            inside = (mean >= low) & (mean <= high)
            truth = np.var(first[inside] - second[inside]) / 2
            ratios.append(float(noise.variance(mean[inside].mean())) / truth)
        print(f"{path.stem:24}", *(f"{r:6.2f}" for r in ratios), f"  trusted {noise.trusted}")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, help="folder of clean PNG images")
    parser.add_argument("--fmd", type=Path, help="folder with raw and gt frames")
    arguments = parser.parse_args()
    synthetic(arguments.photographs, arguments.fmd)
    if arguments.fmd:
        real(arguments.fmd)


if __name__ == "__main__":
    main()
