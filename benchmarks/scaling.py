"""Time and memory of training against the length of a movie, one frame to a thousand.

    python benchmarks/scaling.py --frames 1,10,100,1000

A synthetic movie is written to a zarr file in a temporary folder, a frame at a
time, and opened lazily. Each length is measured in a fresh process: the
analysis, a training of a fixed number of steps, and the peak memory of the
whole process. Every --look steps the clock stops and frame 0 is predicted
against its truth. "to quality" is when that first reaches what the shortest
movie has at its end, less 0.2 dB: training on more frames should take no longer.

--predict also predicts the whole movie to another zarr file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from _data import moving_cells
from _fresh import answer, measure, peak_memory
from _metrics import psnr
from _report import begin, comma_numbers, parser, print_table, save

from napari_noise2self import api

MARGIN = 0.2  # dB
COLUMNS = {
    "frames": "frames|d", "data_gb": "data, GB|.3f", "analyse": "analysis, s|.2f",
    "train": "training, s|.1f", "step": "step, ms|.0f", "to_quality": "to quality, s|.1f",
    "psnr": "PSNR of frame 0|.2f", "peak_gb": "peak, GB|.2f", "predict": "prediction, s|.1f",
    "predict_gb": "peak then, GB|.2f", "error": "error",
}  # fmt: skip


def write_movie(path: Path, frames: int, size: int) -> None:
    """Write the movie a frame at a time."""
    array = zarr.create_array(
        path, shape=(frames, size, size), chunks=(1, size, size), dtype="uint16"
    )
    for frame in range(frames):
        array[frame], _ = moving_cells(frame, size)


def answer_task(task: dict[str, Any]) -> dict[str, Any]:
    """Train on one movie in this process."""
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    movie = zarr.open_array(task["path"], mode="r")
    _, truth = moving_cells(0, movie.shape[-1])
    low, high = float(truth.min()), float(truth.max())
    config = api.TrainingConfig(steps=task["steps"], device=task["device"], patience=0)
    baseline = peak_memory()
    started = time.perf_counter()
    denoiser = api.Denoiser.for_image(movie, axes="TYX", config=config)
    analysed = time.perf_counter()
    away, curve = 0.0, []
    for event in api.train(denoiser, movie, config):
        if event.step % task["look"] == 0 or event.step == event.steps:
            since = time.perf_counter()
            first = denoiser.predict(movie[: 1 + denoiser.context], axes="TYX", samples=[0])[0]
            quality = psnr(truth, first, low, high)
            curve.append((event.step, since - started - away, quality))
            away += time.perf_counter() - since
    seconds = time.perf_counter() - analysed - away
    found = {
        "data_gb": movie.nbytes / 1e9,
        "analyse": analysed - started,
        "train": seconds,
        "step": 1000 * seconds / task["steps"],
        "psnr": curve[-1][2],
        "curve": curve,
        "baseline_gb": baseline / 1e9,
        "peak_gb": peak_memory() / 1e9,
    }
    if task["predict"]:
        out = zarr.create_array(
            Path(task["path"]).with_name("denoised.zarr"),
            shape=movie.shape,
            chunks=movie.chunks,
            dtype="float32",
            overwrite=True,
        )
        started = time.perf_counter()
        denoiser.predict(movie, passes=1, out=out)
        found |= {"predict": time.perf_counter() - started, "predict_gb": peak_memory() / 1e9}
        assert np.isfinite(out[-1]).all()
    return found


def reached(curve: Sequence[Sequence[float]], target: float) -> float | None:
    """Return the seconds at which a (step, seconds, PSNR) curve first reaches `target`."""
    return next((seconds for _, seconds, quality in curve if quality >= target), None)


def main() -> None:
    """Parse the command line and run."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--frames", type=comma_numbers, default=[1, 10, 100, 1000], help="default: 1,10,100,1000"
    )
    arguments.add_argument("--size", type=int, default=512, help="edge of a frame; default: 512")
    arguments.add_argument("--steps", type=int, default=200, help="of the training; default: 200")
    arguments.add_argument("--look", type=int, default=20, help="steps between looks; default: 20")
    arguments.add_argument("--predict", action="store_true", help="predict the movie, in one pass")
    arguments.add_argument("--device", help="default: the fastest")
    options = arguments.parse_args()
    here = begin(options)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in sorted(options.frames):
            path = Path(folder) / f"{frames}.zarr"
            write_movie(path, frames, options.size)
            task = {
                "path": str(path), "steps": options.steps, "look": options.look,
                "predict": options.predict, "device": options.device, "threads": options.threads,
            }  # fmt: skip
            rows.append({"frames": frames} | measure(__file__, task))
            print(f"... {frames} frames", flush=True)
    target = rows[0].get("psnr", float("inf")) - MARGIN
    for row in rows:
        row["to_quality"] = reached(row.get("curve", ()), target)
    print_table(rows, COLUMNS, f"quality: {target:.2f} dB on frame 0")
    save(options, here, {"rows": rows})


if __name__ == "__main__" and not answer(answer_task):
    main()
