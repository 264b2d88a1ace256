"""Noise2Noise reaches Noise2Clean: the tutorial's claim, on small digits.

    python benchmarks/reproduce_noise2noise.py --json noise2noise.json

Digits of 28 x 28 pixels with values from 0 to 1, rendered from the fonts that
come with matplotlib, each at its own size, place, slant and turn; Gaussian noise
of 0.4, not clipped. Two pixels of black are added on each side, since the
networks take 32 x 32 or more; they do not count in the PSNR (range 1, nothing
clipped or rescaled). The networks, the batches, the number of steps and the clean digits
are the same for all methods; the digits tested on are others.

The claim holds where the mean over the seeds of Noise2Noise is no more than
--margin below that of Noise2Clean.

Lehtinen et al., "Noise2Noise: Learning Image Restoration without Clean Data",
ICML 2018.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import numpy as np
from _report import begin, comma_list, comma_numbers, parser, print_table, save
from PIL import Image, ImageDraw, ImageFont

from napari_noise2self import api
from napari_noise2self.core.config import CHOICES

SIGMA = 0.4
EDGE, BORDER = 28, 2
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif",
         "DejaVuSerif-Italic", "STIXGeneral", "cmr10")  # fmt: skip
INSIDE = (slice(None), slice(BORDER, -BORDER), slice(BORDER, -BORDER))


def digits(count: int, seed: int) -> np.ndarray:
    """Return float32 digits, shape (count, 32, 32)."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(seed)
    drawn = np.zeros((count, EDGE + 2 * BORDER, EDGE + 2 * BORDER), np.float32)
    for picture in drawn:
        face = ImageFont.truetype(folder / f"{rng.choice(FONTS)}.ttf", int(rng.integers(72, 100)))
        large = Image.new("L", (4 * EDGE, 4 * EDGE))
        place = tuple(2 * EDGE + rng.uniform(-8, 8, 2))
        ImageDraw.Draw(large).text(place, str(rng.integers(10)), 255, face, anchor="mm")
        slant = float(rng.uniform(-0.25, 0.25))
        turned = large.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BICUBIC).transform(
            large.size, Image.Transform.AFFINE, (1, slant, -2 * EDGE * slant, 0, 1, 0),
            Image.Resampling.BICUBIC,
        )  # fmt: skip
        small = turned.resize((EDGE, EDGE), Image.Resampling.BOX)
        picture[BORDER:-BORDER, BORDER:-BORDER] = np.asarray(small, np.float32) / 255
    return drawn


def psnr(truth: np.ndarray, image: np.ndarray) -> float:
    """PSNR in dB at a range of 1, neither clipped nor rescaled."""
    return -10 * float(np.log10(np.mean((image - truth) ** 2)))


def noisy(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise, without clipping."""
    return (clean + rng.normal(0, SIGMA, clean.shape)).astype(np.float32)


def trained(
    method: str, options: argparse.Namespace, seed: int, clean: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, float]:
    """Train anew, noise and weights from the seed; return the test digits denoised, and seconds."""
    rng = np.random.default_rng(seed)
    first, second = noisy(clean, rng), noisy(clean, rng)
    target = {"noise2self": None, "noise2noise": second, "noise2clean": clean}[method]
    config = api.TrainingConfig(
        steps=options.steps, method=method, network=options.network, width=options.width,
        patch_size=clean.shape[-1], pixels_per_step=options.batch * clean[0].size,
        stride=4, footprint=(1, 1), noise_model=False, patience=0, seed=seed, device=options.device,
    )  # fmt: skip
    started = time.perf_counter()
    denoiser = api.Denoiser.for_image(first, axes="TYX", config=config)
    for _ in api.train(denoiser, first, config, target=target):
        pass
    return denoiser.predict(test), time.perf_counter() - started


def main() -> None:
    """Train every method with every seed, print the table and the verdict."""
    options = command_line().parse_args()
    here = begin(options)
    clean, truth = digits(options.train, seed=0), digits(options.test, seed=1)
    test = noisy(truth, np.random.default_rng(2))
    print(
        f"\n{options.train} digits, {options.test} tested, Gaussian {SIGMA}; {options.network}, "
        f"width {options.width}, batch {options.batch}, {options.steps} steps, seeds "
        f"{options.seeds}",
        flush=True,
    )
    table: list[dict[str, Any]] = [{"method": "noisy", "mean": psnr(truth[INSIDE], test[INSIDE])}]
    means = {}
    for method in options.methods:
        found = []
        for seed in options.seeds:
            result, seconds = trained(method, options, seed, clean, test)
            found.append(psnr(truth[INSIDE], result[INSIDE]))
            print(f"{method}, seed {seed}: {found[-1]:.2f} dB in {seconds:.0f} s", flush=True)
        means[method] = mean(found)
        table.append({"method": method, "mean": mean(found), "low": min(found), "high": max(found)})
    columns = {"method": "method", "mean": "PSNR|.2f", "low": "lowest|.2f", "high": "highest|.2f"}
    print_table(table, columns)
    save(options, here, {"rows": table})
    if {"noise2noise", "noise2clean"} <= means.keys():
        gap = means["noise2clean"] - means["noise2noise"]
        verdict = "holds" if gap <= options.margin else "FAILS"
        print(
            f"\nNoise2Noise is {gap:.2f} dB below Noise2Clean; margin {options.margin}: {verdict}"
        )


def command_line() -> argparse.ArgumentParser:
    """Return the command line."""
    made = parser(__doc__ or "")
    made.add_argument("--methods", type=comma_list, default=list(CHOICES["method"]))
    made.add_argument("--network", default="unet")
    made.add_argument("--train", type=int, default=4000, help="digits to train on")
    made.add_argument("--test", type=int, default=500)
    made.add_argument("--batch", type=int, default=32, help="digits in a step")
    made.add_argument("--steps", type=int, default=500)
    made.add_argument("--width", type=int, default=16)
    made.add_argument("--seeds", type=comma_numbers, default=[0, 1, 2])
    made.add_argument("--margin", type=float, default=0.3, help="in dB")
    made.add_argument("--device")
    return made


if __name__ == "__main__":
    main()
