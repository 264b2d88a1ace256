"""The paper's table: PSNR of each method on characters, photographs and cells.

    python benchmarks/reproduce_table.py --json table.json            # 2 cores, an hour
    python benchmarks/reproduce_table.py --full --photographs IMAGENET/val   # a GPU, a day

Noise2Self sees one noisy copy of each image, Noise2Noise a second one as its
target, Noise2Truth (the method "noise2clean") the clean image. All train on the
same images with the same network, batch and number of steps, and are tested on
images apart from these. NLM and BM3D are calibrated by the self-supervised loss
on the training images. PSNR as in the paper: each output is first brought to
the mean and the variance of its truth.

Scaled down by default, as the line above each table says; --full takes the
numbers of the paper (Hanzi: 13,029 characters, 6 noisy copies each, batch 64,
30 epochs; ImageNet: batch 32, 1 epoch; CellNet: batch 64, 50 epochs). The data
are drawn anew in any case (see _scenes.py), so that the order of the methods
can be compared, not the last decibel.

Batson and Royer, "Noise2Self: Blind Denoising by Self-Supervision", ICML 2019.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import _scenes
import numpy as np
from _report import begin, comma_list, comma_numbers, parser, print_table, save
from _scenes import Scenes, matched_psnr

from napari_noise2self import api
from napari_noise2self.core.calibration import calibrate
from napari_noise2self.core.config import CHOICES

PAPER = {
    "Hanzi": {"noisy": 6.5, "NLM": 8.4, "BM3D": 11.8, "UNet noise2self": 13.8,
              "DnCNN noise2self": 13.4, "UNet noise2noise": 13.3, "DnCNN noise2noise": 13.6,
              "UNet noise2clean": 13.1, "DnCNN noise2clean": 13.9},
    "ImageNet": {"noisy": 9.4, "NLM": 15.7, "BM3D": 17.8, "UNet noise2self": 18.6,
                 "DnCNN noise2self": 18.7, "UNet noise2noise": 17.8, "DnCNN noise2noise": 18.8,
                 "UNet noise2clean": 21.1, "DnCNN noise2clean": 22.0},
    "CellNet": {"noisy": 15.1, "NLM": 29.0, "BM3D": 31.4, "UNet noise2self": 32.8,
                "DnCNN noise2self": 33.7, "UNet noise2noise": 34.4, "DnCNN noise2noise": 34.4,
                "UNet noise2clean": 34.5, "DnCNN noise2clean": 34.4},
}  # fmt: skip
LABELS = {"unet": "UNet", "dncnn": "DnCNN"}
DRAW = {
    "Hanzi": _scenes.characters, "ImageNet": _scenes.photographs, "CellNet": _scenes.cells,
}  # fmt: skip
FULL = {
    # training images, noisy copies of each, batch, epochs
    "Hanzi": (13_029, 6, 64, 30),
    "ImageNet": (50_000, 1, 32, 1),
    "CellNet": (10_000, 1, 64, 50),
}
CALIBRATED_ON = 2**15  # pixels; BM3D takes a second for each 4,000 of them
COLUMNS = {
    "data": "data", "method": "method", "psnr": "PSNR|.1f", "spread": "spread|.1f",
    "strict": "J-invariant|.1f", "paper": "paper|.1f", "seconds": "seconds|.0f",
}  # fmt: skip


def copies(scenes: Scenes, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` noisy copies of each training image."""
    return np.concatenate([scenes.noise(scenes.train, rng) for _ in range(count)])


def classical(scenes: Scenes, noisy: np.ndarray, test: np.ndarray) -> Iterator[dict[str, Any]]:
    """Calibrate on some of the training images, apply to the others."""
    few = noisy[: max(1, CALIBRATED_ON // int(np.prod(noisy.shape[1:3])))]
    for family in ("nlm", "bm3d"):
        if family == "bm3d" and importlib.util.find_spec("bm3d") is None:
            print("BM3D is left out: pip install bm3d")
            continue
        started = time.perf_counter()
        found = calibrate(few, family, axes=scenes.axes, footprint=(1, 1))
        result = found.predict(test)
        yield {
            "method": family.upper(),
            "psnr": matched_psnr(scenes.test, result),
            "parameters": found.parameters,
            "seconds": time.perf_counter() - started,
        }


def network(
    scenes: Scenes,
    noisy: np.ndarray,
    target: np.ndarray | None,
    test: np.ndarray,
    config: api.TrainingConfig,
) -> dict[str, Any]:
    """Train on the noisy stack, with its target if the method takes one; apply to the others."""
    started = time.perf_counter()
    denoiser = api.Denoiser.for_image(noisy, axes=scenes.axes, config=config)
    for _ in api.train(denoiser, noisy, config, target=target):
        pass
    row = {
        "method": f"{LABELS.get(config.network, config.network)} {config.method}",
        "psnr": matched_psnr(scenes.test, denoiser.predict(test, axes=scenes.axes)),
        "steps": denoiser.record.steps,
        "seconds": time.perf_counter() - started,
    }
    if config.method == "noise2self":
        strict = denoiser.predict(test, axes=scenes.axes, output="j-invariant")
        row["strict"] = matched_psnr(scenes.test, strict)
    return row


def rows(
    name: str, options: argparse.Namespace, count: int, times: int, batch: int, steps: int
) -> Iterator[dict[str, Any]]:
    """Measure every method on one data set, the median over the seeds."""
    extra = {"Hanzi": {"font": options.font}, "ImageNet": {"folder": options.photographs}}
    scenes = DRAW[name](train=count, test=options.test, seed=0, **extra.get(name, {}))
    rng = np.random.default_rng(1)
    noisy, second = copies(scenes, times, rng), copies(scenes, times, rng)
    test = scenes.noise(scenes.test, rng)
    edge = scenes.train.shape[1]
    print(
        f"\n{name}: {scenes.about}, {times} noisy "
        f"{'copy' if times == 1 else 'copies'} of each; {options.test} tested; width "
        f"{options.width}, batch {batch}, {steps} steps ({steps * batch / len(noisy):.1f} epochs), "
        f"seeds {options.seeds}",
        flush=True,
    )
    yield {"method": "noisy", "psnr": matched_psnr(scenes.test, test)}
    if options.classical:
        yield from classical(scenes, noisy, test)
    targets = {"noise2self": None, "noise2noise": second}
    for method in options.methods:
        target = targets[method] if method in targets else np.concatenate([scenes.train] * times)
        for kind in options.networks:
            config = api.TrainingConfig(
                steps=steps, method=method, network=kind, width=options.width,
                pixels_per_step=batch * edge**2, patch_size=edge, stride=4, footprint=(1, 1),
                patience=0, noise_model=False, device=options.device,
            )  # fmt: skip
            train = partial(network, scenes, noisy, target, test)
            found = [
                train(api.TrainingConfig(**{**vars(config), "seed": seed}))
                for seed in options.seeds
            ]
            psnrs = [row["psnr"] for row in found]
            middle = sorted(found, key=lambda row: row["psnr"])[len(found) // 2]
            yield {**middle, "spread": max(psnrs) - min(psnrs) if len(psnrs) > 1 else None}


def main() -> None:
    """Measure and print, data set by data set."""
    options = command_line().parse_args()
    here = begin(options)
    table = []
    for name in options.data:
        if options.full:
            count, times, batch, epochs = FULL[name]
            steps = math.ceil(epochs * count * times / batch)
        else:
            count, times, batch, steps = options.train, 1, options.batch, options.steps
        if name == "Hanzi" and not options.full:
            count, batch = 4 * count, 4 * batch  # images of a quarter of the size
        part = []
        for row in rows(name, options, count, times, batch, steps):
            row = {"data": name, "paper": PAPER[name].get(row["method"]), **row}
            print(f"{row['method']}: {row['psnr']:.2f} dB", flush=True)
            part.append(row)
        print_table(part, COLUMNS)
        table += part
        save(options, here, {"rows": table})


def command_line() -> argparse.ArgumentParser:
    """Return the command line."""
    made = parser(__doc__ or "")
    made.add_argument("--data", type=comma_list, default=list(DRAW), help="of " + ", ".join(DRAW))
    made.add_argument("--methods", type=comma_list, default=list(CHOICES["method"]))
    made.add_argument("--networks", type=comma_list, default=list(CHOICES["network"]))
    made.add_argument("--no-classical", dest="classical", action="store_false")
    made.add_argument("--font", type=Path, help="a font with Chinese characters")
    made.add_argument("--photographs", type=Path, help="folder of RGB images")
    made.add_argument("--train", type=int, default=512, help="training images (Hanzi: 4 x)")
    made.add_argument("--test", type=int, default=64, help="images to test on")
    made.add_argument("--batch", type=int, default=4, help="images of 128 x 128 in a step")
    made.add_argument("--steps", type=int, default=400)
    made.add_argument("--width", type=int, default=16, help="feature channels")
    made.add_argument("--seeds", type=comma_numbers, default=[0])
    made.add_argument("--device")
    made.add_argument("--full", action="store_true", help="the paper's size")
    return made


if __name__ == "__main__":
    main()
