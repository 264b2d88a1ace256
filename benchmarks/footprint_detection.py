"""How often white noise is taken for correlated, and correlated noise for white.

False alarms: crops of smooth and of textured images with white Gaussian or
Poisson noise, quantised to 8 bits or not. Detection: the same crops with
Gaussian noise that was smoothed, or with line offsets. Real frames: what is
measured on each frame of the FMD folder that is given.

    python benchmarks/footprint_detection.py --repeats 8 --photographs SET12 --fmd FMD

Everything is seeded; the photographs of scikit-image are always part of it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.io import imread

from napari_noise2self.core.axes import Stack
from napari_noise2self.core.correlation import noise_correlation

SIZES = (32, 64, 128, 256)


def scenes(photographs: Path | None) -> Iterator[tuple[str, str, np.ndarray]]:
    """Kind, name and pixels (0 to 255) of each clean image."""
    rng = np.random.default_rng(0)
    blobs = gaussian_filter(rng.normal(size=(512, 512)), 12)
    spots = gaussian_filter((rng.random((512, 512)) < 0.002) * 1.0, 1.5)
    rows, columns = np.mgrid[:512, :512] / 512
    yield "smooth", "constant", np.full((512, 512), 128.0)
    yield "smooth", "ramp", 40 + 200 * columns
    yield "smooth", "blobs", blobs
    yield "smooth", "spots on black", spots
    yield (
        "textured",
        "siemens star",
        1 + np.sign(np.sin(36 * np.arctan2(rows - 0.5, columns - 0.5))),
    )
    for name in ("camera", "coins", "moon"):
        yield "photograph", name, getattr(data, name)()
    for name in ("brick", "grass", "gravel"):
        yield "textured", name, getattr(data, name)()
    for path in sorted(photographs.glob("*.png")) if photographs else ():
        yield "photograph", path.name, imread(path)


def crops(clean: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One random crop of each size, brought to 0 to 255 by the whole image's range."""
    clean = clean.astype(np.float64)
    low, high = clean.min(), clean.max()
    clean = 255 * (clean - low) / (high - low) if high > low else clean
    for size in SIZES:
        y, x = (int(rng.integers(n - size + 1)) for n in clean.shape)
        yield clean[y : y + size, x : x + size]


def white(crop: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """White noise of each kind."""
    for sigma in (15, 25, 50):
        noisy = crop + rng.normal(0, sigma, crop.shape)
        yield f"gaussian {sigma}", noisy
        yield f"gaussian {sigma}, 8-bit", noisy.round().clip(0, 255).astype(np.uint8)
    for peak in (0.2, 2, 20):
        yield f"poisson peak {peak}", rng.poisson(crop / 255 * peak).astype(np.uint16)
    yield "poisson 20 + gaussian 2", rng.poisson(crop / 255 * 20) + rng.normal(0, 2, crop.shape)


def correlated(crop: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Noise that asks for a hole."""
    for sigma in (0.6, 0.8, 1.0):
        noise = gaussian_filter(rng.normal(size=crop.shape), sigma, mode="wrap")
        yield f"smoothed by {sigma}, 25", crop + 25 * noise / noise.std()
    lines = rng.normal(0, 15, (crop.shape[0], 1))
    yield "lines 15 + white 25", crop + lines + rng.normal(0, 25, crop.shape)


def flagged(image: np.ndarray) -> bool:
    """Whether a hole is proposed."""
    return max(noise_correlation(Stack.of(image, "YX")).footprint) > 1


def table(title: str, counts: dict[str, list[bool]]) -> None:
    """Print flagged / trials for each row.

    No interval: what is made of one draw, an image and the same in 8 bits, is not independent.
    """
    print(f"\n{title}\n{'':34}{'flagged':>9}{'of':>7}{'share':>9}")
    total = [hit for hits in counts.values() for hit in hits]
    for name, hits in {**counts, "all": total}.items():
        n, k = len(hits), sum(hits)
        print(f"{name:34}{k:9}{n:7}{k / n:9.2%}")


def synthetic(repeats: int, photographs: Path | None) -> None:
    """Print false alarms and detections."""
    alarms: dict[str, dict[str, list[bool]]] = {"scene": {}, "noise": {}, "size": {}}
    found: dict[str, list[bool]] = {}
    for number, (kind, name, clean) in enumerate(scenes(photographs)):
        for repeat in range(repeats):
            rng = np.random.default_rng((number, repeat))
            for crop in crops(clean, rng):
                size = f"{len(crop)} x {len(crop)}"
                for noise, image in white(crop, rng):
                    if np.ptp(image) == 0:
                        continue
                    hit = flagged(image)
                    alarms["scene"].setdefault(f"{kind}: {name}", []).append(hit)
                    alarms["noise"].setdefault(noise, []).append(hit)
                    alarms["size"].setdefault(size, []).append(hit)
                for noise, image in correlated(crop, rng):
                    found.setdefault(f"{noise}, {size}", []).append(flagged(image))
    for by, counts in alarms.items():
        table(f"False alarms on white noise, by {by}", counts)
    table("Detected, of noise that asks for a hole", found)


def real(fmd: Path) -> None:
    """Print what is measured on every frame."""
    print(f"\n{'frame':32}{'y':>8}{'x':>8}{'lag 2':>15}{'lines y, x':>15}  hole")
    for path in sorted(fmd.rglob("*.png")):
        found = noise_correlation(Stack.of(imread(path), "YX"))
        y, x = found.channels[0]
        print(
            f"{path.relative_to(fmd).with_suffix('')!s:32}{y.rho[0]:8.2f}{x.rho[0]:8.2f}"
            f"{y.rho[1]:8.2f}{x.rho[1]:7.2f}{y.line:8.3f}{x.line:7.3f}  {found.footprint}"
        )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="crops of each scene and size")
    parser.add_argument("--photographs", type=Path, help="folder of clean PNG images")
    parser.add_argument("--fmd", type=Path, help="folder of PNG frames")
    arguments = parser.parse_args()
    start = time.perf_counter()
    synthetic(arguments.repeats, arguments.photographs)
    if arguments.fmd:
        real(arguments.fmd)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
